//! Errors of the store.

use diesel::{
    ConnectionError,
    result::{DatabaseErrorKind, Error as DieselError},
};
use tokio::task::JoinError;

/// An error of a read or a write.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A row with the same unique key exists.
    #[error("a row with the same key already exists")]
    AlreadyExists,
    /// Too many calls are waiting, or this one waited too long for its turn.
    #[error("the server is too busy")]
    Busy,
    /// The connection failed.
    #[error("the database is unreachable")]
    Unreachable(#[from] r2d2::Error),
    /// The connection failed within the last second, so it was not attempted again.
    #[error("the database was unreachable within the last second")]
    StillUnreachable,
    /// The database did not respond within the timeout.
    #[error("the database did not respond in time")]
    Timeout,
    /// The database reported an error, for example because it stopped, another program holds a
    /// lock, or its disk is full.
    #[error("the database reported an error")]
    Failed(#[source] DieselError),
    /// PostgreSQL aborted the transaction in favor of another one. A retry can succeed.
    #[error("the database aborted this transaction in favor of another one")]
    Contended(#[source] DieselError),
    /// The database file cannot be written.
    #[error("{0}")]
    Unwritable(Fault),
    /// The read replica cannot answer. The primary can.
    #[error(transparent)]
    Replica(#[from] ReplicaFault),
    /// The batch that contained this write was rolled back.
    #[error("the batch of writes that contained this one was rolled back")]
    BatchAborted,
    /// A row contains a value that this program never writes.
    #[error("the database contains a malformed {0}")]
    Corrupt(&'static str),
    /// The work was canceled because the program is shutting down.
    #[error("the program is shutting down")]
    ShuttingDown,
    /// The work, or other work of its batch, panicked. The panic is in the log.
    #[error("the work panicked")]
    Panicked,
}

impl From<JoinError> for StoreError {
    fn from(error: JoinError) -> Self {
        if error.is_panic() {
            Self::Panicked
        } else {
            Self::ShuttingDown
        }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Self::AlreadyExists,
            DieselError::DatabaseError(DatabaseErrorKind::SerializationFailure, _) => Self::Contended(error),
            // diesel does not expose the SQLSTATE of a deadlock (40P01).
            DieselError::DatabaseError(DatabaseErrorKind::Unknown, ref info)
                if info.message() == "deadlock detected" =>
            {
                Self::Contended(error)
            }
            other => Self::Failed(other),
        }
    }
}

/// Returns the error of the store that caused `error`, if one did.
pub(super) fn find_store_error<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e StoreError> {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.find_map(|cause| cause.downcast_ref())
}

/// Returns `true` if the cause of `error` is [`StoreError::Contended`].
pub(super) fn is_contended(error: &(dyn std::error::Error + 'static)) -> bool {
    matches!(find_store_error(error), Some(StoreError::Contended(_)))
}

/// The reason why the database file cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A file was removed or replaced under the running server.
    #[error(
        "the database file or its write-ahead log was removed or replaced under the running server; put it back, or \
         restart the server"
    )]
    Replaced,
    /// SQLite cannot read the file.
    #[error("the database file is damaged; run `tokenbridge check`, and restore a backup with `tokenbridge restore`")]
    Damaged,
    /// The operating system denies writes.
    #[error("the database file cannot be written; check its permissions and its file system")]
    ReadOnly,
}

/// The reason why a read replica cannot answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaFault {
    /// It does not have every change or write that the answer must include.
    #[error("it is too far behind the primary")]
    Behind,
    /// It does not respond.
    #[error("it does not respond")]
    Silent,
    /// It is a primary: the real one, one that another cluster promoted, or a standby after a failover.
    #[error("it is not a hot standby; use the URL of one")]
    NotStandby,
    /// It is a standby of another primary.
    #[error("it belongs to another store; use the URL of a hot standby of the primary")]
    OtherStore,
}

/// An error of opening or using a pooled connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum PoolError {
    /// The connection cannot be opened.
    #[error(transparent)]
    Connect(#[from] ConnectionError),
    /// The connection no longer responds.
    #[error(transparent)]
    Query(#[from] DieselError),
    /// The database file was removed or replaced. Writes to the open file would be lost.
    #[error("the database file was removed or replaced under the running server; put it back, or restart the server")]
    FileReplaced,
    /// The write-ahead log was removed. Connections to it must be closed first.
    #[error("the write-ahead log was removed under the running server, and is being replaced")]
    LogRemoved,
}

/// An error of opening the store.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The SQLite file does not exist, and this command does not create it.
    #[error("there is no database at {0}; create one with `tokenbridge serve` or `tokenbridge migrate`")]
    Missing(String),
    /// The SQLite file cannot be created or read.
    #[error("the database file {0} cannot be opened")]
    File(String, #[source] std::io::Error),
    /// A thread cannot be started.
    #[error("the operating system cannot start a thread")]
    SpawnThread(#[source] std::io::Error),
    /// The database refused the connection.
    #[error("the database at {0} cannot be opened: {1}")]
    Connection(String, String),
    /// A migration failed.
    #[error("the database at {0} cannot be migrated: {1}")]
    Migration(String, String),
    /// The schema is newer than this program.
    #[error("the database at {0} {1}")]
    NewerSchema(String, NewerSchema),
}

/// A schema that is newer than this program.
#[derive(Debug, thiserror::Error)]
#[error(
    "was written by a newer tokenbridge: it has schema {found}, and tokenbridge {} supports schemas up to {known}; use \
     the newer version, or restore the backup from before the upgrade",
    env!("CARGO_PKG_VERSION")
)]
pub struct NewerSchema {
    /// The version of the schema.
    pub(super) found: String,
    /// The newest version that this program knows.
    pub(super) known: String,
}

/// Returns a database's message as a single line.
pub(super) fn to_single_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
