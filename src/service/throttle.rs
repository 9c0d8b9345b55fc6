//! Throttles password guessing.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Error,
    keyed_hash::{KeyedHash, KeyedHasher, RecentHashes},
    passwords::Priority,
};
use crate::domain::{
    name::AdminName,
    random::{Random, RandomError},
};

/// Per name and network: a burst of ten failures, then one every 6 seconds.
const FOR_NAME: Allowance = Allowance {
    interval: Duration::from_secs(6),
    burst: 10,
};
/// Per network, regardless of the name: a burst of 100 failures, then one every 600 milliseconds.
/// It does not apply to a name that signed in from the network within [`KNOWN_LIFETIME`].
const FOR_NETWORK: Allowance = Allowance {
    interval: Duration::from_millis(600),
    burst: 100,
};
/// Maximum delay of a login. Logins that would need a longer delay are refused.
const MAX_DELAY: Duration = Duration::from_secs(2);
const MAX_ENTRIES: usize = 20_000;
/// Time for which a name stays known after it signed in from a network.
const KNOWN_LIFETIME: Duration = Duration::from_hours(24);
const MAX_KNOWN: usize = 20_000;

/// Time for which a network stays suspect after a failure.
const SUSPECT_LIFETIME: Duration = Duration::from_hours(1);
const MAX_SUSPECT: usize = 20_000;

/// The client's IPv4 address or IPv6 /64; `None` if it is unknown.
type Network = Option<IpAddr>;

/// Counts failed logins by network and name, as keyed hashes: a name of any length takes 32 bytes.
/// Memory is bounded: when it is full, the keys with the fewest failures are dropped.
pub struct Throttle {
    hasher: KeyedHasher,
    state: Mutex<State>,
}

struct State {
    /// The instant at which each key's token bucket is full again. Keys with full buckets may be
    /// absent.
    full_at: HashMap<KeyedHash, Instant>,
    /// The names that signed in from a network.
    known: RecentHashes,
    /// The networks with recent failures, including those whose bucket is full. Otherwise an
    /// attacker who waits would count as a clean network again.
    suspect: RecentHashes,
}

struct Allowance {
    interval: Duration,
    burst: u32,
}

/// The delay and the priority of an admitted login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// The delay before verification.
    pub delay: Duration,
    /// The priority while the login waits for a permit.
    pub priority: Priority,
}

impl Allowance {
    /// Returns the time until the next attempt, for a bucket that is full again after `refill`.
    fn retry_after(&self, refill: Duration) -> Duration {
        refill.saturating_sub(self.interval * (self.burst - 1))
    }
}

impl Throttle {
    /// Creates a throttle without failures.
    ///
    /// # Errors
    /// [`RandomError`] if the random source fails.
    pub fn new(random: &dyn Random) -> Result<Self, RandomError> {
        Ok(Self {
            hasher: KeyedHasher::new(random)?,
            state: Mutex::new(State {
                full_at: HashMap::new(),
                known: RecentHashes::new(MAX_KNOWN, KNOWN_LIFETIME),
                suspect: RecentHashes::new(MAX_SUSPECT, SUSPECT_LIFETIME),
            }),
        })
    }

    /// Checks that another attempt is allowed.
    ///
    /// # Errors
    /// [`Error::Throttled`] with the time until the next attempt.
    pub fn check(&self, network: Network, name: &str, now: Instant) -> Result<(), Error> {
        let (of_name, of_network) = (self.of_name(network, name), self.of_network(network));
        let state = self.state();
        let mut retry_after = FOR_NAME.retry_after(state.time_to_refill(of_name, now));
        let excess = FOR_NETWORK.retry_after(state.time_to_refill(of_network, now));
        if excess > MAX_DELAY && !state.known.contains(of_name, now) {
            retry_after = retry_after.max(excess.saturating_sub(MAX_DELAY));
        }
        if retry_after.is_zero() {
            Ok(())
        } else {
            Err(Error::Throttled { retry_after })
        }
    }

