//! A cache of the credentials that were verified within the last minute.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    domain::{admin::PasswordHash, name::AdminName},
    service::keyed_hash::{KeyedHash, RecentHashes},
};

/// Lifetime of a cached credential after its last use.
const LIFETIME: Duration = Duration::from_mins(1);
/// Maximum number of cached wrong credentials.
const MAX_WRONG: usize = 20_000;

/// Caches verified and wrong credentials as keyed hashes, never as passwords.
///
/// A verified credential is stored with the password hash that it matched. A wrong one includes the
/// password hash that it did not match. So a password change invalidates both immediately.
pub struct Cache(Mutex<State>);

struct State {
    verified: HashMap<AdminName, VerifiedPassword>,
    wrong: RecentHashes,
}

struct VerifiedPassword {
    credential: KeyedHash,
    matched: PasswordHash,
    verified_at: Instant,
}

impl Default for Cache {
    fn default() -> Self {
        Self(Mutex::new(State {
            verified: HashMap::new(),
            wrong: RecentHashes::new(MAX_WRONG, LIFETIME),
        }))
    }
}

impl Cache {
    /// Returns `true` if this credential was verified for the admin within the last minute.
    pub fn was_correct(&self, name: &AdminName, credential: KeyedHash, now: Instant) -> bool {
        let state = self.state();
        let verified = state.verified.get(name);
        verified.is_some_and(|verified| verified.credential == credential && verified.is_recent(now))
    }

    /// Returns `true` if the credential was verified against the hash `stored` within the last
    /// minute. Removes the entry if the stored hash has changed.
    pub fn is_correct(&self, name: &AdminName, credential: KeyedHash, stored: &PasswordHash, now: Instant) -> bool {
        let mut state = self.state();
        let Some(verified) = state.verified.get_mut(name) else {
            return false;
        };
        if verified.matched != *stored {
            state.verified.remove(name);
            return false;
        }
        let is_correct = verified.credential == credential && verified.is_recent(now);
        if is_correct {
            verified.verified_at = now;
        }
        is_correct
    }

    /// Caches a verified credential.
    pub fn remember_correct(&self, name: AdminName, credential: KeyedHash, matched: PasswordHash, now: Instant) {
        let mut state = self.state();
        // This also removes the entries of deleted admins.
        state.verified.retain(|_, verified| verified.is_recent(now));
        let verified = VerifiedPassword {
            credential,
            matched,
            verified_at: now,
        };
        state.verified.insert(name, verified);
    }

    /// Returns `true` if this login failed within the last minute.
    pub fn was_wrong(&self, attempt: KeyedHash, now: Instant) -> bool {
        self.state().wrong.refresh(attempt, now)
    }

    /// Caches a wrong login. Returns `false` if it was cached already.
    pub fn remember_wrong(&self, attempt: KeyedHash, now: Instant) -> bool {
        let mut state = self.state();
        let is_new = !state.wrong.contains(attempt, now);
        state.wrong.insert(attempt, now);
        is_new
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VerifiedPassword {
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.verified_at) < LIFETIME
    }
}
