//! A cache of verified credentials. An entry is served only while the feed rules out a missed
//! change that would invalidate it.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use crate::{
    domain::{
        clock::Timestamp,
        token::{Token, TokenId},
        value::ValueHash,
    },
    store::revision::{Change, Listener, Revision},
};

/// Time for which the response to a poll proves the cache current, counted from the sending of the
/// poll. It must be shorter than the second within which a revocation takes effect on every server.
const MAX_POLL_AGE: Duration = Duration::from_millis(800);
/// Maximum age of an entry. It bounds the effect of manual changes to the tables, which the feed
/// does not report.
const MAX_ENTRY_AGE: Duration = Duration::from_secs(5);
/// Maximum number of cached credentials.
const MAX_CREDENTIALS: usize = 100_000;
/// Maximum number of changed tokens that are remembered for [`TokenCache::take_changed`].
const MAX_CHANGED: usize = 10_000;
/// Maximum number of superseded revisions kept between two polls. A response with an older one
/// clears the cache; the guarantee still holds.
const MAX_SUPERSEDED: usize = 1024;

/// The key of a cache entry. It has no `Debug`: either variant can be a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// The hash of a current value, or of a previous one in its grace period.
    Value(ValueHash),
    /// The UUID of a token that has never had a value, as clients of the legacy add-on present it.
    LegacyUuid(TokenId),
}

/// Verified tokens by credential, with the revision of the store up to which changes are accounted
/// for.
#[derive(Default)]
pub struct TokenCache(RwLock<State>);

#[derive(Clone, Default)]
struct State {
    /// Two generations of entries: once `latest` holds half of [`MAX_CREDENTIALS`], it replaces
    /// `earlier`.
    latest: Tokens,
    earlier: Tokens,
    /// The last revision that is accounted for; `None` until the feed has reported one.
    revision: Option<Revision>,
    /// The numbers that announced changes have superseded, oldest first, with the instant of the
    /// change. Until that instant, the number was the one accounted for.
    superseded: VecDeque<(i64, Instant)>,
    /// The instant at which all entries were last discarded. Every entry was read later.
    cleared_at: Option<Instant>,
    /// The instant at which the latest poll was sent whose response is accounted for.
    polled_at: Option<Instant>,
    /// The instant before which all changes are included in `revision` itself; `None` if that is not certain. The
    /// response to a poll that was sent before all entries were discarded is accounted for, but may have a later
    /// number.
    confirmed_at: Option<Instant>,
    /// The instant of the latest change that `revision` may not include. Only a poll that is sent later confirms a
    /// revision.
    doubted_at: Option<Instant>,
    /// The instant of the latest change that was made or announced.
    changed_at: Option<Instant>,
    /// The tokens that changes invalidated since they were last taken; `None` if there may have been others.
    changed: Option<Vec<TokenId>>,
    /// Grows with every invalidation, so that a token that was read before an invalidation is not
    /// inserted after it.
    generation: u64,
}

#[derive(Clone, Default)]
struct Tokens {
    by_credential: HashMap<Credential, Entry>,
    credentials_of: HashMap<TokenId, Vec<Credential>>,
}

#[derive(Clone)]
struct Entry {
    verified: VerifiedToken,
    read_at: Instant,
}

/// A token whose credential was verified.
#[derive(Clone)]
pub struct VerifiedToken {
    /// The token.
    pub token: Arc<Token>,
    /// The end of the value's grace period, if the value is in one.
    pub valid_until: Option<Timestamp>,
}

impl VerifiedToken {
    /// Creates a verified token from the result of a read.
    pub fn new(token: Token, valid_until: Option<Timestamp>) -> Self {
        Self {
            token: Arc::new(token),
            valid_until,
        }
    }
}

/// The size of the cache and the state of its feed, for metrics.
pub struct CacheStats {
    /// Number of cached credentials.
    pub credentials: usize,
    /// The number of the last revision that is accounted for.
    pub revision: Option<i64>,
    /// Time since the latest poll was sent whose response is accounted for.
    pub age: Option<Duration>,
}

