//! Conditions of a token that need attention.

use std::time::Duration;

use super::{clock::Timestamp, token::Token};

/// The age after which an idle token counts as unused, and a value as due for rotation: 90 days
/// (CIS AWS Foundations Benchmark 1.12 and 1.14).
pub const STALE_AFTER: Duration = Duration::from_hours(90 * 24);
/// The time before its expiry from which a token counts as expiring.
pub const EXPIRING_WITHIN: Duration = Duration::from_hours(30 * 24);

/// A condition that needs attention. A token can have more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attention {
    /// The token is disabled.
    Disabled,
    /// The token has expired.
    Expired,
    /// The token expires within 30 days.
    Expiring,
    /// The token has never had a value, so only the legacy API knows it.
    Legacy,
    /// The token has never been used to authenticate.
    NeverUsed,
    /// The token has not been used to authenticate for more than 90 days.
    Unused,
    /// The token's value is more than 90 days old.
    RotationDue,
}

impl Attention {
    /// Returns the conditions of `token` at `now`, the most serious first.
    #[must_use]
    pub fn for_token(token: &Token, now: Timestamp) -> Vec<Self> {
        let stale_before = now.saturating_sub(STALE_AFTER);
        let soon = now.saturating_add(EXPIRING_WITHIN);
        let value_created_at = token.rotated_at.unwrap_or(token.created.at);
        let all = [
            (Self::Disabled, token.disabled_at.is_some()),
            (Self::Expired, token.is_expired(now)),
            (Self::Expiring, !token.is_expired(now) && token.expires_at.is_past(soon)),
            (Self::Legacy, !token.has_value),
            (Self::NeverUsed, token.last_used_at.is_none()),
            (Self::Unused, token.last_used_at.is_some_and(|used| used < stale_before)),
            (Self::RotationDue, token.has_value && value_created_at < stale_before),
        ];
        all.into_iter().filter(|(_, seen)| *seen).map(|(one, _)| one).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::expiry::Expiry;

    const DAY: i64 = 86_400_000_000;

    fn day(number: i64) -> Timestamp {
        Timestamp::from_micros(number * DAY).unwrap()
    }

    fn token() -> Token {
        Token {
            last_used_at: Some(day(1000)),
            ..Token::sample(day(1000))
        }
    }

    #[test]
    fn a_healthy_token_needs_no_attention() {
        assert_eq!(Attention::for_token(&token(), day(1090)), []);
    }

    #[test]
    fn each_kind_starts_on_its_day() {
        let later = Timestamp::from_micros(1090 * DAY + 1).unwrap();
        assert_eq!(
            Attention::for_token(&token(), later),
            [Attention::Unused, Attention::RotationDue]
        );
        let rotated = Token {
            rotated_at: Some(day(1080)),
            last_used_at: None,
            ..token()
        };
        assert_eq!(Attention::for_token(&rotated, later), [Attention::NeverUsed]);
        let legacy = Token {
            has_value: false,
            ..token()
        };
        assert_eq!(
            Attention::for_token(&legacy, later),
            [Attention::Legacy, Attention::Unused]
        );
        let ending = Token {
            expires_at: Expiry::At(day(1040)),
            ..token()
        };
        let disabled = Token {
            disabled_at: Some(day(1001)),
            ..token()
        };
        assert_eq!(Attention::for_token(&disabled, day(1002)), [Attention::Disabled]);
        assert_eq!(Attention::for_token(&ending, day(1009)), []);
        assert_eq!(Attention::for_token(&ending, day(1010)), [Attention::Expiring]);
        assert_eq!(Attention::for_token(&ending, day(1040)), [Attention::Expired]);
    }
}
