//! The database URL.

mod postgres;

use std::{path::PathBuf, str::FromStr};

pub use postgres::{PostgresUrl, PostgresUrlError, STANDBY};

/// The database URL: `sqlite:PATH`, or a `postgres://` URL with the syntax of libpq.
///
/// `Debug` and `Display` show no password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server, or several of which one is the primary.
    Postgres(PostgresUrl),
}

/// Errors of a malformed database URL. No message repeats any part of the URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// The scheme is missing or unknown.
    #[error(
        "must begin with \"sqlite:\" or \"postgres://\", like \"sqlite:tokenbridge.db\" or \
            \"postgres://user@host/database\""
    )]
    Scheme,
    /// There is no file after `sqlite:`.
    #[error("\"sqlite:\" must be followed by the path of a file, like \"sqlite:tokenbridge.db\"")]
    NoPath,
    /// An in-memory database, which loses all tokens when the server stops.
    #[error("an in-memory database loses all tokens when the server stops; use a file")]
    Memory,
    /// Parameters in a SQLite URL.
    #[error("\"sqlite:\" takes a path and no parameters after \"?\"")]
    Parameters,
    /// Credentials or a host in a SQLite URL.
    #[error("\"sqlite:\" takes the path of a file, and no user or host; a server is \"postgres://user@host/database\"")]
    Host,
    /// A malformed PostgreSQL URL.
    #[error(transparent)]
    Postgres(#[from] PostgresUrlError),
}

impl DatabaseUrl {
    /// Returns the name of the database system.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres(_) => "postgres",
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let postgres = text
            .strip_prefix("postgres://")
            .or_else(|| text.strip_prefix("postgresql://"));
        if let Some(rest) = postgres {
            return Ok(Self::Postgres(rest.parse()?));
        }
        let path = text.strip_prefix("sqlite:").ok_or(DatabaseUrlError::Scheme)?;
        let path = match path.strip_prefix("//") {
            // Messages contain the path, and this one can contain a password.
            Some(rest) if !rest.starts_with('/') && rest.contains('@') => return Err(DatabaseUrlError::Host),
            _ if is_server(path) => return Err(DatabaseUrlError::Host),
            Some(rest) => rest,
            None => path,
        };
        match path {
            "" => Err(DatabaseUrlError::NoPath),
            _ if path.contains(":memory:") => Err(DatabaseUrlError::Memory),
            _ if path.contains('?') => Err(DatabaseUrlError::Parameters),
            _ => Ok(Self::Sqlite(path.into())),
        }
    }
}

/// Returns `true` if a path looks like the URL of a server, with or without a scheme.
fn is_server(path: &str) -> bool {
    let has_credentials = |(_, rest): (&str, &str)| rest.contains('@');
    path.contains("://") || path.split_once(':').is_some_and(has_credentials)
}

impl std::fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_chooses_the_store() {
        for (text, path) in [
            ("sqlite:t.db", "t.db"),
            ("sqlite:///var/t.db", "/var/t.db"),
            ("sqlite:/var/t.db", "/var/t.db"),
        ] {
            assert_eq!(text.parse(), Ok(DatabaseUrl::Sqlite(path.into())), "{text}");
        }
        assert!(matches!("postgresql://h/d".parse(), Ok(DatabaseUrl::Postgres(_))));
    }

    #[test]
    fn unknown_schemes_are_rejected() {
        for text in [
            "tokenbridge.db",
            "/var/t.db",
            "postgre://h/d",
            "mysql://h/d",
            "sqlite3:t.db",
            "",
            "file:t.db",
            "postgres:h",
        ] {
            assert_eq!(text.parse::<DatabaseUrl>(), Err(DatabaseUrlError::Scheme), "{text}");
        }
        assert_eq!("sqlite:".parse::<DatabaseUrl>(), Err(DatabaseUrlError::NoPath));
        assert_eq!("sqlite::memory:".parse::<DatabaseUrl>(), Err(DatabaseUrlError::Memory));
        assert_eq!(
            "sqlite:t.db?mode=ro".parse::<DatabaseUrl>(),
            Err(DatabaseUrlError::Parameters)
        );
    }

    #[test]
    fn passwords_are_not_shown() {
        let url: DatabaseUrl = "postgres://u:p?ss@h1,h2:5433/d?password=secret".parse().unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "postgres://h1,h2:5433/d postgres://h1,h2:5433/d"
        );
        for text in [
            "sqlite://u:p@h/d",
            "sqlite://u:p/q@h/d",
            "sqlite:postgres://u:p@h/d",
            "sqlite:u:p@h/d/x.db",
            "sqlite:///u:p@h/d",
        ] {
            assert_eq!(text.parse::<DatabaseUrl>(), Err(DatabaseUrlError::Host), "{text}");
        }
        assert!("sqlite:///var/a@b.db".parse::<DatabaseUrl>().is_ok());
    }
}
