//! Queries on audit events. An event is written in the transaction of the change that it describes.

mod pages;

use std::collections::HashSet;

use diesel::{
    ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, QueryableByName, RunQueryDsl,
    connection::SimpleConnection, dsl::max, sql_query, sql_types::Text,
};
pub use pages::{find_between, find_tail_start, page};
use serde::Serialize;

use super::{
    columns::{decode, decode_actor},
    connection::{AnyConnection, with_conn},
    error::StoreError,
    schema::audit_events,
};
use crate::domain::{
    actor::{Actor, Origin},
    audit::{Action, AuditEvent, RecordedEvent},
    clock::Timestamp,
    name::TokenName,
    text::to_nfc,
    token::TokenId,
};

/// Maximum number of events that one statement adds.
const MAX_ROWS_PER_INSERT: usize = 500;
/// The advisory lock for [`record_if_changed`] on PostgreSQL, so that servers that start
/// concurrently do not record the same event twice: "tokenaud" in ASCII.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(8390042714202273124)";
/// Number of events that are removed at a time: few enough that other writes do not wait
/// noticeably.
const DELETE_BATCH_SIZE: i64 = 500;

#[derive(Insertable)]
#[diesel(table_name = audit_events, treat_none_as_default_value = false)]
struct NewEventRow<'a> {
    at: i64,
    actor_type: Option<&'a str>,
    actor_id: Option<&'a str>,
    channel: &'a str,
    client: Option<String>,
    action: &'a str,
    token_id: Option<String>,
    details: String,
    token_name: Option<String>,
}

impl<'a> From<&'a AuditEvent> for NewEventRow<'a> {
    fn from(event: &'a AuditEvent) -> Self {
        // Exhaustive, so that a new field does not compile until it is stored.
        let AuditEvent {
            at,
            actor,
            origin: Origin { channel, client },
            action,
            token_id,
            token_name,
            details,
        } = event;
        let actor = actor.as_ref();
        Self {
            at: at.micros(),
            actor_type: actor.map(|Actor { kind, .. }| kind.name()),
            actor_id: actor.map(|Actor { id, .. }| id.as_str()),
            channel: channel.name(),
            client: client.map(|address| address.to_string()),
            action: action.name(),
            token_id: token_id.map(|id| id.to_string()),
            details: details.to_string(),
            // Earlier versions did not normalize names. A filter by name compares the normal form.
            token_name: token_name.as_ref().map(|name| to_nfc(name.as_str()).into_owned()),
        }
    }
}

/// Adds events.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn record(conn: &mut AnyConnection, events: &[AuditEvent]) -> Result<(), StoreError> {
    // A separate path for one event: diesel caches only the single-row statement.
    if let [event] = events {
        let insert = diesel::insert_into(audit_events::table).values(NewEventRow::from(event));
        with_conn!(conn, conn => insert.execute(conn)?, insert.execute(conn)?);
        return Ok(());
    }
    for chunk in events.chunks(MAX_ROWS_PER_INSERT) {
        let rows: Vec<NewEventRow<'_>> = chunk.iter().map(NewEventRow::from).collect();
        let insert = diesel::insert_into(audit_events::table).values(&rows);
        with_conn!(conn, conn => insert.execute(conn)?, insert.execute(conn)?);
    }
    Ok(())
}

/// Adds an event unless the last one of its action has the same details.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn record_if_changed(conn: &mut AnyConnection, event: &AuditEvent) -> Result<(), StoreError> {
    match conn {
        AnyConnection::Sqlite(_) => {} // SQLite has one writer and needs no locks.
        AnyConnection::Postgres(conn) => conn.batch_execute(POSTGRES_LOCK)?,
    }
    if last_details(conn, event.action)?.as_ref() == Some(&event.details) {
        return Ok(());
    }
    record(conn, std::slice::from_ref(event))
}

/// Returns the details of the latest event of an action, by sequence number.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn last_details(conn: &mut AnyConnection, action: Action) -> Result<Option<serde_json::Value>, StoreError> {
    let last: Option<String> = audit_events::table
        .filter(audit_events::action.eq(action.name()))
        .order(audit_events::seq.desc())
        .select(audit_events::details)
        .first(conn)
        .optional()?;
    Ok(last.and_then(|details| serde_json::from_str(&details).ok()))
}

/// The largest visible event number, and the transactions that may still add events with smaller
/// ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HighWaterMark {
    /// The largest visible number.
    pub latest: i64,
    /// The transactions that were writing events just after `latest` was read. Empty on SQLite,
    /// whose only writer commits events in the order of their numbers.
    pub writers: Vec<String>,
}

#[derive(QueryableByName)]
struct WriterRow {
    #[diesel(sql_type = Text)]
    virtualtransaction: String,
}

/// Reads the current high-water mark.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn read_high_water_mark(conn: &mut AnyConnection) -> Result<HighWaterMark, StoreError> {
    let latest: Option<i64> = audit_events::table.select(max(audit_events::seq)).first(conn)?;
    let writers = match conn {
        AnyConnection::Sqlite(_) => Vec::new(),
        // A transaction holds this lock from before it takes a number until it ends.
        AnyConnection::Postgres(conn) => sql_query(
            "SELECT DISTINCT virtualtransaction FROM pg_locks
             WHERE relation = 'audit_events'::regclass AND mode = 'RowExclusiveLock' AND granted
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        )
        .load::<WriterRow>(conn)?,
    };
    Ok(HighWaterMark {
        latest: latest.unwrap_or_default(),
        writers: writers.into_iter().map(|writer| writer.virtualtransaction).collect(),
    })
}

