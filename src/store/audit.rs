//! Audit events, kept in the transaction of the change that they tell of.

use diesel::{ExpressionMethods, RunQueryDsl};

use super::{connection::AnyConnection, error::StoreError, schema::audit_events};
use crate::domain::audit::AuditEvent;

/// Adds an event.
///
/// # Errors
/// When the store fails.
pub fn record(conn: &mut AnyConnection, event: &AuditEvent) -> Result<(), StoreError> {
    let actor = event.actor.as_ref();
    diesel::insert_into(audit_events::table)
        .values((
            audit_events::at.eq(event.at.micros()),
            audit_events::actor_type.eq(actor.map(|actor| actor.kind.name())),
            audit_events::actor_id.eq(actor.map(|actor| actor.id.as_str())),
            audit_events::door.eq(event.origin.door.name()),
            audit_events::client.eq(event.origin.client.map(|address| address.to_string())),
            audit_events::action.eq(event.action.name()),
            audit_events::token_id.eq(event.token_id.map(|id| id.to_string())),
            audit_events::details.eq(event.details.to_string()),
        ))
        .execute(conn)?;
    Ok(())
}
