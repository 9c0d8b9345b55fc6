//! The rows of the audit log.

use std::collections::HashMap;

use super::{
    details::detail_lines,
    labels::{action_title, channel_title},
};
use crate::{
    domain::{
        actor::{Actor, Origin},
        audit::{AuditEvent, RecordedEvent},
        name::TokenName,
        token::TokenId,
    },
    http::console::{
        display_time::DisplayTime,
        layout::Layout,
        paths::build_query,
        text::count,
        texts::audit::AuditTexts,
        token_label::{TokenLabel, actor_token},
    },
};

/// Maximum length of details that are not folded, in characters.
const MAX_OPEN_DETAILS: usize = 48;

/// A row of the audit log.
pub struct EventRow {
    /// The time.
    pub at: DisplayTime,
    /// The name of the action in the API.
    pub action: &'static str,
    /// The name of the action on the page.
    pub title: &'static str,
    /// The actor, if it is a token.
    pub by_token: Option<TokenLabel>,
    /// The actor, if it is not a token, and the link to its events.
    pub actor: Option<(String, String)>,
    /// The name of the channel on the page.
    pub channel: &'static str,
    /// The client's address, or an empty text.
    pub client: String,
    /// The affected token, and the link to its events.
    pub token: Option<(TokenLabel, String)>,
    /// The details, one line per field.
    pub details: Vec<String>,
    /// The title under which the details are folded; `None` if they are short.
    pub folded: Option<String>,
}

impl EventRow {
    /// Creates the row of an event. `names` are those of the tokens that the event names by their IDs only.
    pub fn new(
        recorded: &RecordedEvent,
        names: &HashMap<TokenId, TokenName>,
        layout: &Layout,
        texts: &AuditTexts,
    ) -> Self {
        let RecordedEvent { id: _, event } = recorded;
        let AuditEvent {
            at,
            actor,
            origin: Origin { channel, client },
            action,
            token_id,
            token_name,
            details: changes,
        } = event;
        let link = |parameter, value: &str| format!("{}/audit{}", layout.base, build_query(&[(parameter, value)]));
        let by_token = actor.as_ref().and_then(|actor| TokenLabel::of_actor(actor, names));
        let actor = actor.as_ref().filter(|_| by_token.is_none());
        let token = token_id.map(|id| {
            let label = TokenLabel::new(id, token_name.as_ref().or_else(|| names.get(&id)));
            let link = link("token", &label.id);
            (label, link)
        });
        let details = detail_lines(changes, layout, texts);
        let length: usize = details.iter().map(|line| line.chars().count()).sum();
        let is_short = details.len() <= 1 && length <= MAX_OPEN_DETAILS;
        Self {
            at: layout.display_time(*at),
            action: action.name(),
            title: action_title(*action, texts),
            by_token,
            actor: actor.map(|Actor { id, .. }| (id.clone(), link("actor", id))),
            channel: channel_title(*channel, texts),
            client: client.map(|client| client.to_string()).unwrap_or_default(),
            token,
            folded: (!is_short).then(|| count(texts.fields, details.len() as u64)),
            details,
        }
    }
}

/// Returns the tokens that events name by their IDs only.
pub fn unnamed_tokens(events: &[RecordedEvent]) -> Vec<TokenId> {
    let ids = events.iter().flat_map(|RecordedEvent { event, .. }| {
        let affected = event.token_id.filter(|_| event.token_name.is_none());
        let actor = event.actor.as_ref().and_then(actor_token);
        affected.into_iter().chain(actor)
    });
    let mut ids: Vec<_> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
