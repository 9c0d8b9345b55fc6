//! Builds the server, binds it, and runs it until it is told to stop.

mod files;
pub mod logging;
mod server;
pub mod signals;
mod stream;
mod tls;

use std::{
    net::SocketAddr,
    num::NonZeroUsize,
    sync::{Arc, OnceLock},
    time::Duration,
};

use actix_web::{
    App,
    dev::{Server, ServerHandle, ServiceFactory, ServiceRequest, ServiceResponse},
    web::{self, Data},
};
use tokio::{sync::Notify, time::MissedTickBehavior};

use crate::{
    domain::{
        Invalid,
        audit::Action,
        clock::{Clock, SystemClock},
        random::{OsRandom, Random},
    },
    http::{self, HttpMetrics, Limits, State, connection::ResponseBody, observe},
    service::{self, Service},
    settings::{ServeSettings, StoreSettings},
    store::{OpenError, Store, find_exposed_files},
};
use server::ListenerConfig;
use tls::Tls;

/// How long what is written behind may stay unwritten.
const FLUSH_INTERVAL: Duration = Duration::from_secs(2);
/// How often it is looked for audit events that have been kept long enough.
const RETENTION_INTERVAL: Duration = Duration::from_secs(5);
/// How long requests in flight get to end when the server stops, in seconds.
const SHUTDOWN_SECONDS: u64 = 30;
/// Maximum number of connections to the separate metrics listener.
const MAX_METRICS_CONNECTIONS: usize = 64;