/// The generation of the cache before a read from the store.
#[derive(Clone, Copy)]
pub struct Generation(u64);

impl TokenCache {
    /// Returns the token of this credential, if it is cached and cannot have been invalidated
    /// since. `now` is the wall-clock time, by which grace periods end; everything else is measured
    /// from `at`.
    pub fn get(&self, credential: &Credential, now: Timestamp, at: Instant) -> Option<VerifiedToken> {
        let state = self.read();
        let entry = state.latest.get(credential).or_else(|| state.earlier.get(credential))?;
        let is_current =
            at.duration_since(state.polled_at?) < MAX_POLL_AGE && at.duration_since(entry.read_at) < MAX_ENTRY_AGE;
        let works = entry.verified.valid_until.is_none_or(|until| until > now);
        (is_current && works).then(|| entry.verified.clone())
    }

    /// Returns the statistics for the metrics.
    pub fn stats(&self, at: Instant) -> CacheStats {
        let state = self.read();
        CacheStats {
            credentials: state.latest.by_credential.len() + state.earlier.by_credential.len(),
            revision: state.revision.as_ref().map(|known| known.number),
            age: state.polled_at.map(|polled_at| at.duration_since(polled_at)),
        }
    }

    /// Returns the current generation. Call it before a read from the store, and pass it to
    /// [`TokenCache::insert`] with the result.
    pub fn generation(&self) -> Generation {
        Generation(self.read().generation)
    }

    /// Caches the result of a read from the store, unless an entry was invalidated since the read
    /// began.
    pub fn insert(&self, generation: Generation, credential: Credential, verified: VerifiedToken, at: Instant) {
        let mut state = self.write();
        if state.generation != generation.0 || state.revision.is_none() {
            return;
        }
        if state.latest.by_credential.len() >= MAX_CREDENTIALS / 2 {
            state.earlier = std::mem::take(&mut state.latest);
        }
        let entry = Entry { verified, read_at: at };
        state.latest.insert(credential, entry);
    }