    /// Admits an attempt. If the network has too many failures and the name did not sign in from it
    /// recently, the attempt is delayed and counts as a failure of the network before it is
    /// verified.
    pub fn admit(&self, network: Network, name: &str, now: Instant) -> Admission {
        let (of_name, of_network) = (self.of_name(network, name), self.of_network(network));
        let mut state = self.state();
        let delay = FOR_NETWORK.retry_after(state.time_to_refill(of_network, now));
        if state.known.contains(of_name, now) {
            return Admission {
                delay: Duration::ZERO,
                priority: Priority::Known,
            };
        }
        if !delay.is_zero() {
            state.add(of_network, &FOR_NETWORK, now);
        }
        let priority = if state.suspect.contains(of_network, now) {
            Priority::Suspect
        } else {
            Priority::Clean
        };
        Admission { delay, priority }
    }

    /// Counts a failure of an attempt that [`Throttle::admit`] admitted with `admission`.
    pub fn record_failure(&self, network: Network, name: &str, admission: Admission, now: Instant) {
        let mut state = self.state();
        state.add(self.of_name(network, name), &FOR_NAME, now);
        let of_network = self.of_network(network);
        state.suspect.insert(of_network, now);
        if admission.delay.is_zero() {
            state.add(of_network, &FOR_NETWORK, now);
        }
    }

    /// Clears the failures of a name from a network after a successful login, and marks the name as
    /// known there.
    pub fn record_success(&self, network: Network, name: &str, now: Instant) {
        let of_name = self.of_name(network, name);
        let mut state = self.state();
        state.full_at.remove(&of_name);
        state.known.insert(of_name, now);
    }

    /// Spellings that a user directory treats as one name share their failures, because they are attempts on one
    /// account of the legacy server.
    fn of_name(&self, network: Network, name: &str) -> KeyedHash {
        let key = AdminName::from_stored(name.to_owned()).directory_key();
        self.hasher.hash(&[&octets(network), key.as_bytes()])
    }