/// Why the server could not be started, or did not end well.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Setting(#[from] Invalid),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A use case of the start itself failed.
    #[error("the server cannot start")]
    Service(#[from] crate::service::Error),
    /// Nobody can be listened to at that address.
    #[error("cannot listen on {0}")]
    Bind(SocketAddr, #[source] std::io::Error),
    /// The certificate or its key cannot be used.
    #[error("cannot serve HTTPS: {0}")]
    Tls(String),
    /// The server's threads failed.
    #[error("the server failed")]
    Run(#[from] std::io::Error),
}

/// A server that listens and has not answered anything yet.
pub struct RunningServer {
    server: Server,
    metrics_server: Option<Server>,
    service: Arc<Service>,
    tls: Option<Arc<Tls>>,
    force_stop: Arc<Notify>,
    audit_retention: Option<Duration>,
    refused_login_retention: Duration,
    /// The address that it listens on, with the port that the system chose where 0 was asked for.
    pub address: SocketAddr,
    /// The address of the metrics' own listener, if they have one.
    pub metrics_address: Option<SocketAddr>,
}

/// The use cases over the store of `settings`, which is made if `create` says so, with the system's clock and
/// randomness.
///
/// # Errors
/// When the store cannot be opened.
pub fn open_service(settings: &StoreSettings, create: bool) -> Result<Service, StartError> {
    open_service_with(settings, create, Arc::new(SystemClock), Arc::new(OsRandom))
}

/// As [`open_service`], with a clock and a random source of one's own.
///
/// # Errors
/// When the store cannot be opened.
pub fn open_service_with(
    settings: &StoreSettings,
    create: bool,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
) -> Result<Service, StartError> {
    let (store, applied) = Store::open(&settings.database_url, create, settings.connection_options())?;
    for migration in applied {
        log::info!("applied migration {migration} to {}", settings.database_url);
    }
    for (path, mode) in find_exposed_files(&settings.database_url) {
        let path = path.display();
        log::warn!("{path} can be read or written by other users (mode {mode:04o}): run chmod 600 {path}");
    }
    Ok(Service::new(store, clock, random)?)
}

/// Binds a server over `service`, and records how far the legacy API is on its way out.
///
/// # Errors
/// When the address is taken, the certificate cannot be used, or the store fails.
pub async fn build(settings: &ServeSettings, service: Arc<Service>) -> Result<RunningServer, StartError> {
    let config = settings.http_config()?;
    service.subscribe(
        &settings.store.database_url,
        settings.store.notify_database_url.as_ref(),
    )?;
    let limits = config.limits;
    let state = Data::new(State {
        service: Arc::clone(&service),
        http_metrics: HttpMetrics::new(&config.legacy).map_err(|error| service::Error::Internal(error.into()))?,
        config,
        legacy_deprecation_headers: OnceLock::new(),
        openapi: OnceLock::new(),
    });
    let with_metrics = settings.metrics_listen.is_none();
    let app_state = state.clone();
    let tls = Tls::open(settings)?;
    let open_files = files::raise_limit();
    let max_connections = files::max_connections(open_files);
    log::info!("open files: at most {open_files}; connections: at most {max_connections}");
    let listener_config = ListenerConfig {
        address: settings.listen,
        workers: settings.workers,
        max_connections,
        limits,
        tls: tls.clone(),
    };
    service.begin_retention().await?;
    let (server, address) = server::start(listener_config, move || create_app(app_state.clone(), with_metrics))?;
    service
        .record_legacy_phase(settings.http_config()?.legacy_phase())
        .await?;
    let metrics = settings
        .metrics_listen
        .map(|listen| serve_metrics(listen, state, limits))
        .transpose()?;
    let (metrics_server, metrics_address) = metrics.unzip();
    Ok(RunningServer {
        server,
        metrics_server,
        metrics_address,
        service,
        tls,
        force_stop: Arc::default(),
        audit_retention: settings.audit_retention(),
        refused_login_retention: settings.refused_login_retention(),
        address,
    })
}

async fn remove_old_events(service: &Service, age: Duration, action: Option<Action>) {
    match service.remove_events_older_than(age, action).await {
        Ok(0) => {}
        Ok(removed) => log::info!("removed {removed} audit events that had been kept long enough"),
        Err(error) => log::error!("old audit events stay: {}", observe::error_chain(&error)),
    }
}

/// A server of the metrics alone, and its address.
fn serve_metrics(address: SocketAddr, state: Data<State>, limits: Limits) -> Result<(Server, SocketAddr), StartError> {
    let listener_config = ListenerConfig {
        address,
        workers: Some(NonZeroUsize::MIN),
        max_connections: MAX_METRICS_CONNECTIONS,
        limits,
        tls: None,
    };
    server::start(listener_config, move || {
        App::new()
            .app_data(state.clone())
            .service(http::metrics_resource())
            .default_service(web::to(http::not_found))
            .wrap_fn(observe::observe)
    })
}

/// The application: the same for the server and the tests; with the metrics only if they have no listener of their own.
pub fn create_app(
    state: Data<State>,
    with_metrics: bool,
) -> App<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<ResponseBody>,
        Error = actix_web::Error,
        InitError = (),
    >,
> {
    let base_path = state.config.base_path.clone();
    App::new()
        .app_data(state)
        .configure(move |config| http::routes(config, &base_path, with_metrics))
        .wrap_fn(observe::observe)
}

impl RunningServer {
    /// What stops the server: gracefully, with `stop(true)`.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }

    /// Serves until the server is stopped, ends what is in flight, and writes what was left to be written.
    ///
    /// # Errors
    /// When the server's threads fail, or the last write does.
    pub async fn run_until_stopped(self) -> Result<(), StartError> {
        let (service, ending) = (Arc::clone(&self.service), Arc::new(Notify::new()));
        let ended = Arc::clone(&ending);
        let flush_task = actix_web::rt::spawn(async move {
            let mut ticks = tokio::time::interval(FLUSH_INTERVAL);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    () = ended.notified() => break,
                }
                service.free_idle_memory();
                if let Err(error) = service.flush_due().await {
                    log::error!("what is written behind has to wait: {}", observe::error_chain(&error));
                } else if let Err(error) = service.delete_old_calls().await {
                    log::error!(
                        "old calls have to wait to be forgotten: {}",
                        observe::error_chain(&error)
                    );
                }
            }
        });
        let retention_service = Arc::clone(&self.service);
        let (refused_logins, all) = (self.refused_login_retention, self.audit_retention);
        let retention_task = actix_web::rt::spawn(async move {
            let mut ticks = tokio::time::interval(RETENTION_INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                remove_old_events(&retention_service, refused_logins, Some(Action::LoginRefused)).await;
                if let Some(all) = all {
                    remove_old_events(&retention_service, all, None).await;
                }
            }
        });
        let metrics = self.metrics_server.map(|server| {
            let handle = server.handle();
            actix_web::rt::spawn(server);
            handle
        });
        let ended = tokio::select! {
            ended = self.server => ended,
            () = self.force_stop.notified() => Ok(()),
        };
        if let Some(metrics) = metrics {
            metrics.stop(false).await;
        }
        retention_task.abort();
        // A flush that has begun is let end: cut off, it would take with it what it was about to write.
        ending.notify_one();
        flush_task.await.map_err(std::io::Error::other)?;
        let flushed = self.service.flush().await;
        self.service.unsubscribe();
        flushed?;
        Ok(ended?)
    }
}
