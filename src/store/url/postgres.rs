//! Parses PostgreSQL URLs by libpq's grammar.
//!
//! libpq's parser repeats the text that it cannot parse, which can be part of a password. So this
//! module parses the URL and passes each parameter to libpq by keyword, which is unambiguous. The
//! `url` crate does not fit: it rejects several hosts with ports.

use std::{fmt, net::Ipv6Addr, str::FromStr};

use percent_encoding::percent_decode_str;

/// The keywords of libpq 18 (PostgreSQL manual, section 32.1.2). libpq would repeat an unknown
/// keyword in its error message.
const KEYWORDS: &[&str] = &[
    "application_name",
    "channel_binding",
    "client_encoding",
    "connect_timeout",
    "dbname",
    "fallback_application_name",
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "options",
    "passfile",
    "password",
    "port",
    "replication",
    "require_auth",
    "requirepeer",
    "scram_client_key",
    "scram_server_key",
    "service",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcert",
    "sslcertmode",
    "sslcompression",
    "sslcrl",
    "sslcrldir",
    "sslkey",
    "sslkeylogfile",
    "sslmode",
    "sslnegotiation",
    "sslpassword",
    "sslrootcert",
    "sslsni",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// The parameter that makes libpq choose a standby. Its value is part of libpq's messages.
pub const STANDBY: (&str, &str) = ("target_session_attrs", "standby");

/// Shorter values are kept in messages: they are numbers and switches, and any word could contain them.
const MIN_REDACTED_LEN: usize = 4;

/// The parameters of a connection to PostgreSQL.
///
/// `Debug` and `Display` show the hosts, the ports, and the database, but no credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl(Vec<(String, String)>);

/// Errors of a malformed PostgreSQL URL. No message repeats any part of the URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostgresUrlError {
    /// An `@` after the one that ends the credentials; the password may contain it.
    #[error(
        "has an \"@\" that does not end the user name and the password; percent-encode their \"@\" as %40 and \"/\" \
            as %2F"
    )]
    At,
    /// A space or a control character.
    #[error("has a space or a control character; percent-encode it: a space is %20")]
    Blank,
    /// A `%` that does not begin a percent-encoded character.
    #[error("has a \"%\" that is not followed by the two digits of a UTF-8 byte; percent-encode \"%\" as %25")]
    Percent,
    /// A malformed host.
    #[error("has a host that cannot be read; write an IPv6 address as [::1], and percent-encode other brackets")]
    Host,
    /// An invalid port.
    #[error(
        "has a port that is not a number from 1 to 65535; percent-encode \":\" in the user name, and \"/\" in both it \
         and the password"
    )]
    Port,
    /// A separator in a user name, a host, or a database name. The text after it is probably a
    /// misplaced password.
    #[error(
        "has one of \":\", \";\", \"&\" and \"=\" in the user name, a host or the database name; a password belongs \
         between the user name and the host, like \"postgres://user:password@host/database\""
    )]
    Separator,
    /// An unknown parameter, identified by its position.
    #[error("has an unknown parameter, number {0} after the \"?\"; percent-encode \"&\" and \"=\" in values")]
    Parameter(usize),
}

impl FromStr for PostgresUrl {
    type Err = PostgresUrlError;

    /// Parses the part after `postgres://`.
    fn from_str(text: &str) -> Result<Self, PostgresUrlError> {
        if text.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(PostgresUrlError::Blank);
        }
        // As in libpq, credentials end at the first "@", and a "/" before it means that there are none.
        let (credentials, rest) = text
            .split_once('@')
            .filter(|(credentials, _)| !credentials.contains('/'))
            .unwrap_or(("", text));
        if rest.contains('@') {
            return Err(PostgresUrlError::At);
        }
        let mut url = Self(Vec::new());
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        url.set_if_given("user", decode(user)?);
        url.set_if_given("password", decode(password)?);
        let (address, parameters) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = address.split_once('/').unwrap_or((address, ""));
        let (hosts, ports): (Vec<_>, Vec<_>) = hosts
            .split(',')
            .map(parse_host)
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .unzip();
        url.set_if_given("host", decode(&hosts.join(","))?);
        url.set_if_given("port", ports.join(","));
        url.set_if_given("dbname", decode(database)?);
        for (index, parameter) in parameters.split('&').filter(|part| !part.is_empty()).enumerate() {
            let (keyword, value) = parse_parameter(parameter)?.ok_or(PostgresUrlError::Parameter(index + 1))?;
            url.set(keyword, value);
        }
        if url.has_misplaced_separators() {
            return Err(PostgresUrlError::Separator);
        }
        Ok(url)
    }
}

impl PostgresUrl {
    fn set(&mut self, keyword: &str, value: String) {
        self.0.push((keyword.to_owned(), value));
    }

    /// Returns this URL with a value for a parameter that it does not set.
    #[must_use]
    pub fn with_default(mut self, (keyword, value): (&str, &str)) -> Self {
        if self.get(keyword).is_none() {
            self.set(keyword, value.to_owned());
        }
        self
    }

