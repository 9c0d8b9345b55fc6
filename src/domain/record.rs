//! Complete records of tokens and admins, as exports and imports need them.

use super::{admin::Admin, clock::Timestamp, token::Token, value::ValueHash};

/// A token with the hashes of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The token.
    pub token: Token,
    /// The hash of its value, if it has one.
    pub value: Option<ValueHash>,
    /// The previous values in their grace period, in the order of their hashes.
    pub grace_values: Vec<GraceValue>,
}

impl TokenRecord {
    /// Returns the hashes of all stored values: the current one and those in their grace period.
    pub fn values(&self) -> impl Iterator<Item = ValueHash> {
        self.value
            .into_iter()
            .chain(self.grace_values.iter().map(|grace| grace.value))
    }
}

/// A previous value in its grace period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraceValue {
    /// The hash of the value.
    pub value: ValueHash,
    /// The end of the grace period.
    pub valid_until: Timestamp,
}

/// An admin with all stored fields.
#[derive(Clone, Debug)]
pub struct AdminRecord {
    /// The name and the password hash.
    pub admin: Admin,
    /// The time at which the admin was added.
    pub created_at: Timestamp,
    /// The time of the last password change; `None` if the first password is still in use.
    pub password_changed_at: Option<Timestamp>,
}
