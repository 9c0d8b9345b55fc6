//! The page of the audit events.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
};
use askama::Template;
use serde::Deserialize;
use serde_json::Value;

use super::{
    frame::{Frame, query_of},
    page_with,
    session::SignedIn,
    tokens::form::from_field,
    when::When,
};
use crate::{
    domain::{
        Invalid,
        actor::{Actor, ActorKind, Door},
        audit::{Action, EventCursor, EventFilter, EventPage, RecordedEvent},
        page::PageSize,
        token::TokenId,
    },
    http::{
        audit_events::{Events, form::Form, no_control_character},
        error::Failure,
        extract::{query::read_query, state},
    },
};

const FILTERS: &[&str] = &["actor", "token", "door", "action", "since", "until"];

#[derive(Deserialize, Default)]
#[serde(default)]
struct AuditQuery {
    actor: String,
    token: String,
    door: String,
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
            since: from_field("since", self.since.trim())?,
            until: from_field("until", self.until.trim())?,
            actor: some(&self.actor).map(no_control_character).transpose()?,
            token_id: some(&self.token).map(token_id).transpose()?,
            action: some(&self.action).map(|text| Action::parse(&text)).transpose()?,
            door: some(&self.door).map(|text| Door::parse(&text)).transpose()?,
        })
    }

    fn link(&self, path: &str, after: &str) -> String {
        let query = query_of(&[
            ("actor", &self.actor),
            ("token", &self.token),
            ("door", &self.door),
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
    frame: Frame,
    query: AuditQuery,
    doors: Vec<&'static str>,
    actions: Vec<&'static str>,
    /// What is wrong with the filter, in English.
    refusal: Option<String>,
    rows: Vec<Row>,
    csv: String,
    json: String,
    first: Option<String>,
    next: Option<String>,
}

struct Row {
    at: When,
    actor: Option<String>,
    /// The id of the token that did it, if it was one.
    by_token: Option<String>,
    action: &'static str,
    door: &'static str,
    client: String,
    token: Option<String>,
    details: Vec<String>,
}

impl Row {
    fn new(recorded: &RecordedEvent, frame: &Frame) -> Self {
        let event = &recorded.event;
        let is_token = |actor: &&Actor| actor.kind == ActorKind::ApiToken;
        Self {
            at: frame.when(event.at),
            actor: event.actor.as_ref().map(|actor| actor.id.clone()),
            by_token: event.actor.as_ref().filter(is_token).map(|actor| actor.id.clone()),
            action: event.action.name(),
            door: event.origin.door.name(),
            client: event.origin.client.map(|client| client.to_string()).unwrap_or_default(),
            token: event.token_id.map(|id| id.to_string()),
            details: details(&event.details),
        }
    }
}

/// What changed, a line each: `name: "a" → "b"`.
fn details(details: &Value) -> Vec<String> {
    let fields = details.as_object().into_iter().flatten();
    let line = |(field, value): (&String, &Value)| match (value.get("from"), value.get("to")) {
        (Some(from), Some(to)) => format!("{field}: {} → {}", shown(from), shown(to)),
        _ => format!("{field}: {}", shown(value)),
    };
    fields.filter(|(_, value)| !value.is_null()).map(line).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "–".to_owned(),
        Value::Array(all) if all.is_empty() => "–".to_owned(),
        Value::Array(all) => all.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// `GET /console/audit`: a page of the events that pass a filter.
pub async fn page(request: HttpRequest, SignedIn { call, frame, .. }: SignedIn) -> Result<HttpResponse, Failure> {
    let query: AuditQuery = read_query(&request, &[FILTERS, &["after"]])?;
    let after = EventCursor::parse(&query.after).ok();
    let (events, refusal) = match query.filter() {
        Ok(filter) => {
            let state = state(&request)?.clone();
            let events = Events { state, call, filter };
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
    let path = format!("{}/audit", frame.base);
    let status = if refusal.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    let template = AuditPage {
        doors: Door::ALL.map(Door::name).into(),
        actions: Action::ALL.iter().map(|action| action.name()).collect(),
        refusal,
        rows: events.events.iter().map(|event| Row::new(event, &frame)).collect(),
        csv: query.link(&format!("{path}/events.csv"), ""),
        json: query.link(&format!("{path}/events.json"), ""),
        first: after.map(|_| query.link(&path, "")),
        next: events.next.map(|next| query.link(&path, &next.to_string())),
        query,
        frame,
    };
    page_with(status, &template)
}

/// `GET /console/audit/events.csv`, `…/events.json`: all events that pass a filter, in a file.
pub async fn download(request: HttpRequest, SignedIn { call, .. }: SignedIn) -> Result<HttpResponse, Failure> {
    let (form, disposition) = match request.match_info().get("file") {
        Some("events.csv") => (Form::Csv, "attachment; filename=\"audit-events.csv\""),
        Some("events.json") => (Form::JsonArray, "attachment; filename=\"audit-events.json\""),
        _ => return Err(Failure::not_found("there is nothing at this path")),
    };
    let query: AuditQuery = read_query(&request, &[FILTERS])?;
    let events = Events {
        state: state(&request)?.clone(),
        call,
        filter: query.filter()?,
    };
    let mut response = events.all(form).await?;
    let disposition = header::HeaderValue::from_static(disposition);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}
