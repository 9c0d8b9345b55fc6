//! Sessions: that an admin has signed in with a browser.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    clock::Timestamp,
    random::{Random, RandomError},
    token::TokenId,
};

const KEY_BYTES: usize = 32;
/// How long a session lasts without a call (OWASP's Session Management Cheat Sheet: 15 to 30 minutes).
const LONGEST_PAUSE: Duration = Duration::from_mins(30);
/// How long a session lasts at most: a working day.
const LONGEST: Duration = Duration::from_hours(12);
/// A call is written down if the last one that was is so long ago.
const SEEN_EVERY: Duration = Duration::from_mins(1);

/// What a browser shows with each call: 32 random bytes as 43 characters of base64url. `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct SessionKey(SecretString);

impl SessionKey {
    /// A new key that nobody can guess.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = [0; KEY_BYTES];
        random.fill(&mut bytes)?;
        Ok(Self(BASE64_URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    /// Reads a key; `None` for what cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; KEY_BYTES];
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (length == KEY_BYTES).then(|| Self(text.to_owned().into()))
    }

    /// The secret itself, for the cookie.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> SessionHash {
        SessionHash(Sha256::digest(self.expose()).into())
    }

    /// What the forms of this browser carry, so that no other site can send one in its name: nobody who does not know the key can make it.
    #[must_use]
    pub fn form_key(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.derive("form", ""))
    }

    /// The id of the token that one form makes, however often it is sent.
    #[must_use]
    pub fn token_id(&self, form: &str) -> TokenId {
        let mut bytes = [0; 16];
        bytes
            .iter_mut()
            .zip(self.derive("token", form))
            .for_each(|(byte, derived)| *byte = derived);
        TokenId::of_random_bytes(bytes)
    }

    fn derive(&self, purpose: &str, of: &str) -> [u8; 32] {
        Sha256::new()
            .chain_update(purpose)
            .chain_update(self.expose())
            .chain_update(of)
            .finalize()
            .into()
    }
}

/// The SHA-256 of a session's key, which has 256 random bits.
#[derive(Clone, Copy)]
pub struct SessionHash([u8; 32]);

impl SessionHash {
    /// The hash as it is stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// When a session began and was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimes {
    /// When its admin signed in.
    pub begun_at: Timestamp,
    /// When it was last written down that it was used.
    pub seen_at: Timestamp,
}

impl SessionTimes {
    /// The latest times that a session can have which has ended by `now`: it began so long ago, or was last seen so long ago.
    #[must_use]
    pub fn ended_by(now: Timestamp) -> Self {
        Self {
            begun_at: now.saturating_sub(LONGEST),
            seen_at: now.saturating_sub(LONGEST_PAUSE),
        }
    }

    /// Whether the session has ended by `now`.
    #[must_use]
    pub fn is_over(self, now: Timestamp) -> bool {
        let ended = Self::ended_by(now);
        self.begun_at <= ended.begun_at || self.seen_at <= ended.seen_at
    }

    /// Whether it is to be written down that the session is used at `now`.
    #[must_use]
    pub fn is_to_be_seen(self, now: Timestamp) -> bool {
        now.since(self.seen_at) >= SEEN_EVERY
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::random::OsRandom;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(2_000_000_000_000_000 + seconds * 1_000_000).unwrap()
    }

    #[test]
    fn a_key_reads_back_and_is_never_shown() {
        let key = SessionKey::generate(&OsRandom).unwrap();
        let read = SessionKey::parse(key.expose()).unwrap();
        assert_eq!(read.hash().as_bytes(), key.hash().as_bytes());
        assert!(!format!("{key:?}").contains(key.expose()));
        for other in ["", "x", &key.expose()[1..], &format!("{}A", key.expose())] {
            assert!(SessionKey::parse(other).is_none(), "{other:?}");
        }
    }

    #[test]
    fn what_is_derived_differs_by_key_and_purpose() {
        let (one, other) = (
            SessionKey::generate(&OsRandom).unwrap(),
            SessionKey::generate(&OsRandom).unwrap(),
        );
        assert_eq!(one.form_key(), one.form_key());
        assert_ne!(one.form_key(), other.form_key());
        assert_eq!(one.token_id("a"), one.token_id("a"));
        assert_ne!(one.token_id("a"), one.token_id("b"));
        assert_ne!(one.token_id("a"), other.token_id("a"));
    }

    #[test]
    fn a_session_ends_by_idling_and_at_the_end_of_the_day() {
        let times = |begun, seen| SessionTimes {
            begun_at: at(begun),
            seen_at: at(seen),
        };
        assert!(!times(0, 0).is_over(at(1799)));
        assert!(times(0, 0).is_over(at(1800)));
        assert!(!times(0, 43_000).is_over(at(43_199)));
        assert!(times(0, 43_199).is_over(at(43_200)));
        assert!(!times(0, 0).is_to_be_seen(at(59)));
        assert!(times(0, 0).is_to_be_seen(at(60)));
    }
}
