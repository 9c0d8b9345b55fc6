//! Credentials that have been verified, and are believed without asking the store for as long as nothing about them can have changed.

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

/// How long it is sure, after it was asked, that nothing has been missed: less than the second within which a revocation must be heard of.
const SURE_FOR: Duration = Duration::from_millis(800);
/// How long a credential is believed at all: somebody may have changed the tables by hand.
const BELIEVED_FOR: Duration = Duration::from_secs(5);
/// How many credentials are remembered.
const MOST: usize = 100_000;

/// What a token is recognised by. It has no `Debug`: either can be a secret.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Credential {
    /// A value that it has, or one that was rotated away and is in its grace period.
    Value(ValueHash),
    /// Its uuid, of which scripts of the legacy add-on know nothing else: only as long as it has never had a value.
    LegacyUuid(TokenId),
}

/// The tokens of credentials that were looked up, and how far the changes have been heard of that could make them wrong.
#[derive(Default)]
pub struct Verified(RwLock<State>);

#[derive(Default)]
struct State {
    /// The tokens that were looked up last, and those before them: when there are half of [`MOST`] of the one, the other is forgotten.
    latest: Tokens,
    earlier: Tokens,
    /// The last change that is accounted for, and since when; none while nobody has told of any.
    revision: Option<(Revision, Instant)>,
    /// When the latest question was asked whose answer showed that there is no later one.
    sure_at: Option<Instant>,
    /// Moves with every change, so that what was read before one is not remembered after it.
    era: u64,
}

#[derive(Default)]
struct Tokens {
    by_credential: HashMap<Credential, Entry>,
    credentials_of: HashMap<TokenId, Vec<Credential>>,
}

struct Entry {
    recognised: Recognised,
    read_at: Instant,
}

/// A token that somebody has shown a credential of.
#[derive(Clone)]
pub struct Recognised {
    /// The token.
    pub token: Arc<Token>,
    /// The end of the value's grace period, if it is in one.
    pub works_until: Option<Timestamp>,
    /// What the gate tells of the token, in its own form, once it has told it: as long as the token stays the same, so does that.
    pub told: Arc<OnceLock<Box<dyn Any + Send + Sync>>>,
}

impl Recognised {
    /// What the store has said.
    pub fn new(token: Token, works_until: Option<Timestamp>) -> Self {
        Self {
            token: Arc::new(token),
            works_until,
            told: Arc::default(),
        }
    }
}

/// How much is remembered, and how far the changes have been heard of.
pub struct Knowledge {
    /// How many credentials are remembered.
    pub credentials: usize,
    /// The number of the last change that is accounted for.
    pub revision: Option<i64>,
    /// How long ago it was sure that there is no later one.
    pub age: Option<Duration>,
}

/// The moment before something is read from the store.
#[derive(Clone, Copy)]
pub struct Era(u64);

impl Verified {
    /// The token of that credential, if it is remembered and nothing can have happened to it.
    pub fn get(&self, credential: &Credential, now: Timestamp) -> Option<Recognised> {
        let state = self.read();
        let entry = state.latest.get(credential).or_else(|| state.earlier.get(credential))?;
        let at = Instant::now();
        let sure = at.duration_since(state.sure_at?) < SURE_FOR && at.duration_since(entry.read_at) < BELIEVED_FOR;
        let works = entry.recognised.works_until.is_none_or(|until| until > now);
        (sure && works).then(|| entry.recognised.clone())
    }

    /// What is known of the changes, and how much is remembered.
    pub fn knowledge(&self) -> Knowledge {
        let state = self.read();
        Knowledge {
            credentials: state.latest.by_credential.len() + state.earlier.by_credential.len(),
            revision: state.revision.as_ref().map(|(known, _)| known.number),
            age: state.sure_at.map(|at| at.elapsed()),
        }
    }

    /// To be asked before the store is, and given to [`Verified::remember`] with the store's answer.
    pub fn era(&self) -> Era {
        Era(self.read().era)
    }

