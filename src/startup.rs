//! Builds a server, binds it, and runs it until it is stopped.

mod files;
pub mod listeners;
pub mod logging;
mod maintenance;
mod server;
pub mod signals;
mod stream;
mod systemd;
mod tasks;
mod tls;
mod workers;

use std::{
    future::poll_fn,
    net::SocketAddr,
    num::NonZeroUsize,
    pin::Pin,
    sync::{Arc, OnceLock, atomic::AtomicBool},
    task::Poll,
    time::Duration,
};

use actix_web::{
    App,
    dev::{Server, ServerHandle},
    web::{self, Data},
};
use tokio::sync::Notify;

use crate::{
    domain::{
        Invalid,
        clock::{Clock, SystemClock},
        errors::error_chain,
        random::{OsRandom, Random},
    },
    http::{self, Config, HttpMetrics, Limits, State, observe},
    legacy_server::LegacyServer,
    service::{LEGACY_LOGIN_TIMEOUT, Service},
    settings::{ListenAddress, ServeSettings, StoreSettings},
    store::{OpenError, Store, feed::FeedUrls, find_exposed_files},
};
use listeners::{Listeners, ListeningSocket, SocketFile};
pub use server::AppService;
use server::ServerConfig;
use tls::{PairError, Tls};
use workers::Workers;

/// Time in seconds for requests in flight to finish after shutdown begins.
const SHUTDOWN_SECONDS: u64 = 30;
/// Maximum number of connections to the separate metrics listener.
const MAX_METRICS_CONNECTIONS: usize = 64;

