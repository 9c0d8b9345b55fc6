//! The page of a deleted token, from the audit log.

use actix_web::{HttpResponse, http::StatusCode};
use askama::Template;
use serde_json::Value;

use super::describe_actor;
use crate::{
    domain::{
        audit::{Action, RecordedEvent},
        permission::Permission,
        token::TokenId,
    },
    http::{
        console::{
            audit::row::EventRow, display_time::DisplayTime, layout::Layout, render_page_with_status,
            token_label::short_id,
        },
        error::ApiError,
    },
    service::Error,
};

#[derive(Template)]
#[template(path = "token_gone.html")]
struct GonePage {
    layout: Layout,
    id: String,
    name: String,
    deleted: DisplayTime,
    by: String,
    description: Option<String>,
    owner: Option<String>,
    permissions: Vec<String>,
    history: Vec<EventRow>,
}

/// Shows a token that no longer exists, if its last events record the deletion.
///
/// The status is 410: the token will not return, and programs learn that too. Browsers show the page of
/// any status.
///
/// # Errors
/// 404 if no deletion is on record.
pub fn show(
    layout: Layout,
    id: TokenId,
    events: &[RecordedEvent],
    history: Vec<EventRow>,
) -> Result<HttpResponse, ApiError> {
    let deletion = events.iter().find(|recorded| match recorded.event.action {
        Action::TokenDeleted => true,
        Action::TokenRevoked => recorded.event.details.get("deleted") == Some(&Value::Bool(true)),
        _ => false,
    });
    let Some(RecordedEvent { event, .. }) = deletion else {
        return Err(Error::NotFound("token").into());
    };
    let text = |field: &str| event.details.get(field).and_then(Value::as_str).map(ToOwned::to_owned);
    let names = event.details.get("permissions").and_then(Value::as_array);
    let display_name = |name: &str| {
        let known = Permission::from_name(name);
        known.map_or_else(|| name.to_owned(), |permission| permission.display_name().to_owned())
    };
    let names = names.into_iter().flatten().filter_map(Value::as_str);
    let page = GonePage {
        id: id.to_string(),
        name: text("name").unwrap_or_else(|| short_id(id)),
        deleted: layout.display_time(event.at),
        by: event
            .actor
            .as_ref()
            .map(|actor| describe_actor(actor, layout.texts))
            .unwrap_or_default(),
        description: text("description"),
        owner: text("owner"),
        permissions: names.map(display_name).collect(),
        history,
        layout,
    };
    render_page_with_status(StatusCode::GONE, &page)
}
