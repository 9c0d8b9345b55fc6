//! Flags, parsed and validated once. `cli` adds a `TOKENBRIDGE_*` variable of the same name to
//! each.

mod addresses;

use std::{net::SocketAddr, num::NonZeroUsize, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use crate::{
    domain::{
        Invalid,
        admin::Role,
        brownout::Brownout,
        clock::Timestamp,
        legacy_phase::{LegacyMode, LegacyPhase},
    },
    http::{AccessLog, Config, Limits, Proxies, ProxyHeader, TrustedProxy},
    legacy_server::{LegacyUrl, TlsTrust},
    store::{
        ConnectionOptions,
        url::{DatabaseUrl, STANDBY},
    },
};
pub use addresses::ListenAddress;
use addresses::{parse_socket_address, parse_trusted_proxy};

/// The day of the first release, which deprecated the legacy API.
const FIRST_RELEASE: &str = "2026-11-21";

/// Settings of the store, shared by all commands.
#[derive(Args, Clone, Debug)]
pub struct StoreSettings {
    /// Database URL: `sqlite:PATH` or `postgres://USER:PASSWORD@HOST/DATABASE`
    ///
    /// Pass a URL with a password in the environment variable: other users of the machine can see
    /// command lines.
    #[arg(
        long,
        value_name = "URL",
        default_value = "sqlite:tokenbridge.db",
        hide_env_values = true
    )]
    pub database_url: DatabaseUrl,

    /// Timeout in seconds, applied first to acquiring a connection and then to the query
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u16).range(1..=300))]
    pub database_timeout_seconds: u16,

    /// URL of PostgreSQL itself for change notifications, required if the database URL goes through
    /// a pooler without sessions
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub notify_database_url: Option<DatabaseUrl>,
}

impl StoreSettings {
    /// Returns the options of connections to the database.
    #[must_use]
    pub fn connection_options(&self) -> ConnectionOptions {
        ConnectionOptions {
            timeout: Duration::from_secs(self.database_timeout_seconds.into()),
            keeps_sessions: self.notify_database_url.is_none(),
        }
    }
}

