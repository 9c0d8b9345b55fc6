//! Callers of the legacy endpoints, and the number of their calls.

use std::{
    collections::{BTreeMap, HashMap},
    net::{AddrParseError, IpAddr},
    str::FromStr,
};

use super::{
    actor::Actor,
    clock::{Day, Timestamp},
};

/// Retention of recorded calls, in days.
pub const RETENTION_DAYS: u16 = 400;

/// Maximum length of a recorded user agent, in characters.
const MAX_USER_AGENT_CHARS: usize = 200;

/// A caller of a legacy endpoint. Calls that agree in all these fields are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegacyCaller {
    /// The endpoint: the prefix of the path, or `/verify` if the gate received a UUID.
    pub prefix: String,
    /// The HTTP method, or `other` for an uncommon one.
    pub method: String,
    /// The authenticated actor; `None` if the call had no valid credentials.
    pub actor: Option<Actor>,
    /// The client's address.
    pub client: CallerAddress,
    /// The user agent as returned by [`normalize_user_agent`]; empty if the client sent none.
    pub user_agent: String,
}

/// The address of a legacy caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CallerAddress {
    /// All callers beyond the limit on distinct callers.
    Other,
    /// Unknown: no trusted proxy reported it.
    Unknown,
    /// A known address.
    Known(IpAddr),
}

impl FromStr for CallerAddress {
    type Err = AddrParseError;

    /// Parses the output of `Display`.
    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        match text {
            "unknown" => Ok(Self::Unknown),
            "other" => Ok(Self::Other),
            address => address.parse().map(Self::Known),
        }
    }
}

impl From<Option<IpAddr>> for CallerAddress {
    fn from(client: Option<IpAddr>) -> Self {
        client.map_or(Self::Unknown, Self::Known)
    }
}

impl std::fmt::Display for CallerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Known(address) => address.fmt(f),
            Self::Unknown => f.write_str("unknown"),
            Self::Other => f.write_str("other"),
        }
    }
}

impl LegacyCaller {
    /// Returns the caller that represents all callers beyond the limit with the same prefix and
    /// method.
    #[must_use]
    pub fn aggregate(&self) -> Self {
        Self {
            prefix: self.prefix.clone(),
            method: self.method.clone(),
            actor: None,
            client: CallerAddress::Other,
            user_agent: String::new(),
        }
    }
}

/// Returns the first 200 characters of a `User-Agent` header, without control characters.
#[must_use]
pub fn normalize_user_agent(header: &[u8]) -> String {
    let text = String::from_utf8_lossy(header);
    let plain = text.chars().filter(|letter| !letter.is_control());
    plain.take(MAX_USER_AGENT_CHARS).collect::<String>().trim().to_owned()
}

/// The number and the times of one caller's calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calls {
    /// The time of the first call.
    pub first_seen: Timestamp,
    /// The time of the last call.
    pub last_seen: Timestamp,
    /// Number of calls on each day that had any.
    pub days: BTreeMap<Day, u64>,
}

impl Calls {
    /// Creates a record of one call.
    #[must_use]
    pub fn single(at: Timestamp) -> Self {
        Self {
            first_seen: at,
            last_seen: at,
            days: BTreeMap::from([(at.day(), 1)]),
        }
    }

    /// Adds the calls of another record.
    pub fn add(&mut self, others: &Self) {
        self.first_seen = self.first_seen.min(others.first_seen);
        self.last_seen = self.last_seen.max(others.last_seen);
        for (day, count) in &others.days {
            *self.days.entry(*day).or_default() += count;
        }
    }

    /// Returns the number of calls.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.days.values().sum()
    }
}

/// Maximum numbers of distinct callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallerLimits {
    /// Maximum number of callers.
    pub callers: usize,
    /// Maximum number of callers without valid credentials. The rest of the capacity is reserved
    /// for authenticated callers.
    pub unauthenticated: usize,
}

impl CallerLimits {
    /// The limits in memory, until the calls are written.
    pub const BUFFERED: Self = Self {
        callers: 1000,
        unauthenticated: 500,
    };
    /// The limits in the store.
    pub const STORED: Self = Self {
        callers: 10_000,
        unauthenticated: 2000,
    };
}

/// The remaining capacity for distinct callers.
#[derive(Clone, Debug)]
pub struct CallerCapacity {
    limits: CallerLimits,
    callers: usize,
    unauthenticated: usize,
}

impl CallerCapacity {
    /// Creates the capacity that `limits` leave after `callers` callers, `unauthenticated` of which
    /// are unauthenticated.
    #[must_use]
    pub const fn new(limits: CallerLimits, callers: usize, unauthenticated: usize) -> Self {
        Self {
            limits,
            callers,
            unauthenticated,
        }
    }

