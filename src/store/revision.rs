//! The revision of a store, by which servers detect each other's changes.

use std::{str::FromStr, time::Instant};

use diesel::{
    ExpressionMethods, QueryDsl, QueryableByName, RunQueryDsl,
    result::Error as DieselError,
    select, sql_query,
    sql_types::{BigInt, Bool, Text},
};

use super::{connection::AnyConnection, error::StoreError, schema::revision};
use crate::domain::{
    invalid::Malformed,
    random::{Random, RandomError},
    token::TokenId,
};

/// The PostgreSQL notification channel on which changes are announced.
pub const CHANNEL: &str = "tokenbridge";

diesel::define_sql_function! {
    /// Sends a notification on a channel when the transaction commits.
    fn pg_notify(channel: Text, payload: Text) -> Text;
}

/// The state of a store: which store it is, and the number of its last change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The random ID that the store got at its creation.
    pub store_id: String,
    /// Grows with each change by a random [`Step`].
    pub number: i64,
}

/// A position in PostgreSQL's write-ahead log, in bytes. A standby that has applied the log up to a
/// position has every transaction whose commit ended before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition(i64);

/// What a PostgreSQL server has of a store: its transactions up to the position, and no fewer changes
/// than up to the revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerState {
    /// The revision.
    pub revision: Revision,
    /// The end of the log that the server has written or, as a standby, applied.
    pub position: LogPosition,
    /// `true` for a hot standby.
    pub is_standby: bool,
}

#[derive(QueryableByName)]
struct ServerStateRow {
    #[diesel(sql_type = Text)]
    store_id: String,
    #[diesel(sql_type = BigInt)]
    value: i64,
    #[diesel(sql_type = BigInt)]
    position: i64,
    #[diesel(sql_type = Bool)]
    is_standby: bool,
}

/// A subscriber of the change feed. All times come from the caller, so that a model checker can drive the subscriber.
pub trait Listener: Send + Sync + 'static {
    /// Discards all state: the feed has a new connection, possibly to another store or to one that has lost changes.
    fn reset(&self, at: Instant);

    /// Processes the response to a poll that was sent at `asked_at`. The response arrived before `at`.
    fn observe_revision(&self, revision: Revision, asked_at: Instant, at: Instant);

    /// Processes an announced change. It may belong to another store in the same database.
    fn apply_change(&self, change: &Change, at: Instant);

    /// Returns the revision that includes all changes up to 0.8 seconds before `at`, and all changes that this server
    /// made. A copy of the store with this revision has them too. Returns `None` if that is not certain.
    fn current_revision(&self, at: Instant) -> Option<Revision>;
}

/// The increment of a revision number by one change: random, 1 to 2^24.
///
/// A failover can lose changes that servers have already seen. With increments of one, the same
/// numbers would then identify other changes, and servers could not detect the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step(i64);

impl Step {
    /// Draws a step.
    ///
    /// # Errors
    /// [`RandomError`] if the random source fails.
    pub fn random(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = [0; 3];
        random.fill(&mut bytes)?;
        let [high, middle, low] = bytes;
        Ok(Self(i64::from(u32::from_be_bytes([0, high, middle, low])) + 1))
    }

    /// Returns a step of this length.
    #[cfg(test)]
    pub const fn new(length: i64) -> Self {
        Self(length)
    }
}

/// A change that can invalidate cached tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision after the change.
    pub revision: Revision,
    /// The number before the change. `None` if the change invalidates more than one token, or if an
    /// earlier version of this program announced it. In both cases a server that receives the
    /// change clears its cache.
    pub predecessor: Option<i64>,
    /// The invalidated token, if there is exactly one.
    pub token: Option<TokenId>,
}

/// The tokens that a change invalidates in the caches of all servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalidation {
    /// No token: an admin was changed.
    Admin,
    /// One token.
    Token(TokenId),
    /// More than one token or admin.
    Several,
}

impl Change {
    /// Returns the change that advanced a store by `step` to `revision`.
    pub fn new(revision: Revision, step: Step, invalidation: Invalidation) -> Self {
        let predecessor = Some(revision.number - step.0);
        let (predecessor, token) = match invalidation {
            Invalidation::Admin => (predecessor, None),
            Invalidation::Token(id) => (predecessor, Some(id)),
            Invalidation::Several => (None, None),
        };
        Self {
            revision,
            predecessor,
            token,
        }
    }

    /// Parses the output of `Display`, or that of an earlier version, which has no predecessor.
    fn from_payload(payload: &str) -> Option<Self> {
        let mut fields = payload.splitn(4, ' ');
        let (store_id, number, third) = (fields.next()?, fields.next()?, fields.next()?);
        let (predecessor, token) = fields.next().map_or(("", third), |fourth| (third, fourth));
        let revision = Revision {
            store_id: store_id.to_owned(),
            number: number.parse().ok()?,
        };
        Some(Self {
            revision,
            predecessor: match predecessor {
                "" => None,
                number => Some(number.parse().ok()?),
            },
            token: match token {
                "" => None,
                id => Some(id.parse().ok()?),
            },
        })
    }
}

