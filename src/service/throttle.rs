//! Slows down those who guess passwords.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use super::Error;
use crate::domain::clock::Timestamp;

/// For one name from one address: ten failures at once, then one each six seconds.
const FOR_NAME: Allowance = Allowance {
    interval: Duration::from_secs(6),
    burst: 10,
};
/// For one address, whatever the names: a hundred failures at once, then one each 600 milliseconds.
const FOR_ADDRESS: Allowance = Allowance {
    interval: Duration::from_millis(600),
    burst: 100,
};
const MOST_ENTRIES: usize = 20_000;

/// Counts failed logins by address and name. Its memory is bounded: when it is full, the slighter offenders are forgotten.
#[derive(Default)]
pub struct Throttle(Mutex<HashMap<Key, Timestamp>>);

/// Whose failures are counted: one name's from one address, or all of an address.
type Key = (Option<IpAddr>, Option<String>);

struct Allowance {
    interval: Duration,
    burst: u32,
}

impl Throttle {
    /// Whether another attempt may be made.
    ///
    /// # Errors
    /// [`Error::Throttled`] with the time to wait.
    pub fn check(&self, client: Option<IpAddr>, name: &str, now: Timestamp) -> Result<(), Error> {
        let debts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let retry_after = keys(client, name)
            .iter()
            .filter_map(|(key, allowance)| {
                let paid_off = debts.get(key)?.since(now);
                paid_off.checked_sub(allowance.interval * (allowance.burst - 1))
            })
            .max()
            .filter(|wait| !wait.is_zero());
        match retry_after {
            Some(retry_after) => Err(Error::Throttled { retry_after }),
            None => Ok(()),
        }
    }

    /// Counts a failed attempt.
    pub fn failed(&self, client: Option<IpAddr>, name: &str, now: Timestamp) {
        let mut debts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, allowance) in keys(client, name) {
            if debts.len() >= MOST_ENTRIES && !debts.contains_key(&key) {
                make_room(&mut debts, now);
            }
            let paid_off = debts.entry(key).or_insert(now);
            *paid_off = (*paid_off).max(now).saturating_add(allowance.interval);
        }
    }

    /// Forgives the failures of one name from one address, because it has shown the right password.
    pub fn succeeded(&self, client: Option<IpAddr>, name: &str) {
        let [(key, _), _] = keys(client, name);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
    }
}

fn keys(client: Option<IpAddr>, name: &str) -> [(Key, Allowance); 2] {
    let network = client.map(network);
    let name: String = name.chars().take(255).collect();
    [((network, Some(name)), FOR_NAME), ((network, None), FOR_ADDRESS)]
}

/// The address, or the /64 of an IPv6 address: a whole such network is one host's to choose from.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// Drops the debts that are paid off and, if that is not enough, the slighter half: seldom, so that it costs little an attempt.
fn make_room(debts: &mut HashMap<Key, Timestamp>, now: Timestamp) {
    debts.retain(|_, paid_off| *paid_off > now);
    if debts.len() >= MOST_ENTRIES {
        let mut by_size: Vec<Timestamp> = debts.values().copied().collect();
        let (_, middle, _) = by_size.select_nth_unstable(MOST_ENTRIES / 2);
        let (middle, mut equals) = (*middle, MOST_ENTRIES / 2);
        debts.retain(|_, paid_off| {
            let slighter = *paid_off < middle || (*paid_off == middle && equals > 0);
            equals -= usize::from(slighter && *paid_off == middle);
            !slighter
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000_000_000 + seconds * 1_000_000).unwrap()
    }

    fn client(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_eleventh_failure_is_made_to_wait() {
        let throttle = Throttle::default();
        let here = Some(client("192.0.2.1"));
        for _ in 0..10 {
            throttle.check(here, "admin", at(0)).unwrap();
            throttle.failed(here, "admin", at(0));
        }
        let Err(Error::Throttled { retry_after }) = throttle.check(here, "admin", at(0)) else {
            panic!("not throttled");
        };
        assert_eq!(retry_after, Duration::from_secs(6));
        throttle.check(here, "admin", at(6)).unwrap();
        throttle.check(here, "other", at(0)).unwrap();
        throttle.check(Some(client("192.0.2.2")), "admin", at(0)).unwrap();
    }

    #[test]
    fn success_forgives() {
        let throttle = Throttle::default();
        let here = Some(client("192.0.2.1"));
        for _ in 0..10 {
            throttle.failed(here, "admin", at(0));
        }
        throttle.succeeded(here, "admin");
        throttle.check(here, "admin", at(0)).unwrap();
    }

    #[test]
    fn an_address_that_tries_many_names_is_made_to_wait() {
        let throttle = Throttle::default();
        for n in 0..100 {
            throttle.failed(Some(client("2001:db8::1")), &n.to_string(), at(0));
        }
        assert!(throttle.check(Some(client("2001:db8::2")), "new", at(0)).is_err());
        throttle.check(Some(client("2001:db8:0:1::1")), "new", at(0)).unwrap();
    }

    #[test]
    fn memory_is_bounded() {
        let throttle = Throttle::default();
        for n in 0..30_000_u32 {
            throttle.failed(Some(IpAddr::from(n.to_be_bytes())), "admin", at(0));
        }
        assert!(throttle.0.lock().unwrap().len() <= MOST_ENTRIES);
    }
}
