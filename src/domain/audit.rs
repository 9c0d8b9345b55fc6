//! What is remembered of every change and every refused login.

use serde_json::Value;

use super::{
    actor::{Actor, Origin},
    clock::Timestamp,
    token::TokenId,
};

/// One thing that happened. It never holds a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// When.
    pub at: Timestamp,
    /// Who; nobody when a login was refused.
    pub actor: Option<Actor>,
    /// Through which door and from which address.
    pub origin: Origin,
    /// What was done.
    pub action: Action,
    /// To which token, if to one.
    pub token_id: Option<TokenId>,
    /// What changed, as a JSON object.
    pub details: Value,
}

/// What an audit event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A token was made.
    TokenCreated,
    /// A token's name, permissions, blocks or expiry changed.
    TokenUpdated,
    /// A token got a new value.
    TokenRotated,
    /// A token was removed.
    TokenDeleted,
    /// A token came from elsewhere, or became again what it is there.
    TokenImported,
    /// An admin was added.
    AdminAdded,
    /// An admin's password changed.
    AdminPasswordChanged,
    /// An admin was removed.
    AdminRemoved,
    /// A server has started with another phase of the legacy API's end than the one before.
    LegacyPhase,
    /// Credentials were refused, perhaps more than once in the same few seconds.
    LoginRefused,
}

impl Action {
    /// Whether what somebody has remembered of the token or the admin may be wrong after it.
    #[must_use]
    pub const fn outdates(self) -> bool {
        match self {
            Self::TokenUpdated
            | Self::TokenRotated
            | Self::TokenDeleted
            | Self::TokenImported
            | Self::AdminPasswordChanged
            | Self::AdminRemoved => true,
            Self::TokenCreated | Self::AdminAdded | Self::LegacyPhase | Self::LoginRefused => false,
        }
    }

    /// The name that the store keeps.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TokenCreated => "token.created",
            Self::TokenUpdated => "token.updated",
            Self::TokenRotated => "token.rotated",
            Self::TokenDeleted => "token.deleted",
            Self::TokenImported => "token.imported",
            Self::AdminAdded => "admin.added",
            Self::AdminPasswordChanged => "admin.password-changed",
            Self::AdminRemoved => "admin.removed",
            Self::LegacyPhase => "legacy.phase",
            Self::LoginRefused => "login.refused",
        }
    }
}
