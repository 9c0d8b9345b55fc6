//! The page of audit events, and their download.

mod details;
pub mod labels;
pub mod row;

use std::time::Duration;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
};
use askama::Template;
use serde::Deserialize;

use super::{
    display_time::parse_datetime_local,
    layout::Layout,
    paths::build_query,
    render_page_with_status,
    session::ConsoleSession,
    text::fill,
    texts::audit::{self, AuditTexts},
};
use crate::{
    domain::{
        Invalid,
        actor::Channel,
        admin::PasswordOrigin,
        audit::{Action, EventCursor, EventFilter, EventOrder, EventPage, RecordedEvent},
        caller::Call,
        clock::Timestamp,
        page::PageSize,
        token::{TokenId, TokenIdPrefix},
    },
    http::{
        audit_events::{EventReader, check_text, format::EventFormat},
        error::ApiError,
        extract::{
            query::{parse, read_query},
            state,
        },
    },
    service::{Error, Service},
};
use labels::{FilterChoice, action_choices, channel_choices};
use row::{EventRow, unnamed_tokens};

const FILTERS: &[&str] = &["actor", "token", "channel", "action", "since", "until", "days"];
/// The periods to choose from, in days.
const PERIODS: [u8; 3] = [1, 7, 30];

#[derive(Deserialize, Default)]
#[serde(default)]
struct AuditQuery {
    actor: String,
    /// An ID, its beginning, or a name.
    token: String,
    channel: String,
    action: String,
    since: String,
    until: String,
    /// One of [`PERIODS`], which applies unless `since` is given.
    days: String,
    after: String,
    before: String,
}

impl AuditQuery {
    fn filter(&self, now: Timestamp) -> Result<EventFilter, Invalid> {
        let some = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let token = some(&self.token);
        let token_id = token.as_deref().and_then(|token| token.parse::<TokenId>().ok());
        let token_id_prefix = token
            .as_deref()
            .filter(|_| token_id.is_none())
            .and_then(|token| token.parse::<TokenIdPrefix>().ok());
        let token_name = token.filter(|_| token_id.is_none() && token_id_prefix.is_none());
        let since = parse_datetime_local("since", self.since.trim())?;
        let period = PERIODS.into_iter().find(|days| days.to_string() == self.days);
        let period = period.map(|days| now.saturating_sub(Duration::from_hours(24 * u64::from(days))));
        Ok(EventFilter {
            since: since.or(period),
            until: parse_datetime_local("until", self.until.trim())?,
            actor: some(&self.actor).map(|actor| check_text("actor", actor)).transpose()?,
            token_id,
            token_id_prefix,
            token_name: token_name.map(|name| check_text("token", name)).transpose()?,
            action: some(&self.action).map(|text| text.parse::<Action>()).transpose()?,
            channel: some(&self.channel).map(|text| text.parse::<Channel>()).transpose()?,
        })
    }

    /// Returns the link to the events that match the same filter, from a position on.
    fn link(&self, path: &str, position: (&str, &str)) -> String {
        self.link_with(path, &self.since, &self.days, position)
    }

    fn link_with(&self, path: &str, since: &str, days: &str, position: (&str, &str)) -> String {
        let query = build_query(&[
            ("actor", &self.actor),
            ("token", &self.token),
            ("channel", &self.channel),
            ("action", &self.action),
            ("since", since),
            ("until", &self.until),
            ("days", days),
            position,
        ]);
        format!("{path}{query}")
    }

    /// Returns the periods to choose from.
    fn periods(&self, path: &str, texts: &AuditTexts) -> Vec<PeriodLink> {
        let titles = [texts.last_day, texts.last_week, texts.last_month];
        let mut links = vec![PeriodLink {
            title: texts.all_time,
            link: self.link_with(path, "", "", ("", "")),
            is_selected: self.since.is_empty() && self.days.is_empty(),
        }];
        links.extend(PERIODS.into_iter().zip(titles).map(|(days, title)| {
            let days = days.to_string();
            PeriodLink {
                title,
                link: self.link_with(path, "", &days, ("", "")),
                is_selected: self.since.is_empty() && self.days == days,
            }
        }));
        links
    }

    fn is_empty(&self) -> bool {
        let Self {
            actor,
            token,
            channel,
            action,
            since,
            until,
            days,
            after: _,
            before: _,
        } = self;
        [actor, token, channel, action, since, until, days]
            .into_iter()
            .all(String::is_empty)
    }
}

struct PeriodLink {
    title: &'static str,
    link: String,
    is_selected: bool,
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    layout: Layout,
    texts: &'static AuditTexts,
    query: AuditQuery,
    is_unfiltered: bool,
    /// The actors to choose from. Others can be typed.
    actors: Vec<String>,
    channels: Vec<FilterChoice>,
    actions: Vec<FilterChoice>,
    periods: Vec<PeriodLink>,
    /// The filter that cannot be used, in a sentence.
    refusal: Option<String>,
    /// `true` if the filter is a name that no event has.
    is_unknown_name: bool,
    /// The query that searches the tokens for that name.
    token_search: String,
    rows: Vec<EventRow>,
    csv: String,
    json: String,
    first: Option<String>,
    previous: Option<String>,
    next: Option<String>,
}

