//! Where an import comes from: a legacy server, a file, or standard input.

use std::{
    fmt, fs,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use ureq::{
    Agent, Body, Error,
    http::{Response, StatusCode, Uri, header},
    tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem},
};

use super::Import;
use crate::{
    cli::{CliError, redact},
    domain::Invalid,
    service::import::rows::SourceTrust,
};

/// The paths of the list, the newer one first.
const LIST_PATHS: [&str; 2] = ["/rest/agent-config/1.0/tokens", "/rest/agent/1.0/tokens"];
/// The most bytes of a list or an export.
const MAX_BYTES: u64 = 1 << 30;
/// How long to wait before each further try.
const RETRY_DELAYS: [Duration; 3] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// Where an import comes from.
pub enum Source {
    /// A legacy server: its address without a slash at its end, and the address of the list where that was given whole.
    Server {
        /// Up to the context path.
        base: String,
        /// The list's own path, if it was given.
        list: Option<String>,
    },
    /// A file.
    File(PathBuf),
    /// Standard input.
    StandardInput,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server { base, .. } => f.write_str(base),
            Self::File(path) => path.display().fmt(f),
            Self::StandardInput => f.write_str("standard input"),
        }
    }
}

impl Source {
    /// Understands an address, a path, or `-`.
    ///
    /// # Errors
    /// When an address is none, or has a password or a query in it.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong = |reason: &str| Invalid::new("SOURCE", reason);
        if text == "-" {
            return Ok(Self::StandardInput);
        }
        let Some((scheme, _)) = text.split_once("://") else {
            return Ok(Self::File(text.into()));
        };
        // After a "/" in a password, the "@" is no longer part of the authority.
        if text.contains('@') {
            return Err(wrong(
                "a name and a password do not belong in an address, which others can see; use --user",
            ));
        }
        if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
            return Err(wrong(
                "an address must begin with \"http://\" or \"https://\"; anything else is the path of a file",
            ));
        }
        let uri: Uri = text
            .parse()
            .map_err(|_| wrong("it is not an address like http://bamboo:8085/builds"))?;
        if uri.authority().is_none() {
            return Err(wrong("it is not an address like http://bamboo:8085/builds"));
        }
        if uri.query().is_some() || text.contains('#') {
            return Err(wrong("the address of a server has no query and no fragment"));
        }
        let address = text.trim_end_matches('/');
        let whole = LIST_PATHS
            .iter()
            .find_map(|list| Some((address.strip_suffix(list)?, *list)));
        let (base, list) = whole.map_or((address, None), |(base, list)| (base, Some(list.to_owned())));
        Ok(Self::Server {
            base: base.to_owned(),
            list,
        })
    }

    /// Who is to answer for what is read.
    pub fn trust(&self) -> SourceTrust {
        match self {
            Self::Server { .. } => SourceTrust::LegacyServer,
            Self::File(_) | Self::StandardInput => SourceTrust::Operator,
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// Says what is wrong with it, or with who asks for it.
    pub fn read(&self, import: &Import) -> Result<Vec<u8>, CliError> {
        match self {
            Self::StandardInput => read_limited(io::stdin().lock(), MAX_BYTES, "standard input"),
            Self::File(path) => {
                let file = fs::File::open(path)
                    .map_err(|error| CliError::Io(format!("cannot read {}", redact::file_name(path)), error))?;
                read_limited(file, MAX_BYTES, &path.display().to_string())
            }
            Self::Server { base, list } => Server::new(import)?.read(base, list.as_deref()),
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

/// A legacy server.
struct Server {
    agent: Agent,
    authorization: Option<String>,
}

impl Server {
    fn new(import: &Import) -> Result<Self, CliError> {
        let mut tls = TlsConfig::builder()
            .provider(TlsProvider::NativeTls)
            .root_certs(RootCerts::PlatformVerifier);
        if let Some(path) = &import.ca_file {
            tls = tls.root_certs(RootCerts::Specific(Arc::new(certificates(path)?)));
        }
        if import.insecure {
            log::warn!("--insecure: whoever is between here and the server can read the password and change the list");
            tls = tls.disable_verification(true);
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("tokenbridge/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(Duration::from_secs(import.source_timeout_seconds.into())))
            .tls_config(tls.build())
            .build();
        let authorization = import.user.as_ref().map(|user| {
            let password = import.password.read_once(&format!("Password of {user}: "))?;
            let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.expose_typed()));
            Ok::<_, CliError>(format!("Basic {pair}"))
        });
        Ok(Self {
            agent: config.into(),
            authorization: authorization.transpose()?,
        })
    }

    /// The list: by the path that was given, or the newer one, or the older one where that is not there; each without and with a slash.
    fn read(&self, base: &str, list: Option<&str>) -> Result<Vec<u8>, CliError> {
        let lists = list.map_or_else(|| LIST_PATHS.to_vec(), |list| vec![list]);
        for list in &lists {
            for slash in ["", "/"] {
                let address = format!("{base}{list}{slash}");
                if let Some(body) = self.fetch_list(&address)? {
                    return Ok(body);
                }
            }
        }
        Err(CliError::Failed(format!(
            "there is no list of tokens below {base} (tried {}); is the context path part of the address, like http://bamboo:8085/builds?",
            lists.join(" and ")
        )))
    }

    /// What is at one address; nothing if nothing is there. What may pass is tried again.
    fn fetch_list(&self, address: &str) -> Result<Option<Vec<u8>>, CliError> {
        let mut delays = RETRY_DELAYS.into_iter();
        loop {
            let delay = delays.next();
            let (reason, retry_after) = match self.send_request(address) {
                Ok(response) if response.status() == StatusCode::NOT_FOUND => return Ok(None),
                Ok(mut response) if response.status().is_success() => {
                    match response.body_mut().with_config().limit(MAX_BYTES).read_to_vec() {
                        Ok(body) => return Ok(Some(body)),
                        Err(Error::BodyExceedsLimit(max)) => {
                            return Err(CliError::Failed(format!(
                                "{address} answers with more than {max} bytes"
                            )));
                        }
                        Err(error) => (format!("{address} breaks off: {error}"), None),
                    }
                }
                Ok(response)
                    if response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS =>
                {
                    let after = response.headers().get(header::RETRY_AFTER);
                    let seconds = after.and_then(|value| value.to_str().ok()?.parse().ok());
                    (
                        format!("{address} answers {}", response.status()),
                        seconds.map(Duration::from_secs),
                    )
                }
                Ok(response) => {
                    return Err(CliError::Failed(describe_rejection(
                        address,
                        &response,
                        self.authorization.is_some(),
                    )));
                }
                Err(Error::HostNotFound) => return Err(CliError::Failed(format!("{address}: there is no such host"))),
                Err(error @ (Error::Tls(_) | Error::NativeTls(_) | Error::Pem(_))) => {
                    let message = format!("{address}: {error}; --ca-file names whom to trust");
                    return Err(CliError::Failed(message));
                }
                Err(error) => (format!("{address} does not answer: {error}"), None),
            };
            let Some(delay) = delay else {
                return Err(CliError::Failed(reason));
            };
            log::warn!("{reason}; trying again");
            std::thread::sleep(retry_after.unwrap_or(delay).min(MAX_RETRY_DELAY));
        }
    }

    fn send_request(&self, address: &str) -> Result<Response<Body>, Error> {
        let mut request = self.agent.get(address).header(header::ACCEPT, "application/json");
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        request.call()
    }
}

/// Why an answer that is not a list is none.
fn describe_rejection(address: &str, response: &Response<Body>, with_password: bool) -> String {
    let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    match response.status() {
        StatusCode::UNAUTHORIZED if !with_password => {
            format!("{address} asks for a user name and a password; give --user")
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            // Atlassian's servers want a CAPTCHA solved in a browser after some failures.
            let denied = text("x-authentication-denied-reason").map(|reason| format!(" ({reason})"));
            format!(
                "{address} refuses the user or the password{}: {}",
                denied.unwrap_or_default(),
                response.status()
            )
        }
        status if status.is_redirection() => format!(
            "{address} sends on to {}; if the server lives there, import from there",
            // It may hold a password.
            text("location")
                .filter(|location| !location.contains('@'))
                .unwrap_or("elsewhere")
        ),
        status => format!("{address} answers {status}"),
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, CliError> {
    let text = fs::read(path).map_err(|error| CliError::Io(format!("cannot read {}", path.display()), error))?;
    let found: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if found.is_empty() {
        return Err(CliError::Failed(format!(
            "{} has no certificate in PEM",
            path.display()
        )));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_paths_and_stdin_are_distinguished() {
        let server = |text: &str| match Source::parse(text) {
            Ok(Source::Server { base, list }) => Some((base, list.is_some())),
            _ => None,
        };
        for (text, base, whole) in [
            ("http://bamboo:8085", "http://bamboo:8085", false),
            ("https://bamboo/builds/", "https://bamboo/builds", false),
            ("http://b/x/rest/agent/1.0/tokens/", "http://b/x", true),
            ("http://b/rest/agent-config/1.0/tokens", "http://b", true),
        ] {
            assert_eq!(server(text), Some((base.to_owned(), whole)), "{text}");
        }
        assert!(matches!(Source::parse("list.json"), Ok(Source::File(_))));
        assert!(matches!(Source::parse("-"), Ok(Source::StandardInput)));
        for wrong in [
            "http://",
            "http://admin:secret@bamboo",
            "http://admin:12/secret@bamboo",
            "ftp://admin:secret@bamboo/",
            "ftp://bamboo/",
            "http://bamboo/?os_authType=basic",
        ] {
            let Err(invalid) = Source::parse(wrong) else {
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
