//! The names of actions and channels, and the reasons of refused sign-ins, on pages.

use crate::{
    domain::{actor::Channel, audit::Action},
    http::console::texts::audit::AuditTexts,
    service::{BEYOND_LIMIT, Refusal},
};

/// A choice of a filter.
pub struct FilterChoice {
    /// The name in the query string.
    pub value: &'static str,
    /// The name on the page.
    pub title: &'static str,
    /// `true` if it is selected.
    pub is_selected: bool,
}

/// Returns all actions, with this one selected.
pub fn action_choices(selected: &str, texts: &AuditTexts) -> Vec<FilterChoice> {
    let choice = |action: &Action| FilterChoice {
        value: action.name(),
        title: action_title(*action, texts),
        is_selected: action.name() == selected,
    };
    Action::ALL.iter().map(choice).collect()
}

/// Returns all channels, with this one selected.
pub fn channel_choices(selected: &str, texts: &AuditTexts) -> Vec<FilterChoice> {
    let choice = |channel: Channel| FilterChoice {
        value: channel.name(),
        title: channel_title(channel, texts),
        is_selected: channel.name() == selected,
    };
    Channel::ALL.into_iter().map(choice).collect()
}

/// Returns the name of an action.
pub const fn action_title(action: Action, texts: &AuditTexts) -> &'static str {
    match action {
        Action::TokenCreated => texts.token_created,
        Action::TokenUpdated => texts.token_updated,
        Action::TokenDisabled => texts.token_disabled,
        Action::TokenEnabled => texts.token_enabled,
        Action::TokenRotated => texts.token_rotated,
        Action::TokenReissued => texts.token_reissued,
        Action::TokenDeleted => texts.token_deleted,
        Action::TokenRevoked => texts.token_revoked,
        Action::TokenImported => texts.token_imported,
        Action::AdminAdded => texts.admin_added,
        Action::AdminPasswordChanged => texts.admin_password_changed,
        Action::AdminRoleChanged => texts.admin_role_changed,
        Action::AdminRemoved => texts.admin_removed,
        Action::LegacyPhase => texts.legacy_phase,
        Action::LoginRefused => texts.login_refused,
    }
}

/// Returns the name of a channel.
pub const fn channel_title(channel: Channel, texts: &AuditTexts) -> &'static str {
    match channel {
        Channel::Legacy10 => texts.via_legacy,
        Channel::LegacyPre15 => texts.via_legacy_before,
        Channel::ApiTokens => texts.via_api,
        Channel::Graphql => texts.via_graphql,
        Channel::Verify => texts.via_verify,
        Channel::Console => texts.via_console,
        Channel::Cli => texts.via_cli,
    }
}

/// Returns the reason of a refused sign-in, which an event has in English; `None` if only another version writes it.
pub fn refusal_reason(stored: &str, texts: &AuditTexts) -> Option<&'static str> {
    if stored == BEYOND_LIMIT {
        return Some(texts.refused_beyond_limit);
    }
    Refusal::from_name(stored).map(|refusal| match refusal {
        Refusal::Missing => texts.refused_missing,
        Refusal::Malformed => texts.refused_malformed,
        Refusal::DifferentKeys => texts.refused_different_keys,
        Refusal::DifferentAuthorizations => texts.refused_different_authorizations,
        Refusal::DifferentClients => texts.refused_different_clients,
        Refusal::Password => texts.refused_password,
        Refusal::Value => texts.refused_value,
        Refusal::Disabled => texts.refused_disabled,
        Refusal::Expired => texts.refused_expired,
        Refusal::Address => texts.refused_address,
    })
}