/// `GET /console/audit`: lists the events that match a filter.
pub async fn page(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let query: AuditQuery = parse(request.query_string()).map_err(ApiError::bad_request)?;
    let texts = layout.language.choose(&audit::ENGLISH, &audit::KOREAN);
    let service = &state(&request)?.service;
    let (found, status, refusal) = match query.filter(layout.now) {
        Ok(filter) => (read(service, &call, &query, filter).await?, StatusCode::OK, None),
        Err(invalid) => {
            let refusal = fill(layout.texts.bad_filter, [&filter_label(&invalid, &layout, texts)]);
            (Found::default(), StatusCode::BAD_REQUEST, Some(refusal))
        }
    };
    let names = service.find_token_names(&call, unnamed_tokens(&found.events)).await?;
    let path = format!("{}/audit", layout.base);
    let link = |name, cursor: Option<EventCursor>| cursor.map(|cursor| query.link(&path, (name, &cursor.to_string())));
    let rows = found
        .events
        .iter()
        .map(|event| EventRow::new(event, &names, &layout, texts));
    let template = AuditPage {
        rows: rows.collect(),
        texts,
        is_unfiltered: query.is_empty(),
        is_unknown_name: found.events.is_empty() && refusal.is_none() && !query.token.is_empty(),
        token_search: build_query(&[("search", query.token.trim())]),
        actors: actors(service, &call, &layout).await?,
        channels: channel_choices(&query.channel, texts),
        actions: action_choices(&query.action, texts),
        periods: query.periods(&path, texts),
        refusal,
        csv: query.link(&format!("{path}/events.csv"), ("", "")),
        json: query.link(&format!("{path}/events.json"), ("", "")),
        first: found.previous.map(|_| query.link(&path, ("", ""))),
        previous: link("before", found.previous),
        next: link("after", found.next),
        query,
        layout,
    };
    render_page_with_status(status, &template)
}

/// Returns the label of the filter that cannot be used.
fn filter_label<'f>(invalid: &'f Invalid, layout: &Layout, texts: &AuditTexts) -> &'f str {
    match invalid.field() {
        "since" => texts.since,
        "until" => texts.until,
        "actor" => layout.texts.actor,
        "token" => texts.token,
        "action" => layout.texts.action,
        "channel" => texts.channel,
        other => other,
    }
}

/// A page of events, newest first, and the cursors to the pages of newer and older ones.
#[derive(Default)]
struct Found {
    events: Vec<RecordedEvent>,
    previous: Option<EventCursor>,
    next: Option<EventCursor>,
}

async fn read(service: &Service, call: &Call, query: &AuditQuery, filter: EventFilter) -> Result<Found, Error> {
    let size = PageSize::default();
    if let Ok(before) = query.before.parse::<EventCursor>() {
        let newer = service
            .list_events(call, filter.clone(), EventOrder::OldestFirst, Some(before), size)
            .await?;
        let EventPage { mut events, next } = newer;
        events.reverse();
        // Without newer events, this is the first page.
        if next.is_some() {
            let last = events.last().map(|last| EventCursor {
                at: last.event.at,
                id: last.id,
            });
            return Ok(Found {
                events,
                previous: next,
                next: last,
            });
        }
    }
    let after = query.after.parse::<EventCursor>().ok();
    let mut page = service
        .list_events(call, filter.clone(), EventOrder::NewestFirst, after, size)
        .await?;
    if page.events.is_empty() && filter.token_id_prefix.is_some() {
        // A name may look like the beginning of an ID.
        let by_name = EventFilter {
            token_id_prefix: None,
            token_name: Some(query.token.trim().to_owned()),
            ..filter
        };
        page = service
            .list_events(call, by_name, EventOrder::NewestFirst, after, size)
            .await?;
    }
    let first = page.events.first().filter(|_| after.is_some());
    Ok(Found {
        previous: first.map(|first| EventCursor {
            at: first.event.at,
            id: first.id,
        }),
        next: page.next,
        events: page.events,
    })
}

/// Returns the actors to choose from: the admins, if the caller may see them, and the system's own.
async fn actors(service: &Service, call: &Call, layout: &Layout) -> Result<Vec<String>, Error> {
    let mut actors: Vec<String> = if layout.rights.read_admins {
        let page = service.list_admins(call, None, PageSize::default()).await?;
        page.admins
            .into_iter()
            .map(|admin| admin.name.as_str().to_owned())
            .collect()
    } else {
        layout.admin.clone().into_iter().collect()
    };
    actors.extend([Channel::Cli.name(), "server", PasswordOrigin::LegacyLogin.name()].map(str::to_owned));
    Ok(actors)
}

/// `GET /console/audit/events.csv`, `…/events.json`: downloads all events that match a filter.
pub async fn download(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
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
        filter: query.filter(layout.now)?,
    };
    let mut response = events.all(format).await?;
    let disposition = header::HeaderValue::from_static(disposition);
    response.headers_mut().insert(header::CONTENT_DISPOSITION, disposition);
    Ok(response)
}
