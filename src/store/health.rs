//! Faults of a database file that make every write fail until an operator fixes them.

use std::{
    error::Error,
    sync::{Mutex, PoisonError},
};

use diesel::result::Error as DieselError;

use super::error::{Fault, StoreError};

impl Fault {
    /// Returns the fault that caused a failed write.
    pub(super) fn from_error(error: &(dyn Error + 'static)) -> Option<Self> {
        match error.downcast_ref() {
            Some(StoreError::Unwritable(fault)) => Some(*fault),
            Some(StoreError::Failed(DieselError::DatabaseError(_, info))) => Self::from_message(info.message()),
            Some(_) | None => Self::from_error(error.source()?),
        }
    }

    /// Identifies a fault by SQLite's message: diesel does not expose the error codes.
    fn from_message(message: &str) -> Option<Self> {
        if message.contains("malformed") || message == "file is not a database" {
            Some(Self::Damaged)
        } else if message == "attempt to write a readonly database" {
            Some(Self::ReadOnly)
        } else {
            None
        }
    }
}

/// The fault of the last failed write, until a probe write succeeds.
#[derive(Default)]
pub(super) struct FaultState(Mutex<Option<Fault>>);

impl FaultState {
    pub(super) fn fault(&self) -> Option<Fault> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set(&self, fault: Option<Fault>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}