    /// Remembers what the store said, unless something has changed since.
    pub fn remember(&self, era: Era, credential: Credential, recognised: Recognised) {
        let mut state = self.write();
        if state.era != era.0 || state.revision.is_none() {
            return;
        }
        if state.latest.by_credential.len() >= MOST / 2 {
            state.earlier = std::mem::take(&mut state.latest);
        }
        state.latest.insert(credential, recognised);
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Verified {
    fn begin(&self) {
        let mut state = self.write();
        state.forget_all();
        state.revision = None;
        state.sure_at = None;
    }

    fn hear_revision(&self, revision: Revision, asked_at: Instant) {
        let mut state = self.write();
        let accounted_for = state.revision.as_ref().is_some_and(|(known, since)| {
            // A smaller number is an answer from before a change that has been heard of since, unless it was asked for later: then the
            // store has lost changes, and may count others by the same numbers.
            let overtaken = known.number > revision.number && asked_at < *since;
            known.store_id == revision.store_id && (known.number == revision.number || overtaken)
        });
        if !accounted_for {
            state.forget_all();
            state.revision = Some((revision, Instant::now()));
        }
        state.sure_at = state.sure_at.max(Some(asked_at));
    }

    fn hear_change(&self, change: &Change) {
        let mut state = self.write();
        // Whatever its number, and whether the feed has been heard yet or not: nobody believes this one any more.
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
        self.era += 1;
        if let Some(id) = token {
            self.latest.remove(id);
            self.earlier.remove(id);
        }
    }

    fn forget_all(&mut self) {
        self.era += 1;
        self.latest = Tokens::default();
        self.earlier = Tokens::default();
    }
}

impl Tokens {
    fn get(&self, credential: &Credential) -> Option<&Entry> {
        self.by_credential.get(credential)
    }

    fn insert(&mut self, credential: Credential, recognised: Recognised) {
        let id = recognised.token.id;
        let entry = Entry {
            recognised,
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

    fn remember(verified: &Verified, era: Era, value: Credential, token: &Token, works_until: Option<Timestamp>) {
        verified.remember(era, value, Recognised::new(token.clone(), works_until));
    }

    fn remembering() -> (Verified, Credential, Token) {
        let verified = Verified::default();
        verified.hear_revision(revision(7), Instant::now());
        let (value, token) = token();
        remember(&verified, verified.era(), value, &token, None);
        assert!(verified.get(&value, time(NOW)).is_some());
        (verified, value, token)
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
        let verified = Verified::default();
        let (value, token) = token();
        remember(&verified, verified.era(), value, &token, None);
        assert!(verified.get(&value, time(NOW)).is_none());
    }

    fn long_ago() -> Instant {
        Instant::now().checked_sub(SURE_FOR).unwrap()
    }

    #[test]
    fn nothing_is_believed_when_it_was_asked_too_long_ago() {
        let verified = Verified::default();
        verified.hear_revision(revision(7), long_ago());
        let (value, token) = token();
        remember(&verified, verified.era(), value, &token, None);
        assert!(verified.get(&value, time(NOW)).is_none());
        verified.hear_revision(revision(7), Instant::now());
        assert!(verified.get(&value, time(NOW)).is_some());
    }

    #[test]
    fn a_change_forgets_its_token_alone() {
        let (verified, value, token) = remembering();
        verified.hear_change(&change(8, Some(TokenId::generate(&OsRandom).unwrap())));
        verified.hear_change(&change(9, None));
        assert!(verified.get(&value, time(NOW)).is_some());
        verified.hear_change(&change(10, Some(token.id)));
        assert!(verified.get(&value, time(NOW)).is_none());
    }

    #[test]
    fn a_missed_change_forgets_everything() {
        let (verified, value, _) = remembering();
        verified.hear_change(&change(9, None));
        assert!(verified.get(&value, time(NOW)).is_none());
        let (verified, value, _) = remembering();
        verified.hear_revision(revision(8), Instant::now());
        assert!(verified.get(&value, time(NOW)).is_none());
    }

    #[test]
    fn what_was_read_before_a_change_is_not_remembered_after_it() {
        let (verified, value, token) = remembering();
        let era = verified.era();
        verified.hear_change(&change(8, Some(token.id)));
        remember(&verified, era, value, &token, None);
        assert!(verified.get(&value, time(NOW)).is_none());
    }

    #[test]
    fn an_answer_that_was_overtaken_is_as_good_as_its_question_was_late() {
        let verified = Verified::default();
        verified.hear_revision(revision(7), long_ago());
        let asked_at = Instant::now();
        verified.hear_change(&change(8, None));
        let (value, token) = token();
        remember(&verified, verified.era(), value, &token, None);
        assert!(verified.get(&value, time(NOW)).is_none());
        verified.hear_revision(revision(7), asked_at);
        assert!(verified.get(&value, time(NOW)).is_some());
    }

    #[test]
    fn a_store_that_has_lost_changes_is_believed_anew() {
        let (verified, value, _) = remembering();
        verified.hear_change(&change(8, None));
        verified.hear_revision(revision(7), Instant::now());
        assert!(verified.get(&value, time(NOW)).is_none());
    }

    #[test]
    fn another_stores_changes_do_not_count() {
        let (verified, value, _) = remembering();
        let mut foreign = change(8, None);
        foreign.revision.store_id = "theirs".to_owned();
        verified.hear_change(&foreign);
        assert!(verified.get(&value, time(NOW)).is_some());
        verified.hear_revision(revision(8), Instant::now());
        assert!(verified.get(&value, time(NOW)).is_none(), "our own change 8 was missed");
    }

    #[test]
    fn a_change_that_is_counted_already_forgets_its_token_all_the_same() {
        let (verified, value, token) = remembering();
        verified.hear_change(&change(7, Some(token.id)));
        assert!(verified.get(&value, time(NOW)).is_none());
    }

    #[test]
    fn a_new_connection_begins_with_nothing() {
        let (verified, value, _) = remembering();
        verified.begin();
        verified.hear_revision(revision(7), Instant::now());
        assert!(verified.get(&value, time(NOW)).is_none());
    }

    #[test]
    fn a_grace_period_ends_on_time() {
        let (verified, _, token) = remembering();
        let value = new_value();
        remember(&verified, verified.era(), value, &token, Some(time(NOW + 1)));
        assert!(verified.get(&value, time(NOW)).is_some());
        assert!(verified.get(&value, time(NOW + 1)).is_none());
    }

    #[test]
    fn memory_is_bounded_and_what_came_last_is_remembered() {
        let (verified, _, token) = remembering();
        let values: Vec<_> = (0..2 * MOST).map(|_| new_value()).collect();
        for value in &values {
            remember(&verified, verified.era(), *value, &token, None);
        }
        assert!(verified.knowledge().credentials <= MOST);
        verified.hear_revision(revision(7), Instant::now());
        for value in values.iter().rev().take(1000) {
            assert!(verified.get(value, time(NOW)).is_some());
        }
        verified.hear_change(&change(8, Some(token.id)));
        assert_eq!(verified.knowledge().credentials, 0);
    }
}
