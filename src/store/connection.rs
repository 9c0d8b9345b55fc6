//! Connections to SQLite and PostgreSQL.

use std::{path::Path, time::Duration};

use diesel::{
    Connection as _, ConnectionError, PgConnection, QueryResult, SqliteConnection,
    connection::{AnsiTransactionManager, CacheSize, SimpleConnection, TransactionManager},
};

use super::{
    error::{PoolError, StoreError},
    url::DatabaseUrl,
};

/// A connection to either kind of database. Queries are written once, for both.
#[derive(diesel::MultiConnection)]
pub enum AnyConnection {
    /// A connection to a SQLite file.
    Sqlite(SqliteConnection),
    /// A connection to PostgreSQL.
    Postgres(PgConnection),
}

/// Runs one expression per database where the query builder cannot express both at once. Code for
/// one database alone is a `match` that names both: a third does not compile until it is handled.
macro_rules! with_conn {
    ($conn:expr, $inner:ident => $sqlite:expr, $postgres:expr $(,)?) => {
        match $conn {
            $crate::store::connection::AnyConnection::Sqlite($inner) => $sqlite,
            $crate::store::connection::AnyConnection::Postgres($inner) => $postgres,
        }
    };
}
pub(super) use with_conn;

/// Maximum idle time of a PostgreSQL transaction between statements. A server that freezes within a
/// transaction holds its locks for that long; a working server takes microseconds.
const MAX_IDLE_IN_TRANSACTION: Duration = Duration::from_secs(5);

impl AnyConnection {
    /// Begins a read transaction on a consistent snapshot. It holds no lock that blocks a writer,
    /// so it may run as slowly as the consumer of its result.
    pub(super) fn begin_snapshot(&mut self, timeout: Option<Duration>) -> QueryResult<()> {
        with_conn!(self, conn =>
            AnsiTransactionManager::begin_transaction(conn),
            AnsiTransactionManager::begin_transaction_sql(conn, &begin("REPEATABLE READ", timeout, None)),
        )
    }

    /// Begins a transaction that will write. SQLite takes its write lock now: a transaction that
    /// reads first and asks for the lock later fails when another one wrote in between.
    pub(super) fn begin_write(&mut self, timeout: Option<Duration>) -> QueryResult<()> {
        with_conn!(self, conn =>
            AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE"),
            AnsiTransactionManager::begin_transaction_sql(conn, &begin_read_committed(timeout)),
        )
    }

    /// Runs a read. On PostgreSQL this is a transaction, because only a transaction can set its own
    /// isolation level and timeouts: the database's defaults are not under our control, and a
    /// pooler does not keep session settings.
    pub(super) fn read<T, E: From<StoreError>>(
        &mut self,
        timeout: Duration,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        match self {
            Self::Sqlite(_) => return work(self),
            Self::Postgres(conn) => {
                AnsiTransactionManager::begin_transaction_sql(conn, &begin_read_committed(Some(timeout)))
                    .map_err(StoreError::from)?;
            }
        }
        let done = work(self);
        // A connection that cannot roll back is broken; the pool drops it.
        let _ = self.rollback();
        done
    }

    /// Runs `work` in a write transaction, which an error rolls back.
    pub(super) fn write<T, E: From<StoreError>>(
        &mut self,
        timeout: Duration,
        work: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin_write(Some(timeout)).map_err(StoreError::from)?;
        match work(self) {
            Ok(done) => {
                self.commit().map_err(StoreError::from)?;
                Ok(done)
            }
            Err(error) => {
                // A connection that cannot roll back is broken; the pool drops it.
                let _ = self.rollback();
                Err(error)
            }
        }
    }

    /// Begins a savepoint: a part of the transaction that can be rolled back on its own.
    pub(super) fn begin_savepoint(&mut self) -> QueryResult<()> {
        <Self as TransactionManager<Self>>::begin_transaction(self)
    }

    pub(super) fn commit(&mut self) -> QueryResult<()> {
        <Self as TransactionManager<Self>>::commit_transaction(self)
    }

    pub(super) fn rollback(&mut self) -> QueryResult<()> {
        <Self as TransactionManager<Self>>::rollback_transaction(self)
    }
}

/// Returns the statements that begin a PostgreSQL transaction. They are sent in one message.
///
/// `timeout` limits each statement, and half of it limits each lock wait.
fn begin(level: &str, timeout: Option<Duration>, max_idle: Option<Duration>) -> String {
    let settings = [
        ("statement_timeout", timeout),
        ("lock_timeout", timeout.map(|timeout| timeout / 2)),
        ("idle_in_transaction_session_timeout", max_idle),
    ];
    let settings = settings.into_iter().filter_map(|(name, limit)| Some((name, limit?)));
    settings.fold(format!("BEGIN ISOLATION LEVEL {level}"), |sql, (name, limit)| {
        format!("{sql}; SET LOCAL {name} = {}", limit.as_millis())
    })
}

