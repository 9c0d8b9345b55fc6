//! A token with everything that is kept of it: what an export writes, and an import takes back.

use super::{admin::Admin, clock::Timestamp, token::Token, value::ValueHash};

/// A token with the hashes of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The token.
    pub token: Token,
    /// The hash of its value, if it has one.
    pub value: Option<ValueHash>,
    /// The earlier values that still work, in the order of their hashes.
    pub grace_values: Vec<GraceValue>,
}

impl TokenRecord {
    /// The hashes of every value that works.
    pub fn values(&self) -> impl Iterator<Item = ValueHash> {
        self.value
            .into_iter()
            .chain(self.grace_values.iter().map(|grace| grace.value))
    }
}

/// A value that was rotated away and still works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GraceValue {
    /// Its hash.
    pub value: ValueHash,
    /// Until when it works.
    pub valid_until: Timestamp,
}

/// An admin with everything that is kept of them.
#[derive(Clone, Debug)]
pub struct AdminRecord {
    /// Their name, and the hash of their password.
    pub admin: Admin,
    /// When they were added.
    pub created_at: Timestamp,
    /// When their password last changed, after the first.
    pub password_changed_at: Option<Timestamp>,
}
