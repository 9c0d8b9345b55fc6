//! Console sessions of admins.

use std::{
    net::IpAddr,
    str::FromStr,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::{
    clock::Timestamp,
    invalid::Malformed,
    random::{Random, RandomError},
    token::TokenId,
};

const KEY_BYTES: usize = 32;
/// Idle timeout of a session (OWASP's Session Management Cheat Sheet: 15 to 30 minutes).
const MAX_IDLE_TIME: Duration = Duration::from_mins(30);
/// Absolute timeout of a session: a working day.
const MAX_LIFETIME: Duration = Duration::from_hours(12);
/// Minimum interval between writes of a session's last use.
const TOUCH_INTERVAL: Duration = Duration::from_mins(1);

/// The secret in a session's cookie: 32 random bytes as 43 characters of base64url. `Debug` does
/// not show it.
#[derive(Clone, Debug)]
pub struct SessionKey(SecretString);

impl SessionKey {
    /// Generates a key.
    ///
    /// # Errors
    /// Returns [`RandomError`] if the random source fails.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = [0; KEY_BYTES];
        random.fill(&mut bytes)?;
        Ok(Self(BASE64_URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    /// Returns the secret itself, for the cookie.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns the hash, which is all that the store keeps.
    #[must_use]
    pub fn hash(&self) -> SessionHash {
        SessionHash(Sha256::digest(self.expose()).into())
    }

    /// Returns an anti-CSRF token for the console's forms. It cannot be computed without the key, so
    /// another site cannot submit a form on the admin's behalf. Each token is masked with fresh
    /// random bytes, because the size of compressed pages would reveal a constant one (BREACH).
    ///
    /// # Errors
    /// Returns [`RandomError`] if the random source fails.
    pub fn csrf_token(&self, random: &dyn Random) -> Result<String, RandomError> {
        let mut mask = [0; 32];
        random.fill(&mut mask)?;
        let masked = xor(self.derive("form", ""), mask);
        Ok(BASE64_URL_SAFE_NO_PAD.encode([mask, masked].as_flattened()))
    }

    /// Returns `true` if `token` is an anti-CSRF token of this key.
    #[must_use]
    pub fn accepts_csrf_token(&self, token: &str) -> bool {
        let mut bytes = [[0; 32]; 2];
        let length = BASE64_URL_SAFE_NO_PAD.decode_slice(token, bytes.as_flattened_mut());
        let [mask, masked] = bytes;
        // The result of a digest does not reveal by its timing where the compared values differ.
        let digest = |token: [u8; 32]| Sha256::digest(token);
        length == Ok(64) && digest(xor(masked, mask)) == digest(self.derive("form", ""))
    }

    /// Returns the ID of the token that a form creates. Submitting the same form again yields the
    /// same ID, so it creates no second token.
    #[must_use]
    pub fn token_id(&self, form: &str) -> TokenId {
        let mut bytes = [0; 16];
        bytes
            .iter_mut()
            .zip(self.derive("token", form))
            .for_each(|(byte, derived)| *byte = derived);
        TokenId::from_random_bytes(bytes)
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

impl FromStr for SessionKey {
    type Err = Malformed;

    /// Parses a key.
    ///
    /// # Errors
    /// [`Malformed`] unless `text` is 32 bytes in base64url.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut bytes = [0; KEY_BYTES];
        match BASE64_URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(KEY_BYTES) => Ok(Self(text.to_owned().into())),
            Ok(_) | Err(_) => Err(Malformed("32 bytes in base64url")),
        }
    }
}

fn xor(mut bytes: [u8; 32], mask: [u8; 32]) -> [u8; 32] {
    bytes.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    bytes
}

/// The SHA-256 of a session key. A key has 256 random bits, so it needs neither salt nor
/// stretching.
#[derive(Clone, Copy)]
pub struct SessionHash([u8; 32]);

impl SessionHash {
    /// Returns the stored form of the hash.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The stored timestamps of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTimes {
    /// The time of the sign-in.
    pub begun_at: Timestamp,
    /// The last use that was stored.
    pub seen_at: Timestamp,
}

impl SessionTimes {
    /// Returns the timestamps of a session that starts at `now`.
    #[must_use]
    pub fn starting_at(now: Timestamp) -> Self {
        Self {
            begun_at: now,
            seen_at: now,
        }
    }

    /// Returns the cutoffs at `now`: a session has expired if it began at or before `begun_at`, or
    /// was last seen at or before `seen_at`.
    #[must_use]
    pub fn expiry_cutoffs(now: Timestamp) -> Self {
        Self {
            begun_at: now.saturating_sub(MAX_LIFETIME),
            seen_at: now.saturating_sub(MAX_IDLE_TIME),
        }
    }

    /// Returns `true` if `now` must be written as the last use: the stored one is at least a minute
    /// away, in either direction, because the wall clock may have been set back.
    #[must_use]
    pub fn should_touch(self, now: Timestamp) -> bool {
        now.since(self.seen_at).max(self.seen_at.since(now)) >= TOUCH_INTERVAL
    }
}

/// A session, as its admin sees it.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// The time of the sign-in.
    pub begun_at: Timestamp,
    /// The last use that was stored.
    pub seen_at: Timestamp,
    /// The client's address at the sign-in, if it was known.
    pub client: Option<IpAddr>,
    /// The user agent at the sign-in; empty if the client sent none.
    pub user_agent: String,
    /// `true` for the session that asks.
    pub is_current: bool,
}

/// The duration and idle time of a session, by the monotonic clock of a server that has seen it.
///
/// A server compares the stored timestamps with the wall clock once, when it first sees the
/// session. After that, setting the wall clock neither ends nor prolongs the session.
#[derive(Clone, Copy, Debug)]
pub struct SessionAge {
    elapsed: Duration,
    idle: Duration,
    /// The instant of the measurement.
    measured_at: Instant,
    /// The stored last use at that instant.
    seen_at: Timestamp,
}

impl SessionAge {
    /// Returns the age of a session that this server sees for the first time. Returns `None` if its
    /// start was written while a server's clock was ahead.
    #[must_use]
    pub fn new(times: SessionTimes, now: Timestamp, instant: Instant) -> Option<Self> {
        (!times.begun_at.is_in_future(now)).then(|| Self {
            elapsed: now.since(times.begun_at),
            idle: now.since(times.seen_at),
            measured_at: instant,
            seen_at: times.seen_at,
        })
    }

    /// Returns the age at a later instant, where `seen_at` is the stored last use. If that has
    /// changed, another server has recorded a use since the measurement.
    #[must_use]
    pub fn at(self, seen_at: Timestamp, now: Timestamp, instant: Instant) -> Self {
        let passed = instant.saturating_duration_since(self.measured_at);
        let idle = if seen_at == self.seen_at {
            self.idle + passed
        } else {
            now.since(seen_at).min(passed)
        };
        Self {
            elapsed: self.elapsed + passed,
            idle,
            measured_at: instant,
            seen_at,
        }
    }

    /// Returns the age at a later instant, assuming no use through other servers.
    #[must_use]
    pub fn aged_to(self, instant: Instant) -> Self {
        self.at(self.seen_at, self.seen_at, instant)
    }

    /// Returns `true` if the session has ended.
    #[must_use]
    pub fn is_expired(self) -> bool {
        self.elapsed >= MAX_LIFETIME || self.idle >= MAX_IDLE_TIME
    }

    /// Returns the time until the session ends unless it is used.
    #[must_use]
    pub fn remaining(self) -> Duration {
        let lifetime = MAX_LIFETIME.saturating_sub(self.elapsed);
        lifetime.min(MAX_IDLE_TIME.saturating_sub(self.idle))
    }

    /// Returns the age after a use, with the last use that is stored from now on.
    #[must_use]
    pub fn after_use(self, seen_at: Timestamp) -> Self {
        Self {
            idle: Duration::ZERO,
            seen_at,
            ..self
        }
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
    fn keys_round_trip_and_are_never_printed() {
        let key = SessionKey::generate(&OsRandom).unwrap();
        let read: SessionKey = key.expose().parse().unwrap();
        assert_eq!(read.hash().as_bytes(), key.hash().as_bytes());
        assert!(!format!("{key:?}").contains(key.expose()));
        for other in ["", "x", &key.expose()[1..], &format!("{}A", key.expose())] {
            assert!(other.parse::<SessionKey>().is_err(), "{other:?}");
        }
    }

    #[test]
    fn derived_secrets_differ_by_key_and_purpose() {
        let (one, other) = (
            SessionKey::generate(&OsRandom).unwrap(),
            SessionKey::generate(&OsRandom).unwrap(),
        );
        let token = one.csrf_token(&OsRandom).unwrap();
        assert_ne!(token, one.csrf_token(&OsRandom).unwrap());
        assert!(one.accepts_csrf_token(&token));
        assert!(!other.accepts_csrf_token(&token));
        let unmasked = BASE64_URL_SAFE_NO_PAD.encode(one.derive("form", ""));
        for wrong in [
            "",
            &token[1..],
            &format!("{token}AAAA"),
            &unmasked,
            &"A".repeat(token.len()),
        ] {
            assert!(!one.accepts_csrf_token(wrong), "{wrong:?}");
        }
        assert_eq!(one.token_id("a"), one.token_id("a"));
        assert_ne!(one.token_id("a"), one.token_id("b"));
        assert_ne!(one.token_id("a"), other.token_id("a"));
    }

    #[test]
    fn sessions_end_when_idle_and_at_the_end_of_the_day() {
        let times = |begun, seen| SessionTimes {
            begun_at: at(begun),
            seen_at: at(seen),
        };
        let start = Instant::now();
        let is_expired =
            |begun, seen, now| SessionAge::new(times(begun, seen), at(now), start).is_none_or(SessionAge::is_expired);
        assert!(!is_expired(0, 0, 1799));
        assert!(is_expired(0, 0, 1800));
        assert!(!is_expired(0, 43_000, 43_199));
        assert!(is_expired(0, 43_199, 43_200));
        assert!(is_expired(400, 400, 0), "it cannot have begun yet");
        assert!(!times(0, 0).should_touch(at(59)));
        assert!(times(0, 0).should_touch(at(60)));
        assert!(times(0, 60).should_touch(at(0)));
    }

    #[test]
    fn setting_the_wall_clock_changes_no_age() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let times = SessionTimes {
            begun_at: at(0),
            seen_at: at(0),
        };
        let age = SessionAge::new(times, at(0), start).unwrap();
        for wall in [-100_000, 0, 100_000] {
            assert!(!age.at(at(0), at(wall), later(1799)).is_expired());
            assert!(age.at(at(0), at(wall), later(1800)).is_expired());
            let used = age.at(at(0), at(wall), later(1799)).after_use(at(wall));
            assert!(!used.at(at(wall), at(wall + 1700), later(3500)).is_expired());
            assert!(used.at(at(wall), at(wall), later(43_200)).is_expired());
            assert_eq!(used.remaining(), MAX_IDLE_TIME);
            let near_the_end = used.at(at(wall), at(wall), later(43_190)).after_use(at(wall));
            assert_eq!(near_the_end.remaining(), Duration::from_secs(10));
            // Another server has recorded a use meanwhile.
            assert!(!age.at(at(wall + 1), at(wall + 2), later(5000)).is_expired());
        }
    }
}