/// Settings of `serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeSettings {
    /// Settings of the store.
    #[command(flatten)]
    pub store: StoreSettings,

    /// URL of a hot standby of PostgreSQL that answers lookups and lists; the primary answers those
    /// for which it is too far behind
    #[arg(long, value_name = "URL", hide_env_values = true)]
    pub read_database_url: Option<DatabaseUrl>,

    /// Address and port to listen on, or unix: and the absolute path of a unix socket; repeat the
    /// flag or separate items by commas. Sockets from systemd (socket activation) replace it
    #[arg(
        long,
        value_name = "ADDRESS:PORT|unix:PATH",
        default_value = "127.0.0.1:8086",
        value_delimiter = ',',
        value_parser = list_item(str::parse::<ListenAddress>)
    )]
    pub listen: Vec<ListenAddress>,

    /// Context path of all routes, such as /bamboo
    #[arg(long, value_name = "PATH", default_value = "", hide_default_value = true, value_parser = parse_base_path)]
    pub base_path: String,

    /// Number of threads that handle requests [default: the number of cores]
    #[arg(long, value_name = "N")]
    pub workers: Option<NonZeroUsize>,

    /// Addresses or CIDR blocks of proxies whose header names the client's address, or unix for
    /// those that connect to a unix socket; repeat the flag or separate items by commas
    #[arg(long, value_name = "BLOCK|unix", value_delimiter = ',', value_parser = list_item(parse_trusted_proxy))]
    pub trusted_proxy: Vec<TrustedProxy>,

    /// Header in which the trusted proxies name the client's address
    #[arg(long, value_name = "HEADER", default_value = "x-forwarded-for")]
    pub trusted_proxy_header: ProxyHeader,

    /// PEM file with the certificate chain for HTTPS, starting with the server's own certificate;
    /// loaded again when it changes, and on SIGHUP
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,

    /// PEM file with the private key of the certificate
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,

    /// Format of log lines
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Requests that the access log shows; errors have a status of 400 or above
    #[arg(long, value_name = "REQUESTS", default_value = "all")]
    pub access_log: AccessLog,

    /// Mode of the legacy API
    #[arg(long, value_name = "MODE", default_value = "on")]
    pub legacy: LegacyMode,

    /// Date from which the legacy API is deprecated, such as 2030-01-31 or 2030-01-31T12:00:00Z
    #[arg(long, value_name = "DATE", default_value = FIRST_RELEASE, value_parser = parse_date)]
    pub legacy_deprecation: Timestamp,

    /// Date when the legacy API will be switched off; must not be earlier than its deprecation
    #[arg(long, value_name = "DATE", value_parser = parse_date)]
    pub legacy_sunset: Option<Timestamp>,

    /// Period of at most 7 days in which the legacy API responds with 503, to find forgotten
    /// scripts, such as 2030-01-31T09:00Z/PT15M or 2030-01-31T09:00Z/2030-01-31T09:15Z; repeat the
    /// flag or separate items by commas
    #[arg(long, value_name = "INTERVAL", value_delimiter = ',', value_parser = list_item(str::parse::<Brownout>))]
    pub legacy_brownout: Vec<Brownout>,

    /// Accept the uuid of a legacy token that has never had a value as a credential at /verify
    #[arg(long)]
    pub legacy_uuid_auth: bool,

    /// URL of the legacy server, such as `http://bamboo:8085/builds`, whose administrators become
    /// admins here at their first login, with the password that they have there
    #[arg(long, value_name = "URL")]
    pub legacy_login: Option<LegacyUrl>,

    /// Role of the admins that --legacy-login adds
    #[arg(long, value_name = "ROLE", default_value = "operator")]
    pub legacy_login_role: Role,

    /// PEM file with the certificate authorities to trust for --legacy-login, instead of the
    /// system's
    #[arg(long, value_name = "FILE")]
    pub legacy_login_ca_file: Option<PathBuf>,

    /// Accept any certificate for --legacy-login; an attacker on the network can then read
    /// passwords, and add admins
    #[arg(long, conflicts_with = "legacy_login_ca_file")]
    pub legacy_login_insecure: bool,

    /// Separate address and port for /metrics, which --listen then no longer serves
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = parse_socket_address)]
    pub metrics_listen: Option<SocketAddr>,

    /// Days to keep audit events [default: forever]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub audit_retention_days: Option<u32>,

    /// Days to keep audit events of refused logins, which anyone can cause in large numbers
    #[arg(long, value_name = "N", default_value = "90", value_parser = clap::value_parser!(u32).range(1..))]
    pub refused_login_retention_days: u32,

    /// Maximum size of a request body in bytes
    #[arg(
        long,
        value_name = "N",
        default_value = "65536",
        value_parser = clap::value_parser!(u32).range(256..=16_777_216)
    )]
    pub max_body_bytes: u32,

    /// Maximum size of a request line and headers in bytes
    #[arg(
        long,
        value_name = "N",
        default_value = "16384",
        value_parser = clap::value_parser!(u32).range(256..=131_072)
    )]
    pub max_header_bytes: u32,

    /// Timeout in seconds for the headers of a request, then for its body, and for a client that
    /// reads nothing of the response
    #[arg(long, value_name = "N", default_value = "30", value_parser = clap::value_parser!(u16).range(1..=3600))]
    pub request_timeout_seconds: u16,

    /// Seconds to keep serving after SIGTERM, while /readyz responds with 503, so that load
    /// balancers stop sending requests first
    #[arg(long, value_name = "N", default_value = "0", value_parser = clap::value_parser!(u16).range(..=300))]
    pub drain_seconds: u16,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Plain text.
    Text,
    /// One JSON object per line.
    Json,
}

impl ServeSettings {
    /// Returns the retention of audit events; `None` if they are kept forever.
    #[must_use]
    pub fn audit_retention(&self) -> Option<Duration> {
        self.audit_retention_days.map(days)
    }

    /// Returns the retention of audit events of refused logins. A shorter retention of all events
    /// takes precedence.
    #[must_use]
    pub fn refused_login_retention(&self) -> Duration {
        days(self.refused_login_retention_days)
    }

