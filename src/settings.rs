//! Flags, parsed and checked once. Each has a `TOKENBRIDGE_*` variable of its name, which `cli` gives it.

use std::{
    net::{IpAddr, SocketAddr, ToSocketAddrs},
    num::NonZeroUsize,
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};
use ipnet::IpNet;

use crate::{
    domain::{
        Invalid,
        brownout::Brownout,
        cidr::canonical,
        clock::Timestamp,
        legacy_phase::{LegacyMode, LegacyPhase},
    },
    http::{Config, Limits, Proxies, ProxyHeader},
    store::{ConnectionOptions, url::DatabaseUrl},
};

/// The day of the first release: since then there is something better than the legacy API.
const FIRST_RELEASE: &str = "2026-11-21";

/// Where the store is.
#[derive(Args, Clone, Debug)]
pub struct StoreSettings {
    /// The database: `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`
    ///
    /// A URL with a password is better given by the variable: a command line can be seen by others on the same machine.
    #[arg(
        long,
        value_name = "URL",
        default_value = "sqlite:tokenbridge.db",
        hide_env_values = true
    )]
    pub database_url: DatabaseUrl,

    /// How long a call waits for the database: so long at most for a connection, and then so long for the answer
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=300))]
    pub database_timeout_seconds: u16,

    /// PostgreSQL itself, if the database URL leads through a pooler that keeps no sessions: changes are announced there
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub notify_database_url: Option<DatabaseUrl>,
}

impl StoreSettings {
    /// How connections to the database are used.
    #[must_use]
    pub fn connection_options(&self) -> ConnectionOptions {
        ConnectionOptions {
            timeout: Duration::from_secs(self.database_timeout_seconds.into()),
            keeps_sessions: self.notify_database_url.is_none(),
        }
    }
}

/// What `serve` takes.
#[derive(Args, Clone, Debug)]
pub struct ServeSettings {
    /// Where the tokens are.
    #[command(flatten)]
    pub store: StoreSettings,

    /// The address and port to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8086", value_parser = parse_socket_address)]
    pub listen: SocketAddr,

    /// A context path that all routes are under, like /bamboo
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true, value_parser = parse_base_path)]
    pub base_path: String,

    /// How many threads handle requests [default: the number of cores]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,

    /// Addresses or CIDR blocks of proxies that are believed when they tell the client's address; repeatable, or with commas
    #[arg(long, value_name = "BLOCK", value_delimiter = ',', value_parser = list_item(parse_block))]
    pub trusted_proxy: Vec<IpNet>,

    /// The header in which they tell it
    #[arg(long, value_name = "HEADER", default_value = "x-forwarded-for")]
    pub trusted_proxy_header: ProxyHeader,

    /// A file of PEM certificates to serve HTTPS with, the server's own first
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// The PEM file of its private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// How log lines are written
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// What the legacy API still does
    #[arg(long, value_name = "MODE", default_value = "on")]
    pub legacy: LegacyMode,

    /// Since when the legacy API is deprecated, as 2030-01-31 or 2030-01-31T12:00:00Z
    #[arg(long, value_name = "DATE", default_value = FIRST_RELEASE, value_parser = parse_date)]
    pub legacy_deprecation: Timestamp,

    /// When the legacy API is to be switched off, not before its deprecation
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub legacy_sunset: Option<Timestamp>,

    /// When the legacy API answers 503 for a while, so that forgotten scripts show themselves, as 2030-01-31T09:00Z/PT15M or
    /// 2030-01-31T09:00Z/2030-01-31T09:15Z, 7 days at most; repeatable, or with commas
    #[arg(long, value_name = "INTERVAL", value_delimiter = ',', value_parser = list_item(Brownout::parse))]
    pub legacy_brownout: Vec<Brownout>,

    /// Let the gate at /verify take the uuid of a legacy token that has never had a value
    #[arg(long)]
    pub legacy_uuid_auth: bool,

    /// Another address and port to listen on, for /metrics alone, which is then not at --listen any more
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_socket_address)]
    pub metrics_listen: Option<SocketAddr>,

    /// How many days audit events are kept [default: for ever]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub audit_retention_days: Option<u32>,

    /// Days to keep audit events of refused logins, of which a stranger can cause many
    #[arg(long, value_name = "N", default_value = "90", value_parser = clap::value_parser!(u32).range(1..))]
    pub refused_login_retention_days: u32,

    /// The most bytes of a request's body
    #[arg(long, value_name = "N", default_value = "65536", value_parser = clap::value_parser!(u32).range(256..=16_777_216))]
    pub max_body_bytes: u32,

    /// The most bytes of a request's line and headers
    #[arg(long, value_name = "N", default_value = "16384", value_parser = clap::value_parser!(u32).range(256..=131_072))]
    pub max_header_bytes: u32,

    /// Timeout in seconds for a request's headers, then for its body, and for a response of which the client takes nothing
    #[arg(long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub request_timeout_seconds: u16,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl ServeSettings {
    /// How long audit events are kept, if not for ever.
    #[must_use]
    pub fn audit_retention(&self) -> Option<Duration> {
        self.audit_retention_days.map(days)
    }

    /// Returns the retention of audit events of refused logins. A shorter retention of all events takes precedence.
    #[must_use]
    pub fn refused_login_retention(&self) -> Duration {
        days(self.refused_login_retention_days)
    }

    /// How requests are to be read and answered.
    ///
    /// # Errors
    /// When the legacy API would be switched off before it is deprecated (RFC 9745, section 4).
    pub fn http_config(&self) -> Result<Config, Invalid> {
        if let Some(sunset) = self.legacy_sunset.filter(|sunset| *sunset < self.legacy_deprecation) {
            let message = format!("{sunset} is earlier than the deprecation, {}", self.legacy_deprecation);
            return Err(Invalid::new("--legacy-sunset (TOKENBRIDGE_LEGACY_SUNSET)", message));
        }
        Ok(Config {
            base_path: self.base_path.clone(),
            serves_https: self.tls_cert.is_some(),
            proxies: Proxies {
                trusted: self.trusted_proxy.clone(),
                header: self.trusted_proxy_header,
            },
            legacy: LegacyPhase {
                mode: self.legacy,
                deprecation: self.legacy_deprecation,
                sunset: self.legacy_sunset,
                brownouts: self.legacy_brownout.clone(),
            },
            legacy_uuid_auth: self.legacy_uuid_auth,
            limits: Limits {
                body_bytes: self.max_body_bytes as usize,
                header_bytes: self.max_header_bytes as usize,
                request_timeout: Duration::from_secs(self.request_timeout_seconds.into()),
            },
        })
    }
}

