//! Audit events: records of changes and of refused logins.

use std::str::FromStr;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    Invalid,
    actor::{Actor, Channel, Origin},
    clock::Timestamp,
    invalid::parse_name,
    name::TokenName,
    token::{TokenId, TokenIdPrefix},
};

/// An audit event. It never contains a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// The time of the event.
    pub at: Timestamp,
    /// The actor; `None` for refused logins, except those beyond the hourly limit.
    pub actor: Option<Actor>,
    /// The channel and the client's address.
    pub origin: Origin,
    /// The action.
    pub action: Action,
    /// The affected token, if there is one.
    pub token_id: Option<TokenId>,
    /// Its name after the event; `None` in events that earlier versions recorded, if it is not known.
    pub token_name: Option<TokenName>,
    /// The details of the change, as a JSON object.
    pub details: Value,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident $name:literal, $effect:ident;)*) => {
        /// The action that an audit event records.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action { $($(#[$doc])* $action,)* }

        impl Action {
            /// All actions.
            pub const ALL: &[Self] = &[$(Self::$action,)*];

            /// Returns the stored name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$action => $name,)* }
            }

            /// Returns `true` if the action `invalidates` cached tokens or admins, `false` if it
            /// `keeps` them.
            #[must_use]
            pub const fn invalidates(self) -> bool {
                match self { $(Self::$action => actions!(@is $effect),)* }
            }
        }
    };
    (@is invalidates) => { true };
    (@is keeps) => { false };
}

actions! {
    /// A token was created.
    TokenCreated "token.created", keeps;
    /// A token was changed, but neither disabled nor enabled.
    TokenUpdated "token.updated", invalidates;
    /// A token was disabled: every use is refused.
    TokenDisabled "token.disabled", invalidates;
    /// A disabled token was enabled.
    TokenEnabled "token.enabled", invalidates;
    /// A token was rotated: it has a new value.
    TokenRotated "token.rotated", invalidates;
    /// A fresh value replaced one that was lost with a response: the request was repeated with its idempotency key.
    TokenReissued "token.reissued", invalidates;
    /// A token was deleted.
    TokenDeleted "token.deleted", invalidates;
    /// A value was revoked, by a client that presented it or by an admin: the token was deleted, or a grace period ended.
    TokenRevoked "token.revoked", invalidates;
    /// A token was created or overwritten by an import.
    TokenImported "token.imported", invalidates;
    /// An admin was added.
    AdminAdded "admin.added", keeps;
    /// An admin's password changed.
    AdminPasswordChanged "admin.password-changed", invalidates;
    /// An admin got another role.
    AdminRoleChanged "admin.role-changed", invalidates;
    /// An admin was removed.
    AdminRemoved "admin.removed", invalidates;
    /// A server started with a different phase of the legacy API's retirement than the last
    /// recorded one.
    LegacyPhase "legacy.phase", keeps;
    /// Credentials were refused, once or several times within an interval.
    LoginRefused "login.refused", keeps;
}

impl FromStr for Action {
    type Err = Invalid;

    /// Parses a name.
    ///
    /// # Errors
    /// [`Invalid`] if there is no such action. The message suggests a similar name.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        parse_name("action", text, Self::ALL, Self::name)
    }
}

/// A stored event.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEvent {
    /// The number of the event. It grows in the order of insertion.
    pub id: i64,
    /// The event.
    pub event: AuditEvent,
}

/// A filter on a list of events. Fields that are `None` exclude nothing.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Events at this time or later.
    pub since: Option<Timestamp>,
    /// Events before this time.
    pub until: Option<Timestamp>,
    /// Events whose actor has this ID.
    pub actor: Option<String>,
    /// Events about this token.
    pub token_id: Option<TokenId>,
    /// Events about tokens whose IDs begin like this.
    pub token_id_prefix: Option<TokenIdPrefix>,
    /// Events about tokens that had exactly this name after them.
    pub token_name: Option<String>,
    /// Events with this action.
    pub action: Option<Action>,
    /// Events through this channel.
    pub channel: Option<Channel>,
}

/// The order of a list of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOrder {
    /// The newest event first.
    NewestFirst,
    /// The oldest event first.
    OldestFirst,
}

/// A position in a list of events, just after the event with a given time and number in list order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCursor {
    /// The time of that event.
    pub at: Timestamp,
    /// The number of that event.
    pub id: i64,
}

impl FromStr for EventCursor {
    type Err = Invalid;

    /// Parses the output of `Display`.
    ///
    /// # Errors
    /// [`Invalid`] if `text` is not such a cursor.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; size_of::<i128>()];
        BASE64_URL_SAFE_NO_PAD
            .decode_slice(text, &mut bytes)
            .ok()
            .filter(|length| *length == bytes.len())
            .and_then(|_| {
                let both = i128::from_be_bytes(bytes);
                let at = Timestamp::from_micros(i64::try_from(both >> i64::BITS).ok()?)?;
                let id = i64::try_from(both & i128::from(u64::MAX)).ok()?;
                Some(Self { at, id })
            })
            .ok_or_else(|| Invalid::new("cursor", "must be the unchanged \"next\" of an earlier page"))
    }
}

impl std::fmt::Display for EventCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let both = (i128::from(self.at.micros()) << i64::BITS) | i128::from(self.id);
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(both.to_be_bytes()))
    }
}

/// A page of events.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// The events.
    pub events: Vec<RecordedEvent>,
    /// The cursor to the next page; `None` on the last page.
    pub next: Option<EventCursor>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_actions_are_rejected_with_a_suggestion() {
        assert_eq!("token.deleted".parse::<Action>(), Ok(Action::TokenDeleted));
        let message = "token.delete".parse::<Action>().unwrap_err().to_string();
        assert_eq!(
            message,
            "action: unknown value \"token.delete\"; did you mean \"token.deleted\"?"
        );
        let message = "x".parse::<Action>().unwrap_err().to_string();
        assert!(message.contains("token.created, token.updated"), "{message}");
    }

    proptest! {
        #[test]
        fn cursors_round_trip(micros in 0i64..=253_402_300_799_999_999, id in 0i64..) {
            let cursor = EventCursor { at: Timestamp::from_micros(micros).unwrap(), id };
            prop_assert_eq!(cursor.to_string().parse::<EventCursor>(), Ok(cursor));
        }

        #[test]
        fn other_text_is_not_a_cursor(text in "[A-Za-z0-9_-]{22}|.{0,30}") {
            if let Ok(cursor) = text.parse::<EventCursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }
}
