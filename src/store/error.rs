//! What can go wrong in the store.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

use super::health::Fault;

/// The store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is such a row already.
    #[error("there is one already")]
    AlreadyExists,
    /// All connections stayed in use for as long as a call may wait.
    #[error("the store was too busy")]
    Busy,
    /// No connection could be made.
    #[error("the store cannot be reached")]
    Unreachable(#[from] r2d2::Error),
    /// No connection could be made a moment ago, and none was tried for.
    #[error("the store could not be reached a moment ago")]
    StillUnreachable,
    /// The database took longer than a call may.
    #[error("the store did not answer in time")]
    Timeout,
    /// The database answered with an error: it stopped, was locked by another program, or its disk is full.
    #[error("the store failed")]
    Failed(#[source] DieselError),
    /// PostgreSQL aborted the transaction in favor of another one. A retry can succeed.
    #[error("the store ended this transaction in favor of another one")]
    Contended(#[source] DieselError),
    /// The database file cannot be written.
    #[error("{0}")]
    Unwritable(Fault),
    /// What it was to be done together with could not be.
    #[error("the store failed at what was to be done together with this")]
    BatchAborted,
    /// A row holds what this program never wrote.
    #[error("the store holds a {0} that cannot be read")]
    Corrupt(&'static str),
    /// The work was cut short because the program ends.
    #[error("the program is ending")]
    ShuttingDown,
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

/// Returns `true` if the cause of `error` is [`StoreError::Contended`].
pub(super) fn is_contended(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    causes.any(|cause| matches!(cause.downcast_ref(), Some(StoreError::Contended(_))))
}

/// The store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is no such file, and this command does not make one.
    #[error("there is no database at {0}; `tokenbridge serve` or `tokenbridge migrate` makes one")]
    Missing(String),
    /// The file could not be made or read.
    #[error("the database file {0} cannot be opened")]
    File(String, #[source] std::io::Error),
    /// There is no thread to write from.
    #[error("the system gives no thread to write from")]
    SpawnThread(#[source] std::io::Error),
    /// The database refused the connection.
    #[error("the database at {0} cannot be opened: {1}")]
    Connection(String, String),
    /// A migration failed.
    #[error("the database at {0} cannot be migrated: {1}")]
    Migration(String, String),
    /// The schema is one of a later version of this program.
    #[error(
        "the database at {0} was written by a newer tokenbridge (it has migration {1}); use that version or a later one"
    )]
    NewerSchema(String, String),
}

/// Returns a database's message as a single line.
pub(super) fn to_single_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