    /// Returns the certificates to trust for logins at the legacy server.
    #[must_use]
    pub fn legacy_login_trust(&self) -> TlsTrust {
        TlsTrust {
            ca_file: self.legacy_login_ca_file.clone(),
            insecure: self.legacy_login_insecure,
        }
    }

    /// Returns the URL of the read replica. Of several hosts, it leads to a standby.
    ///
    /// # Errors
    /// If the store is not PostgreSQL.
    pub fn replica_url(&self) -> Result<Option<DatabaseUrl>, Invalid> {
        let refused = |message| {
            let field = "--read-database-url (TOKENBRIDGE_READ_DATABASE_URL)";
            Err(Invalid::new(field, message))
        };
        match (&self.store.database_url, &self.read_database_url) {
            (_, None) => Ok(None),
            (DatabaseUrl::Postgres(_), Some(DatabaseUrl::Postgres(url))) => {
                let url = url.clone().with_default(STANDBY);
                Ok(Some(DatabaseUrl::Postgres(url)))
            }
            (DatabaseUrl::Postgres(_), Some(DatabaseUrl::Sqlite(_))) => {
                refused("must begin with \"postgres://\": only PostgreSQL has read replicas")
            }
            (DatabaseUrl::Sqlite(_), Some(_)) => refused(
                "only PostgreSQL has read replicas; remove this setting, or set --database-url \
                 (TOKENBRIDGE_DATABASE_URL) to the postgres:// URL of the primary",
            ),
        }
    }

    /// Returns the configuration of the HTTP layer.
    ///
    /// # Errors
    /// If the sunset of the legacy API is earlier than its deprecation (RFC 9745, section 4).
    pub fn http_config(&self) -> Result<Config, Invalid> {
        if let Some(sunset) = self.legacy_sunset.filter(|sunset| *sunset < self.legacy_deprecation) {
            let message = format!(
                "{sunset} is earlier than the deprecation, {}; change one of them \
                 (--legacy-deprecation, TOKENBRIDGE_LEGACY_DEPRECATION)",
                self.legacy_deprecation
            );
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
            access_log: self.access_log,
            limits: Limits {
                body_bytes: self.max_body_bytes as usize,
                header_bytes: self.max_header_bytes as usize,
                request_timeout: Duration::from_secs(self.request_timeout_seconds.into()),
            },
        })
    }
}

/// Returns the value of an environment variable without a flag. An empty variable counts as unset,
/// as for flags.
///
/// # Errors
/// If the value is not UTF-8.
pub fn env_variable(name: &str) -> Result<Option<String>, Invalid> {
    match std::env::var_os(name).filter(|value| !value.is_empty()) {
        None => Ok(None),
        Some(value) => value
            .into_string()
            .map(Some)
            .map_err(|_| Invalid::new(name.to_owned(), "must be UTF-8")),
    }
}

/// Returns a parser for a list item that ignores blanks around the item.
pub fn list_item<T, E>(parse: impl Fn(&str) -> Result<T, E> + Clone) -> impl Fn(&str) -> Result<T, E> + Clone {
    move |text| parse(text.trim())
}

fn days(days: u32) -> Duration {
    Duration::from_hours(24 * u64::from(days))
}

fn parse_base_path(text: &str) -> Result<String, String> {
    let path = text.trim_end_matches('/');
    let is_plain = |segment: &str| {
        !segment.is_empty()
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    let is_valid = path.is_empty() || path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(is_plain));
    is_valid
        .then(|| path.to_owned())
        .ok_or_else(|| "must be a path of letters, digits, and \"-._~\", such as /bamboo".to_owned())
}

fn parse_date(text: &str) -> Result<Timestamp, String> {
    text.parse::<Timestamp>()
        .or_else(|_| format!("{text}T00:00:00Z").parse())
        .map_err(|_| "must be a date such as 2030-01-31 or a time such as 2030-01-31T12:00:00Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_paths_are_normalized() {
        for (given, expected) in [
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
            assert_eq!(parse_base_path(given).ok().as_deref(), expected, "{given:?}");
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
