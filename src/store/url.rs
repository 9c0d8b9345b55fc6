//! Where the store is.

use std::{path::PathBuf, str::FromStr};

/// Where the store is: `sqlite:PATH`, or a `postgres://` URL as libpq reads it.
///
/// `Debug` and `Display` show no password.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A server, or several of which one is the primary.
    Postgres(String),
}

/// What is wrong with a database URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseUrlError {
    /// The scheme is missing or unknown.
    #[error(
        "it must begin with \"sqlite:\" or \"postgres://\", like \"sqlite:tokenbridge.db\" or \"postgres://user@host/database\""
    )]
    Scheme,
    /// There is no file after `sqlite:`.
    #[error("\"sqlite:\" must be followed by the path of a file, like \"sqlite:tokenbridge.db\"")]
    NoPath,
    /// A store that forgets everything when the server stops.
    #[error("a database in memory would forget every token; name a file")]
    Memory,
    /// Parameters, which a file has none of.
    #[error("\"sqlite:\" takes a path and no parameters after \"?\"")]
    Parameters,
}

impl DatabaseUrl {
    /// The name of its kind of database.
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
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        let path = text.strip_prefix("sqlite:").ok_or(DatabaseUrlError::Scheme)?;
        let path = path.strip_prefix("//").unwrap_or(path);
        match path {
            "" => Err(DatabaseUrlError::NoPath),
            _ if path.contains(":memory:") => Err(DatabaseUrlError::Memory),
            _ if path.contains('?') => Err(DatabaseUrlError::Parameters),
            _ => Ok(Self::Sqlite(path.into())),
        }
    }
}

impl std::fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => {
                let (scheme, rest) = url.split_once("://").unwrap_or_default();
                let rest = rest.split_once('?').map_or(rest, |(place, _)| place);
                let place = rest.rsplit_once('@').map_or(rest, |(_, place)| place);
                write!(f, "{scheme}://{place}")
            }
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
    fn nothing_else_is_turned_into_a_file() {
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
        let url: DatabaseUrl = "postgres://u:p@ss@h1,h2:5433/d?password=secret".parse().unwrap();
        assert_eq!(
            format!("{url} {url:?}"),
            "postgres://h1,h2:5433/d postgres://h1,h2:5433/d"
        );
    }
}