    /// Allocates capacity for a new caller and returns the caller. If none is left, returns the
    /// caller that represents all beyond the limit.
    pub fn allocate(&mut self, caller: LegacyCaller) -> LegacyCaller {
        let is_unauthenticated = caller.actor.is_none();
        if caller.client == CallerAddress::Other {
            return caller;
        }
        if self.callers >= self.limits.callers
            || (is_unauthenticated && self.unauthenticated >= self.limits.unauthenticated)
        {
            return caller.aggregate();
        }
        self.callers += 1;
        self.unauthenticated += usize::from(is_unauthenticated);
        caller
    }
}

/// Calls of a bounded number of callers.
#[derive(Clone, Debug)]
pub struct LegacyCalls {
    calls: HashMap<LegacyCaller, Calls>,
    capacity: CallerCapacity,
}

impl LegacyCalls {
    /// Creates an empty record.
    #[must_use]
    pub fn with_limits(limits: CallerLimits) -> Self {
        Self {
            calls: HashMap::new(),
            capacity: CallerCapacity::new(limits, 0, 0),
        }
    }

    /// Returns `true` if there are no calls.
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Adds calls of a caller.
    pub fn add(&mut self, caller: LegacyCaller, calls: &Calls) {
        if let Some(known) = self.calls.get_mut(&caller) {
            return known.add(calls);
        }
        let caller = self.capacity.allocate(caller);
        self.calls
            .entry(caller)
            .and_modify(|known| known.add(calls))
            .or_insert_with(|| calls.clone());
    }

    /// Returns each caller with their calls, in an order that is the same on every server.
    #[must_use]
    pub fn into_sorted(self) -> Vec<(LegacyCaller, Calls)> {
        let mut calls: Vec<_> = self.calls.into_iter().collect();
        calls.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::actor::ActorKind;

    const DAY_MICROS: i64 = 86_400_000_000;

    fn caller(admin: Option<&str>, number: u32) -> LegacyCaller {
        LegacyCaller {
            prefix: "/rest/agent/1.0".to_owned(),
            method: "GET".to_owned(),
            actor: admin.map(|name| Actor {
                id: name.to_owned(),
                kind: ActorKind::User,
            }),
            client: CallerAddress::Known(std::net::Ipv4Addr::from_bits(number).into()),
            user_agent: "curl/8".to_owned(),
        }
    }

    fn at(micros: i64) -> Calls {
        Calls::single(Timestamp::from_micros(micros).unwrap())
    }

    #[test]
    fn excess_callers_are_counted_as_one() {
        let mut calls = LegacyCalls::with_limits(CallerLimits {
            callers: 4,
            unauthenticated: 2,
        });
        for number in 0..10 {
            calls.add(caller(None, number), &at(1));
        }
        for number in 0..10 {
            calls.add(caller(Some("admin"), number), &at(2));
        }
        // Known callers stay distinct.
        calls.add(caller(None, 0), &at(3));
        let mut other_method = caller(None, 11);
        other_method.method = "PUT".to_owned();
        calls.add(other_method.clone(), &at(4));
        let found = calls.into_sorted();
        let count = |caller: &LegacyCaller| {
            found
                .iter()
                .find(|(known, _)| known == caller)
                .map(|(_, calls)| calls.count())
        };
        assert_eq!(found.len(), 6);
        assert_eq!(count(&caller(None, 0)), Some(2));
        assert_eq!(count(&caller(None, 1)), Some(1));
        assert_eq!(count(&caller(Some("admin"), 1)), Some(1));
        assert_eq!(count(&caller(None, 0).aggregate()), Some(16));
        assert_eq!(count(&other_method.aggregate()), Some(1));
        assert_eq!(found.iter().map(|(_, calls)| calls.count()).sum::<u64>(), 22);
    }

    #[test]
    fn calls_are_counted_by_day_in_utc() {
        let mut calls = at(DAY_MICROS - 1);
        calls.add(&at(DAY_MICROS));
        calls.add(&at(0));
        assert_eq!((calls.first_seen.micros(), calls.last_seen.micros()), (0, DAY_MICROS));
        let days: Vec<_> = calls
            .days
            .iter()
            .map(|(day, count)| (day.to_string(), *count))
            .collect();
        assert_eq!(days, [("1970-01-01".to_owned(), 2), ("1970-01-02".to_owned(), 1)]);
        assert_eq!(calls.count(), 3);
    }

    #[test]
    fn user_agents_are_truncated_and_sanitized() {
        assert_eq!(normalize_user_agent(b" curl/8.0\x1b[31m\tx\r\n"), "curl/8.0[31mx");
        assert_eq!(
            normalize_user_agent("\u{e9}".repeat(300).as_bytes()).chars().count(),
            200
        );
        assert_eq!(normalize_user_agent(b"\xff"), "\u{fffd}");
        assert_eq!(normalize_user_agent(b""), "");
    }
}