    fn set_if_given(&mut self, keyword: &str, value: String) {
        if !value.is_empty() {
            self.set(keyword, value);
        }
    }

    /// Returns the value of a parameter. As in libpq, the last occurrence wins.
    fn get(&self, keyword: &str) -> Option<&str> {
        let (_, value) = self.0.iter().rev().find(|(known, _)| known == keyword)?;
        Some(value)
    }

    /// Returns `true` if a user name, a host, or a database name has a character that separates the
    /// parts of a URL. libpq repeats these names in its messages.
    fn has_misplaced_separators(&self) -> bool {
        self.0.iter().any(|(keyword, value)| match keyword.as_str() {
            "user" => value.contains([':', ';', '&', '=']),
            "dbname" => value.contains([':', ';', '&', '=', '@']),
            "host" | "hostaddr" => value.split(',').any(|host| {
                let is_ipv6 = host
                    .split('%')
                    .next()
                    .is_some_and(|host| host.parse::<Ipv6Addr>().is_ok());
                host.contains([';', '&', '=', '@']) || (host.contains(':') && !is_ipv6)
            }),
            _ => false,
        })
    }

    /// Removes parameter values from a message of libpq, because any of them can contain a password
    /// by mistake. The user name, the database, the hosts, the ports and absolute paths are kept.
    pub fn redact(&self, message: &str) -> String {
        let is_secret = |(keyword, value): &&(String, String)| {
            (keyword.as_str(), value.as_str()) != STANDBY
                && !matches!(keyword.as_str(), "user" | "dbname" | "host" | "hostaddr" | "port")
                && value.len() >= MIN_REDACTED_LEN
                && !value.starts_with('/')
        };
        let mut secrets: Vec<_> = self.0.iter().filter(is_secret).collect();
        // The longest first: one can be a part of another.
        secrets.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        secrets
            .into_iter()
            .fold(message.to_owned(), |message, (_, value)| message.replace(value, "…"))
    }

    /// Returns the connection string for libpq, with `defaults` for parameters that the URL does not set.
    pub fn connection_string(&self, defaults: &[(&str, &str)]) -> String {
        let given = self.0.iter().map(|(keyword, value)| (keyword.as_str(), value.as_str()));
        let missing = defaults
            .iter()
            .copied()
            .filter(|(keyword, _)| self.get(keyword).is_none());
        let quoted = given.chain(missing).map(|(keyword, value)| {
            let value = value.replace('\\', r"\\").replace('\'', r"\'");
            format!("{keyword}='{value}'")
        });
        quoted.collect::<Vec<_>>().join(" ")
    }
}

/// Splits `host:port`, `[::1]:port`, or either part alone.
fn parse_host(text: &str) -> Result<(&str, &str), PostgresUrlError> {
    let (host, port) = match text.strip_prefix('[') {
        None => text.split_once(':').unwrap_or((text, "")),
        Some(bracketed) => match bracketed.split_once(']').ok_or(PostgresUrlError::Host)? {
            (host, "") => (host, ""),
            (host, rest) => (host, rest.strip_prefix(':').ok_or(PostgresUrlError::Host)?),
        },
    };
    let is_port = port.bytes().all(|digit| digit.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    if port.is_empty() || is_port {
        Ok((host, port))
    } else {
        Err(PostgresUrlError::Port)
    }
}

/// Parses `keyword=value`. Returns `None` if libpq does not know the keyword.
fn parse_parameter(text: &str) -> Result<Option<(&'static str, String)>, PostgresUrlError> {
    let Some((keyword, value)) = text.split_once('=').filter(|(_, value)| !value.contains('=')) else {
        return Ok(None);
    };
    let (keyword, value) = (decode(keyword)?, decode(value)?);
    if (keyword.as_str(), value.as_str()) == ("ssl", "true") {
        // libpq also accepts JDBC's spelling.
        return Ok(Some(("sslmode", "require".to_owned())));
    }
    let known = KEYWORDS.iter().copied().find(|known| *known == keyword);
    Ok(known.map(|keyword| (keyword, value)))
}

fn decode(text: &str) -> Result<String, PostgresUrlError> {
    let is_encoded = |rest: &str| rest.bytes().take(2).filter(u8::is_ascii_hexdigit).count() == 2;
    if !text.split('%').skip(1).all(is_encoded) {
        return Err(PostgresUrlError::Percent);
    }
    let decoded = percent_decode_str(text).decode_utf8().ok();
    decoded
        .filter(|decoded| !decoded.contains('\0'))
        .map(Into::into)
        .ok_or(PostgresUrlError::Percent)
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ports = self.get("port").unwrap_or_default().split(',');
        let hosts = self.get("host").unwrap_or_default().split(',').map(|host| {
            let host = if host.contains(':') {
                format!("[{host}]")
            } else {
                host.to_owned()
            };
            match ports.next() {
                None | Some("") => host,
                Some(port) => format!("{host}:{port}"),
            }
        });
        let hosts = hosts.collect::<Vec<_>>().join(",");
        let database = self.get("dbname").unwrap_or_default();
        write!(f, "postgres://{hosts}/{database}")
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests;
