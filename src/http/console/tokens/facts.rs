//! The facts by which an admin recognizes a token, and sees whether it is in use, before it is rotated or deleted.

use std::time::Duration;

use super::describe_actor;
use crate::{
    domain::{annotation::Owner, token::Token, usage::TokenUsage},
    http::console::{display_time::DisplayTime, layout::Layout, text::fill, token_label::short_id},
};

/// The time within which a token that was used counts as in use.
const IN_USE_WITHIN: Duration = Duration::from_hours(24);

/// The facts.
pub struct TokenFacts {
    /// The ID.
    pub id: String,
    /// The beginning of the ID.
    pub short_id: String,
    /// The name.
    pub name: String,
    /// The time of the creation.
    pub created: DisplayTime,
    /// The creator.
    pub creator: String,
    /// The owner.
    pub owner: Option<String>,
    /// A sentence about the last use.
    pub last_use: String,
    /// `true` if the token was used within the last day.
    pub is_in_use: bool,
}

impl TokenFacts {
    /// Creates the facts of a token.
    pub fn new(token: &Token, usage: &TokenUsage, layout: &Layout) -> Self {
        let texts = layout.token_texts();
        let last_use = usage.last_used_at.map(|at| {
            let ago = layout.display_time(at).relative;
            usage.last_used_from.map_or_else(
                || fill(texts.used, [&ago]),
                |address| fill(texts.used_from, [&ago, &address]),
            )
        });
        Self {
            id: token.id.to_string(),
            short_id: short_id(token.id),
            name: token.name.as_str().to_owned(),
            created: layout.display_time(token.created.at),
            creator: describe_actor(&token.created.by, layout.texts),
            owner: token.owner.as_ref().map(Owner::as_str).map(ToOwned::to_owned),
            last_use: last_use.unwrap_or_else(|| texts.never_used.to_owned()),
            is_in_use: usage
                .last_used_at
                .is_some_and(|at| layout.now.since(at) < IN_USE_WITHIN),
        }
    }
}
