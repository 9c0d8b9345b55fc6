use super::*;
use crate::domain::{random::OsRandom, value::TokenValue};

const NOW: i64 = 1_800_000_000_000_000;
const STORE: &str = "ours";

/// A cache and a clock.
struct Fixture {
    cache: TokenCache,
    at: Instant,
}

impl Fixture {
    /// Creates an empty cache to which the feed has reported revision 70.
    fn new() -> Self {
        let fixture = Self {
            cache: TokenCache::default(),
            at: Instant::now(),
        };
        fixture.poll(70);
        fixture
    }

    /// As [`Fixture::new`], with one cached token.
    fn with_entry() -> (Self, Credential, Token) {
        let fixture = Self::new();
        let (value, token) = (new_value(), Token::sample(time(NOW)));
        fixture.insert(value, &token);
        assert!(fixture.has(&value));
        (fixture, value, token)
    }

    fn advance(&mut self, duration: Duration) {
        self.at += duration;
    }

    fn poll(&self, number: i64) {
        self.cache.observe_revision(revision(number), self.at, self.at);
    }

    fn announce(&self, predecessor: impl Into<Option<i64>>, number: i64, token: Option<TokenId>) {
        let change = Change {
            revision: revision(number),
            predecessor: predecessor.into(),
            token,
        };
        self.cache.apply_change(&change, self.at);
    }

    fn insert(&self, value: Credential, token: &Token) {
        let verified = VerifiedToken::new(token.clone(), None);
        self.cache.insert(self.cache.generation(), value, verified, self.at);
    }

    fn has(&self, value: &Credential) -> bool {
        self.cache.get(value, time(NOW), self.at).is_some()
    }
}

fn time(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros).unwrap()
}

fn new_value() -> Credential {
    Credential::Value(TokenValue::generate(&OsRandom).unwrap().hash())
}

fn new_id() -> TokenId {
    TokenId::generate(&OsRandom).unwrap()
}

fn revision(number: i64) -> Revision {
    Revision {
        store_id: STORE.to_owned(),
        number,
    }
}

const TICK: Duration = Duration::from_millis(1);

#[test]
fn nothing_is_cached_before_the_feed_reports() {
    let fixture = Fixture {
        cache: TokenCache::default(),
        at: Instant::now(),
    };
    let (value, token) = (new_value(), Token::sample(time(NOW)));
    fixture.insert(value, &token);
    assert!(!fixture.has(&value));
}

#[test]
fn entries_are_served_only_while_a_recent_poll_confirms_them() {
    let (mut fixture, value, _) = Fixture::with_entry();
    fixture.advance(MAX_POLL_AGE.checked_sub(TICK).unwrap());
    assert!(fixture.has(&value));
    fixture.advance(TICK);
    assert!(!fixture.has(&value));
    fixture.poll(70);
    assert!(fixture.has(&value));
}

#[test]
fn entries_expire_even_if_nothing_changes() {
    let (mut fixture, value, _) = Fixture::with_entry();
    fixture.advance(MAX_ENTRY_AGE);
    fixture.poll(70);
    assert!(!fixture.has(&value));
}

#[test]
fn a_change_invalidates_only_its_own_token() {
    let (fixture, value, token) = Fixture::with_entry();
    fixture.announce(70, 85, Some(new_id()));
    fixture.announce(85, 90, None);
    assert!(fixture.has(&value));
    fixture.announce(90, 97, Some(token.id));
    assert!(!fixture.has(&value));
}

#[test]
fn a_missed_change_clears_the_cache() {
    let (fixture, value, _) = Fixture::with_entry();
    fixture.announce(80, 90, None);
    assert!(!fixture.has(&value));
    let (fixture, value, _) = Fixture::with_entry();
    fixture.poll(80);
    assert!(!fixture.has(&value));
}

#[test]
fn a_change_without_predecessor_clears_the_cache() {
    for number in [60, 70, 80] {
        let (fixture, value, _) = Fixture::with_entry();
        fixture.announce(None, number, None);
        assert!(!fixture.has(&value), "{number}");
    }
}

#[test]
fn a_token_read_before_an_invalidation_is_not_cached_after_it() {
    let (fixture, value, token) = Fixture::with_entry();
    let generation = fixture.cache.generation();
    fixture.announce(70, 80, Some(token.id));
    let verified = VerifiedToken::new(token.clone(), None);
    fixture.cache.insert(generation, value, verified, fixture.at);
    assert!(!fixture.has(&value));
}

#[test]
fn a_stale_answer_counts_from_when_its_poll_was_sent() {
    let (mut fixture, value, _) = Fixture::with_entry();
    fixture.advance(MAX_POLL_AGE);
    let asked_at = fixture.at;
    fixture.advance(TICK);
    fixture.announce(70, 80, None);
    fixture.announce(80, 90, None);
    assert!(!fixture.has(&value));
    fixture.cache.observe_revision(revision(80), asked_at, fixture.at);
    assert!(fixture.has(&value));
}

