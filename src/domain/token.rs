//! The one token that both APIs show.

use std::time::Duration;

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::{
    actor::Actor,
    cidr::CidrBlocks,
    clock::Timestamp,
    expiry::Expiry,
    name::TokenName,
    permission::PermissionSet,
    random::{Random, RandomError},
};

/// Maximum grace period of a rotation.
pub const MAX_GRACE_PERIOD: Duration = Duration::from_hours(7 * 24);

/// What a token is known by: `uuid` in the legacy view, `id` in the other. It identifies, and authenticates nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(Uuid);

impl TokenId {
    /// A new UUID of version 4.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = [0; 16];
        random.fill(&mut bytes)?;
        Ok(Self::from_random_bytes(bytes))
    }

    /// The UUID of version 4 that has these random bits.
    #[must_use]
    pub const fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }

    /// Reads the 36 characters of a UUID, in either case; `None` for every other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        const HYPHENATED: usize = 36;
        let uuid = (text.len() == HYPHENATED).then(|| Uuid::try_parse(text).ok())??;
        Some(Self(uuid))
    }
}

impl std::fmt::Display for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl Serialize for TokenId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Uuid::encode_buffer();
        serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut text))
    }
}

/// The version of a token: 1 when it is created, and one more with each change. A use is not a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenVersion(i64);

impl TokenVersion {
    /// The version of a token that was never changed.
    pub const FIRST: Self = Self(1);

    /// Returns the version with this number; `None` if the number is not positive.
    #[must_use]
    pub const fn from_number(number: i64) -> Option<Self> {
        if number >= Self::FIRST.0 {
            Some(Self(number))
        } else {
            None
        }
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// Returns the version after one more change.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl std::fmt::Display for TokenVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A token. Its value is not here: only a hash of it is kept, in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is known by.
    pub id: TokenId,
    /// What people call it.
    pub name: TokenName,
    /// What it may do.
    pub permissions: PermissionSet,
    /// From where it may be used.
    pub allowed_cidr_blocks: CidrBlocks,
    /// Whether it ever had a value. One made by the legacy API has none until somebody rotates it.
    pub has_value: bool,
    /// When and by whom it was made.
    pub created: Attribution,
    /// When and by whom its name, permissions, blocks or expiry were last changed.
    pub updated: Option<Attribution>,
    /// When it last got a new value, after the first.
    pub rotated_at: Option<Timestamp>,
    /// When it last authenticated somebody.
    pub last_used_at: Option<Timestamp>,
    /// When it stops working.
    pub expires_at: Expiry,
    /// The version, which grows with every change.
    pub version: TokenVersion,
}

#[cfg(test)]
impl Token {
    /// A token for tests, made by an admin at that time, with a value and nothing else.
    pub(crate) fn sample(made_at: Timestamp) -> Self {
        let by = Actor {
            id: "admin".to_owned(),
            kind: super::actor::ActorKind::User,
        };
        Self {
            id: TokenId::generate(&super::random::OsRandom).unwrap(),
            name: TokenName::parse("n").unwrap(),
            permissions: PermissionSet::default(),
            allowed_cidr_blocks: CidrBlocks::default(),
            has_value: true,
            created: Attribution { at: made_at, by },
            updated: None,
            rotated_at: None,
            last_used_at: None,
            expires_at: Expiry::Never,
            version: TokenVersion::FIRST,
        }
    }
}

/// That somebody did something at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: Actor,
}

impl Token {
    /// Returns the end of a grace period that is stored as `until`. A clock running ahead may have written it, so the remaining time is
    /// capped at the granted grace period.
    #[must_use]
    pub fn grace_end(&self, until: Timestamp, now: Timestamp) -> Timestamp {
        let rotated_ahead = self.rotated_at.filter(|at| at.is_in_future(now) && *at < until);
        let granted = rotated_ahead.map_or(MAX_GRACE_PERIOD, |at| until.since(at).min(MAX_GRACE_PERIOD));
        until.min(now.saturating_add(granted))
    }

    /// Returns `true` if it has expired at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_past(now)
    }
}

/// What the legacy view shows of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSummary {
    /// What it is known by.
    pub id: TokenId,
    /// What people call it.
    pub name: TokenName,
    /// What it may do.
    pub permissions: PermissionSet,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let id = TokenId::parse("D0EA6653-05E2-4D51-9D89-665CDFE86BE6").unwrap();
        assert_eq!(id.to_string(), "d0ea6653-05e2-4d51-9d89-665cdfe86be6");
        for other in [
            "d0ea665305e24d519d89665cdfe86be6",
            "{d0ea6653-05e2-4d51-9d89-665cdfe86be6}",
            "self",
            "",
        ] {
            assert_eq!(TokenId::parse(other), None, "{other:?}");
        }
    }
}
