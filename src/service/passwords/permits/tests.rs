//! Tests the order of waiting logins by counting permits, without real time.

use std::{
    collections::HashSet,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use super::*;
use crate::{domain::admin::Password, service::passwords::hashing};

type Waiting = Pin<Box<dyn Future<Output = Result<Permit, Error>>>>;

fn network(number: u32) -> Network {
    let address = number.checked_add(0x0a00_0000)?;
    Some(IpAddr::from(address.to_be_bytes()))
}

fn poll(waiting: &mut Waiting) -> Poll<Result<Permit, Error>> {
    waiting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn login(permits: &Arc<Permits>, network: Network, priority: Priority) -> Waiting {
    let permits = Arc::clone(permits);
    // Without this, tokio's cooperative budget allows only 128 polls per task.
    Box::pin(tokio::task::unconstrained(async move {
        permits.acquire(network, priority).await
    }))
}

/// Returns a login that is already waiting.
fn wait(permits: &Arc<Permits>, network: Network, priority: Priority) -> Waiting {
    let mut waiting = login(permits, network, priority);
    assert!(poll(&mut waiting).is_pending());
    waiting
}

/// Asserts that a login is refused because the queue is full.
fn expect_too_many(permits: &Arc<Permits>, network: Network, priority: Priority) {
    let mut waiting = login(permits, network, priority);
    assert!(matches!(
        poll(&mut waiting),
        Poll::Ready(Err(Error::TooManyLogins { .. }))
    ));
}

/// Releases permits one at a time, starting with `held`. Returns the waiting logins in the order in
/// which they got theirs.
fn order<T>(held: Permit, mut waiting: Vec<(T, Waiting)>) -> Vec<T> {
    let mut order = Vec::new();
    drop(held);
    while !waiting.is_empty() {
        let ready = waiting.iter_mut().position(|(_, waiting)| poll(waiting).is_ready());
        order.push(waiting.remove(ready.expect("one of them has got the permit")).0);
    }
    order
}

#[tokio::test]
async fn networks_are_served_round_robin() {
    let permits = Arc::new(Permits::new(1));
    let held = permits.acquire(network(0), Priority::Suspect).await.unwrap();
    let mut waiting = Vec::new();
    for _ in 0..5 {
        waiting.push((1, wait(&permits, network(1), Priority::Suspect)));
    }
    waiting.push((2, wait(&permits, network(2), Priority::Suspect)));
    waiting.push((3, wait(&permits, network(3), Priority::Suspect)));
    assert_eq!(order(held, waiting), [1, 2, 3, 1, 1, 1, 1]);
    assert!(
        permits
            .state()
            .waiting
            .iter()
            .all(|queues| queues.turns.is_empty() && queues.len == 0)
    );
}

#[tokio::test]
async fn queues_are_limited_per_network() {
    let permits = Arc::new(Permits::new(1));
    let _held = permits.acquire(network(0), Priority::Suspect).await.unwrap();
    let crowd: Vec<_> = (0..MAX_WAITING_PER_NETWORK)
        .map(|_| wait(&permits, network(1), Priority::Suspect))
        .collect();
    expect_too_many(&permits, network(1), Priority::Suspect);
    let _others = wait(&permits, network(2), Priority::Suspect);
    let _known = wait(&permits, network(1), Priority::Known);
    drop(crowd);
    let _again = wait(&permits, network(1), Priority::Suspect);
}

#[tokio::test]
async fn known_names_and_clean_networks_have_priority_without_starving_others() {
    let permits = Arc::new(Permits::new(1));
    let held = permits.acquire(network(0), Priority::Suspect).await.unwrap();
    let mut waiting = Vec::new();
    for n in 0..150 {
        waiting.push(("guess", wait(&permits, network(n), Priority::Suspect)));
    }
    for n in 0..6 {
        waiting.push(("known", wait(&permits, network(n), Priority::Known)));
    }
    for n in 1000..1006 {
        waiting.push(("first", wait(&permits, network(n), Priority::Clean)));
    }
    let order = order(held, waiting);
    let place = |of: &str| order.iter().rposition(|name| *name == of).unwrap();
    assert!(place("known") < 9 && place("first") < 18, "{order:?}");
    assert!(
        order[..16].iter().filter(|name| **name == "guess").count() >= 3,
        "{order:?}"
    );
}

#[tokio::test]
async fn one_login_of_a_clean_network_has_priority() {
    let permits = Arc::new(Permits::new(1));
    let held = permits.acquire(network(0), Priority::Suspect).await.unwrap();
    let waiting = vec![
        ("one", wait(&permits, network(1), Priority::Suspect)),
        ("first of two", wait(&permits, network(2), Priority::Clean)),
        ("second of two", wait(&permits, network(2), Priority::Clean)),
    ];
    assert_eq!(order(held, waiting), ["first of two", "one", "second of two"]);
}

#[tokio::test]
async fn the_longest_queue_is_evicted_first() {
    let permits = Arc::new(Permits::new(1));
    let _held = permits.acquire(network(0), Priority::Suspect).await.unwrap();
    let mut long: Vec<_> = (0..MAX_WAITING_PER_NETWORK)
        .map(|_| wait(&permits, network(1), Priority::Suspect))
        .collect();
    let others: Vec<_> = (MAX_WAITING_PER_NETWORK..MAX_WAITING)
        .map(|n| wait(&permits, network(u32::try_from(n).unwrap()), Priority::Suspect))
        .collect();
    let _fresh = wait(&permits, network(5000), Priority::Suspect);
    let last = long.last_mut().unwrap();
    assert!(matches!(poll(last), Poll::Ready(Err(Error::TooManyLogins { .. }))));
    let total = || permits.state().waiting.iter().map(|queues| queues.len).sum::<usize>();
    assert_eq!(total(), MAX_WAITING);
    drop(long);
    let _rest: Vec<_> = (total()..MAX_WAITING)
        .map(|n| wait(&permits, network(6000 + u32::try_from(n).unwrap()), Priority::Suspect))
        .collect();
    expect_too_many(&permits, network(7000), Priority::Suspect);
    let _known = wait(&permits, network(7000), Priority::Known);
    assert_eq!(total(), MAX_WAITING);
    drop(others);
}

#[tokio::test]
async fn cancelled_waiters_do_not_leak_permits() {
    let permits = Arc::new(Permits::new(1));
    let held = permits.acquire(network(0), Priority::Suspect).await.unwrap();
    let left = wait(&permits, network(1), Priority::Suspect);
    let left_with_permit = wait(&permits, network(2), Priority::Suspect);
    let stays = wait(&permits, network(3), Priority::Suspect);
    drop(left);
    drop(held);
    drop(left_with_permit);
    drop(stays.await.unwrap());
    permits.acquire(network(4), Priority::Suspect).await.unwrap();
}

/// Hashes a password with the permit's memory. Returns the address of that memory.
fn hash(permit: Permit) -> Option<*const argon2::Block> {
    permit.with_memory(|memory| {
        let password = Password::parse("x".into()).unwrap();
        hashing::hash(memory, &password, &[1; 16]).unwrap();
        memory.address()
    })
}

#[tokio::test]
async fn memory_is_allocated_once_per_permit() {
    let permits = Arc::new(Permits::new(2));
    let mut addresses = HashSet::new();
    for round in 0..10 {
        let one = permits.acquire(network(round), Priority::Suspect).await.unwrap();
        let other = permits.acquire(network(round), Priority::Suspect).await.unwrap();
        let waiting = wait(&permits, network(round), Priority::Suspect);
        addresses.extend([hash(one), hash(other)]);
        drop(waiting.await.unwrap());
    }
    let state = permits.state();
    assert_eq!((addresses.len(), state.created, state.idle.len()), (2, 2, 2));
}

#[tokio::test]
async fn memory_is_freed_after_a_minute_without_a_login() {
    let permits = Arc::new(Permits::new(2));
    let acquire = async || permits.acquire(network(1), Priority::Suspect).await.unwrap();
    let allocated = || {
        let state = permits.state();
        let allocated = state.idle.iter().filter(|idle| idle.memory.address().is_some());
        allocated.count()
    };
    let start = Instant::now();
    let (one, other) = (acquire().await, acquire().await);
    hash(one);
    // A permit in use is not idle.
    permits.free_idle_memory(start);
    hash(other);
    permits.free_idle_memory(start + Duration::from_secs(2));
    permits.free_idle_memory(start + Duration::from_secs(59));
    assert_eq!(allocated(), 2);
    // One login takes the permit that was used last.
    hash(acquire().await);
    permits.free_idle_memory(start + Duration::from_mins(1));
    assert_eq!(allocated(), 1);
    permits.free_idle_memory(start + Duration::from_secs(119));
    assert_eq!(allocated(), 1);
    permits.free_idle_memory(start + Duration::from_mins(2));
    assert_eq!(allocated(), 0);

    let (one, other) = (acquire().await, acquire().await);
    assert!(hash(one).is_some() && hash(other).is_some());
    assert_eq!((allocated(), permits.state().created), (2, 2));
}
