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

/// How long a credential stays cached after its last use.
const LIFETIME: Duration = Duration::from_mins(1);
/// Maximum number of cached wrong credentials.
const MAX_WRONG: usize = 20_000;

/// Caches right and wrong credentials as keyed hashes, never as passwords.
///
/// A right credential is stored with the password hash that it matched. A wrong one includes the password hash that it did not match. So a
/// password change invalidates both immediately.
pub struct Cache(Mutex<State>);

struct State {
    right: HashMap<AdminName, Right>,
    wrong: RecentHashes,
}

struct Right {
    credential: KeyedHash,
    matched: PasswordHash,
    shown_at: Instant,
}

impl Default for Cache {
    fn default() -> Self {
        Self(Mutex::new(State {
            right: HashMap::new(),
            wrong: RecentHashes::new(MAX_WRONG, LIFETIME),
        }))
    }
}

impl Cache {
    /// Returns `true` if this credential was verified for the admin within the last minute.
    pub fn was_right(&self, name: &AdminName, credential: KeyedHash, now: Instant) -> bool {
        let state = self.state();
        let right = state.right.get(name);
        right.is_some_and(|right| right.credential == credential && right.is_recent(now))
    }

    /// Returns `true` if the credential is still right, because it matched the hash `stored`; otherwise removes it.
    pub fn is_right(&self, name: &AdminName, credential: KeyedHash, stored: &PasswordHash, now: Instant) -> bool {
        let mut state = self.state();
        let Some(right) = state.right.get_mut(name) else {
            return false;
        };
        if right.matched != *stored {
            state.right.remove(name);
            return false;
        }
        let is_right = right.credential == credential && right.is_recent(now);
        if is_right {
            right.shown_at = now;
        }
        is_right
    }

    /// Caches a right credential.
    pub fn remember_right(&self, name: AdminName, credential: KeyedHash, matched: PasswordHash, now: Instant) {
        let mut state = self.state();
        // This also removes the entries of deleted admins.
        state.right.retain(|_, right| right.is_recent(now));
        let right = Right {
            credential,
            matched,
            shown_at: now,
        };
        state.right.insert(name, right);
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

impl Right {
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.shown_at) < LIFETIME
    }
}
