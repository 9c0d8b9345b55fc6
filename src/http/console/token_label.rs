//! Tokens as pages name them: by name, with a short ID.

use std::collections::HashMap;

use crate::domain::{
    actor::{Actor, ActorKind},
    name::TokenName,
    token::TokenId,
};

/// Number of characters of a short ID.
pub const SHORT_ID_CHARS: usize = 8;

/// A token that a page links to.
pub struct TokenLabel {
    /// The ID.
    pub id: String,
    /// The beginning of the ID.
    pub short: String,
    /// The name, or the short ID if no name is known.
    pub name: String,
    /// `true` if the name is known.
    pub is_named: bool,
}

impl TokenLabel {
    /// Creates the label of a token, with its name if it is known.
    pub fn new(id: TokenId, name: Option<&TokenName>) -> Self {
        let short = short_id(id);
        Self {
            name: name.map_or_else(|| short.clone(), |name| name.as_str().to_owned()),
            is_named: name.is_some(),
            short,
            id: id.to_string(),
        }
    }

    /// Creates the label of an actor, if it is a token.
    pub fn of_actor(actor: &Actor, names: &HashMap<TokenId, TokenName>) -> Option<Self> {
        let id = actor_token(actor)?;
        Some(Self::new(id, names.get(&id)))
    }
}

/// Returns the beginning of a token's ID, which usually suffices to recognize it.
pub fn short_id(id: TokenId) -> String {
    id.to_string().chars().take(SHORT_ID_CHARS).collect()
}

/// Returns the ID of an actor, if it is a token.
pub fn actor_token(actor: &Actor) -> Option<TokenId> {
    match actor.kind {
        ActorKind::ApiToken => actor.id.parse().ok(),
        ActorKind::User | ActorKind::System => None,
    }
}
