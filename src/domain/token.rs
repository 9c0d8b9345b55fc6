//! Tokens, as both APIs share them.

use std::{str::FromStr, time::Duration};

use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::{
    actor::Actor,
    annotation::{Description, Owner},
    cidr::CidrBlocks,
    clock::Timestamp,
    expiry::Expiry,
    invalid::Malformed,
    name::TokenName,
    permission::PermissionSet,
    random::{Random, RandomError},
};

/// Maximum grace period of a rotation.
pub const MAX_GRACE_PERIOD: Duration = Duration::from_hours(7 * 24);

/// The ID of a token: `uuid` in the legacy API, `id` in `/api-tokens`. It identifies a token but
/// does not authenticate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(Uuid);

impl TokenId {
    /// Generates a UUID of version 4.
    ///
    /// # Errors
    /// [`RandomError`] if the random source fails.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = [0; 16];
        random.fill(&mut bytes)?;
        Ok(Self::from_random_bytes(bytes))
    }

    /// Creates a UUID of version 4 from random bits.
    #[must_use]
    pub const fn from_random_bytes(bytes: [u8; 16]) -> Self {
        Self(uuid::Builder::from_random_bytes(bytes).into_uuid())
    }
}

impl FromStr for TokenId {
    type Err = Malformed;

    /// Parses the 36 characters of a hyphenated UUID, in either case.
    ///
    /// # Errors
    /// [`Malformed`] for all other text.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        const HYPHENATED: usize = 36;
        let uuid = Some(text)
            .filter(|text| text.len() == HYPHENATED)
            .and_then(|text| Uuid::try_parse(text).ok());
        uuid.map(Self)
            .ok_or(Malformed("a UUID, such as d0ea6653-05e2-4d51-9d89-665cdfe86be6"))
    }
}

/// The beginning of token IDs, as the range of the IDs that begin with it. Every database compares complete IDs alike,
/// regardless of its collation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenIdPrefix {
    /// The smallest ID with this beginning.
    pub first: TokenId,
    /// The largest ID with this beginning.
    pub last: TokenId,
}

impl TokenIdPrefix {
    /// Minimum number of characters: those of the short IDs on pages.
    const MIN_CHARS: usize = 8;

    /// Returns `true` if the ID begins like this.
    #[must_use]
    pub fn contains(self, id: TokenId) -> bool {
        (self.first..=self.last).contains(&id)
    }
}

impl FromStr for TokenIdPrefix {
    type Err = Malformed;

    /// Parses the beginning of a hyphenated UUID, in either case, with at least 8 characters.
    ///
    /// # Errors
    /// [`Malformed`] for all other text.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        const FIRST: &str = "00000000-0000-0000-0000-000000000000";
        const LAST: &str = "ffffffff-ffff-ffff-ffff-ffffffffffff";
        let complete = |rest: &str| {
            let rest = rest.get(text.len()..).filter(|_| text.len() >= Self::MIN_CHARS);
            rest.and_then(|rest| format!("{text}{rest}").parse().ok())
                .ok_or(Malformed("the beginning of a UUID, at least 8 characters"))
        };
        Ok(Self {
            first: complete(FIRST)?,
            last: complete(LAST)?,
        })
    }
}

impl std::fmt::Display for TokenId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()))
    }
}

impl Serialize for TokenId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut text = Uuid::encode_buffer();
        serializer.serialize_str(self.0.as_hyphenated().encode_lower(&mut text))
    }
}

/// The version of a token: 1 on creation, incremented by each change. A use is not a change.
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

    /// Returns the number.
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

