//! The count of changes, by which servers hear of each other's.

use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl, select, sql_types::Text};

use super::{connection::AnyConnection, error::StoreError, schema::revision};
use crate::domain::token::TokenId;

/// The channel of PostgreSQL that changes are announced on.
pub const CHANNEL: &str = "tokenbridge";

diesel::define_sql_function! {
    /// Announces something on a channel when the transaction commits.
    fn pg_notify(channel: Text, payload: Text) -> Text;
}

/// A change that can make what a server remembers wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number; each is one more than the one before.
    pub revision: i64,
    /// The token that was changed; nothing when it was an admin.
    pub token: Option<TokenId>,
}

impl Change {
    /// What is announced of it.
    fn payload(self) -> String {
        let token = self.token.map(|id| id.to_string()).unwrap_or_default();
        format!("{} {token}", self.revision)
    }

    /// Reads what was announced; nothing if no version of this program has written it.
    #[must_use]
    pub fn parse(payload: &str) -> Option<Self> {
        let (revision, token) = payload.split_once(' ')?;
        let token = match token {
            "" => None,
            id => Some(TokenId::parse(id)?),
        };
        Some(Self {
            revision: revision.parse().ok()?,
            token,
        })
    }
}

/// Counts a change. This must be the last step of its transaction: the row is locked until it commits, so that revisions come in the
/// order of commits, and nobody who holds it may wait for another lock.
///
/// # Errors
/// When the store fails.
pub fn advance(conn: &mut AnyConnection, token: Option<TokenId>) -> Result<Change, StoreError> {
    let revision = diesel::update(revision::table)
        .set(revision::value.eq(revision::value + 1))
        .returning(revision::value)
        .get_result(conn)?;
    let change = Change { revision, token };
    if let AnyConnection::Postgres(conn) = conn {
        select(pg_notify(CHANNEL, change.payload())).execute(conn)?;
    }
    Ok(change)
}

/// How many changes there have been.
///
/// # Errors
/// When the store fails.
pub fn current(conn: &mut AnyConnection) -> Result<i64, StoreError> {
    Ok(revision::table.select(revision::value).first(conn)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_understood() {
        let token = TokenId::parse("d0ea6653-05e2-4d51-9d89-665cdfe86be6");
        for token in [None, token] {
            let change = Change { revision: 42, token };
            assert_eq!(Change::parse(&change.payload()), Some(change));
        }
        for other in ["", "42", "x d0ea6653-05e2-4d51-9d89-665cdfe86be6", "42 nonsense"] {
            assert_eq!(Change::parse(other), None, "{other:?}");
        }
    }
}
