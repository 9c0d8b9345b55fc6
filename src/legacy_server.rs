//! A client of a legacy server: its token list, with HTTP Basic.

use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::de::IgnoredAny;
use ureq::{
    Agent,
    http::{StatusCode, Uri, header},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem},
};

use crate::domain::{admin::Password, name::AdminName};

/// Paths of the token list, the newer one first.
const LIST_PATHS: [&str; 2] = ["/rest/agent-config/1.0/tokens", "/rest/agent/1.0/tokens"];
/// Maximum size of a list.
pub const MAX_LIST_BYTES: u64 = 1 << 30;

/// The URL of a legacy server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyUrl {
    /// The URL up to the context path, without a trailing slash.
    base: String,
    /// The path of the list, if the URL includes it.
    list: Option<&'static str>,
}

/// The reason why a text is not the URL of a legacy server. No message contains a part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LegacyUrlError {
    /// It contains credentials.
    #[error(
        "must not contain a name and a password, which other users of the machine can see; remove all up to the \"@\""
    )]
    Credentials,
    /// It is not an HTTP URL.
    #[error("must begin with \"http://\" or \"https://\"")]
    Scheme,
    /// It has a query or a fragment.
    #[error("must have no query and no fragment; remove all from the \"?\" or \"#\" on")]
    Query,
    /// It is not a URL.
    #[error("must be a URL such as http://bamboo:8085/builds")]
    Malformed,
}

impl LegacyUrl {
    /// Returns the URL up to the context path, without a trailing slash.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Returns the paths below the base at which the list can be, in the order in which they are
    /// tried.
    #[must_use]
    pub fn list_paths(&self) -> &[&'static str] {
        self.list.as_ref().map_or(&LIST_PATHS, std::slice::from_ref)
    }

    /// Returns `true` if the connection is encrypted.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.base
            .get(..6)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"))
    }
}

impl FromStr for LegacyUrl {
    type Err = LegacyUrlError;

    /// Parses a URL that ends with the context path or with the path of the list.
    ///
    /// # Errors
    /// [`LegacyUrlError`] if it is malformed, or contains credentials, a query, or a fragment.
    fn from_str(text: &str) -> Result<Self, LegacyUrlError> {
        // After a "/" in a password, the "@" is no longer part of the authority.
        if text.contains('@') {
            return Err(LegacyUrlError::Credentials);
        }
        let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if !matches!(scheme.as_deref(), Some("http" | "https")) {
            return Err(LegacyUrlError::Scheme);
        }
        let uri: Uri = text.parse().map_err(|_| LegacyUrlError::Malformed)?;
        if uri.authority().is_none() {
            return Err(LegacyUrlError::Malformed);
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(LegacyUrlError::Query);
        }
        let url = text.trim_end_matches('/');
        let split = LIST_PATHS
            .into_iter()
            .find_map(|list| Some((url.strip_suffix(list)?, list)));
        let (base, list) = split.map_or((url, None), |(base, list)| (base, Some(list)));
        Ok(Self {
            base: base.to_owned(),
            list,
        })
    }
}

/// The certificates that a legacy server may have.
#[derive(Clone, Debug)]
pub struct TlsTrust {
    /// A PEM file with the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Accepts any certificate.
    pub insecure: bool,
}

/// The reason why a file with certificate authorities is unusable.
#[derive(Debug, thiserror::Error)]
pub enum CaFileError {
    /// It cannot be read.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] io::Error),
    /// It contains no certificate.
    #[error("{} contains no PEM certificate", .0.display())]
    Empty(PathBuf),
}

