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

/// How far a store has come: which store it is, and how many changes it has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Chosen at random when the store was made.
    pub store_id: String,
    /// Each change advances it by one, or by two when nobody is to believe anything any more.
    pub number: i64,
}

/// A change that can make what a server remembers wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it made the revision of its store.
    pub revision: Revision,
    /// The token that was changed; nothing when it was an admin, or many tokens.
    pub token: Option<TokenId>,
}

/// What a change invalidates in the caches of all servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// No token: an admin was changed.
    Admin,
    /// One token.
    Token(TokenId),
    /// More than one token or admin.
    More,
}

impl Change {
    /// What is announced of it.
    fn payload(&self) -> String {
        let Revision { store_id, number } = &self.revision;
        let token = self.token.map(|id| id.to_string()).unwrap_or_default();
        format!("{store_id} {number} {token}")
    }

    /// Reads what was announced; nothing if no version of this program has written it.
    #[must_use]
    pub fn parse(payload: &str) -> Option<Self> {
        let (store_id, rest) = payload.split_once(' ')?;
        let (number, token) = rest.split_once(' ')?;
        let token = match token {
            "" => None,
            id => Some(TokenId::parse(id)?),
        };
        let revision = Revision {
            store_id: store_id.to_owned(),
            number: number.parse().ok()?,
        };
        Some(Self { revision, token })
    }
}

/// Counts a change, once however much it outdates: a number that is skipped makes every server forget everything. This must be the last
/// step of its transaction: the row is locked until it commits, so that revisions come in the order of commits, and nobody who holds it may
/// wait for another lock.
///
/// # Errors
/// When the store fails.
pub fn advance(conn: &mut AnyConnection, invalidation: Invalidation) -> Result<Change, StoreError> {
    let (token, steps) = match invalidation {
        Invalidation::Admin => (None, 1),
        Invalidation::Token(id) => (Some(id), 1),
        Invalidation::More => (None, 2),
    };
    let (store_id, number) = diesel::update(revision::table)
        .set(revision::value.eq(revision::value + steps))
        .returning((revision::store_id, revision::value))
        .get_result(conn)?;
    let revision = Revision { store_id, number };
    let change = Change { revision, token };
    if let AnyConnection::Postgres(conn) = conn {
        select(pg_notify(CHANNEL, change.payload())).execute(conn)?;
    }
    Ok(change)
}

/// How far the store has come.
///
/// # Errors
/// When the store fails.
pub fn current(conn: &mut AnyConnection) -> Result<Revision, StoreError> {
    let row = revision::table.select((revision::store_id, revision::value));
    let (store_id, number) = row.first(conn)?;
    Ok(Revision { store_id, number })
}

/// Writes the current number again: a write that changes nothing.
///
/// # Errors
/// When the store fails.
pub fn touch(conn: &mut AnyConnection) -> Result<(), StoreError> {
    diesel::update(revision::table)
        .set(revision::value.eq(revision::value))
        .execute(conn)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_announced_is_understood() {
        let token = TokenId::parse("d0ea6653-05e2-4d51-9d89-665cdfe86be6");
        for token in [None, token] {
            let revision = Revision {
                store_id: "0a1b".to_owned(),
                number: 42,
            };
            let change = Change { revision, token };
            assert_eq!(Change::parse(&change.payload()), Some(change));
        }
        for other in [
            "",
            "42",
            "a 42",
            "a x d0ea6653-05e2-4d51-9d89-665cdfe86be6",
            "a 42 nonsense",
        ] {
            assert_eq!(Change::parse(other), None, "{other:?}");
        }
    }
}