/// A token, without its value: the store keeps only a hash of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The ID.
    pub id: TokenId,
    /// The name.
    pub name: TokenName,
    /// The permissions.
    pub permissions: PermissionSet,
    /// The CIDR blocks that it may be used from.
    pub allowed_cidr_blocks: CidrBlocks,
    /// `true` if it has ever had a value. A token created by the legacy API has none until it is
    /// rotated.
    pub has_value: bool,
    /// The author and the time of the creation.
    pub created: Attribution,
    /// The author and the time of the last update, which is any change but a rotation.
    pub updated: Option<Attribution>,
    /// The time of the last rotation; `None` if it has its first value.
    pub rotated_at: Option<Timestamp>,
    /// The time of the last use.
    pub last_used_at: Option<Timestamp>,
    /// The expiry.
    pub expires_at: Expiry,
    /// The description: what the token is for.
    pub description: Option<Description>,
    /// The person or team to ask about it.
    pub owner: Option<Owner>,
    /// The time since when every use is refused; `None` while it is enabled.
    pub disabled_at: Option<Timestamp>,
    /// The version, which grows with every change.
    pub version: TokenVersion,
}

#[cfg(test)]
impl Token {
    /// Creates a token for tests that an admin created at `made_at`, with a value and without
    /// permissions.
    pub(crate) fn sample(made_at: Timestamp) -> Self {
        let by = Actor {
            id: "admin".to_owned(),
            kind: super::actor::ActorKind::User,
        };
        Self {
            id: TokenId::generate(&super::random::OsRandom).unwrap(),
            name: "n".parse().unwrap(),
            permissions: PermissionSet::default(),
            allowed_cidr_blocks: CidrBlocks::default(),
            has_value: true,
            created: Attribution { at: made_at, by },
            updated: None,
            rotated_at: None,
            last_used_at: None,
            expires_at: Expiry::Never,
            description: None,
            owner: None,
            disabled_at: None,
            version: TokenVersion::FIRST,
        }
    }
}

/// The author and the time of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribution {
    /// The time.
    pub at: Timestamp,
    /// The author.
    pub by: Actor,
}

impl Token {
    /// Returns the end of a grace period that is stored as `until`. It may have been written while
    /// a server's clock was ahead, so the remaining time is capped at the granted grace period.
    #[must_use]
    pub fn grace_end(&self, until: Timestamp, now: Timestamp) -> Timestamp {
        let rotated_ahead = self.rotated_at.filter(|at| at.is_in_future(now) && *at < until);
        let granted = rotated_ahead.map_or(MAX_GRACE_PERIOD, |at| until.since(at).min(MAX_GRACE_PERIOD));
        until.min(now.saturating_add(granted))
    }

    /// Returns `true` if the token has expired at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_past(now)
    }
}

/// The fields of a token that the legacy API shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSummary {
    /// The ID.
    pub id: TokenId,
    /// The name.
    pub name: TokenName,
    /// The permissions.
    pub permissions: PermissionSet,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_the_range_of_its_ids() {
        let prefix: TokenIdPrefix = "D0EA6653-05".parse().unwrap();
        assert_eq!(prefix.first.to_string(), "d0ea6653-0500-0000-0000-000000000000");
        assert_eq!(prefix.last.to_string(), "d0ea6653-05ff-ffff-ffff-ffffffffffff");
        let whole = "d0ea6653-05e2-4d51-9d89-665cdfe86be6";
        let range: TokenIdPrefix = whole.parse().unwrap();
        assert_eq!((range.first.to_string(), range.first), (whole.to_owned(), range.last));
        for other in [
            "",
            "d0ea665",
            "d0ea66530",
            "d0ea665g",
            "agent-12",
            "\u{e9}\u{e9}\u{e9}\u{e9}",
            &format!("{whole}0"),
        ] {
            assert!(other.parse::<TokenIdPrefix>().is_err(), "{other:?}");
        }
    }

    #[test]
    fn only_the_hyphenated_form_is_an_id() {
        let id: TokenId = "D0EA6653-05E2-4D51-9D89-665CDFE86BE6".parse().unwrap();
        assert_eq!(id.to_string(), "d0ea6653-05e2-4d51-9d89-665cdfe86be6");
        for other in [
            "d0ea665305e24d519d89665cdfe86be6",
            "{d0ea6653-05e2-4d51-9d89-665cdfe86be6}",
            "self",
            "",
        ] {
            assert!(other.parse::<TokenId>().is_err(), "{other:?}");
        }
    }
}
