//! Hashes with a key that only this process has. They replace names and passwords that must not be
//! kept in memory.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::domain::random::{Random, RandomError};

/// Computes HMAC-SHA-256 with a random key that never leaves the process.
pub struct KeyedHasher(Hmac<Sha256>);

/// A keyed hash: 32 bytes, regardless of the length of its input.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyedHash([u8; 32]);

impl KeyedHasher {
    /// Creates a hasher with a new key.
    ///
    /// # Errors
    /// [`RandomError`] if the random source fails.
    #[expect(clippy::expect_used, reason = "HMAC accepts keys of any length")]
    pub fn new(random: &dyn Random) -> Result<Self, RandomError> {
        let mut key = [0; 32];
        random.fill(&mut key)?;
        let keyed = Hmac::new_from_slice(&key).expect("HMAC accepts keys of any length");
        Ok(Self(keyed))
    }

    /// Hashes `parts`, each prefixed with its length, so that different lists never produce the
    /// same input.
    pub fn hash(&self, parts: &[&[u8]]) -> KeyedHash {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&part.len().to_be_bytes());
            mac.update(part);
        }
        KeyedHash(mac.finalize().into_bytes().into())
    }
}

/// Hashes that were added within `lifetime`, at most `max` of them. When the set is full, it drops
/// the oldest half.
pub struct RecentHashes {
    max: usize,
    lifetime: Duration,
    latest: HashMap<KeyedHash, Instant>,
    earlier: HashMap<KeyedHash, Instant>,
}

impl RecentHashes {
    /// Creates an empty set.
    pub fn new(max: usize, lifetime: Duration) -> Self {
        Self {
            max,
            lifetime,
            latest: HashMap::new(),
            earlier: HashMap::new(),
        }
    }

    /// Adds a hash, or renews it.
    pub fn insert(&mut self, hash: KeyedHash, now: Instant) {
        if self.latest.len() >= self.max / 2 {
            self.earlier = std::mem::take(&mut self.latest);
        }
        self.latest.insert(hash, now);
    }

    /// Returns `true` and renews the hash if it was added within the lifetime.
    pub fn refresh(&mut self, hash: KeyedHash, now: Instant) -> bool {
        let found = self.contains(hash, now);
        if found {
            self.insert(hash, now);
        }
        found
    }

    /// Returns `true` if the hash was added within the lifetime.
    pub fn contains(&self, hash: KeyedHash, now: Instant) -> bool {
        let added = self.latest.get(&hash).or_else(|| self.earlier.get(&hash));
        added.is_some_and(|added| now.saturating_duration_since(*added) < self.lifetime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::random::OsRandom;

    #[test]
    fn part_boundaries_change_the_hash() {
        let hasher = KeyedHasher::new(&OsRandom).unwrap();
        let other = KeyedHasher::new(&OsRandom).unwrap();
        assert!(hasher.hash(&[b"ab", b"c"]) == hasher.hash(&[b"ab", b"c"]));
        assert!(hasher.hash(&[b"ab", b"c"]) != hasher.hash(&[b"a", b"bc"]));
        assert!(hasher.hash(&[b"ab"]) != other.hash(&[b"ab"]));
    }

    #[test]
    fn recent_hashes_expire_and_are_bounded() {
        let hasher = KeyedHasher::new(&OsRandom).unwrap();
        let hash = |n: u32| hasher.hash(&[&n.to_be_bytes()]);
        let now = Instant::now();
        let mut recent = RecentHashes::new(100, Duration::from_mins(1));
        recent.insert(hash(0), now);
        assert!(recent.refresh(hash(0), now + Duration::from_secs(59)));
        assert!(recent.contains(hash(0), now + Duration::from_secs(118)));
        assert!(!recent.contains(hash(0), now + Duration::from_secs(119)));
        for n in 1..1000 {
            recent.insert(hash(n), now);
            assert!(recent.contains(hash(n), now));
            assert!(recent.latest.len() + recent.earlier.len() <= 100);
        }
        assert!(!recent.contains(hash(0), now));
    }
}