/// Returns the tokens among `ids` that do not exist because they were deleted or revoked, according to the events that
/// have not been removed. The tokens among `ids` that exist may be among them, if a grace period was revoked.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find_deleted(conn: &mut AnyConnection, ids: &[TokenId]) -> Result<HashSet<TokenId>, StoreError> {
    let ids = ids.iter().map(|id| Some(id.to_string()));
    let found: Vec<Option<String>> = audit_events::table
        .filter(audit_events::token_id.eq_any(ids))
        .filter(audit_events::action.eq_any([Action::TokenDeleted.name(), Action::TokenRevoked.name()]))
        .select(audit_events::token_id)
        .load(conn)?;
    found.into_iter().flatten().map(|id| decode(id.as_str())).collect()
}

/// Returns the name of a token after its latest event with a name.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find_last_name(conn: &mut AnyConnection, id: TokenId) -> Result<Option<TokenName>, StoreError> {
    let name: Option<Option<String>> = audit_events::table
        .filter(audit_events::token_id.eq(id.to_string()))
        .filter(audit_events::token_name.is_not_null())
        .order((audit_events::at.desc(), audit_events::seq.desc()))
        .select(audit_events::token_name)
        .first(conn)
        .optional()?;
    Ok(name.flatten().map(TokenName::from_stored))
}

/// Returns the time of the newest event.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn newest(conn: &mut AnyConnection) -> Result<Option<Timestamp>, StoreError> {
    let newest: Option<i64> = audit_events::table.select(max(audit_events::at)).first(conn)?;
    Ok(newest.and_then(Timestamp::from_micros))
}

/// Returns `true` if there are events before `time`, with this action if one is given.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn has_events_before(
    conn: &mut AnyConnection,
    time: Timestamp,
    action: Option<Action>,
) -> Result<bool, StoreError> {
    let mut older = audit_events::table
        .filter(audit_events::at.lt(time.micros()))
        .into_boxed();
    if let Some(action) = action.map(Action::name) {
        older = older.filter(audit_events::action.between(action, action)).order((
            audit_events::action.asc(),
            audit_events::at.asc(),
            audit_events::seq.asc(),
        ));
    }
    let found = older.select(audit_events::seq).first::<i64>(conn).optional()?;
    Ok(found.is_some())
}

/// Removes a batch of events before `time`, oldest first, with this action if one is given. Returns
/// their number; more may remain.
///
/// The action is given as a range and comes first in the order, so that PostgreSQL uses the index on
/// the action. With an equality it may use the index on the time instead, and read all earlier events
/// with other actions for each batch.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete_before(conn: &mut AnyConnection, time: Timestamp, action: Option<Action>) -> Result<usize, StoreError> {
    let by_time = (audit_events::at.asc(), audit_events::seq.asc());
    let oldest = audit_events::table
        .filter(audit_events::at.lt(time.micros()))
        .order(by_time)
        .select(audit_events::seq)
        .limit(DELETE_BATCH_SIZE);
    // Servers that do this concurrently take different rows, and do not wait for each other.
    let seqs: Vec<i64> = match action.map(Action::name) {
        None => with_conn!(conn, conn =>
            oldest.load(conn)?,
            oldest.for_update().skip_locked().load(conn)?,
        ),
        Some(action) => {
            let oldest = oldest
                .filter(audit_events::action.between(action, action))
                .order((audit_events::action.asc(), by_time));
            with_conn!(conn, conn =>
                oldest.load(conn)?,
                oldest.for_update().skip_locked().load(conn)?,
            )
        }
    };
    let these = audit_events::table.filter(audit_events::seq.eq_any(seqs));
    Ok(diesel::delete(these).execute(conn)?)
}

/// An event as it is stored.
#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = audit_events)]
pub(super) struct EventRow {
    pub(super) seq: i64,
    at: i64,
    actor_type: Option<String>,
    actor_id: Option<String>,
    channel: String,
    client: Option<String>,
    action: String,
    token_id: Option<String>,
    details: String,
    token_name: Option<String>,
}

impl EventRow {
    fn into_event(self) -> Result<RecordedEvent, StoreError> {
        let actor = match (self.actor_type, self.actor_id) {
            (Some(kind), Some(id)) => Some(decode_actor(&kind, id)?),
            _ => None,
        };
        Ok(RecordedEvent {
            id: self.seq,
            event: AuditEvent {
                at: decode(self.at)?,
                actor,
                origin: Origin {
                    channel: decode(self.channel.as_str())?,
                    client: self.client.as_deref().map(decode).transpose()?,
                },
                action: decode(self.action.as_str())?,
                token_id: self.token_id.as_deref().map(decode).transpose()?,
                token_name: self.token_name.map(TokenName::from_stored),
                details: serde_json::from_str(&self.details).map_err(|_| StoreError::Corrupt("audit event"))?,
            },
        })
    }
}
