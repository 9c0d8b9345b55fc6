//! Why a use case did not happen.

use std::time::Duration;

use crate::{
    domain::{Invalid, authorization::Denied, random::RandomError},
    store::StoreError,
};

/// Why a use case did not happen. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The caller is not who they would have to be.
    #[error(transparent)]
    Unauthenticated(#[from] Refusal),
    /// Too many failed logins from this address, or for this name from this address.
    #[error("too many failed logins; try again later")]
    Throttled {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Too many logins from this network are waiting to be verified.
    #[error("too many logins from this address at once; try again later")]
    TooManyLogins {
        /// The delay before the client should retry.
        retry_after: Duration,
    },
    /// The caller is known, and may not.
    #[error(transparent)]
    Forbidden(#[from] Denied),
    /// There is no such token or admin.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Something that was sent is wrong.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// What was asked for cannot be done as things stand.
    #[error("{0}")]
    Conflict(String),
    /// The token has changed since the caller saw it.
    #[error("this token has changed since you looked at it; look again")]
    PreconditionFailed,
    /// The store is busy or gone.
    #[error("the store is not available")]
    Unavailable(#[source] StoreError),
    /// Writes fail until an operator fixes the database file.
    #[error("{0}")]
    Unready(String),
    /// A defect, here or in what is stored.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why credentials were refused. A wrong, an unknown and a deleted value are told apart to nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// There were none.
    #[error("this needs credentials")]
    Missing,
    /// They are not of a form that can be read.
    #[error("the credentials cannot be read")]
    Malformed,
    /// The request carries different API keys.
    #[error("the X-API-Key headers differ: send one")]
    DifferentKeys,
    /// The request carries different `Authorization` headers.
    #[error("the Authorization headers differ: send one")]
    DifferentAuthorizations,
    /// No such admin, or not their password.
    #[error("the user name or the password is wrong")]
    Password,
    /// No token has that value.
    #[error("the API key is not valid")]
    Value,
    /// The token has expired.
    #[error("the API key has expired")]
    Expired,
    /// The token must not be used from that address.
    #[error("the API key may not be used from this address")]
    Address,
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::AlreadyExists | StoreError::Corrupt(_) => Self::Internal(error.into()),
            _ => Self::Unavailable(error),
        }
    }
}

impl From<RandomError> for Error {
    fn from(error: RandomError) -> Self {
        Self::Internal(error.into())
    }
}
