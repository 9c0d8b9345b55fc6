//! HTTPS.

use openssl::ssl::{SslAcceptor, SslAcceptorBuilder, SslFiletype, SslMethod};

use super::StartError;
use crate::settings::ServeSettings;

/// What accepts TLS connections, if there is a certificate. It speaks TLS 1.2 and 1.3 (Mozilla's intermediate profile).
pub fn acceptor(settings: &ServeSettings) -> Result<Option<SslAcceptorBuilder>, StartError> {
    let (Some(certificate), Some(key)) = (&settings.tls_cert, &settings.tls_key) else {
        return Ok(None);
    };
    let unusable = |path: &std::path::Path| {
        let path = path.display().to_string();
        move |error: openssl::error::ErrorStack| {
            let reason = error
                .errors()
                .first()
                .and_then(openssl::error::Error::reason)
                .unwrap_or("it cannot be read");
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
    Ok(Some(acceptor))
}
