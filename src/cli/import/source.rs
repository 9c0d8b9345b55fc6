//! Sources of an import: a legacy server, a file, or standard input.

use std::{
    fmt, fs,
    io::{self, Read},
    path::PathBuf,
    str::FromStr,
    time::Duration,
};

use ureq::{
    Agent, Body, Error,
    http::{Response, StatusCode, header},
};

use super::Import;
use crate::{
    cli::{CliError, redact},
    domain::Invalid,
    legacy_server::{LegacyUrl, LegacyUrlError, MAX_LIST_BYTES as MAX_BYTES, TlsTrust, authorization, client},
    service::import::rows::SourceTrust,
};

/// Delay before each retry.
const RETRY_DELAYS: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
/// Maximum delay before a retry, regardless of the server's `Retry-After`.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// The source of an import.
pub enum Source {
    /// A legacy server.
    Server(LegacyUrl),
    /// A file.
    File(PathBuf),
    /// Standard input.
    StandardInput,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(url) => f.write_str(url.base()),
            Self::File(path) => path.display().fmt(f),
            Self::StandardInput => f.write_str("standard input"),
        }
    }
}

impl FromStr for Source {
    type Err = Invalid;

    /// Parses a URL, a path, or `-`.
    ///
    /// # Errors
    /// If a URL is malformed, or contains credentials, a query, or a fragment.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "-" {
            return Ok(Self::StandardInput);
        }
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let url = text.parse().map_err(|error: LegacyUrlError| {
            let reason = match error {
                LegacyUrlError::Credentials => format!("{error}; use --user (TOKENBRIDGE_USER)"),
                LegacyUrlError::Scheme => format!("a URL {error}; anything else is the path of a file"),
                LegacyUrlError::Query => format!("a URL {error}"),
                LegacyUrlError::Malformed => error.to_string(),
            };
            Invalid::new("SOURCE", reason)
        });
        Ok(Self::Server(url?))
    }
}

impl Source {
    /// Returns the trust in what is read.
    pub fn trust(&self) -> SourceTrust {
        match self {
            Self::Server(_) => SourceTrust::LegacyServer,
            Self::File(_) | Self::StandardInput => SourceTrust::Operator,
        }
    }

    /// Reads the source.
    ///
    /// # Errors
    /// If it cannot be read, is too large, or the legacy server refuses the request.
    pub fn read(&self, import: &Import) -> Result<Vec<u8>, CliError> {
        match self {
            Self::StandardInput => read_limited(io::stdin().lock(), MAX_BYTES, "standard input"),
            Self::File(path) => {
                let file = fs::File::open(path)
                    .map_err(|error| CliError::Io(format!("cannot read {}", redact::file_name(path)), error))?;
                read_limited(file, MAX_BYTES, &path.display().to_string())
            }
            Self::Server(url) => Server::new(import)?.read(url),
        }
    }
}

fn read_limited(from: impl Read, max: u64, what: &str) -> Result<Vec<u8>, CliError> {
    let mut bytes = Vec::new();
    from.take(max + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| CliError::Io(format!("cannot read {what}"), error))?;
    if bytes.len() as u64 > max {
        return Err(CliError::Failed(format!("{what} has more than {max} bytes")));
    }
    Ok(bytes)
}

/// A client of a legacy server.
struct Server {
    agent: Agent,
    authorization: Option<String>,
}

impl Server {
    fn new(import: &Import) -> Result<Self, CliError> {
        if import.insecure {
            log::warn!(
                "--insecure (TOKENBRIDGE_INSECURE) is set: \
                 an attacker on the network can read the password and change the list"
            );
        }
        let trust = TlsTrust {
            ca_file: import.ca_file.clone(),
            insecure: import.insecure,
        };
        let timeout = Duration::from_secs(import.source_timeout_seconds.into());
        let authorization = import.user.as_ref().map(|user| {
            let password = import.password.read_once(&format!("Password of {user}: "))?;
            Ok::<_, CliError>(authorization(user, &password))
        });
        Ok(Self {
            agent: client(&trust, timeout)?,
            authorization: authorization.transpose()?,
        })
    }

    /// Reads the list from the first of its paths that exists, each without and with a trailing
    /// slash.
    fn read(&self, url: &LegacyUrl) -> Result<Vec<u8>, CliError> {
        let (base, lists) = (url.base(), url.list_paths());
        for list in lists {
            for slash in ["", "/"] {
                let url = format!("{base}{list}{slash}");
                if let Some(body) = self.fetch_list(&url)? {
                    return Ok(body);
                }
            }
        }
        Err(CliError::Failed(format!(
            "no token list found below {base} (tried {}); \
             include the context path in the URL, such as http://bamboo:8085/builds",
            lists.join(" and ")
        )))
    }

