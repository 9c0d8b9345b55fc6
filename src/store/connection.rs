//! Connections to either database, and the pool of them.

use std::time::Duration;

use diesel::{
    Connection as _, ConnectionError, PgConnection, QueryResult, SqliteConnection,
    connection::{AnsiTransactionManager, SimpleConnection, TransactionManager},
    r2d2::R2D2Connection,
};

use super::url::DatabaseUrl;

/// A connection to whichever database the URL names. Queries are written once, for both.
#[derive(diesel::MultiConnection)]
pub enum AnyConnection {
    /// SQLite, in a file.
    Sqlite(SqliteConnection),
    /// PostgreSQL.
    Postgres(PgConnection),
}

/// Does the same with either connection where the query builder cannot do it for both at once.
macro_rules! with_conn {
    ($conn:expr, $inner:ident => $sqlite:expr, $postgres:expr $(,)?) => {
        match $conn {
            $crate::store::connection::AnyConnection::Sqlite($inner) => $sqlite,
            $crate::store::connection::AnyConnection::Postgres($inner) => $postgres,
        }
    };
}
pub(super) use with_conn;

impl AnyConnection {
    /// Begins a transaction that will write. SQLite takes its write lock now: a transaction that reads first and asks for the
    /// lock later fails when another one wrote in between.
    pub(super) fn begin_write(&mut self) -> QueryResult<()> {
        with_conn!(self, conn =>
            AnsiTransactionManager::begin_transaction_sql(conn, "BEGIN IMMEDIATE"),
            AnsiTransactionManager::begin_transaction(conn),
        )
    }

    pub(super) fn commit(&mut self) -> QueryResult<()> {
        <Self as TransactionManager<Self>>::commit_transaction(self)
    }

    pub(super) fn rollback(&mut self) -> QueryResult<()> {
        <Self as TransactionManager<Self>>::rollback_transaction(self)
    }
}

/// An answered write is on disk: `synchronous = FULL` syncs the write-ahead log at every commit.
const SQLITE_PRAGMAS: &str = "
    PRAGMA busy_timeout = 5000;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
";

impl DatabaseUrl {
    /// Opens one connection.
    ///
    /// # Errors
    /// When the database cannot be opened or reached.
    pub fn connect(&self) -> Result<AnyConnection, ConnectionError> {
        match self {
            Self::Sqlite(path) => {
                let path = path.to_string_lossy();
                let path = if path.starts_with('/') {
                    path
                } else {
                    format!("./{path}").into()
                };
                let mut conn = SqliteConnection::establish(&path)?;
                conn.batch_execute(SQLITE_PRAGMAS)
                    .and_then(|()| turn_to_wal(&mut conn))
                    .map_err(ConnectionError::CouldntSetupConfiguration)?;
                Ok(AnyConnection::Sqlite(conn))
            }
            Self::Postgres(url) => PgConnection::establish(url).map(AnyConnection::Postgres),
        }
    }
}

/// Turns the file to the write-ahead log. When two connections to a new file do this at once, SQLite tells one of them that the
/// database is locked and does not wait for its busy timeout.
fn turn_to_wal(conn: &mut SqliteConnection) -> QueryResult<()> {
    let mut tries_left = 50;
    loop {
        match conn.batch_execute("PRAGMA journal_mode = WAL") {
            Err(_) if tries_left > 0 => tries_left -= 1,
            outcome => return outcome,
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Why a pooled connection could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// It could not be made.
    #[error(transparent)]
    Connect(#[from] ConnectionError),
    /// It no longer answers.
    #[error(transparent)]
    Query(#[from] diesel::result::Error),
}

impl r2d2::ManageConnection for DatabaseUrl {
    type Connection = AnyConnection;
    type Error = PoolError;

    fn connect(&self) -> Result<AnyConnection, PoolError> {
        Ok(Self::connect(self)?)
    }

    fn is_valid(&self, conn: &mut AnyConnection) -> Result<(), PoolError> {
        with_conn!(conn, conn => { let _: &mut SqliteConnection = conn; Ok(()) }, Ok(conn.ping()?))
    }

    fn has_broken(&self, conn: &mut AnyConnection) -> bool {
        conn.is_broken()
    }
}
