//! The JSON and CSV representations of audit events.

use std::net::IpAddr;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    domain::{
        actor::{Actor, Origin},
        audit::{AuditEvent, EventPage, RecordedEvent},
        clock::Timestamp,
        name::TokenName,
    },
    service::Error,
    view::{
        csv,
        schemas::{ActorSchema, action, channel, details},
    },
};

/// An audit event.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(
    as = AuditEvent,
    example = json!({
        "id": 42, "at": "2026-11-21T12:00:00.000001Z", "actor": { "id": "admin", "type": "user" },
        "channel": "api-tokens", "client": "192.0.2.7", "action": "token.updated",
        "tokenId": "7d0f44d5-4c3c-4c60-a3ce-1b84a41dd0a0", "tokenName": "deployer 2",
        "details": { "name": { "from": "deployer", "to": "deployer 2" } },
    })
)]
pub struct AuditEventView<'a> {
    /// The number of the event. Later events have larger numbers
    id: i64,
    /// The time of the event
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The actor; absent for refused logins, except those beyond the hourly limit
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, value_type = ActorSchema)]
    actor: Option<&'a Actor>,
    /// The channel: the API, the console, or the command line
    #[schema(schema_with = channel)]
    channel: &'static str,
    /// The client's address; absent for the command line, and if no trusted proxy reported it
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, nullable = false)]
    client: Option<IpAddr>,
    /// The action
    #[schema(schema_with = action)]
    action: &'static str,
    /// The ID of the affected token, if there is one
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, format = "uuid")]
    token_id: Option<String>,
    /// The name that this token had after the event, if it is known
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false)]
    token_name: Option<&'a str>,
    /// The details of the change, without secrets
    #[schema(schema_with = details)]
    details: &'a Value,
}

impl<'a> From<&'a RecordedEvent> for AuditEventView<'a> {
    fn from(recorded: &'a RecordedEvent) -> Self {
        let RecordedEvent { id, event } = recorded;
        let AuditEvent {
            at,
            actor,
            origin: Origin { channel, client },
            action,
            token_id,
            token_name,
            details,
        } = event;
        Self {
            id: *id,
            at: *at,
            actor: actor.as_ref(),
            channel: channel.name(),
            client: *client,
            action: action.name(),
            token_id: token_id.map(|id| id.to_string()),
            token_name: token_name.as_ref().map(TokenName::as_str),
            details,
        }
    }
}

/// A page of audit events.
#[derive(Serialize, ToSchema)]
pub struct AuditEvents<'a> {
    /// The events, newest first
    results: Vec<AuditEventView<'a>>,
    /// The `cursor` of the next page; absent on the last page
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

/// Formats an event as a line of JSON.
///
/// # Errors
/// [`Error::Internal`] if serialization fails.
pub fn to_json_line(event: &RecordedEvent) -> Result<String, Error> {
    let text = serde_json::to_string(&AuditEventView::from(event)).map_err(|error| Error::Internal(error.into()))?;
    Ok(text + "\n")
}

const COLUMNS: [&str; 10] = [
    "id",
    "at",
    "actorType",
    "actorId",
    "channel",
    "client",
    "action",
    "tokenId",
    "details",
    "tokenName",
];

/// Returns the header line of the CSV format.
pub fn csv_header() -> String {
    csv::format_row(COLUMNS)
}

/// Appends an event as a line of CSV with the columns of [`csv_header`].
pub fn push_csv_row(recorded: &RecordedEvent, text: &mut String) {
    let AuditEventView {
        id,
        at,
        actor,
        channel,
        client,
        action,
        token_id,
        token_name,
        details,
    } = AuditEventView::from(recorded);
    let (actor_type, actor_id) = actor.map_or(("", ""), |actor| (actor.kind.name(), actor.id.as_str()));
    let cells: [&str; COLUMNS.len()] = [
        &id.to_string(),
        &at.to_string(),
        actor_type,
        actor_id,
        channel,
        &client.map(|client| client.to_string()).unwrap_or_default(),
        action,
        &token_id.unwrap_or_default(),
        &details.to_string(),
        token_name.unwrap_or_default(),
    ];
    text.push_str(&csv::format_row(cells));
}
