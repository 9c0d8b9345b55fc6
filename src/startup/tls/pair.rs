//! The files of a certificate and its key.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    error::ErrorStack,
    pkey::{PKey, Private},
    ssl::{AlpnError, SslAcceptor, SslMethod, SslOptions, select_next_proto},
    x509::X509,
};
use secrecy::{ExposeSecret, SecretSlice};
use sha2::{Digest, Sha256};

/// The only protocol offered, in ALPN's encoding (RFC 7301).
const PROTOCOLS: &[u8] = b"\x08http/1.1";

const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// The paths of a certificate chain and its key.
pub struct PairFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// The SHA-256 of both files at one time; `None` for a file that cannot be read, or that is not a
/// regular file and cannot be read twice. Content is compared, because links can change anywhere on a
/// path: certbot replaces the last one, Kubernetes that of a directory.
#[derive(PartialEq, Eq)]
pub struct PairState([Option<[u8; 32]>; 2]);

/// A certificate chain and its key, ready for use.
pub struct Pair {
    /// Completes handshakes with this pair.
    pub acceptor: SslAcceptor,
    /// The end of the certificate's validity, in seconds since 1970.
    pub expiry: i64,
    /// The serial number and the end of the validity, for the log.
    pub description: String,
    /// `true` if the certificate has expired.
    pub is_expired: bool,
}

/// A pair that cannot be used. The message says how to correct it.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// A file cannot be read.
    #[error("cannot read {0}: {1}; check the path and its permissions")]
    Read(PathBuf, std::io::Error),
    /// The file of the certificate contains none.
    #[error("{0} contains no certificate in PEM format")]
    NoCertificate(PathBuf),
    /// The key is protected by a passphrase.
    #[error("the key {0} is encrypted; remove its passphrase with openssl pkey")]
    Encrypted(PathBuf),
    /// The file of the key contains none.
    #[error("{0} contains no private key in PEM format")]
    NoKey(PathBuf),
    /// The key is that of another certificate.
    #[error("the key {key} does not belong to the first certificate in {certificate}; write both files of one pair")]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
    },
    /// OpenSSL refuses the certificate or the key, for example because the key is too short.
    #[error("OpenSSL refuses {0}: {reason}", reason = reason(.1))]
    Refused(PathBuf, ErrorStack),
}

fn reason(error: &ErrorStack) -> &str {
    let first = error.errors().first().and_then(openssl::error::Error::reason);
    first.unwrap_or("unknown reason")
}

impl fmt::Display for PairFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (certificate, key) = (self.certificate.display(), self.key.display());
        write!(f, "the certificate {certificate} and the key {key}")
    }
}

impl PairFiles {
    /// Names the files. Reads nothing.
    pub fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self { certificate, key }
    }

    /// Returns the state of the files, to detect changes.
    pub fn state(&self) -> PairState {
        PairState([&self.certificate, &self.key].map(|path| digest(path)))
    }

    /// Loads the files.
    ///
    /// # Errors
    /// If a file cannot be read or used, or if the key does not belong to the certificate.
    pub fn load(&self) -> Result<Pair, PairError> {
        let pem = fs::read(&self.certificate).map_err(|error| PairError::Read(self.certificate.clone(), error))?;
        let chain = X509::stack_from_pem(&pem).unwrap_or_default();
        let (certificate, issuers) = chain
            .split_first()
            .ok_or_else(|| PairError::NoCertificate(self.certificate.clone()))?;
        let key = self.load_key()?;
        if !certificate.public_key().is_ok_and(|public| public.public_eq(&key)) {
            let (certificate, key) = (self.certificate.clone(), self.key.clone());
            return Err(PairError::Mismatch { certificate, key });
        }
        let expiry = seconds(certificate.not_after());
        let refused = |error| PairError::Refused(self.certificate.clone(), error);
        Ok(Pair {
            acceptor: acceptor(certificate, issuers, &key).map_err(refused)?,
            expiry: expiry.map_err(refused)?,
            description: describe(certificate).map_err(refused)?,
            is_expired: Asn1Time::days_from_now(0).map_err(refused)? > *certificate.not_after(),
        })
    }

    fn load_key(&self) -> Result<PKey<Private>, PairError> {
        let pem = fs::read(&self.key).map_err(|error| PairError::Read(self.key.clone(), error))?;
        let pem = SecretSlice::from(pem);
        let mut is_encrypted = false;
        // Without this, OpenSSL would ask for the passphrase on the terminal.
        let refuse = |_: &mut [u8]| {
            is_encrypted = true;
            Ok(0)
        };
        PKey::private_key_from_pem_callback(pem.expose_secret(), refuse).map_err(|_| {
            if is_encrypted {
                PairError::Encrypted(self.key.clone())
            } else {
                PairError::NoKey(self.key.clone())
            }
        })
    }
}

fn digest(path: &Path) -> Option<[u8; 32]> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let content = SecretSlice::from(fs::read(path).ok()?);
    Some(Sha256::digest(content.expose_secret()).into())
}

/// Builds an acceptor for TLS 1.2 and 1.3 (Mozilla's intermediate profile).
fn acceptor(certificate: &X509, issuers: &[X509], key: &PKey<Private>) -> Result<SslAcceptor, ErrorStack> {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
    acceptor.set_certificate(certificate)?;
    for issuer in issuers {
        acceptor.add_extra_chain_cert(issuer.clone())?;
    }
    acceptor.set_private_key(key)?;
    acceptor.check_private_key()?;
    // With renegotiation, a client could request handshakes repeatedly on one connection, each of
    // which costs the server more.
    acceptor.set_options(SslOptions::NO_RENEGOTIATION);
    acceptor.set_alpn_select_callback(|_, offered| select_next_proto(PROTOCOLS, offered).ok_or(AlpnError::ALERT_FATAL));
    Ok(acceptor.build())
}

fn seconds(time: &Asn1TimeRef) -> Result<i64, ErrorStack> {
    let since_1970 = Asn1Time::from_unix(0)?.diff(time)?;
    Ok(i64::from(since_1970.days) * SECONDS_PER_DAY + i64::from(since_1970.secs))
}

fn describe(certificate: &X509) -> Result<String, ErrorStack> {
    let serial = certificate.serial_number().to_bn()?.to_hex_str()?;
    Ok(format!(
        "serial number {serial}, valid until {}",
        certificate.not_after()
    ))
}