fn begin_read_committed(timeout: Option<Duration>) -> String {
    begin("READ COMMITTED", timeout, Some(MAX_IDLE_IN_TRANSACTION))
}

/// Settings of a SQLite connection. `synchronous = FULL` syncs the write-ahead log at every commit,
/// so an acknowledged write is on disk.
const SQLITE_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
";

/// Defaults for libpq parameters that the URL does not set. An unreachable PostgreSQL must not block a thread for long.
const POSTGRES_PARAMETERS: &[(&str, &str)] = &[
    ("connect_timeout", "3"),
    ("keepalives_idle", "10"),
    ("keepalives_interval", "3"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "10000"),
    ("application_name", "tokenbridge"),
];

impl DatabaseUrl {
    /// Opens one connection. Never creates a SQLite file.
    ///
    /// # Errors
    /// [`ConnectionError`] if the database cannot be opened or reached.
    pub fn connect(&self) -> Result<AnyConnection, ConnectionError> {
        match self {
            Self::Sqlite(path) => {
                let mut conn = SqliteConnection::establish(&existing_file(path, "rw"))?;
                conn.batch_execute(SQLITE_PRAGMAS)
                    .and_then(|()| enable_wal(&mut conn))
                    .map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(AnyConnection::Sqlite(conn))
            }
            Self::Postgres(url) => {
                let conn = PgConnection::establish(&url.connection_string(POSTGRES_PARAMETERS));
                conn.map(AnyConnection::Postgres).map_err(|error| match error {
                    ConnectionError::BadConnection(message) => ConnectionError::BadConnection(url.redact(&message)),
                    other => other,
                })
            }
        }
    }

    /// Opens one connection without limits. If connections do not keep their sessions, it caches no
    /// prepared statements.
    pub(super) fn connect_unlimited(&self, options: ConnectionOptions) -> Result<AnyConnection, ConnectionError> {
        let mut conn = self.connect()?;
        if !options.keeps_sessions {
            conn.set_prepared_statement_cache_size(CacheSize::Disabled);
        }
        Ok(conn)
    }

    /// Opens one connection as [`DatabaseUrl::connect_unlimited`] does, with a limit of half the
    /// `timeout` on waits for SQLite's locks. PostgreSQL transactions set their own limits.
    pub(super) fn connect_limited(&self, options: ConnectionOptions) -> Result<AnyConnection, PoolError> {
        let mut conn = self.connect_unlimited(options)?;
        match &mut conn {
            AnyConnection::Sqlite(conn) => {
                let half = options.timeout.as_millis() / 2;
                conn.batch_execute(&format!("PRAGMA busy_timeout = {half}"))?;
            }
            AnyConnection::Postgres(_) => {} // Its transactions set their own limits.
        }
        Ok(conn)
    }
}

/// Returns the SQLite URI that opens an existing file in `mode`: `ro` or `rw`.
pub(super) fn existing_file(path: &Path, mode: &str) -> String {
    let path = path.to_string_lossy();
    let path = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}?mode={mode}")
}

/// Switches the file to WAL mode. Retries: if two connections to a new file do this at once, SQLite
/// fails one of them immediately, without waiting for the busy timeout.
fn enable_wal(conn: &mut SqliteConnection) -> QueryResult<()> {
    let mut tries_left = 50;
    loop {
        match conn.batch_execute("PRAGMA journal_mode = WAL") {
            Err(_) if tries_left > 0 => tries_left -= 1,
            outcome => return outcome,
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Options of a connection.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionOptions {
    /// Timeout, applied first to acquiring a connection and then to the query.
    pub timeout: Duration,
    /// `true` if a connection keeps one database session throughout; `false` behind a transaction
    /// pooler.
    pub keeps_sessions: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn begin_sets_the_isolation_level_and_timeouts() {
        assert_eq!(
            begin_read_committed(Some(Duration::from_secs(10))),
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL statement_timeout = 10000; SET LOCAL lock_timeout = 5000; \
             SET LOCAL idle_in_transaction_session_timeout = 5000"
        );
        assert_eq!(
            begin("REPEATABLE READ", None, None),
            "BEGIN ISOLATION LEVEL REPEATABLE READ"
        );
    }
}
