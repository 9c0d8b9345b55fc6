//! What is remembered of every change and every refused login.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{
    Invalid,
    actor::{Actor, Channel, Origin},
    clock::Timestamp,
    invalid::parse_name,
    token::TokenId,
};

/// One thing that happened. It never holds a secret.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEvent {
    /// When.
    pub at: Timestamp,
    /// Who; nobody when a login was refused.
    pub actor: Option<Actor>,
    /// Through which channel and from which address.
    pub origin: Origin,
    /// What was done.
    pub action: Action,
    /// To which token, if to one.
    pub token_id: Option<TokenId>,
    /// What changed, as a JSON object.
    pub details: Value,
}

macro_rules! actions {
    ($($(#[$doc:meta])* $action:ident $name:literal $(, $invalidates:ident)?;)*) => {
        /// What an audit event tells of.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action { $($(#[$doc])* $action,)* }

        impl Action {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$action,)*];

            /// The name that the store keeps.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$action => $name,)* }
            }

            /// Whether what somebody has remembered of the token or the admin may be wrong after it.
            #[must_use]
            pub const fn invalidates(self) -> bool {
                match self { $(Self::$action => actions!(@is $($invalidates)?),)* }
            }
        }
    };
    (@is invalidates) => { true };
    (@is) => { false };
}

actions! {
    /// A token was made.
    TokenCreated "token.created";
    /// A token's name, permissions, blocks or expiry changed.
    TokenUpdated "token.updated", invalidates;
    /// A token got a new value.
    TokenRotated "token.rotated", invalidates;
    /// A token was removed.
    TokenDeleted "token.deleted", invalidates;
    /// A token came from elsewhere, or became again what it is there.
    TokenImported "token.imported", invalidates;
    /// An admin was added.
    AdminAdded "admin.added";
    /// An admin's password changed.
    AdminPasswordChanged "admin.password-changed", invalidates;
    /// An admin was removed.
    AdminRemoved "admin.removed", invalidates;
    /// A server has started with another phase of the legacy API's end than the one before.
    LegacyPhase "legacy.phase";
    /// Credentials were refused, perhaps more than once in the same few seconds.
    LoginRefused "login.refused";
}

impl Action {
    /// Reads a name.
    ///
    /// # Errors
    /// When there is no such action; the message names one that may have been meant.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        parse_name("action", text, Self::ALL, Self::name)
    }
}

/// An event as the store keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordedEvent {
    /// Its number: later ones have larger numbers.
    pub id: i64,
    /// What happened.
    pub event: AuditEvent,
}

/// Which events a list shows; all of them where nothing is set.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Those of this time and later.
    pub since: Option<Timestamp>,
    /// Those before this time.
    pub until: Option<Timestamp>,
    /// Those of the actor of this id.
    pub actor: Option<String>,
    /// Those of this token.
    pub token_id: Option<TokenId>,
    /// Those that tell of this.
    pub action: Option<Action>,
    /// Those that came through this channel.
    pub channel: Option<Channel>,
}

/// The order of a list of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOrder {
    /// The latest at first.
    NewestFirst,
    /// The earliest at first.
    OldestFirst,
}

/// A place in a list of events: behind the one of that time and number, in the order of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventCursor {
    /// The event's time.
    pub at: Timestamp,
    /// The event's number.
    pub id: i64,
}

impl EventCursor {
    /// Reads what its `Display` wrote.
    ///
    /// # Errors
    /// When it was not written by this program.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
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
            .ok_or_else(|| Invalid::new("cursor", "it must be the \"next\" of an earlier page, unchanged"))
    }
}

impl std::fmt::Display for EventCursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let both = (i128::from(self.at.micros()) << i64::BITS) | i128::from(self.id);
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(both.to_be_bytes()))
    }
}

/// Some events, and where the next ones begin.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// The events.
    pub events: Vec<RecordedEvent>,
    /// Where the next page begins; nothing on the last.
    pub next: Option<EventCursor>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn unknown_actions_are_rejected_with_a_suggestion() {
        assert_eq!(Action::parse("token.deleted"), Ok(Action::TokenDeleted));
        let told = Action::parse("token.delete").unwrap_err().to_string();
        assert_eq!(
            told,
            "action: \"token.delete\" is not one of them; did you mean \"token.deleted\"?"
        );
        let told = Action::parse("x").unwrap_err().to_string();
        assert!(told.contains("token.created, token.updated"), "{told}");
    }

    proptest! {
        #[test]
        fn cursors_round_trip(micros in 0i64..=253_402_300_799_999_999, id in 0i64..) {
            let cursor = EventCursor { at: Timestamp::from_micros(micros).unwrap(), id };
            prop_assert_eq!(EventCursor::parse(&cursor.to_string()), Ok(cursor));
        }

        #[test]
        fn other_text_is_not_a_cursor(text in "[A-Za-z0-9_-]{22}|.{0,30}") {
            if let Ok(cursor) = EventCursor::parse(&text) {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }
}
