//! How audit events are shown.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    domain::{
        actor::Actor,
        audit::{EventPage, RecordedEvent},
        clock::Timestamp,
    },
    service::Error,
    view::{
        csv,
        schemas::{action, actor, channel, details},
    },
};

/// An audit event.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(
    as = AuditEvent,
    example = json!({
        "id": 42, "at": "2026-11-21T12:00:00.000001Z", "actor": { "id": "admin", "type": "user" }, "channel": "api-tokens",
        "client": "192.0.2.7", "action": "token.updated", "tokenId": "7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0",
        "details": { "name": { "from": "deployer", "to": "deployer 2" } },
    })
)]
pub struct AuditEventView<'a> {
    /// The number of the event; a later one is larger
    id: i64,
    /// When it happened
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// Who did it; absent when a login was refused
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, schema_with = actor)]
    actor: Option<&'a Actor>,
    /// The way in
    #[schema(schema_with = channel)]
    channel: &'static str,
    /// The client's address; absent at the command line, and where a proxy did not tell it
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, nullable = false)]
    client: Option<IpAddr>,
    /// What was done
    #[schema(schema_with = action)]
    action: &'static str,
    /// To which token, if to one
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = "uuid")]
    token_id: Option<String>,
    /// What changed: never a secret
    #[schema(schema_with = details)]
    details: &'a Value,
}

impl<'a> From<&'a RecordedEvent> for AuditEventView<'a> {
    fn from(recorded: &'a RecordedEvent) -> Self {
        let event = &recorded.event;
        Self {
            id: recorded.id,
            at: event.at,
            actor: event.actor.as_ref(),
            channel: event.origin.channel.name(),
            client: event.origin.client,
            action: event.action.name(),
            token_id: event.token_id.map(|id| id.to_string()),
            details: &event.details,
        }
    }
}

/// A page of audit events.
#[derive(Serialize, ToSchema)]
pub struct AuditEvents<'a> {
    /// The events, newest first
    results: Vec<AuditEventView<'a>>,
    /// What to give as `cursor` for the next page; absent on the last
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next: Option<String>,
}

impl<'a> From<&'a EventPage> for AuditEvents<'a> {
    fn from(page: &'a EventPage) -> Self {
        Self {
            results: page.events.iter().map(AuditEventView::from).collect(),
            next: page.next.map(|cursor| cursor.to_string()),
        }
    }
}

/// An event as a line of JSON.
///
/// # Errors
/// [`Error::Internal`] when it cannot be written.
pub fn to_json_line(event: &RecordedEvent) -> Result<String, Error> {
    let text = serde_json::to_string(&AuditEventView::from(event)).map_err(|error| Error::Internal(error.into()))?;
    Ok(text + "\n")
}

const COLUMNS: [&str; 9] = [
    "id",
    "at",
    "actorType",
    "actorId",
    "channel",
    "client",
    "action",
    "tokenId",
    "details",
];

/// The first line of CSV.
pub fn csv_header() -> String {
    csv::format_row(COLUMNS)
}

/// Adds an event as a line of CSV, of the columns of [`csv_header`].
pub fn push_csv_row(recorded: &RecordedEvent, text: &mut String) {
    let event = &recorded.event;
    let (kind, id) = event
        .actor
        .as_ref()
        .map_or(("", ""), |actor| (actor.kind.name(), actor.id.as_str()));
    let cells: [&str; COLUMNS.len()] = [
        &recorded.id.to_string(),
        &event.at.to_string(),
        kind,
        id,
        event.origin.channel.name(),
        &event.origin.client.map(|client| client.to_string()).unwrap_or_default(),
        event.action.name(),
        &event.token_id.map(|id| id.to_string()).unwrap_or_default(),
        &event.details.to_string(),
    ];
    text.push_str(&csv::format_row(cells));
}
