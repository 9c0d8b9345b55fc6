//! Slows down those who guess passwords.

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
use crate::domain::random::{Random, RandomError};

/// For one name from one network: ten failures at once, then one each six seconds.
const FOR_NAME: Allowance = Allowance {
    interval: Duration::from_secs(6),
    burst: 10,
};
/// For one network, whatever the names: a hundred failures at once, then one each 600 milliseconds. A name that has signed in from there
/// lately is not held up.
const FOR_NETWORK: Allowance = Allowance {
    interval: Duration::from_millis(600),
    burst: 100,
};
/// The longest that a login is held up; those that would be for longer are refused.
const MAX_DELAY: Duration = Duration::from_secs(2);
const MAX_ENTRIES: usize = 20_000;
/// How long a name is known that has signed in from a network, and how many are.
const KNOWN_FOR: Duration = Duration::from_hours(24);
const MAX_KNOWN: usize = 20_000;

/// How long a network is suspect after a failure, and how many are.
const SUSPECT_FOR: Duration = Duration::from_hours(1);
const MAX_SUSPECT: usize = 20_000;

/// The address of a client, or its /64 in IPv6; none where it is not known.
type Network = Option<IpAddr>;

/// Counts failed logins by network and name, as keyed hashes: a name of any length takes 32 bytes. The memory is bounded: when it is full,
/// the slighter offenders are forgotten.
pub struct Throttle {
    hasher: KeyedHasher,
    state: Mutex<State>,
}

struct State {
    /// When the failures of a key are paid off.
    debts: HashMap<KeyedHash, Instant>,
    /// The names that have signed in from a network.
    known: RecentHashes,
    /// The networks that have failed, whether that is paid off or not: a guesser who waits is no newcomer.
    suspect: RecentHashes,
}

struct Allowance {
    interval: Duration,
    burst: u32,
}

/// How a login may go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// How long it is held up first.
    pub delay: Duration,
    /// Its place among those who wait to be verified.
    pub priority: Priority,
}

impl Allowance {
    /// How much longer than allowed a debt lasts.
    fn excess(&self, debt: Duration) -> Duration {
        debt.saturating_sub(self.interval * (self.burst - 1))
    }
}

