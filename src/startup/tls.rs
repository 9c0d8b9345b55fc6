//! HTTPS, with a certificate that is renewed while the server runs.

mod pair;

use std::{
    io,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use openssl::ssl::{Ssl, SslAcceptor};
use prometheus::{IntGauge, core::Collector};
use tokio::{net::TcpStream, task::spawn_blocking};
use tokio_openssl::SslStream;

use super::{StartError, stream::Encrypted};
use crate::{http::connection::Connection, settings::ServeSettings};
pub use pair::PairError;
use pair::{Pair, PairFiles, PairState};

/// Maximum duration of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Accepts TLS connections. New connections use the latest pair of a certificate and a key.
pub struct Tls {
    files: PairFiles,
    acceptor: RwLock<SslAcceptor>,
    watch: Mutex<Watch>,
    expiry: IntGauge,
    is_reload_successful: IntGauge,
}

/// The files as they were when they were last loaded.
struct Watch {
    state: PairState,
    /// A failure that is not logged yet, because the files may be half written.
    failure: Option<PairError>,
}

impl Tls {
    /// Loads the certificate and the key from `settings`; `None` if TLS is not configured.
    ///
    /// # Errors
    /// If the files cannot be read or do not match.
    pub fn open(settings: &ServeSettings) -> Result<Option<Arc<Self>>, StartError> {
        let (Some(certificate), Some(key)) = (&settings.tls_cert, &settings.tls_key) else {
            return Ok(None);
        };
        let files = PairFiles::new(certificate.clone(), key.clone());
        let watch = Watch {
            state: files.state(),
            failure: None,
        };
        let pair = files.load().map_err(StartError::Tls)?;
        log_expiry(&files, &pair);
        let tls = Self {
            files,
            acceptor: RwLock::new(pair.acceptor),
            watch: Mutex::new(watch),
            expiry: IntGauge::new(
                "tokenbridge_tls_certificate_expiry_timestamp_seconds",
                "Time at which the certificate in use expires",
            )?,
            is_reload_successful: IntGauge::new(
                "tokenbridge_tls_certificate_reload_successful",
                "1 if the certificate in use is that of the files, 0 if the files could not be loaded",
            )?,
        };
        tls.expiry.set(pair.expiry);
        tls.is_reload_successful.set(1);
        Ok(Some(Arc::new(tls)))
    }

    /// Returns the metrics of the certificate.
    pub fn metrics(&self) -> [Box<dyn Collector>; 2] {
        [
            Box::new(self.expiry.clone()),
            Box::new(self.is_reload_successful.clone()),
        ]
    }

    /// Loads the files for new connections, and logs the result. If that fails, the previous pair
    /// stays in use.
    pub async fn reload(self: &Arc<Self>) {
        self.run(|tls, watch| {
            watch.state = tls.files.state();
            watch.failure = None;
            if let Err(error) = tls.load() {
                tls.report(&error);
            }
        })
        .await;
    }

    /// Loads the files if they have changed. A failure is logged once, and only if the files have not
    /// changed until the next call: they are written one after the other.
    pub async fn reload_if_changed(self: &Arc<Self>) {
        self.run(|tls, watch| {
            let state = tls.files.state();
            if state != watch.state {
                watch.state = state;
                watch.failure = tls.load().err();
            } else if let Some(error) = watch.failure.take() {
                tls.report(&error);
            }
        })
        .await;
    }

    /// Runs `work` on a thread that may block: the files may be on a network.
    async fn run(self: &Arc<Self>, work: impl FnOnce(&Self, &mut Watch) + Send + 'static) {
        let tls = Arc::clone(self);
        let done = spawn_blocking(move || work(&tls, &mut tls.watch.lock().unwrap_or_else(PoisonError::into_inner)));
        // The panic hook has logged a panic.
        let _ = done.await;
    }

    fn load(&self) -> Result<(), PairError> {
        let pair = self.files.load()?;
        log::info!("reloaded {}: {}", self.files, pair.description);
        log_expiry(&self.files, &pair);
        self.expiry.set(pair.expiry);
        self.is_reload_successful.set(1);
        *self.acceptor.write().unwrap_or_else(PoisonError::into_inner) = pair.acceptor;
        Ok(())
    }

    fn report(&self, error: &PairError) {
        self.is_reload_successful.set(0);
        log::error!(
            "cannot reload {}; the previous ones stay in use: {error}; corrected files are loaded without a restart",
            self.files
        );
    }

    /// Completes the handshake of a connection.
    ///
    /// # Errors
    /// If the client does not speak TLS or takes too long.
    pub async fn accept(&self, stream: TcpStream, connection: Rc<Connection>) -> io::Result<SslStream<Encrypted>> {
        let timeout = connection.request_timeout().min(HANDSHAKE_TIMEOUT);
        let acceptor = self.acceptor.read().unwrap_or_else(PoisonError::into_inner).clone();
        let ssl = Ssl::new(acceptor.context())?;
        let mut stream = SslStream::new(ssl, Encrypted::new(stream, connection))?;
        tokio::time::timeout(timeout, Pin::new(&mut stream).accept())
            .await?
            .map_err(io::Error::other)?;
        Ok(stream)
    }
}

/// Warns of a certificate that clients refuse.
fn log_expiry(files: &PairFiles, pair: &Pair) {
    if pair.is_expired {
        log::warn!(
            "clients refuse {files}: {}, which is past; renew the certificate",
            pair.description
        );
    }
}

#[cfg(test)]
mod tests;
