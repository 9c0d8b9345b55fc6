use super::*;
use crate::domain::{random::OsRandom, value::TokenValue};

const NOW: i64 = 1_800_000_000_000_000;
const STORE: &str = "ours";

/// A cache and a clock.
struct Scene {
    cache: TokenCache,
    at: Instant,
}

impl Scene {
    /// An empty cache that the feed has reported revision 70 to.
    fn new() -> Self {
        let scene = Self {
            cache: TokenCache::default(),
            at: Instant::now(),
        };
        scene.poll(70);
        scene
    }

    /// As [`Scene::new`], with one cached token.
    fn with_entry() -> (Self, Credential, Token) {
        let scene = Self::new();
        let (value, token) = (new_value(), Token::sample(time(NOW)));
        scene.insert(value, &token);
        assert!(scene.has(&value));
        (scene, value, token)
    }

    fn pass(&mut self, duration: Duration) {
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
    let scene = Scene {
        cache: TokenCache::default(),
        at: Instant::now(),
    };
    let (value, token) = (new_value(), Token::sample(time(NOW)));
    scene.insert(value, &token);
    assert!(!scene.has(&value));
}

#[test]
fn entries_are_served_only_while_a_poll_vouches_for_them() {
    let (mut scene, value, _) = Scene::with_entry();
    scene.pass(SURE_FOR.checked_sub(TICK).unwrap());
    assert!(scene.has(&value));
    scene.pass(TICK);
    assert!(!scene.has(&value));
    scene.poll(70);
    assert!(scene.has(&value));
}

#[test]
fn entries_expire_even_if_nothing_changes() {
    let (mut scene, value, _) = Scene::with_entry();
    scene.pass(MAX_ENTRY_AGE);
    scene.poll(70);
    assert!(!scene.has(&value));
}

#[test]
fn a_change_invalidates_only_its_own_token() {
    let (scene, value, token) = Scene::with_entry();
    scene.announce(70, 85, Some(new_id()));
    scene.announce(85, 90, None);
    assert!(scene.has(&value));
    scene.announce(90, 97, Some(token.id));
    assert!(!scene.has(&value));
}

#[test]
fn a_missed_change_clears_the_cache() {
    let (scene, value, _) = Scene::with_entry();
    scene.announce(80, 90, None);
    assert!(!scene.has(&value));
    let (scene, value, _) = Scene::with_entry();
    scene.poll(80);
    assert!(!scene.has(&value));
}

#[test]
fn a_change_without_predecessor_clears_the_cache() {
    for number in [60, 70, 80] {
        let (scene, value, _) = Scene::with_entry();
        scene.announce(None, number, None);
        assert!(!scene.has(&value), "{number}");
    }
}

#[test]
fn a_token_read_before_an_invalidation_is_not_cached_after_it() {
    let (scene, value, token) = Scene::with_entry();
    let generation = scene.cache.generation();
    scene.announce(70, 80, Some(token.id));
    let verified = VerifiedToken::new(token.clone(), None);
    scene.cache.insert(generation, value, verified, scene.at);
    assert!(!scene.has(&value));
}

#[test]
fn an_overtaken_answer_vouches_from_when_its_poll_was_sent() {
    let (mut scene, value, _) = Scene::with_entry();
    scene.pass(SURE_FOR);
    let asked_at = scene.at;
    scene.pass(TICK);
    scene.announce(70, 80, None);
    scene.announce(80, 90, None);
    assert!(!scene.has(&value));
    scene.cache.observe_revision(revision(80), asked_at, scene.at);
    assert!(scene.has(&value));
}

#[test]
fn a_smaller_number_that_was_never_known_clears_the_cache() {
    let (mut scene, value, _) = Scene::with_entry();
    let asked_at = scene.at;
    scene.pass(TICK);
    scene.announce(70, 90, None);
    scene.cache.observe_revision(revision(80), asked_at, scene.at);
    assert!(!scene.has(&value));
}

#[test]
fn a_store_that_has_lost_changes_clears_the_cache() {
    let (mut scene, value, _) = Scene::with_entry();
    scene.announce(70, 80, None);
    scene.pass(TICK);
    scene.poll(70);
    assert!(!scene.has(&value));
}

#[test]
fn changes_of_another_store_are_not_counted() {
    let (scene, value, _) = Scene::with_entry();
    let foreign = Change {
        revision: Revision {
            store_id: "theirs".to_owned(),
            number: 80,
        },
        predecessor: Some(70),
        token: None,
    };
    scene.cache.apply_change(&foreign, scene.at);
    assert!(scene.has(&value));
    scene.poll(80);
    assert!(!scene.has(&value), "our own change to 80 was missed");
}

#[test]
fn a_repeated_announcement_invalidates_its_token_again() {
    let (scene, value, token) = Scene::with_entry();
    scene.announce(60, 70, Some(token.id));
    assert!(!scene.has(&value));
}

#[test]
fn a_new_connection_starts_with_an_empty_cache() {
    let (scene, value, _) = Scene::with_entry();
    scene.cache.reset(scene.at);
    scene.poll(70);
    assert!(!scene.has(&value));
}

#[test]
fn a_grace_period_ends_on_time() {
    let (scene, _, token) = Scene::with_entry();
    let value = new_value();
    let verified = VerifiedToken::new(token, Some(time(NOW + 1)));
    scene.cache.insert(scene.cache.generation(), value, verified, scene.at);
    let at = |micros| scene.cache.get(&value, time(micros), scene.at).is_some();
    assert_eq!((at(NOW), at(NOW + 1)), (true, false));
}

#[test]
fn memory_is_bounded_and_the_latest_entries_stay() {
    let (scene, _, token) = Scene::with_entry();
    let values: Vec<_> = (0..2 * MAX_CREDENTIALS).map(|_| new_value()).collect();
    for value in &values {
        scene.insert(*value, &token);
    }
    assert!(scene.cache.stats(scene.at).credentials <= MAX_CREDENTIALS);
    assert!(values.iter().rev().take(1000).all(|value| scene.has(value)));
    scene.announce(70, 80, Some(token.id));
    assert_eq!(scene.cache.stats(scene.at).credentials, 0);
    for number in 0..2 * i64::try_from(MAX_SUPERSEDED).unwrap() {
        scene.announce(80 + number, 81 + number, None);
    }
    assert!(scene.cache.read().superseded.len() <= MAX_SUPERSEDED);
}