    /// Reads the list from a URL; `None` if it does not exist. Retries after temporary errors.
    fn fetch_list(&self, url: &str) -> Result<Option<Vec<u8>>, CliError> {
        let mut delays = RETRY_DELAYS.into_iter();
        loop {
            let (reason, retry_after) = match self.try_fetch(url)? {
                Attempt::Found(body) => return Ok(Some(body)),
                Attempt::NotFound => return Ok(None),
                Attempt::Retry(reason, retry_after) => (reason, retry_after),
            };
            let Some(delay) = delays.next() else {
                return Err(CliError::Failed(reason));
            };
            log::warn!("{reason}; retrying");
            std::thread::sleep(retry_after.unwrap_or(delay).min(MAX_RETRY_DELAY));
        }
    }

    fn try_fetch(&self, url: &str) -> Result<Attempt, CliError> {
        let mut response = match self.send_request(url) {
            Ok(response) => response,
            Err(Error::HostNotFound) => return Err(CliError::Failed(format!("{url}: host not found"))),
            Err(error @ (Error::Tls(_) | Error::NativeTls(_) | Error::Pem(_))) => {
                let message = format!("{url}: {error}; use --ca-file (TOKENBRIDGE_CA_FILE) to trust another authority");
                return Err(CliError::Failed(message));
            }
            Err(error) => return Ok(Attempt::Retry(format!("{url} does not respond: {error}"), None)),
        };
        match response.status() {
            StatusCode::NOT_FOUND => Ok(Attempt::NotFound),
            status if status.is_success() => match response.body_mut().with_config().limit(MAX_BYTES).read_to_vec() {
                Ok(body) => Ok(Attempt::Found(body)),
                Err(Error::BodyExceedsLimit(max)) => Err(CliError::Failed(format!(
                    "the response of {url} has more than {max} bytes"
                ))),
                Err(error) => Ok(Attempt::Retry(
                    format!("the response of {url} is incomplete: {error}"),
                    None,
                )),
            },
            status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                let after = response.headers().get(header::RETRY_AFTER);
                let seconds = after.and_then(|value| value.to_str().ok()?.parse().ok());
                Ok(Attempt::Retry(
                    format!("{url} responded with {status}"),
                    seconds.map(Duration::from_secs),
                ))
            }
            _ => Err(CliError::Failed(describe_rejection(
                url,
                &response,
                self.authorization.is_some(),
            ))),
        }
    }

    fn send_request(&self, url: &str) -> Result<Response<Body>, Error> {
        let mut request = self.agent.get(url).header(header::ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request.call()
    }
}

/// The outcome of one request for a list.
enum Attempt {
    Found(Vec<u8>),
    NotFound,
    /// A temporary error, with the delay that the server asked for.
    Retry(String, Option<Duration>),
}

/// Returns an error message for a response that retries do not change.
fn describe_rejection(url: &str, response: &Response<Body>, with_password: bool) -> String {
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    match response.status() {
        StatusCode::UNAUTHORIZED if !with_password => {
            format!("{url} requires a user name and a password; use --user (TOKENBRIDGE_USER)")
        }
        status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            // Atlassian's servers require a CAPTCHA in a browser after several failures.
            let reason = text("x-authentication-denied-reason").map(|reason| format!(" ({reason})"));
            format!(
                "{url} refuses the user or the password{}: {status}",
                reason.unwrap_or_default()
            )
        }
        status if status.is_redirection() => format!(
            "{url} redirects to {}; if the server has moved there, import from that URL",
            // The URL may contain a password.
            text("location")
                .filter(|location| !location.contains('@'))
                .unwrap_or("another URL")
        ),
        status => format!("{url} responded with {status}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_paths_and_stdin_are_distinguished() {
        let is_server = |text: &str| matches!(text.parse::<Source>(), Ok(Source::Server(_)));
        assert!(is_server("http://bamboo:8085/builds"));
        assert!(matches!("list.json".parse::<Source>(), Ok(Source::File(_))));
        assert!(matches!("-".parse::<Source>(), Ok(Source::StandardInput)));
        for wrong in [
            "http://",
            "http://admin:secret@bamboo",
            "http://admin:12/secret@bamboo",
            "ftp://admin:secret@bamboo/",
            "ftp://bamboo/",
            "http://bamboo/?os_authType=basic",
        ] {
            let Err(invalid) = wrong.parse::<Source>() else {
                panic!("{wrong}")
            };
            assert!(!invalid.to_string().contains("secret"));
        }
    }

    #[test]
    fn oversized_input_is_rejected() {
        assert_eq!(read_limited(&b"12345"[..], 5, "it").unwrap(), b"12345");
        assert!(read_limited(&b"123456"[..], 5, "it").is_err());
    }
}
