//! A cache of verified credentials. An entry is served only while no change that could have invalidated it can have been missed.

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::{Duration, Instant},
};

use crate::{
    domain::{
        clock::Timestamp,
        token::{Token, TokenId},
        value::ValueHash,
    },
    store::{
        feed::Listener,
        revision::{Change, Revision},
    },
};

/// How long the answer to a poll vouches for the cache, counted from when the poll was sent. Shorter than the second within which a
/// revocation must take effect everywhere.
const SURE_FOR: Duration = Duration::from_millis(800);
/// How long an entry is served at all: somebody may have changed the tables by hand.
const MAX_ENTRY_AGE: Duration = Duration::from_secs(5);
/// The capacity of the cache.
const MAX_CREDENTIALS: usize = 100_000;

/// The key of a cache entry. It has no `Debug`: either variant can be a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// The hash of a current value, or of a previous one in its grace period.
    Value(ValueHash),
    /// The uuid of a token that has never had a value, as scripts of the legacy add-on present it.
    LegacyUuid(TokenId),
}

/// Verified tokens by credential, with the revision of the store up to which changes are accounted for.
#[derive(Default)]
pub struct TokenCache(RwLock<State>);

#[derive(Default)]
struct State {
    /// Two generations of entries: once `latest` holds half of [`MAX_CREDENTIALS`], it replaces `earlier`.
    latest: Tokens,
    earlier: Tokens,
    /// The last revision that is accounted for, and since when; `None` until the feed has reported one.
    revision: Option<(Revision, Instant)>,
    /// When the latest poll was sent whose answer was accounted for.
    sure_at: Option<Instant>,
    /// Grows with every invalidation, so that a token read before one is not inserted after it.
    generation: u64,
}

#[derive(Default)]
struct Tokens {
    by_credential: HashMap<Credential, Entry>,
    credentials_of: HashMap<TokenId, Vec<Credential>>,
}

struct Entry {
    verified: VerifiedToken,
    read_at: Instant,
}

/// A token whose credential was presented and found.
#[derive(Clone)]
pub struct VerifiedToken {
    /// The token.
    pub token: Arc<Token>,
    /// The end of the value's grace period, if the value is in one.
    pub works_until: Option<Timestamp>,
    /// What the gate tells of the token, in its own form, once it has told it: as long as the token stays the same, so does that.
    pub told: Arc<OnceLock<Box<dyn Any + Send + Sync>>>,
}

impl VerifiedToken {
    /// A token as the store returned it.
    pub fn new(token: Token, works_until: Option<Timestamp>) -> Self {
        Self {
            token: Arc::new(token),
            works_until,
            told: Arc::default(),
        }
    }
}

/// The size of the cache and the state of its feed, for metrics.
pub struct CacheStats {
    /// The number of cached credentials.
    pub credentials: usize,
    /// The number of the last revision that is accounted for.
    pub revision: Option<i64>,
    /// The time since the latest poll was sent whose answer was accounted for.
    pub age: Option<Duration>,
}

/// The generation of the cache before a read from the store.
#[derive(Clone, Copy)]
pub struct Generation(u64);

impl TokenCache {
    /// Returns the token of this credential, if it is cached and cannot have been invalidated since.
    pub fn get(&self, credential: &Credential, now: Timestamp) -> Option<VerifiedToken> {
        let state = self.read();
        let entry = state.latest.get(credential).or_else(|| state.earlier.get(credential))?;
        let at = Instant::now();
        let sure = at.duration_since(state.sure_at?) < SURE_FOR && at.duration_since(entry.read_at) < MAX_ENTRY_AGE;
        let works = entry.verified.works_until.is_none_or(|until| until > now);
        (sure && works).then(|| entry.verified.clone())
    }

    /// Returns the figures that the metrics show.
    pub fn stats(&self) -> CacheStats {
        let state = self.read();
        CacheStats {
            credentials: state.latest.by_credential.len() + state.earlier.by_credential.len(),
            revision: state.revision.as_ref().map(|(known, _)| known.number),
            age: state.sure_at.map(|at| at.elapsed()),
        }
    }

    /// Returns the current generation. Call it before a read from the store, and pass it to [`TokenCache::insert`] with what was read.
    pub fn generation(&self) -> Generation {
        Generation(self.read().generation)
    }

