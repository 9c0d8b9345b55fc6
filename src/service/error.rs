//! Errors of use cases.

use std::time::Duration;

use crate::{
    domain::{Invalid, authorization::Denied, named::named_enum, random::RandomError, usage::UseOutcome},
    store::StoreError,
};

/// The error of a use case. Nothing was changed, with two exceptions: after [`Error::Unavailable`],
/// the change may or may not have been made, and an import with `keep_going` keeps earlier steps.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The credentials are missing or wrong.
    #[error(transparent)]
    Unauthenticated(#[from] Refusal),
    /// Too many failed logins from this address, or for this name from this address.
    #[error("too many failed logins; try again later")]
    Throttled {
        /// The delay before the client should retry.
        retry_after: Duration,
    },
    /// Too many logins from this network are waiting to be verified.
    #[error("too many logins from this address at once; try again later")]
    TooManyLogins {
        /// The delay before the client should retry.
        retry_after: Duration,
    },
    /// The caller is authenticated but not authorized.
    #[error(transparent)]
    Forbidden(#[from] Denied),
    /// There is no such token or admin.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// A field of the request is invalid.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The request conflicts with the current state.
    #[error("{0}")]
    Conflict(String),
    /// The token has changed: it is in none of the states that the caller expects.
    #[error("the token has changed since it was read; read it again and retry")]
    PreconditionFailed,
    /// The idempotency key belongs to a request with another payload.
    #[error("Idempotency-Key: an earlier request with this key had another payload; use a new key")]
    KeyReused,
    /// The store is busy or unreachable.
    #[error("the store is unavailable; try again later")]
    Unavailable(#[source] StoreError),
    /// Writes fail until an operator fixes the database file.
    #[error("{0}")]
    Unready(String),
    /// A defect of the program, or corrupt stored data.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

named_enum! {
    /// The reason why credentials were refused. A wrong, an unknown and a deleted value are
    /// indistinguishable to the caller. The audit log has the message.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum Refusal {
        /// The request has no credentials.
        Missing = "authentication is required",
        /// The credentials are malformed.
        Malformed = "the credentials are malformed",
        /// The request carries different API keys.
        DifferentKeys = "the request has different X-API-Key headers; send only one",
        /// The request carries different `Authorization` headers.
        DifferentAuthorizations = "the request has different Authorization headers; send only one",
        /// The headers and the form of the request name different OAuth clients.
        DifferentClients = "client_id: is not the client that the headers authenticate; send the same one, or none",
        /// The admin does not exist, or the password is wrong.
        Password = "the user name or password is wrong",
        /// No token has this value.
        Value = "the API key is not valid",
        /// The token is disabled.
        Disabled = "this API key is disabled",
        /// The token has expired.
        Expired = "the API key has expired",
        /// The token may not be used from this address.
        Address = "the API key may not be used from this address",
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::error::Error for Refusal {}

impl Refusal {
    /// Returns the outcome of the use of a token that was refused for this reason; `None` if the reason is not the
    /// state of a token.
    #[must_use]
    pub const fn use_outcome(self) -> Option<UseOutcome> {
        match self {
            Self::Disabled => Some(UseOutcome::Disabled),
            Self::Expired => Some(UseOutcome::Expired),
            Self::Address => Some(UseOutcome::Address),
            Self::Missing
            | Self::Malformed
            | Self::DifferentKeys
            | Self::DifferentAuthorizations
            | Self::DifferentClients
            | Self::Password
            | Self::Value => None,
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::AlreadyExists | StoreError::Corrupt(_) | StoreError::Panicked => Self::Internal(error.into()),
            StoreError::Busy
            | StoreError::Unreachable(_)
            | StoreError::StillUnreachable
            | StoreError::Timeout
            | StoreError::Failed(_)
            | StoreError::Contended(_)
            | StoreError::Unwritable(_)
            | StoreError::Replica(_)
            | StoreError::BatchAborted
            | StoreError::ShuttingDown => Self::Unavailable(error),
        }
    }
}

impl From<RandomError> for Error {
    fn from(error: RandomError) -> Self {
        Self::Internal(error.into())
    }
}
