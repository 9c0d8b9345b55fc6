//! HTTPS.

use std::{
    io,
    path::{Path, PathBuf},
    pin::Pin,
    rc::Rc,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use openssl::{
    error::ErrorStack,
    ssl::{AlpnError, Ssl, SslAcceptor, SslFiletype, SslMethod, SslOptions, select_next_proto},
};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use super::{StartError, stream::Encrypted};
use crate::{http::connection::Connection, settings::ServeSettings};

/// Maximum duration of a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The only protocol offered, in ALPN's encoding (RFC 7301).
const PROTOCOLS: &[u8] = b"\x08http/1.1";

/// Accepts TLS connections with a certificate that can be reloaded while the server runs.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    acceptor: RwLock<SslAcceptor>,
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
        let acceptor = RwLock::new(acceptor(certificate, key)?);
        Ok(Some(Arc::new(Self {
            certificate: certificate.clone(),
            key: key.clone(),
            acceptor,
        })))
    }

    /// Reloads the files for new connections and logs the result. If that fails, the previous
    /// certificate stays in use.
    pub fn reload(&self) {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        match acceptor(&self.certificate, &self.key) {
            Ok(acceptor) => {
                *self.acceptor.write().unwrap_or_else(PoisonError::into_inner) = acceptor;
                log::info!("reloaded the certificate {certificate} and the key {key}");
            }
            Err(error) => log::error!(
                "cannot reload the certificate {certificate} and the key {key}; the previous ones stay in use: {error}"
            ),
        }
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

/// Builds an acceptor for TLS 1.2 and 1.3 (Mozilla's intermediate profile).
fn acceptor(certificate: &Path, key: &Path) -> Result<SslAcceptor, StartError> {
    let unusable = |path: &Path| {
        let path = path.display().to_string();
        move |error: ErrorStack| {
            let reason = error
                .errors()
                .first()
                .and_then(openssl::error::Error::reason)
                .unwrap_or("cannot be read");
            StartError::Tls(format!("{path}: {reason}"))
        }
    };
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls()).map_err(unusable(certificate))?;
    acceptor
        .set_certificate_chain_file(certificate)
        .map_err(unusable(certificate))?;
    acceptor
        .set_private_key_file(key, SslFiletype::PEM)
        .map_err(unusable(key))?;
    acceptor.check_private_key().map_err(unusable(key))?;
    // With renegotiation, a client could request handshakes repeatedly on one connection, each of
    // which costs the server more.
    acceptor.set_options(SslOptions::NO_RENEGOTIATION);
    acceptor.set_alpn_select_callback(|_, offered| select_next_proto(PROTOCOLS, offered).ok_or(AlpnError::ALERT_FATAL));
    Ok(acceptor.build())
}