impl Throttle {
    /// Creates a throttle that knows of no failures.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new(random: &dyn Random) -> Result<Self, RandomError> {
        Ok(Self {
            hasher: KeyedHasher::new(random)?,
            state: Mutex::new(State {
                debts: HashMap::new(),
                known: RecentHashes::new(MAX_KNOWN, KNOWN_FOR),
                suspect: RecentHashes::new(MAX_SUSPECT, SUSPECT_FOR),
            }),
        })
    }

    /// Allows another attempt.
    ///
    /// # Errors
    /// [`Error::Throttled`] with the time to wait.
    pub fn check(&self, network: Network, name: &str, now: Instant) -> Result<(), Error> {
        let (of_name, of_network) = (self.of_name(network, name), self.of_network(network));
        let state = self.state();
        let mut retry_after = FOR_NAME.excess(state.debt(of_name, now));
        let excess = FOR_NETWORK.excess(state.debt(of_network, now));
        if excess > MAX_DELAY && !state.known.contains(of_name, now) {
            retry_after = retry_after.max(excess.saturating_sub(MAX_DELAY));
        }
        if retry_after.is_zero() {
            Ok(())
        } else {
            Err(Error::Throttled { retry_after })
        }
    }

    /// Admits an attempt that is to be verified. One from a network that has failed too often is held up, and counted for the network at
    /// once, unless the name has signed in from there lately.
    pub fn admit(&self, network: Network, name: &str, now: Instant) -> Admission {
        let (of_name, of_network) = (self.of_name(network, name), self.of_network(network));
        let mut state = self.state();
        let delay = FOR_NETWORK.excess(state.debt(of_network, now));
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

    /// Counts a failed attempt that was admitted so.
    pub fn failed(&self, network: Network, name: &str, admission: Admission, now: Instant) {
        let mut state = self.state();
        state.add(self.of_name(network, name), &FOR_NAME, now);
        let of_network = self.of_network(network);
        state.suspect.insert(of_network, now);
        if admission.delay.is_zero() {
            state.add(of_network, &FOR_NETWORK, now);
        }
    }

    /// Forgives the failures of a name from a network, because it has shown the right password, and knows it from now on.
    pub fn succeeded(&self, network: Network, name: &str, now: Instant) {
        let of_name = self.of_name(network, name);
        let mut state = self.state();
        state.debts.remove(&of_name);
        state.known.insert(of_name, now);
    }

    fn of_name(&self, network: Network, name: &str) -> KeyedHash {
        self.hasher.hash(&[&octets(network), name.as_bytes()])
    }

    fn of_network(&self, network: Network) -> KeyedHash {
        self.hasher.hash(&[&octets(network)])
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The network as bytes of its own: an IPv4 address as the IPv6 address that it is mapped to.
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
    fn debt(&self, key: KeyedHash, now: Instant) -> Duration {
        let paid_off = self.debts.get(&key);
        paid_off.map_or(Duration::ZERO, |paid_off| paid_off.saturating_duration_since(now))
    }

    fn add(&mut self, key: KeyedHash, allowance: &Allowance, now: Instant) {
        if self.debts.len() >= MAX_ENTRIES && !self.debts.contains_key(&key) {
            self.make_room(now);
        }
        let paid_off = self.debts.entry(key).or_insert(now);
        *paid_off = (*paid_off).max(now) + allowance.interval;
    }

    /// Drops the debts that are paid off and, if that is not enough, the slighter half: seldom, so that it costs little an attempt.
    fn make_room(&mut self, now: Instant) {
        self.debts.retain(|_, paid_off| *paid_off > now);
        if self.debts.len() >= MAX_ENTRIES {
            let mut by_size: Vec<Instant> = self.debts.values().copied().collect();
            let (_, middle, _) = by_size.select_nth_unstable(MAX_ENTRIES / 2);
            let (middle, mut equals) = (*middle, MAX_ENTRIES / 2);
            self.debts.retain(|_, paid_off| {
                let slighter = *paid_off < middle || (*paid_off == middle && equals > 0);
                equals -= usize::from(slighter && *paid_off == middle);
                !slighter
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::random::OsRandom;

    struct Lab {
        throttle: Throttle,
        start: Instant,
    }

    impl Lab {
        fn new() -> Self {
            Self {
                throttle: Throttle::new(&OsRandom).unwrap(),
                start: Instant::now(),
            }
        }

        fn at(&self, seconds: u64) -> Instant {
            self.start + Duration::from_secs(seconds)
        }

        /// Fails once, if another attempt may be made.
        fn fail(&self, network: Network, name: &str) -> Option<Admission> {
            self.throttle.check(network, name, self.start).ok()?;
            let admission = self.throttle.admit(network, name, self.start);
            self.throttle.failed(network, name, admission, self.start);
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
    fn the_eleventh_failure_has_to_wait() {
        let (lab, here) = (Lab::new(), client("192.0.2.1"));
        for _ in 0..10 {
            assert!(lab.fail(here, "admin").is_some());
        }
        assert_eq!(lab.retry_after(here, "admin", 0), Some(Duration::from_secs(6)));
        assert_eq!(lab.retry_after(here, "admin", 6), None);
        assert_eq!(lab.retry_after(here, "other", 0), None);
        assert_eq!(lab.retry_after(client("192.0.2.2"), "admin", 0), None);
        assert_eq!(lab.retry_after(None, "admin", 0), None);
    }

    #[test]
    fn success_forgives() {
        let (lab, here) = (Lab::new(), client("192.0.2.1"));
        for _ in 0..10 {
            lab.fail(here, "admin");
        }
        lab.throttle.succeeded(here, "admin", lab.start);
        assert_eq!(lab.retry_after(here, "admin", 0), None);
    }

    #[test]
    fn a_network_that_tries_many_names_is_held_up_and_then_refused() {
        let (lab, here) = (Lab::new(), client("2001:db8::"));
        for n in 0..100 {
            let admission = lab.fail(here, &n.to_string()).unwrap();
            assert_eq!(admission.delay, Duration::ZERO, "{n}");
            assert_eq!(admission.priority == Priority::Clean, n == 0, "{n}");
        }
        // A stranger's first login from there is slow, and not refused.
        let admission = lab.throttle.admit(here, "new", lab.start);
        assert_eq!(admission.delay, Duration::from_millis(600));
        let held_up = (0..100)
            .take_while(|n| lab.fail(here, &format!("more {n}")).is_some())
            .count();
        assert!((2..5).contains(&held_up), "{held_up}");
        assert!(lab.retry_after(here, "new", 0).is_some());
        assert_eq!(lab.retry_after(here, "new", 60), None);
        assert_eq!(lab.retry_after(client("2001:db8:0:1::"), "new", 0), None);
    }

    #[test]
    fn a_name_that_has_signed_in_from_a_network_is_not_held_up_there() {
        let (lab, here) = (Lab::new(), client("192.0.2.1"));
        lab.throttle.succeeded(here, "admin", lab.start);
        for n in 0..200 {
            lab.fail(here, &n.to_string());
        }
        assert!(lab.retry_after(here, "new", 0).is_some());
        assert_eq!(lab.retry_after(here, "admin", 0), None);
        let admission = lab.throttle.admit(here, "admin", lab.start);
        assert_eq!((admission.delay, admission.priority), (Duration::ZERO, Priority::Known));
        assert_ne!(
            lab.throttle.admit(client("192.0.2.2"), "admin", lab.start).priority,
            Priority::Known
        );
    }

    #[test]
    fn a_network_stays_suspect_when_its_failures_are_paid_off() {
        let (lab, here) = (Lab::new(), client("192.0.2.1"));
        lab.fail(here, "admin");
        let priority = |seconds| lab.throttle.admit(here, "other", lab.at(seconds)).priority;
        assert_eq!((priority(60), priority(3600)), (Priority::Suspect, Priority::Clean));
    }

    #[test]
    fn memory_is_bounded() {
        let lab = Lab::new();
        for n in 0..MAX_ENTRIES + 10 {
            let key = lab.throttle.hasher.hash(&[&n.to_be_bytes()]);
            lab.throttle.state().add(key, &FOR_NAME, lab.start);
        }
        assert!(lab.throttle.state().debts.len() <= MAX_ENTRIES);
    }
}