/// An error at startup or shutdown.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A setting is invalid.
    #[error(transparent)]
    Setting(#[from] Invalid),
    /// The store could not be opened.
    #[error(transparent)]
    Store(#[from] OpenError),
    /// A use case of the startup failed.
    #[error("the server cannot start")]
    Service(#[from] crate::service::Error),
    /// The address cannot be bound.
    #[error("cannot listen on {0}")]
    Bind(ListenAddress, #[source] std::io::Error),
    /// A file descriptor that the service manager has passed is unusable.
    #[error(
        "LISTEN_FDS: file descriptor {0} must be a listening TCP or unix stream socket; \
         use ListenStream= and Accept=no in the socket unit"
    )]
    Inherited(usize, #[source] std::io::Error),
    /// The certificate or its key is unusable.
    #[error("cannot serve HTTPS: {0}")]
    Tls(PairError),
    /// A metric could not be created.
    #[error("cannot create the metrics")]
    Metrics(#[from] prometheus::Error),
    /// A thread or a task of the server failed.
    #[error("the server failed")]
    Run(#[from] std::io::Error),
}

/// A server that is bound to its addresses and is ready to run.
pub struct RunningServer {
    server: Server,
    workers: Workers,
    /// Removed at the end.
    socket_files: Vec<SocketFile>,
    metrics_server: Option<Server>,
    service: Arc<Service>,
    state: Data<State>,
    drain: Duration,
    tls: Option<Arc<Tls>>,
    force_stop: Arc<Notify>,
    audit_retention: Option<Duration>,
    refused_login_retention: Duration,
    /// The addresses that the server listens on, with the actual port if port 0 was requested.
    pub addresses: Vec<ListenAddress>,
    /// The address of the separate metrics listener, if there is one.
    pub metrics_address: Option<SocketAddr>,
}

/// Opens the store of `settings`, and returns the service over it with the system's clock and
/// randomness. Creates the store if it does not exist and `create` is set.
///
/// # Errors
/// If the store cannot be opened.
pub fn open_service(settings: &StoreSettings, create: bool) -> Result<Service, StartError> {
    open_service_with(settings, create, Arc::new(SystemClock), Arc::new(OsRandom))
}

/// As [`open_service`], with the given clock and random source.
///
/// # Errors
/// If the store cannot be opened.
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
        log::warn!("{path} can be read or written by other users (mode {mode:04o}); run chmod 600 {path}");
    }
    Ok(Service::new(store, clock, random)?)
}

/// Binds a server over `service`, and records the phase of the legacy API. Listens on the inherited
/// sockets, or if there are none, on the addresses of the settings.
///
/// # Errors
/// If an address is in use, the certificate is unusable, or the store fails.
pub async fn build(
    settings: &ServeSettings,
    config: Config,
    service: Arc<Service>,
    inherited: Listeners,
) -> Result<RunningServer, StartError> {
    let database = &settings.store.database_url;
    service.subscribe(&FeedUrls {
        database,
        announcer: settings.store.notify_database_url.as_ref().unwrap_or(database),
        replica: settings.replica_url()?.as_ref(),
    })?;
    accept_legacy_logins(settings, &service)?;
    let (limits, legacy_phase) = (config.limits, config.legacy_phase());
    let tls = Tls::open(settings)?;
    let http_metrics = HttpMetrics::new(&config.legacy)?;
    for metric in tls.iter().flat_map(|tls| tls.metrics()) {
        http_metrics.register(metric)?;
    }
    let state = Data::new(State {
        service: Arc::clone(&service),
        http_metrics,
        config,
        legacy_deprecation_headers: OnceLock::new(),
        openapi: OnceLock::new(),
        is_draining: AtomicBool::new(false),
    });
    let with_metrics = settings.metrics_listen.is_none();
    let app_state = state.clone();
    let open_files = files::raise_limit();
    let max_connections = files::max_connections(open_files);
    log::info!("open files: at most {open_files}; connections: at most {max_connections}");
    service.begin_retention().await?;
    let listeners = if inherited.sockets.is_empty() {
        Listeners::bind(&settings.listen)?
    } else {
        inherited
    };
    let workers = Workers::default();
    let server_config = ServerConfig {
        sockets: listeners.sockets,
        worker_count: settings.workers,
        max_connections,
        limits,
        tls: tls.clone(),
        workers: workers.clone(),
    };
    let server = server::start(server_config, move || create_app(app_state.clone(), with_metrics))?;
    service.record_legacy_phase(legacy_phase).await?;
    let metrics = settings
        .metrics_listen
        .map(|listen| serve_metrics(listen, state.clone(), limits))
        .transpose()?;
    let (metrics_server, metrics_address) = metrics.unzip();
    Ok(RunningServer {
        server,
        workers,
        addresses: listeners.addresses,
        socket_files: listeners.files,
        metrics_server,
        metrics_address,
        service,
        state,
        drain: Duration::from_secs(settings.drain_seconds.into()),
        tls,
        force_stop: Arc::default(),
        audit_retention: settings.audit_retention(),
        refused_login_retention: settings.refused_login_retention(),
    })
}

/// Enables logins with the credentials of the legacy server, if the settings name one.
fn accept_legacy_logins(settings: &ServeSettings, service: &Service) -> Result<(), StartError> {
    let Some(url) = &settings.legacy_login else {
        return Ok(());
    };
    let trust = settings.legacy_login_trust();
    let server = LegacyServer::new(url.clone(), &trust, LEGACY_LOGIN_TIMEOUT).map_err(|error| {
        let flag = "--legacy-login-ca-file (TOKENBRIDGE_LEGACY_LOGIN_CA_FILE)";
        Invalid::new(flag, error_chain(&error))
    })?;
    service.accept_legacy_logins(server, settings.legacy_login_role)?;
    log::info!(
        "administrators of {} become admins with the role {} at their first login",
        url.base(),
        settings.legacy_login_role
    );
    if !url.is_https() || trust.insecure {
        log::warn!(
            "--legacy-login (TOKENBRIDGE_LEGACY_LOGIN) sends passwords without TLS, or without checking the \
             certificate: an attacker on the network can read them, and add admins; use an https URL, and set \
             --legacy-login-ca-file (TOKENBRIDGE_LEGACY_LOGIN_CA_FILE) for a private certificate authority"
        );
    }
    Ok(())
}

/// Starts a server for the metrics only. Returns it with its address.
fn serve_metrics(address: SocketAddr, state: Data<State>, limits: Limits) -> Result<(Server, SocketAddr), StartError> {
    let socket = listeners::bind_tcp(address).map_err(|error| StartError::Bind(ListenAddress::Tcp(address), error))?;
    let address = socket.local_addr()?;
    let server_config = ServerConfig {
        sockets: vec![ListeningSocket::Tcp(socket)],
        worker_count: Some(NonZeroUsize::MIN),
        max_connections: MAX_METRICS_CONNECTIONS,
        limits,
        tls: None,
        workers: Workers::default(),
    };
    let server = server::start(server_config, move || {
        App::new()
            .app_data(state.clone())
            .service(http::metrics_resource())
            .default_service(web::to(http::not_found))
            .wrap_fn(observe::observe)
    })?;
    Ok((server, address))
}

/// Creates the application, for servers and tests alike. It serves the metrics only if they have no
/// separate listener.
pub fn create_app(state: Data<State>, with_metrics: bool) -> App<impl AppService> {
    let base_path = state.config.base_path.clone();
    App::new()
        .app_data(state)
        .configure(move |config| http::routes(config, &base_path, with_metrics))
        .wrap_fn(observe::observe)
}

impl RunningServer {
    /// Returns a handle that stops the server: gracefully, with `stop(true)`.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.server.handle()
    }

    /// Serves until the server is stopped, lets requests in flight finish, and flushes all
    /// write-behind records.
    ///
    /// # Errors
    /// If a thread of the server or the last flush fails.
    pub async fn run_until_stopped(mut self) -> Result<(), StartError> {
        // The first poll starts the workers.
        let started = poll_fn(|context| Poll::Ready(Pin::new(&mut self.server).poll(context))).await;
        if let Poll::Ready(ended) = started {
            return Ok(ended?);
        }
        let tasks = self.spawn_tasks();
        systemd::notify_ready(&self.status());
        let metrics = self.metrics_server.map(|server| {
            let handle = server.handle();
            actix_web::rt::spawn(server);
            handle
        });
        let stopped = tokio::select! {
            stopped = self.server => stopped,
            () = self.force_stop.notified() => Ok(()),
        };
        if let Some(metrics) = metrics {
            metrics.stop(false).await;
        }
        drop(self.socket_files);
        tasks.stop().await;
        let flushed = self.service.flush().await;
        self.service.unsubscribe();
        flushed?;
        Ok(stopped?)
    }

    /// Returns the status line for the service manager.
    fn status(&self) -> String {
        let addresses: Vec<_> = self.addresses.iter().map(ToString::to_string).collect();
        format!("listening on {}", addresses.join(", "))
    }
}
