//! Audit events, kept in the transaction of the change that they tell of.

use diesel::{ExpressionMethods, Insertable, OptionalExtension, QueryDsl, RunQueryDsl, connection::SimpleConnection};

use super::{
    connection::{AnyConnection, with_conn},
    error::StoreError,
    schema::audit_events,
};
use crate::domain::audit::AuditEvent;

/// The most events that are added by one statement.
const MOST_AT_ONCE: usize = 500;
/// Held in PostgreSQL by a server that looks whether an event is news, so that two that start at once do not both think so: "tokenaud" in
/// ASCII.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(8390042714202273124)";

/// Adds an event.
///
/// # Errors
/// When the store fails.
pub fn record(conn: &mut AnyConnection, event: &AuditEvent) -> Result<(), StoreError> {
    record_all(conn, std::slice::from_ref(event))
}

/// Adds events, in that order.
///
/// # Errors
/// When the store fails.
pub fn record_all(conn: &mut AnyConnection, events: &[AuditEvent]) -> Result<(), StoreError> {
    for some in events.chunks(MOST_AT_ONCE) {
        let rows: Vec<_> = some.iter().map(row).collect();
        let insert = diesel::insert_into(audit_events::table).values(&rows);
        with_conn!(conn, conn => insert.execute(conn)?, insert.execute(conn)?);
    }
    Ok(())
}

/// Adds an event unless the last one of its action has the same details.
///
/// # Errors
/// When the store fails.
pub fn record_news(conn: &mut AnyConnection, event: &AuditEvent) -> Result<(), StoreError> {
    if let AnyConnection::Postgres(conn) = conn {
        conn.batch_execute(POSTGRES_LOCK)?;
    }
    let last: Option<String> = audit_events::table
        .filter(audit_events::action.eq(event.action.name()))
        .order(audit_events::seq.desc())
        .select(audit_events::details)
        .first(conn)
        .optional()?;
    let known = last.and_then(|details| serde_json::from_str(&details).ok());
    if known.as_ref() == Some(&event.details) {
        return Ok(());
    }
    record(conn, event)
}

#[derive(Insertable)]
#[diesel(table_name = audit_events)]
struct NewRow<'a> {
    at: i64,
    actor_type: Option<&'a str>,
    actor_id: Option<&'a str>,
    door: &'a str,
    client: Option<String>,
    action: &'a str,
    token_id: Option<String>,
    details: String,
}

fn row(event: &AuditEvent) -> NewRow<'_> {
    let actor = event.actor.as_ref();
    NewRow {
        at: event.at.micros(),
        actor_type: actor.map(|actor| actor.kind.name()),
        actor_id: actor.map(|actor| actor.id.as_str()),
        door: event.origin.door.name(),
        client: event.origin.client.map(|address| address.to_string()),
        action: event.action.name(),
        token_id: event.token_id.map(|id| id.to_string()),
        details: event.details.to_string(),
    }
}