/// Returns the value of an environment variable without a flag. An empty variable counts as unset, as for flags.
///
/// # Errors
/// If the value is not UTF-8.
pub fn env_variable(name: &'static str) -> Result<Option<String>, Invalid> {
    match std::env::var_os(name).filter(|value| !value.is_empty()) {
        None => Ok(None),
        Some(value) => value
            .into_string()
            .map(Some)
            .map_err(|_| Invalid::new(name, "must be UTF-8")),
    }
}

/// Returns a parser for a list item that ignores blanks around the item.
pub fn list_item<T, E>(parse: impl Fn(&str) -> Result<T, E> + Clone) -> impl Fn(&str) -> Result<T, E> + Clone {
    move |text| parse(text.trim())
}

fn days(days: u32) -> Duration {
    Duration::from_hours(24 * u64::from(days))
}

fn parse_socket_address(text: &str) -> Result<SocketAddr, String> {
    text.to_socket_addrs()
        .ok()
        .and_then(|mut addresses| addresses.next())
        .ok_or_else(|| "it must be an address and a port, like 127.0.0.1:8086 or [::]:8086".to_owned())
}

fn parse_base_path(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let plain = |segment: &str| {
        !segment.is_empty()
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    let right = path.is_empty() || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain));
    right
        .then(|| path.to_owned())
        .ok_or_else(|| "it must be a path of letters and digits, like /bamboo".to_owned())
}

fn parse_block(text: &str) -> Result<IpNet, String> {
    text.parse()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .map(canonical)
        .map_err(|_| "it must be an address or a CIDR block, like 10.0.0.1 or 10.0.0.0/8".to_owned())
}

fn parse_date(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse("date", text)
        .or_else(|_| Timestamp::parse("date", &format!("{text}T00:00:00Z")))
        .map_err(|_| "it must be a date like 2030-01-31, or a time like 2030-01-31T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_paths_are_normalized() {
        for (given, taken) in [
            ("", Some("")),
            ("/", Some("")),
            ("/bamboo", Some("/bamboo")),
            ("/a/b/", Some("/a/b")),
            ("bamboo", None),
            ("//", Some("")),
            ("/a b", None),
            ("/{x}", None),
            ("/a//b", None),
        ] {
            assert_eq!(parse_base_path(given).ok().as_deref(), taken, "{given:?}");
        }
    }

    #[test]
    fn dates_are_accepted_with_and_without_a_time() {
        assert_eq!(parse_date("2026-11-21").unwrap().seconds(), 1_795_219_200);
        assert_eq!(
            parse_date("2026-11-21T01:00:00+01:00").unwrap().seconds(),
            1_795_219_200
        );
        assert!(parse_date("21.11.2026").is_err());
    }
}
