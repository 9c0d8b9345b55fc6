//! Credentials that were verified within the last minute.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    domain::{admin::PasswordHash, name::AdminName},
    service::keyed_hash::{KeyedHash, RecentHashes},
};

/// How long a credential is remembered after it was last shown.
const LIFETIME: Duration = Duration::from_mins(1);
/// The most wrong credentials that are remembered.
const MAX_WRONG: usize = 20_000;

/// Remembers right and wrong credentials as keyed hashes, never the passwords.
///
/// A right one stands next to the stored hash that it matched, and a wrong one contains the stored hash that it did not match: a changed
/// password is noticed at once.
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
    /// Returns `true` if the admin showed this credential within the last minute and it was right then.
    pub fn was_right(&self, name: &AdminName, credential: KeyedHash, now: Instant) -> bool {
        let state = self.state();
        let right = state.right.get(name);
        right.is_some_and(|right| right.credential == credential && right.is_recent(now))
    }

    /// Returns `true` if the credential is still right, because `stored` is the hash that it matched; otherwise forgets it.
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

    /// Remembers a right credential.
    pub fn remember_right(&self, name: AdminName, credential: KeyedHash, matched: PasswordHash, now: Instant) {
        let mut state = self.state();
        // Admins who were removed go, too.
        state.right.retain(|_, right| right.is_recent(now));
        let right = Right {
            credential,
            matched,
            shown_at: now,
        };
        state.right.insert(name, right);
    }

    /// Returns `true` if this attempt was wrong within the last minute.
    pub fn was_wrong(&self, attempt: KeyedHash, now: Instant) -> bool {
        self.state().wrong.refresh(attempt, now)
    }

    /// Remembers a wrong attempt; returns `false` if it is known already.
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