    /// Caches what was read from the store, unless anything was invalidated since that read began.
    pub fn insert(&self, generation: Generation, credential: Credential, verified: VerifiedToken) {
        let mut state = self.write();
        if state.generation != generation.0 || state.revision.is_none() {
            return;
        }
        if state.latest.by_credential.len() >= MAX_CREDENTIALS / 2 {
            state.earlier = std::mem::take(&mut state.latest);
        }
        state.latest.insert(credential, verified);
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for TokenCache {
    fn reset(&self) {
        let mut state = self.write();
        state.forget_all();
        state.revision = None;
        state.sure_at = None;
    }

    fn observe_revision(&self, revision: Revision, asked_at: Instant) {
        let mut state = self.write();
        let accounted_for = state.revision.as_ref().is_some_and(|(known, since)| {
            // A smaller number is an answer that a change has overtaken, unless the poll was sent after that change: then the store has
            // lost changes, and may count others by the same numbers.
            let overtaken = known.number > revision.number && asked_at < *since;
            known.store_id == revision.store_id && (known.number == revision.number || overtaken)
        });
        if !accounted_for {
            state.forget_all();
            state.revision = Some((revision, Instant::now()));
        }
        state.sure_at = state.sure_at.max(Some(asked_at));
    }

    fn apply_change(&self, change: &Change) {
        let mut state = self.write();
        // Whatever its number, and whether the feed has reported yet or not: this token is no longer served.
        state.forget(change.token);
        let heard = &change.revision;
        let known = match &state.revision {
            Some((known, _)) if known.store_id == heard.store_id => known.number,
            _ => return,
        };
        if heard.number <= known {
            return;
        }
        if heard.number > known + 1 {
            state.forget_all();
        }
        state.revision = Some((heard.clone(), Instant::now()));
    }
}

impl State {
    fn forget(&mut self, token: Option<TokenId>) {
        self.generation += 1;
        if let Some(id) = token {
            self.latest.remove(id);
            self.earlier.remove(id);
        }
    }

    fn forget_all(&mut self) {
        self.generation += 1;
        self.latest = Tokens::default();
        self.earlier = Tokens::default();
    }
}

impl Tokens {
    fn get(&self, credential: &Credential) -> Option<&Entry> {
        self.by_credential.get(credential)
    }

    fn insert(&mut self, credential: Credential, verified: VerifiedToken) {
        let id = verified.token.id;
        let entry = Entry {
            verified,
            read_at: Instant::now(),
        };
        if self.by_credential.insert(credential, entry).is_none() {
            self.credentials_of.entry(id).or_default().push(credential);
        }
    }

    fn remove(&mut self, id: TokenId) {
        for credential in self.credentials_of.remove(&id).unwrap_or_default() {
            self.by_credential.remove(&credential);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{random::OsRandom, value::TokenValue};

    const NOW: i64 = 1_800_000_000_000_000;

    fn time(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    fn token() -> (Credential, Token) {
        (new_value(), Token::sample(time(NOW)))
    }

    fn new_value() -> Credential {
        Credential::Value(TokenValue::generate(&OsRandom).unwrap().hash())
    }

    fn insert(
        cache: &TokenCache,
        generation: Generation,
        value: Credential,
        token: &Token,
        works_until: Option<Timestamp>,
    ) {
        cache.insert(generation, value, VerifiedToken::new(token.clone(), works_until));
    }

    fn remembering() -> (TokenCache, Credential, Token) {
        let cache = TokenCache::default();
        cache.observe_revision(revision(7), Instant::now());
        let (value, token) = token();
        insert(&cache, cache.generation(), value, &token, None);
        assert!(cache.get(&value, time(NOW)).is_some());
        (cache, value, token)
    }

    fn revision(number: i64) -> Revision {
        Revision {
            store_id: "ours".to_owned(),
            number,
        }
    }

    fn change(number: i64, token: Option<TokenId>) -> Change {
        Change {
            revision: revision(number),
            token,
        }
    }

    #[test]
    fn nothing_is_believed_before_the_feed_is_heard() {
        let cache = TokenCache::default();
        let (value, token) = token();
        insert(&cache, cache.generation(), value, &token, None);
        assert!(cache.get(&value, time(NOW)).is_none());
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(SURE_FOR).unwrap()
    }

    #[test]
    fn nothing_is_believed_when_it_was_asked_too_long_ago() {
        let cache = TokenCache::default();
        cache.observe_revision(revision(7), long_ago());
        let (value, token) = token();
        insert(&cache, cache.generation(), value, &token, None);
        assert!(cache.get(&value, time(NOW)).is_none());
        cache.observe_revision(revision(7), Instant::now());
        assert!(cache.get(&value, time(NOW)).is_some());
    }

    #[test]
    fn a_change_forgets_its_token_alone() {
        let (cache, value, token) = remembering();
        cache.apply_change(&change(8, Some(TokenId::generate(&OsRandom).unwrap())));
        cache.apply_change(&change(9, None));
        assert!(cache.get(&value, time(NOW)).is_some());
        cache.apply_change(&change(10, Some(token.id)));
        assert!(cache.get(&value, time(NOW)).is_none());
    }

    #[test]
    fn a_missed_change_forgets_everything() {
        let (cache, value, _) = remembering();
        cache.apply_change(&change(9, None));
        assert!(cache.get(&value, time(NOW)).is_none());
        let (cache, value, _) = remembering();
        cache.observe_revision(revision(8), Instant::now());
        assert!(cache.get(&value, time(NOW)).is_none());
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let (cache, value, token) = remembering();
        let generation = cache.generation();
        cache.apply_change(&change(8, Some(token.id)));
        insert(&cache, generation, value, &token, None);
        assert!(cache.get(&value, time(NOW)).is_none());
    }

    #[test]
    fn an_answer_that_was_overtaken_is_as_good_as_its_question_was_late() {
        let cache = TokenCache::default();
        cache.observe_revision(revision(7), long_ago());
        let asked_at = Instant::now();
        cache.apply_change(&change(8, None));
        let (value, token) = token();
        insert(&cache, cache.generation(), value, &token, None);
        assert!(cache.get(&value, time(NOW)).is_none());
        cache.observe_revision(revision(7), asked_at);
        assert!(cache.get(&value, time(NOW)).is_some());
    }

    #[test]
    fn a_store_that_has_lost_changes_is_believed_anew() {
        let (cache, value, _) = remembering();
        cache.apply_change(&change(8, None));
        cache.observe_revision(revision(7), Instant::now());
        assert!(cache.get(&value, time(NOW)).is_none());
    }

    #[test]
    fn another_stores_changes_do_not_count() {
        let (cache, value, _) = remembering();
        let mut foreign = change(8, None);
        foreign.revision.store_id = "theirs".to_owned();
        cache.apply_change(&foreign);
        assert!(cache.get(&value, time(NOW)).is_some());
        cache.observe_revision(revision(8), Instant::now());
        assert!(cache.get(&value, time(NOW)).is_none(), "our own change 8 was missed");
    }

    #[test]
    fn a_change_that_is_counted_already_forgets_its_token_all_the_same() {
        let (cache, value, token) = remembering();
        cache.apply_change(&change(7, Some(token.id)));
        assert!(cache.get(&value, time(NOW)).is_none());
    }

    #[test]
    fn a_new_connection_begins_with_nothing() {
        let (cache, value, _) = remembering();
        cache.reset();
        cache.observe_revision(revision(7), Instant::now());
        assert!(cache.get(&value, time(NOW)).is_none());
    }

    #[test]
    fn a_grace_period_ends_on_time() {
        let (cache, _, token) = remembering();
        let value = new_value();
        insert(&cache, cache.generation(), value, &token, Some(time(NOW + 1)));
        assert!(cache.get(&value, time(NOW)).is_some());
        assert!(cache.get(&value, time(NOW + 1)).is_none());
    }

    #[test]
    fn memory_is_bounded_and_what_came_last_is_remembered() {
        let (cache, _, token) = remembering();
        let values: Vec<_> = (0..2 * MAX_CREDENTIALS).map(|_| new_value()).collect();
        for value in &values {
            insert(&cache, cache.generation(), *value, &token, None);
        }
        assert!(cache.stats().credentials <= MAX_CREDENTIALS);
        cache.observe_revision(revision(7), Instant::now());
        for value in values.iter().rev().take(1000) {
            assert!(cache.get(value, time(NOW)).is_some());
        }
        cache.apply_change(&change(8, Some(token.id)));
        assert_eq!(cache.stats().credentials, 0);
    }
}
