//! The state that the model checker explores.

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use super::{
    super::{MAX_POLL_AGE, State},
    Bounds, CREDENTIALS, CachedCredentials, Change, Credential, Duration, Instant, MAX_REVOCATION_DELAY, TokenCache,
    X0, X1, Y,
};
use crate::{service::token_cache::Generation, store::revision::Invalidation};

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ChangeKind {
    CreateY,
    RotateX,
    RevokeX,
    RevokeY,
    RevokeAll,
}

impl ChangeKind {
    pub const ALL: &'static [Self] = &[
        Self::CreateY,
        Self::RotateX,
        Self::RevokeX,
        Self::RevokeY,
        Self::RevokeAll,
    ];
}

/// A store, or a standby's copy of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Store {
    pub number: i64,
    /// For each credential, `true` if it is valid.
    pub valid: [bool; 3],
}

impl Store {
    /// Applies a change. Returns its invalidation; creating a token invalidates nothing.
    pub fn apply(&mut self, kind: ChangeKind, cached: &CachedCredentials) -> Option<Invalidation> {
        let token = |credential: usize| Invalidation::Token(cached[credential].1.token.id);
        match kind {
            ChangeKind::CreateY => {
                self.valid[Y] = true;
                None
            }
            ChangeKind::RotateX => {
                (self.valid[X0], self.valid[X1]) = (false, true);
                Some(token(X0))
            }
            ChangeKind::RevokeX => {
                (self.valid[X0], self.valid[X1]) = (false, false);
                Some(token(X0))
            }
            ChangeKind::RevokeY => {
                self.valid[Y] = false;
                Some(token(Y))
            }
            ChangeKind::RevokeAll => {
                self.valid = [false; 3];
                Some(Invalidation::Several)
            }
        }
    }
}

/// An acknowledged revocation that the store has not lost.
#[derive(Clone, Copy)]
pub struct Revocation {
    pub acknowledged_at: Instant,
    /// Replica 0 acknowledged it.
    pub here: bool,
}

/// A poll that was sent, and its response in transit.
#[derive(Clone)]
pub struct Poll {
    pub asked_at: Instant,
    pub answer: Option<i64>,
}

/// A read of a valid credential.
#[derive(Clone)]
pub struct Read {
    pub credential: usize,
    pub generation: Generation,
    pub is_answered: bool,
}

/// A server.
#[derive(Clone, Default)]
pub struct Replica {
    pub cache: TokenCache,
    pub poll: Option<Poll>,
    pub read: Option<Read>,
}

impl Clone for TokenCache {
    fn clone(&self) -> Self {
        Self(self.read().clone().into())
    }
}

impl Replica {
    pub fn has(&self, credential: &Credential) -> bool {
        self.cache.read().latest.get(credential).is_some()
    }

    pub fn is_connected(&self) -> bool {
        self.cache.read().revision.is_some()
    }

    /// Returns when the last change was announced.
    pub fn changed_at(&self) -> Option<Instant> {
        let state = self.cache.read();
        let superseded_at = state.superseded.back().map(|(_, at)| *at);
        superseded_at.max(state.cleared_at)
    }

    /// Returns the number of the revision that the cache accounts for.
    pub fn known(&self) -> Option<i64> {
        self.cache.read().revision.as_ref().map(|known| known.number)
    }
}

/// The state of the whole model.
#[derive(Clone)]
pub struct World {
    pub at: Instant,
    /// The length of a step in time.
    pub tick: Duration,
    pub cached: CachedCredentials,
    pub store: Store,
    /// The store before each of its changes.
    pub history: Vec<Store>,
    /// All earlier states of the store, including lost ones, from which the standby may answer; none without a standby.
    pub copies: Vec<Store>,
    pub has_standby: bool,
    /// All changes that were ever announced, including lost ones.
    pub announced: Vec<Arc<Change>>,
    pub changes_left: usize,
    pub failovers_left: usize,
    /// The change that replica 0 committed but has not acknowledged, and the credentials that it
    /// revoked.
    pub unacknowledged: Option<(Arc<Change>, [bool; 3])>,
    pub revocations: [Option<Revocation>; 3],
    pub replicas: Vec<Replica>,
}

impl World {
    pub fn new(at: Instant, cached: CachedCredentials, bounds: Bounds) -> Self {
        Self {
            at,
            tick: bounds.tick,
            cached,
            store: Store {
                number: 0,
                // Y exists unless a change may create it.
                valid: [true, false, !bounds.kinds.contains(&ChangeKind::CreateY)],
            },
            history: Vec::new(),
            copies: Vec::new(),
            has_standby: bounds.standby,
            announced: Vec::new(),
            changes_left: bounds.changes,
            failovers_left: bounds.failovers,
            unacknowledged: None,
            revocations: [None; 3],
            replicas: vec![Replica::default(); bounds.replicas],
        }
    }

