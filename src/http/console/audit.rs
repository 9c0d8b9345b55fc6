//! The page of audit events, and their download.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
};
use askama::Template;
use serde::Deserialize;
use serde_json::Value;

use super::{
    display_time::{DisplayTime, parse_datetime_local},
    layout::Layout,
    paths::build_query,
    render_page_with_status,
    session::ConsoleSession,
};
use crate::{
    domain::{
        Invalid,
        actor::{Actor, ActorKind, Channel, Origin},
        audit::{Action, AuditEvent, EventCursor, EventFilter, EventPage, RecordedEvent},
        page::PageSize,
        token::TokenId,
    },
    http::{
        audit_events::{EventReader, check_actor_id, format::EventFormat},
        error::ApiError,
        extract::{query::read_query, state},
    },
};

const FILTERS: &[&str] = &["actor", "token", "channel", "action", "since", "until"];

#[derive(Deserialize, Default)]
#[serde(default)]
struct AuditQuery {
    actor: String,
    token: String,
    channel: String,
    action: String,
    since: String,
    until: String,
    after: String,
}

impl AuditQuery {
    fn filter(&self) -> Result<EventFilter, Invalid> {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let token_id = |text: String| {
            TokenId::parse(&text).ok_or_else(|| Invalid::new("token", format!("{text:?} is not a UUID")))
        };
        Ok(EventFilter {
            since: parse_datetime_local("since", self.since.trim())?,
            until: parse_datetime_local("until", self.until.trim())?,
            actor: some(&self.actor).map(check_actor_id).transpose()?,
            token_id: some(&self.token).map(token_id).transpose()?,
            action: some(&self.action).map(|text| text.parse::<Action>()).transpose()?,
            channel: some(&self.channel).map(|text| text.parse::<Channel>()).transpose()?,
        })
    }

    fn link(&self, path: &str, after: &str) -> String {
        let query = build_query(&[
            ("actor", &self.actor),
            ("token", &self.token),
            ("channel", &self.channel),
            ("action", &self.action),
            ("since", &self.since),
            ("until", &self.until),
            ("after", after),
        ]);
        format!("{path}{query}")
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    layout: Layout,
    query: AuditQuery,
    channels: Vec<&'static str>,
    actions: Vec<&'static str>,
    /// The error in the filter, in English.
    refusal: Option<String>,
    rows: Vec<EventRow>,
    csv: String,
    json: String,
    first: Option<String>,
    next: Option<String>,
}

struct EventRow {
    at: DisplayTime,
    actor: Option<String>,
    /// The ID of the actor, if it is a token.
    by_token: Option<String>,
    action: &'static str,
    channel: &'static str,
    client: String,
    token: Option<String>,
    details: Vec<String>,
}

impl EventRow {
    fn new(recorded: &RecordedEvent, layout: &Layout) -> Self {
        let RecordedEvent { id: _, event } = recorded;
        let AuditEvent {
            at,
            actor,
            origin: Origin { channel, client },
            action,
            token_id,
            details: changes,
        } = event;
        let is_token = |actor: &&Actor| actor.kind == ActorKind::ApiToken;
        Self {
            at: layout.display_time(*at),
            actor: actor.as_ref().map(|actor| actor.id.clone()),
            by_token: actor.as_ref().filter(is_token).map(|actor| actor.id.clone()),
            action: action.name(),
            channel: channel.name(),
            client: client.map(|client| client.to_string()).unwrap_or_default(),
            token: token_id.map(|id| id.to_string()),
            details: details(changes),
        }
    }
}

/// Formats the details as one line per field: `name: "a" → "b"`.
fn details(details: &Value) -> Vec<String> {
    let fields = details.as_object().into_iter().flatten();
    let line = |(field, value): (&String, &Value)| match (value.get("from"), value.get("to")) {
        (Some(from), Some(to)) => format!("{field}: {} → {}", format_value(from), format_value(to)),
        _ => format!("{field}: {}", format_value(value)),
    };
    fields.filter(|(_, value)| !value.is_null()).map(line).collect()
}

fn format_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        Value::Array(all) if all.is_empty() => "–".to_owned(),
        Value::Array(all) => all.iter().map(format_value).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// `GET /console/audit`: lists the events that match a filter.
pub async fn page(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let query: AuditQuery = read_query(request.query_string(), &[FILTERS, &["after"]])?;
    let after = query.after.parse::<EventCursor>().ok();
    let (events, refusal) = match query.filter() {
        Ok(filter) => {
            let state = state(&request)?.clone();
            let events = EventReader { state, call, filter };
            (events.page(after, PageSize::default()).await?, None)
        }
        Err(invalid) => {
            let none = EventPage {
                events: Vec::new(),
                next: None,
            };
            (none, Some(invalid.to_string()))
        }
    };
    let path = format!("{}/audit", layout.base);
    let status = if refusal.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let template = AuditPage {
        channels: Channel::ALL.map(Channel::name).into(),
        actions: Action::ALL.iter().map(|action| action.name()).collect(),
        refusal,
        rows: events
            .events
            .iter()
            .map(|event| EventRow::new(event, &layout))
            .collect(),
        csv: query.link(&format!("{path}/events.csv"), ""),
        json: query.link(&format!("{path}/events.json"), ""),
        first: after.map(|_| query.link(&path, "")),
        next: events.next.map(|next| query.link(&path, &next.to_string())),
        query,
        layout,
    };
    render_page_with_status(status, &template)
}

/// `GET /console/audit/events.csv`, `…/events.json`: downloads all events that match a filter.
pub async fn download(
    request: HttpRequest,
    ConsoleSession { call, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let (format, disposition) = match request.match_info().get("file") {
        Some("events.csv") => (EventFormat::Csv, "attachment; filename=\"audit-events.csv\""),
        Some("events.json") => (EventFormat::JsonArray, "attachment; filename=\"audit-events.json\""),
        _ => return Err(ApiError::not_found("this path does not exist")),
    };
    let query: AuditQuery = read_query(request.query_string(), &[FILTERS])?;
    let events = EventReader {
        state: state(&request)?.clone(),
        call,
        filter: query.filter()?,
    };
    let mut response = events.all(format).await?;
    let disposition = header::HeaderValue::from_static(disposition);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}