    fn of_network(&self, network: Network) -> KeyedHash {
        self.hasher.hash(&[&octets(network)])
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Encodes the network unambiguously, with an IPv4 address as an IPv4-mapped IPv6 address.
fn octets(network: Network) -> [u8; 17] {
    let mut octets = [0; 17];
    if let Some(network) = network {
        let address = match network {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        octets
            .iter_mut()
            .zip([1].into_iter().chain(address.octets()))
            .for_each(|(octet, of_address)| *octet = of_address);
    }
    octets
}

impl State {
    fn time_to_refill(&self, key: KeyedHash, now: Instant) -> Duration {
        let full_at = self.full_at.get(&key);
        full_at.map_or(Duration::ZERO, |full_at| full_at.saturating_duration_since(now))
    }

    fn add(&mut self, key: KeyedHash, allowance: &Allowance, now: Instant) {
        if self.full_at.len() >= MAX_ENTRIES && !self.full_at.contains_key(&key) {
            self.evict(now);
        }
        let full_at = self.full_at.entry(key).or_insert(now);
        *full_at = (*full_at).max(now) + allowance.interval;
    }

    /// Drops the full buckets and, if that is not enough, the fuller half. Dropping many at once is
    /// rare, so the average cost per attempt is low.
    fn evict(&mut self, now: Instant) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() >= MAX_ENTRIES {
            let mut by_time: Vec<Instant> = self.full_at.values().copied().collect();
            let (_, middle, _) = by_time.select_nth_unstable(MAX_ENTRIES / 2);
            let (middle, mut equals) = (*middle, MAX_ENTRIES / 2);
            self.full_at.retain(|_, full_at| {
                let is_fuller = *full_at < middle || (*full_at == middle && equals > 0);
                equals -= usize::from(is_fuller && *full_at == middle);
                !is_fuller
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::random::OsRandom;

    struct Fixture {
        throttle: Throttle,
        start: Instant,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                throttle: Throttle::new(&OsRandom).unwrap(),
                start: Instant::now(),
            }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        /// Fails once if another attempt is allowed.
        fn fail(&self, network: Network, name: &str) -> Option<Admission> {
            self.throttle.check(network, name, self.start).ok()?;
            let admission = self.throttle.admit(network, name, self.start);
            self.throttle.record_failure(network, name, admission, self.start);
            Some(admission)
        }

        fn retry_after(&self, network: Network, name: &str, seconds: u64) -> Option<Duration> {
            match self.throttle.check(network, name, self.at(seconds)) {
                Err(Error::Throttled { retry_after }) => Some(retry_after),
                _ => None,
            }
        }
    }

    fn client(text: &str) -> Network {
        text.parse().ok()
    }

    #[test]
    fn logins_are_delayed_after_ten_failures() {
        let (fixture, here) = (Fixture::new(), client("192.0.2.1"));
        for _ in 0..10 {
            assert!(fixture.fail(here, "admin").is_some());
        }
        assert_eq!(fixture.retry_after(here, "admin", 0), Some(Duration::from_secs(6)));
        assert_eq!(fixture.retry_after(here, "admin", 6), None);
        assert_eq!(fixture.retry_after(here, "other", 0), None);
        assert_eq!(fixture.retry_after(client("192.0.2.2"), "admin", 0), None);
        assert_eq!(fixture.retry_after(None, "admin", 0), None);
    }

    #[test]
    fn a_success_clears_earlier_failures() {
        let (fixture, here) = (Fixture::new(), client("192.0.2.1"));
        for _ in 0..10 {
            fixture.fail(here, "admin");
        }
        fixture.throttle.record_success(here, "admin", fixture.start);
        assert_eq!(fixture.retry_after(here, "admin", 0), None);
    }

    #[test]
    fn a_network_that_tries_many_names_is_delayed_and_then_rejected() {
        let (fixture, here) = (Fixture::new(), client("2001:db8::"));
        for n in 0..100 {
            let admission = fixture.fail(here, &n.to_string()).unwrap();
            assert_eq!(admission.delay, Duration::ZERO, "{n}");
            assert_eq!(admission.priority == Priority::Clean, n == 0, "{n}");
        }
        // The first login of an unknown name from this network is delayed, not refused.
        let admission = fixture.throttle.admit(here, "new", fixture.start);
        assert_eq!(admission.delay, Duration::from_millis(600));
        let delayed = (0..100)
            .take_while(|n| fixture.fail(here, &format!("more {n}")).is_some())
            .count();
        assert!((2..5).contains(&delayed), "{delayed}");
        assert!(fixture.retry_after(here, "new", 0).is_some());
        assert_eq!(fixture.retry_after(here, "new", 60), None);
        assert_eq!(fixture.retry_after(client("2001:db8:0:1::"), "new", 0), None);
    }

    #[test]
    fn a_name_known_to_a_network_is_not_delayed_there() {
        let (fixture, here) = (Fixture::new(), client("192.0.2.1"));
        fixture.throttle.record_success(here, "admin", fixture.start);
        for n in 0..200 {
            fixture.fail(here, &n.to_string());
        }
        assert!(fixture.retry_after(here, "new", 0).is_some());
        assert_eq!(fixture.retry_after(here, "admin", 0), None);
        let admission = fixture.throttle.admit(here, "admin", fixture.start);
        assert_eq!((admission.delay, admission.priority), (Duration::ZERO, Priority::Known));
        assert_ne!(
            fixture
                .throttle
                .admit(client("192.0.2.2"), "admin", fixture.start)
                .priority,
            Priority::Known
        );
    }

    #[test]
    fn a_network_stays_suspect_after_its_debt_is_paid() {
        let (fixture, here) = (Fixture::new(), client("192.0.2.1"));
        fixture.fail(here, "admin");
        let priority = |seconds| fixture.throttle.admit(here, "other", fixture.at(seconds)).priority;
        assert_eq!((priority(60), priority(3600)), (Priority::Suspect, Priority::Clean));
    }

    #[test]
    fn memory_is_bounded() {
        let fixture = Fixture::new();
        for n in 0..MAX_ENTRIES + 10 {
            let key = fixture.throttle.hasher.hash(&[&n.to_be_bytes()]);
            fixture.throttle.state().add(key, &FOR_NAME, fixture.start);
        }
        assert!(fixture.throttle.state().full_at.len() <= MAX_ENTRIES);
    }
}