#[test]
fn a_smaller_number_that_was_never_known_clears_the_cache() {
    let (mut fixture, value, _) = Fixture::with_entry();
    let asked_at = fixture.at;
    fixture.advance(TICK);
    fixture.announce(70, 90, None);
    fixture.cache.observe_revision(revision(80), asked_at, fixture.at);
    assert!(!fixture.has(&value));
}

#[test]
fn a_store_that_has_lost_changes_clears_the_cache() {
    let (mut fixture, value, _) = Fixture::with_entry();
    fixture.announce(70, 80, None);
    fixture.advance(TICK);
    fixture.poll(70);
    assert!(!fixture.has(&value));
}

#[test]
fn changes_of_another_store_are_not_counted() {
    let (fixture, value, _) = Fixture::with_entry();
    let foreign = Change {
        revision: Revision {
            store_id: "theirs".to_owned(),
            number: 80,
        },
        predecessor: Some(70),
        token: None,
    };
    fixture.cache.apply_change(&foreign, fixture.at);
    assert!(fixture.has(&value));
    fixture.poll(80);
    assert!(!fixture.has(&value), "our own change to 80 was missed");
}

#[test]
fn a_repeated_announcement_invalidates_its_token_again() {
    let (fixture, value, token) = Fixture::with_entry();
    fixture.announce(60, 70, Some(token.id));
    assert!(!fixture.has(&value));
}

#[test]
fn a_new_connection_starts_with_an_empty_cache() {
    let (fixture, value, _) = Fixture::with_entry();
    fixture.cache.reset(fixture.at);
    fixture.poll(70);
    assert!(!fixture.has(&value));
}

#[test]
fn changed_tokens_are_known_until_one_may_be_missing() {
    let fixture = Fixture::new();
    let take = || fixture.cache.take_changed(fixture.at);
    let (first, second) = (new_id(), new_id());
    fixture.announce(70, 71, Some(first));
    assert_eq!(take(), None, "the first call");
    fixture.announce(71, 72, Some(first));
    fixture.announce(72, 73, None);
    fixture.announce(73, 74, Some(second));
    assert_eq!(take(), Some(vec![first, second]));
    assert_eq!(take(), Some(Vec::new()));
    fixture.announce(None, 75, None);
    assert_eq!(take(), None, "a change of several tokens");
    fixture.announce(75, 76, Some(first));
    assert_eq!(take(), Some(vec![first]));
    fixture.announce(77, 78, Some(first));
    assert_eq!(take(), None, "a missed change");
    fixture.poll(80);
    assert_eq!(take(), None, "a poll of a missed change");
}

#[test]
fn more_changed_tokens_than_fit_are_unknown() {
    let fixture = Fixture::new();
    fixture.cache.take_changed(fixture.at);
    let announce = |numbers: std::ops::Range<i64>| {
        for number in numbers {
            fixture.announce(number, number + 1, Some(new_id()));
        }
    };
    let most = 70 + i64::try_from(MAX_CHANGED).unwrap();
    announce(70..most);
    let taken = fixture.cache.take_changed(fixture.at);
    assert_eq!(taken.map(|changed| changed.len()), Some(MAX_CHANGED));
    announce(most..most + i64::try_from(MAX_CHANGED).unwrap() + 1);
    assert_eq!(fixture.cache.take_changed(fixture.at), None);
}

#[test]
fn changed_tokens_are_unknown_without_a_recent_poll() {
    let mut fixture = Fixture::new();
    fixture.cache.take_changed(fixture.at);
    fixture.advance(MAX_POLL_AGE);
    assert_eq!(fixture.cache.take_changed(fixture.at), None);
    fixture.poll(70);
    assert_eq!(fixture.cache.take_changed(fixture.at), Some(Vec::new()));
}

#[test]
fn a_grace_period_ends_on_time() {
    let (fixture, _, token) = Fixture::with_entry();
    let value = new_value();
    let verified = VerifiedToken::new(token, Some(time(NOW + 1)));
    fixture
        .cache
        .insert(fixture.cache.generation(), value, verified, fixture.at);
    let at = |micros| fixture.cache.get(&value, time(micros), fixture.at).is_some();
    assert_eq!((at(NOW), at(NOW + 1)), (true, false));
}

#[test]
fn memory_is_bounded_and_the_latest_entries_stay() {
    let (fixture, _, token) = Fixture::with_entry();
    let values: Vec<_> = (0..2 * MAX_CREDENTIALS).map(|_| new_value()).collect();
    for value in &values {
        fixture.insert(*value, &token);
    }
    assert!(fixture.cache.stats(fixture.at).credentials <= MAX_CREDENTIALS);
    assert!(values.iter().rev().take(1000).all(|value| fixture.has(value)));
    fixture.announce(70, 80, Some(token.id));
    assert_eq!(fixture.cache.stats(fixture.at).credentials, 0);
    for number in 0..2 * i64::try_from(MAX_SUPERSEDED).unwrap() {
        fixture.announce(80 + number, 81 + number, None);
    }
    assert!(fixture.cache.read().superseded.len() <= MAX_SUPERSEDED);
}
