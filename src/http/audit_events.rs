//! `/audit-events`: the audit log, for admins.

pub mod format;

use actix_web::{HttpResponse, web::Data};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    State,
    error::ApiError,
    extract::{
        AdminOnly, Authenticated,
        accept::Accepted,
        query::{Query, QueryParameters, read_time},
    },
    paged_body::stream_pages,
};
use crate::{
    domain::{
        Invalid,
        actor::Channel,
        audit::{Action, EventCursor, EventFilter, EventOrder, EventPage},
        caller::Call,
        page::PageSize,
        token::TokenId,
    },
    service::Error,
    view::{
        audit_event::{AuditEventView, AuditEvents},
        schemas,
    },
};
use format::EventFormat;

/// The query parameters of `GET /audit-events`.
#[derive(Deserialize, IntoParams)]
#[serde(rename_all = "camelCase")]
#[into_params(parameter_in = Query)]
pub struct EventQuery {
    /// Only events at this time or later
    #[param(required = false, nullable = false, format = DateTime)]
    since: Option<String>,
    /// Only events before this time
    #[param(required = false, nullable = false, format = DateTime)]
    until: Option<String>,
    /// Only events of this actor: an admin's name, a token's ID, `cli`, or `server`
    #[param(required = false, nullable = false, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    actor: Option<String>,
    /// Only events about this token
    #[param(required = false, nullable = false, format = "uuid")]
    token_id: Option<String>,
    /// Only events about tokens that had exactly this name after the event
    #[param(required = false, nullable = false, pattern = r"^[^\x00-\x1F\x7F-\x9F]*$")]
    token_name: Option<String>,
    /// Only events with this action
    #[param(required = false, schema_with = schemas::action)]
    action: Option<String>,
    /// Only events through this channel
    #[param(required = false, schema_with = schemas::channel)]
    channel: Option<String>,
    /// Maximum number of events on a page. Formats other than JSON contain all matching events without it
    #[param(value_type = u16, required = false, minimum = 1, maximum = 1000)]
    limit: Option<String>,
    /// The `next` of the previous page
    #[param(required = false, nullable = false, pattern = "^[A-Za-z0-9_-]{22}$")]
    cursor: Option<String>,
}

impl QueryParameters for EventQuery {}

impl EventQuery {
    pub(super) fn filter(&self) -> Result<EventFilter, Invalid> {
        let token_id = |text: &String| {
            text.parse::<TokenId>()
                .map_err(|_| Invalid::new("tokenId", format!("{text:?} is not a UUID")))
        };
        Ok(EventFilter {
            since: read_time("since", self.since.clone())?,
            until: read_time("until", self.until.clone())?,
            actor: self.actor.clone().map(|actor| check_text("actor", actor)).transpose()?,
            token_id: self.token_id.as_ref().map(token_id).transpose()?,
            token_id_prefix: None,
            token_name: self
                .token_name
                .clone()
                .map(|name| check_text("tokenName", name))
                .transpose()?,
            action: self.action.as_deref().map(str::parse::<Action>).transpose()?,
            channel: self.channel.as_deref().map(str::parse::<Channel>).transpose()?,
        })
    }
}

/// Refuses control characters: no name and no actor's ID contains one, and PostgreSQL refuses NUL.
///
/// # Errors
/// [`Invalid`] for `field` if the text contains one.
pub fn check_text(field: &'static str, text: String) -> Result<String, Invalid> {
    if text.chars().any(char::is_control) {
        return Err(Invalid::new(field, "must not contain control characters"));
    }
    Ok(text)
}

/// `GET /audit-events`: lists audit events, newest first.
#[utoipa::path(
    get, path = "/audit-events", tag = "Audit", operation_id = "listAuditEvents", summary = "List audit events",
    description = "Returns events that match all filters, newest first. The `next` of a page is the `cursor` of the \
        following one.",
    params(EventQuery),
    responses((status = 200, description = "The events, newest first", content(
        (AuditEvents = "application/json"),
        (String = "text/csv", example = "id,at,actorType,actorId,channel,client,action,tokenId,details,tokenName\r\n"),
        (AuditEventView = "application/x-ndjson"),
        (AuditEventView = "application/jsonl"),
    ))),
    security(("BasicAuth" = [])),
)]
pub async fn list(
    state: Data<State>,
    Authenticated {
        call,
        input: (Query(query), Accepted(format)),
        ..
    }: Authenticated<AdminOnly, (Query<EventQuery>, Accepted<EventFormat>)>,
) -> Result<HttpResponse, ApiError> {
    let cursor = query.cursor.as_deref().map(str::parse::<EventCursor>).transpose()?;
    let size = query.limit.as_deref().map(str::parse::<PageSize>).transpose()?;
    let events = EventReader {
        filter: query.filter()?,
        state,
        call,
    };
    if format == EventFormat::Json {
        let page = events.page(cursor, size.unwrap_or_default()).await?;
        return Ok(HttpResponse::Ok().json(AuditEvents::from(&page)));
    }
    let first = events.page(cursor, size.unwrap_or(PageSize::MAX)).await?;
    if size.is_some() {
        return Ok(HttpResponse::Ok()
            .content_type(format.content_type())
            .body(format.render(&first, true)?));
    }
    events.stream(format, &first)
}

/// A reader of the events that a caller requests.
#[derive(Clone)]
pub struct EventReader {
    /// The state that all handlers share.
    pub state: Data<State>,
    /// The call.
    pub call: Call,
    /// The filter.
    pub filter: EventFilter,
}

impl EventReader {
    /// Streams all events in a format that supports it.
    ///
    /// # Errors
    /// Those of [`EventReader::page`], if the first page cannot be read.
    pub async fn all(self, format: EventFormat) -> Result<HttpResponse, ApiError> {
        let first = self.page(None, PageSize::MAX).await?;
        self.stream(format, &first)
    }

    /// Streams a page and all pages after it.
    fn stream(self, format: EventFormat, first: &EventPage) -> Result<HttpResponse, ApiError> {
        let mut response = HttpResponse::Ok();
        response.content_type(format.content_type());
        let text = format.render(first, true)?;
        Ok(stream_pages(response, (text.into(), first.next), move |after| {
            let events = self.clone();
            async move {
                let page = events.page(Some(after), PageSize::MAX).await?;
                Ok((format.render(&page, false)?.into(), page.next))
            }
        }))
    }

    /// Returns a page of events.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller is a token; [`Error::Unavailable`] if the store fails.
    pub async fn page(&self, after: Option<EventCursor>, size: PageSize) -> Result<EventPage, Error> {
        let filter = self.filter.clone();
        let service = &self.state.service;
        service
            .list_events(&self.call, filter, EventOrder::NewestFirst, after, size)
            .await
    }
}