    /// Returns the tokens that changed since the last call, except for those that were only created. Returns `None` if
    /// others may have changed too. Call it before a read from the store, so that later changes are returned by the
    /// next call.
    pub fn take_changed(&self, at: Instant) -> Option<Vec<TokenId>> {
        let mut state = self.write();
        let is_current = state
            .polled_at
            .is_some_and(|polled_at| at.duration_since(polled_at) < MAX_POLL_AGE);
        state.changed.replace(Vec::new()).filter(|_| is_current)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for TokenCache {
    fn reset(&self, at: Instant) {
        let mut state = self.write();
        state.clear(at);
        state.revision = None;
        state.polled_at = None;
        state.confirmed_at = None;
    }

    fn observe_revision(&self, revision: Revision, asked_at: Instant, at: Instant) {
        let mut state = self.write();
        if state.includes(&revision, asked_at) {
            state.confirm(asked_at);
        } else if !state.was_cleared_since(&revision, asked_at) {
            state.clear(at);
            state.revision = Some(revision);
            state.confirmed_at = None;
            // A response that does not follow from the known revision can be older than the latest change.
            if state.changed_at < Some(asked_at) {
                state.confirm(asked_at);
            }
        }
        state.superseded.retain(|(_, until)| *until > asked_at);
        state.polled_at = state.polled_at.max(Some(asked_at));
    }

    fn apply_change(&self, change: &Change, at: Instant) {
        let mut state = self.write();
        // Always invalidates this token, regardless of the number, and even before the feed has
        // reported a revision.
        state.invalidate(change.token);
        state.changed_at = Some(at);
        let next = &change.revision;
        let Some(known) = state.known_number(next) else {
            // The response to a poll in transit may be older than this change.
            return state.doubt(at);
        };
        match change.predecessor {
            Some(predecessor) if predecessor == known => state.supersede(known, at),
            // A smaller number is accounted for already, or comes from a store that has lost
            // changes. The next poll decides which.
            Some(_) if next.number <= known => {
                if next.number < known && !state.has_superseded(next.number) {
                    state.doubt(at);
                }
                return;
            }
            // A change was missed, or this one invalidates more than one token. It may also be one that the store has
            // lost, whose announcement is late.
            Some(_) | None => {
                state.clear(at);
                state.doubt(at);
            }
        }
        if next.number > known {
            state.revision = Some(next.clone());
        }
    }

    fn current_revision(&self, at: Instant) -> Option<Revision> {
        let state = self.read();
        let is_current = at.duration_since(state.confirmed_at?) < MAX_POLL_AGE;
        state.revision.clone().filter(|_| is_current)
    }
}

impl State {
    /// Returns `true` if the known revision includes all changes up to `revision`, the response to a
    /// poll that was sent at `asked_at`.
    fn includes(&self, revision: &Revision, asked_at: Instant) -> bool {
        // The response may be older than a change that was announced meanwhile. Then its number
        // is one that was superseded after the poll was sent. A smaller number alone proves
        // nothing: a store that has lost changes gives smaller numbers to other changes.
        self.known_number(revision).is_some_and(|known| {
            known == revision.number
                || self
                    .superseded
                    .iter()
                    .any(|(number, until)| *number == revision.number && asked_at < *until)
        })
    }

    /// Returns `true` if all entries are from the store of `revision` and were read after the poll
    /// was sent at `asked_at`, so that its response cannot invalidate them.
    fn was_cleared_since(&self, revision: &Revision, asked_at: Instant) -> bool {
        self.known_number(revision).is_some() && self.cleared_at.is_some_and(|cleared_at| asked_at < cleared_at)
    }

    /// Returns the number of the known revision, if it is of the same store.
    fn known_number(&self, revision: &Revision) -> Option<i64> {
        let known = self.revision.as_ref()?;
        (known.store_id == revision.store_id).then_some(known.number)
    }

    fn has_superseded(&self, number: i64) -> bool {
        self.superseded.iter().any(|(superseded, _)| *superseded == number)
    }

    /// Records that the known revision includes all changes before `asked_at`, unless it may lack a later one.
    fn confirm(&mut self, asked_at: Instant) {
        if self.doubted_at < Some(asked_at) {
            self.confirmed_at = self.confirmed_at.max(Some(asked_at));
        }
    }

    /// Records that the known revision may lack a change that was made or announced at `at`.
    fn doubt(&mut self, at: Instant) {
        self.confirmed_at = None;
        self.doubted_at = Some(at);
    }

    fn supersede(&mut self, number: i64, at: Instant) {
        if self.superseded.len() >= MAX_SUPERSEDED {
            self.superseded.pop_front();
        }
        self.superseded.push_back((number, at));
    }

    fn invalidate(&mut self, token: Option<TokenId>) {
        self.generation += 1;
        if let Some(id) = token {
            self.latest.remove(id);
            self.earlier.remove(id);
            self.changed = self.changed.take().filter(|changed| changed.len() < MAX_CHANGED);
            self.changed.iter_mut().for_each(|changed| changed.push(id));
        }
    }

    fn clear(&mut self, at: Instant) {
        self.generation += 1;
        self.latest = Tokens::default();
        self.earlier = Tokens::default();
        self.superseded.clear();
        self.changed = None;
        self.cleared_at = Some(at);
    }
}

impl Tokens {
    fn get(&self, credential: &Credential) -> Option<&Entry> {
        self.by_credential.get(credential)
    }

    fn insert(&mut self, credential: Credential, entry: Entry) {
        let id = entry.verified.token.id;
        if self.by_credential.insert(credential, entry).is_none() {
            // Nearly every token has one credential.
            let credentials = self.credentials_of.entry(id).or_insert_with(|| Vec::with_capacity(1));
            credentials.push(credential);
        }
    }

    fn remove(&mut self, id: TokenId) {
        for credential in self.credentials_of.remove(&id).unwrap_or_default() {
            self.by_credential.remove(&credential);
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