    pub fn allows(&self, kind: ChangeKind) -> bool {
        let [x0, x1, y] = self.store.valid;
        match kind {
            // A deleted token is never restored.
            ChangeKind::CreateY => !y && !self.history.iter().any(|store| store.valid[Y]),
            ChangeKind::RotateX => x0,
            ChangeKind::RevokeX => x0 || x1,
            ChangeKind::RevokeY => y,
            ChangeKind::RevokeAll => (x0 || x1) && y,
        }
    }

    pub fn advance(&mut self) {
        self.at += self.tick;
        for replica in &self.replicas {
            // Entries do not expire by age here, so that the proof does not depend on it.
            let mut state = replica.cache.write();
            let entries = state.latest.by_credential.values_mut();
            entries.for_each(|entry| entry.read_at = self.at);
        }
    }

    /// Returns `true` if the store revoked the credential and has not lost that. A credential that was
    /// never valid may have been issued and revoked by lost changes; it can be issued again.
    fn has_revoked(&self, credential: usize) -> bool {
        !self.store.valid[credential] && self.history.iter().any(|store| store.valid[credential])
    }

    pub fn acknowledge(&mut self, revoked: [bool; 3], here: bool) {
        for credential in CREDENTIALS {
            if revoked[credential] && self.has_revoked(credential) {
                self.revocations[credential] = Some(Revocation {
                    acknowledged_at: self.at,
                    here,
                });
            }
        }
    }

    /// Keeps the current state for the standby.
    pub fn copy(&mut self) {
        if self.has_standby {
            self.copies.push(self.store.clone());
        }
    }

    pub fn fail_over(&mut self, kept: usize) {
        self.failovers_left -= 1;
        self.copy();
        self.store = self.history[kept].clone();
        self.history.truncate(kept);
        for credential in CREDENTIALS {
            if !self.has_revoked(credential) {
                self.revocations[credential] = None;
            }
        }
    }

    /// Returns the ticks since `then`, capped at the first at which `limit` has passed: more ticks
    /// make no difference.
    fn age(&self, then: Option<Instant>, limit: Duration) -> u128 {
        let tick = self.tick.as_nanos();
        let limit = limit.as_nanos().div_ceil(tick);
        then.map_or(limit, |then| limit.min(self.at.duration_since(then).as_nanos() / tick))
    }

    /// Hashes only the facts that determine the future of a cache: no absolute times, and no order
    /// among times that are no longer compared.
    fn hash_cache(&self, state: &State, poll: Option<&Poll>, hasher: &mut impl Hasher) {
        state.revision.as_ref().map(|known| known.number).hash(hasher);
        self.age(state.polled_at, MAX_POLL_AGE).hash(hasher);
        if self.has_standby {
            self.age(state.confirmed_at, MAX_POLL_AGE).hash(hasher);
            state.superseded.iter().for_each(|(number, _)| number.hash(hasher));
        }
        if let Some(Poll { asked_at, answer }) = poll {
            answer.hash(hasher);
            self.age(Some(*asked_at), MAX_POLL_AGE).hash(hasher);
            state.cleared_at.is_some_and(|at| *asked_at < at).hash(hasher);
            let is_later = |instant: Option<Instant>| self.has_standby && instant < Some(*asked_at);
            [state.doubted_at, state.changed_at].map(is_later).hash(hasher);
            for (number, until) in &state.superseded {
                (asked_at < until).then_some(number).hash(hasher);
            }
        }
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        (&self.store, &self.history, &self.copies).hash(hasher);
        (self.changes_left, self.failovers_left).hash(hasher);
        for change in &self.announced {
            (change.revision.number, change.predecessor, change.token).hash(hasher);
        }
        let unacknowledged = self.unacknowledged.as_ref();
        unacknowledged
            .map(|(change, revoked)| (change.revision.number, revoked))
            .hash(hasher);
        for revocation in self.revocations {
            let view = revocation.map(|revocation| {
                (
                    self.age(Some(revocation.acknowledged_at), MAX_REVOCATION_DELAY),
                    revocation.here,
                )
            });
            view.hash(hasher);
        }
        for replica in &self.replicas {
            let state = replica.cache.read();
            self.hash_cache(&state, replica.poll.as_ref(), hasher);
            let read = replica.read.as_ref();
            read.map(|read| (read.credential, read.is_answered, read.generation.0 == state.generation))
                .hash(hasher);
            CREDENTIALS
                .map(|at| state.latest.by_credential.contains_key(&self.cached[at].0))
                .hash(hasher);
        }
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        let hash = |world: &Self| {
            let mut hasher = std::hash::DefaultHasher::new();
            world.hash(&mut hasher);
            hasher.finish()
        };
        hash(self) == hash(other)
    }
}
