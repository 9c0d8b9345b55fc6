//! The pages on tokens.

pub mod create;
pub mod delete;
pub mod disable;
pub mod edit;
mod facts;
pub mod filters;
mod form;
mod gone;
pub mod grace;
mod history;
pub mod list;
pub mod rotate;
pub mod search;
pub mod selection;
pub mod show;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{header, uri::Authority},
};
use askama::Template;

use super::{fields::FormFields, layout::Layout, paths::Back, session::ConsoleSession, text::fill, texts::Texts};
use crate::{
    domain::{
        actor::{Actor, ActorKind},
        attention::Attention,
        token::{Token, TokenId},
        value::TokenValue,
    },
    http::{error::ApiError, extract::site::is_secure},
    service::Error,
};

/// A badge that highlights a condition of a token.
struct Badge {
    class: &'static str,
    text: &'static str,
    hint: &'static str,
}

impl Badge {
    const fn of(attention: Attention, t: &Texts) -> Self {
        let (class, text, hint) = match attention {
            Attention::Disabled => ("bad", t.badge_disabled, t.hint_disabled),
            Attention::Expired => ("bad", t.badge_expired, t.hint_expired),
            Attention::Expiring => ("warn", t.badge_expiring, t.hint_expiring),
            Attention::Legacy => ("old", t.badge_legacy, t.hint_legacy),
            Attention::NeverUsed => ("idle", t.badge_never_used, t.hint_never_used),
            Attention::Unused => ("warn", t.badge_unused, t.hint_unused),
            Attention::RotationDue => ("warn", t.badge_rotation_due, t.hint_rotation_due),
        };
        Self { class, text, hint }
    }
}

fn badges(token: &Token, layout: &Layout) -> Vec<Badge> {
    let attention = Attention::for_token(token, layout.now).into_iter();
    attention.map(|one| Badge::of(one, layout.texts)).collect()
}

/// Describes the author of a change.
fn describe_actor(actor: &Actor, texts: &Texts) -> String {
    match actor.kind {
        ActorKind::User => fill(texts.by, [&actor.id]),
        ActorKind::ApiToken => texts.by_token.to_owned(),
        ActorKind::System => texts.by_command_line.to_owned(),
    }
}

/// Returns the token ID in the path of a request.
fn token_id(request: &HttpRequest) -> Result<TokenId, ApiError> {
    let id = request.match_info().get("id").and_then(|id| id.parse().ok());
    id.ok_or_else(|| Error::NotFound("token").into())
}

/// Shows the form at `page`, a path below the console, with contents that were submitted after their session had ended.
/// Returns `None` if the form cannot be shown to this admin, or no longer exists.
pub async fn resume(
    request: &HttpRequest,
    mut session: ConsoleSession,
    page: &str,
    fields: &FormFields,
) -> Option<HttpResponse> {
    page.clone_into(&mut session.layout.path);
    let of_token = page.strip_prefix("/tokens/")?;
    let shown = match of_token.strip_suffix("/edit") {
        None if of_token == "new" => create::resume(session, fields),
        None => return None,
        Some(id) => edit::resume(request, session, fields, id.parse().ok()?).await,
    };
    shown.ok()
}

/// The page that shows a new value, once.
#[derive(Template)]
#[template(path = "value.html")]
struct ValuePage {
    layout: Layout,
    title: &'static str,
    id: String,
    name: String,
    value: String,
    /// A sentence about the previous value after a rotation; `None` for a new token.
    before: Option<String>,
    /// The link to the page to return to.
    done: String,
    /// An example call with the new value.
    example: String,
}

impl ValuePage {
    fn new(
        layout: Layout,
        request: &HttpRequest,
        title: &'static str,
        token: &Token,
        value: &TokenValue,
        back: &Back,
    ) -> Self {
        let scheme = if is_secure(request) { "https" } else { "http" };
        let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
        let host = host
            .or(request.uri().authority().map(Authority::as_str))
            .unwrap_or("localhost");
        Self {
            title,
            id: token.id.to_string(),
            name: token.name.as_str().to_owned(),
            value: value.expose().to_owned(),
            before: None,
            done: back.link(&layout.base),
            example: format!(
                "curl -H \"X-API-Key: …\" {scheme}://{host}{}/api-tokens/self",
                layout.root
            ),
            layout,
        }
    }
}