/// Writes the payload of the announcement: the store ID, the number, the predecessor, and the token,
/// separated by spaces.
impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            revision: Revision { store_id, number },
            predecessor,
            token,
        } = self;
        let predecessor = predecessor.map(|number| number.to_string()).unwrap_or_default();
        let token = token.map(|id| id.to_string()).unwrap_or_default();
        write!(f, "{store_id} {number} {predecessor} {token}")
    }
}

impl FromStr for Change {
    type Err = Malformed;

    /// Parses the payload of an announcement.
    ///
    /// # Errors
    /// [`Malformed`] if this program did not write it: another can use the same channel.
    fn from_str(payload: &str) -> Result<Self, Malformed> {
        Self::from_payload(payload).ok_or(Malformed("the announcement of a change"))
    }
}

/// Records a change, once regardless of how much it invalidates. Must be the last step of its
/// transaction: the row stays locked until the commit, so that revisions are in commit order, and a
/// transaction that holds the lock must not wait for another.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn advance(conn: &mut AnyConnection, step: Step, invalidation: Invalidation) -> Result<Change, StoreError> {
    let (store_id, number) = diesel::update(revision::table)
        .set(revision::value.eq(revision::value + step.0))
        .returning((revision::store_id, revision::value))
        .get_result(conn)?;
    let change = Change::new(Revision { store_id, number }, step, invalidation);
    match conn {
        AnyConnection::Sqlite(_) => {} // SQLite cannot notify; other processes poll.
        AnyConnection::Postgres(conn) => {
            select(pg_notify(CHANNEL, change.to_string())).execute(conn)?;
        }
    }
    Ok(change)
}

/// Returns the current revision of the store.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn current(conn: &mut AnyConnection) -> Result<Revision, StoreError> {
    let row = revision::table.select((revision::store_id, revision::value));
    let (store_id, number) = row.first(conn)?;
    Ok(Revision { store_id, number })
}

/// Returns the state of a PostgreSQL server. The statements that follow it in a transaction see at least this state,
/// because each has its own snapshot.
///
/// # Errors
/// [`StoreError`] if the query fails, or on SQLite, which has no log positions.
pub fn server_state(conn: &mut AnyConnection) -> Result<ServerState, StoreError> {
    let query = sql_query(
        "SELECT store_id, value, pg_is_in_recovery() AS is_standby,
             pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
                                  ELSE pg_current_wal_lsn() END, '0/0')::bigint AS position
         FROM revision",
    );
    let ServerStateRow {
        store_id,
        value,
        position,
        is_standby,
    } = match conn {
        AnyConnection::Sqlite(_) => return Err(DieselError::NotFound.into()),
        AnyConnection::Postgres(conn) => query.get_result(conn)?,
    };
    Ok(ServerState {
        revision: Revision {
            store_id,
            number: value,
        },
        position: LogPosition(position),
        is_standby,
    })
}

/// Writes the current number again: a write that changes nothing, to probe whether the store is
/// writable.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn touch(conn: &mut AnyConnection) -> Result<(), StoreError> {
    diesel::update(revision::table)
        .set(revision::value.eq(revision::value))
        .execute(conn)?;
    Ok(())
}

#[cfg(test)]
impl LogPosition {
    /// Returns the position after this many bytes.
    pub const fn new(bytes: i64) -> Self {
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_round_trip() {
        let token = "d0ea6653-05e2-4d51-9d89-665cdfe86be6".parse().ok();
        for (predecessor, token) in [(None, None), (Some(41), None), (Some(41), token), (Some(-7), token)] {
            let change = change(42, predecessor, token);
            assert_eq!(change.to_string().parse(), Ok(change));
        }
        for other in [
            "",
            "42",
            "a 42",
            "a x d0ea6653-05e2-4d51-9d89-665cdfe86be6",
            "a 42 nonsense",
            "a 42 x d0ea6653-05e2-4d51-9d89-665cdfe86be6",
            "a 42 41 nonsense",
            "a 42 41 d0ea6653-05e2-4d51-9d89-665cdfe86be6 41",
        ] {
            assert!(other.parse::<Change>().is_err(), "{other:?}");
        }
    }

    #[test]
    fn announcements_of_earlier_versions_have_no_predecessor() {
        let id = "d0ea6653-05e2-4d51-9d89-665cdfe86be6";
        assert_eq!("a 42 ".parse(), Ok(change(42, None, None)));
        let expected = change(42, None, id.parse().ok());
        assert_eq!(format!("a 42 {id}").parse(), Ok(expected));
    }

    #[test]
    fn steps_are_random_and_positive() {
        struct Fixed(u8);
        impl Random for Fixed {
            fn fill(&self, bytes: &mut [u8]) -> Result<(), RandomError> {
                bytes.fill(self.0);
                Ok(())
            }
        }
        assert_eq!(Step::random(&Fixed(0)).unwrap(), Step(1));
        assert_eq!(Step::random(&Fixed(255)).unwrap(), Step(1 << 24));
    }

    fn change(number: i64, predecessor: Option<i64>, token: Option<TokenId>) -> Change {
        let revision = Revision {
            store_id: "a".to_owned(),
            number,
        };
        Change {
            revision,
            predecessor,
            token,
        }
    }
}