/// Creates an HTTP client. It follows no redirects, and returns responses with any status.
///
/// # Errors
/// [`CaFileError`] if the file with the certificate authorities is unusable.
pub fn client(trust: &TlsTrust, timeout: Duration) -> Result<Agent, CaFileError> {
    let mut tls = TlsConfig::builder()
        .provider(TlsProvider::NativeTls)
        .root_certs(RootCerts::PlatformVerifier)
        .disable_verification(trust.insecure);
    if let Some(path) = &trust.ca_file {
        tls = tls.root_certs(RootCerts::Specific(Arc::new(certificates(path)?)));
    }
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("tokenbridge/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(timeout))
        .tls_config(tls.build());
    Ok(config.build().into())
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, CaFileError> {
    let text = fs::read(path).map_err(|error| CaFileError::Read(path.to_owned(), error))?;
    let found: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(CaFileError::Empty(path.to_owned()));
    }
    Ok(found)
}

/// Returns the `Authorization` header for a name and a password, in UTF-8 (RFC 7617).
#[must_use]
pub fn authorization(name: &str, password: &Password) -> String {
    let pair = BASE64_STANDARD.encode(format!("{name}:{}", password.expose_typed()));
    format!("Basic {pair}")
}

/// A legacy server that decides whether credentials are those of an administrator.
pub struct LegacyServer {
    agent: Agent,
    url: LegacyUrl,
}

/// The reason why a legacy server neither accepted nor refused credentials.
#[derive(Debug, thiserror::Error)]
pub enum LegacyServerError {
    /// It does not respond in time.
    #[error("it did not respond in time")]
    Timeout,
    /// The connection failed.
    #[error("it does not respond: {0}")]
    Connection(#[from] ureq::Error),
    /// It has no token list at this URL.
    #[error("it has no token list there; include the context path in the URL, such as http://bamboo:8085/builds")]
    NotFound,
    /// It responded with another status.
    #[error("it responded with {0}")]
    Status(StatusCode),
    /// It responded with something else.
    #[error("it did not return a JSON array")]
    NotAList,
}

impl LegacyServer {
    /// Creates a client of the server at `url`.
    ///
    /// # Errors
    /// [`CaFileError`] if the file with the certificate authorities is unusable.
    pub fn new(url: LegacyUrl, trust: &TlsTrust, timeout: Duration) -> Result<Self, CaFileError> {
        Ok(Self {
            agent: client(trust, timeout)?,
            url,
        })
    }

    /// Returns `true` if these are the credentials of someone who may list tokens, which only
    /// administrators may. Returns `false` if the server refuses them. Blocks until `deadline` at
    /// the latest.
    ///
    /// # Errors
    /// [`LegacyServerError`] if the server does neither. No message contains the credentials.
    pub fn is_administrator(
        &self,
        name: &AdminName,
        password: &Password,
        deadline: Instant,
    ) -> Result<bool, LegacyServerError> {
        let authorization = authorization(name.as_str(), password);
        for path in self.url.list_paths() {
            let rest = deadline.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Err(LegacyServerError::Timeout);
            }
            let request = self
                .agent
                .get(format!("{}{path}", self.url.base))
                .header(header::ACCEPT, "application/json")
                .header(header::AUTHORIZATION, &authorization);
            let mut response = request.config().timeout_global(Some(rest)).build().call()?;
            match response.status() {
                // Older servers have the list only at the next path.
                StatusCode::NOT_FOUND => {}
                StatusCode::OK => {
                    let body = response.body_mut().with_config().limit(MAX_LIST_BYTES).reader();
                    // `IgnoredAny` is zero-sized, so a long list takes no memory.
                    let list: Result<Vec<IgnoredAny>, _> = serde_json::from_reader(io::BufReader::new(body));
                    return list.map(|_| true).map_err(|_| LegacyServerError::NotAList);
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return Ok(false),
                status => return Err(LegacyServerError::Status(status)),
            }
        }
        Err(LegacyServerError::NotFound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_end_with_the_context_path_or_the_list() {
        for (text, base, lists) in [
            ("http://bamboo:8085", "http://bamboo:8085", 2),
            ("HTTPS://bamboo/builds/", "HTTPS://bamboo/builds", 2),
            ("http://b/x/rest/agent/1.0/tokens/", "http://b/x", 1),
            ("http://b/rest/agent-config/1.0/tokens", "http://b", 1),
        ] {
            let url: LegacyUrl = text.parse().unwrap();
            assert_eq!((url.base(), url.list_paths().len()), (base, lists), "{text}");
            assert_eq!(url.is_https(), text.starts_with("HTTPS"), "{text}");
        }
        for (wrong, error) in [
            ("bamboo", LegacyUrlError::Scheme),
            ("http://", LegacyUrlError::Malformed),
            ("http://admin:secret@bamboo", LegacyUrlError::Credentials),
            ("http://admin:12/secret@bamboo", LegacyUrlError::Credentials),
            ("ftp://admin:secret@bamboo/", LegacyUrlError::Credentials),
            ("ftp://bamboo/", LegacyUrlError::Scheme),
            ("http://bamboo/?os_authType=basic", LegacyUrlError::Query),
            ("http://bamboo/#x", LegacyUrlError::Query),
        ] {
            assert_eq!(wrong.parse::<LegacyUrl>(), Err(error), "{wrong}");
        }
    }
}
