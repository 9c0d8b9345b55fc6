//! The use of tokens, by day.

use std::{collections::BTreeMap, net::IpAddr};

use super::{
    actor::{Channel, Origin},
    clock::{Day, Timestamp},
    named::named_enum,
};

/// Number of days that a report covers, including today. Older records are removed, except the last accepted uses of a
/// token.
pub const REPORTED_DAYS: u16 = 90;

named_enum! {
    /// The outcome of a use of a token: accepted, or the reason of the refusal.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    pub enum UseOutcome {
        /// The token was accepted.
        Accepted = "accepted",
        /// The token was disabled.
        Disabled = "disabled",
        /// The token had expired.
        Expired = "expired",
        /// The token does not allow the client's address.
        Address = "address",
    }
}

/// The time and the origin of a use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastUse {
    /// The time.
    pub at: Timestamp,
    /// The channel and the client's address.
    pub origin: Origin,
}

/// The uses of a token on one day that had the same outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayUses {
    /// The day.
    pub day: Day,
    /// The outcome.
    pub outcome: UseOutcome,
    /// Number of uses.
    pub uses: u64,
    /// The last of them.
    pub last: LastUse,
}

impl DayUses {
    /// Creates a record of one use.
    #[must_use]
    pub fn single(outcome: UseOutcome, last: LastUse) -> Self {
        Self {
            day: last.at.day(),
            outcome,
            uses: 1,
            last,
        }
    }

    /// Adds the uses of `other` if they are of the same day and outcome. Returns `false` otherwise.
    pub fn merge(&mut self, other: &Self) -> bool {
        let is_same = (self.day, self.outcome) == (other.day, other.outcome);
        if is_same {
            self.uses = self.uses.saturating_add(other.uses);
            if other.last.at >= self.last.at {
                self.last = other.last;
            }
        }
        is_same
    }
}

/// A report on the use of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenUsage {
    /// The number of accepted uses on each day that had any, the first day first.
    pub days: BTreeMap<Day, u64>,
    /// The time of the last accepted use.
    pub last_used_at: Option<Timestamp>,
    /// The channel of that use, if it is known.
    pub last_used_via: Option<Channel>,
    /// The client's address of that use, if it is known.
    pub last_used_from: Option<IpAddr>,
    /// The refused uses by reason.
    pub refused: BTreeMap<UseOutcome, RefusedUses>,
}

/// Refused uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RefusedUses {
    /// Number of uses.
    pub count: u64,
    /// The last of them.
    pub last: LastUse,
}

impl TokenUsage {
    /// Creates the report of a token that was last used at `last_used_at`, from its records in any order.
    #[must_use]
    pub fn new(records: impl IntoIterator<Item = DayUses>, last_used_at: Option<Timestamp>, now: Timestamp) -> Self {
        let today = now.day();
        let first = today.before(REPORTED_DAYS - 1);
        let mut usage = Self {
            last_used_at,
            ..Self::default()
        };
        let mut last_accepted: Option<LastUse> = None;
        for DayUses {
            day,
            outcome,
            uses,
            last,
        } in records
        {
            let is_reported = (first..=today).contains(&day);
            if outcome == UseOutcome::Accepted {
                // A time in the future was written while a server's clock was ahead.
                if !last.at.is_in_future(now) && last_accepted.is_none_or(|known| last.at > known.at) {
                    last_accepted = Some(last);
                }
                if is_reported {
                    *usage.days.entry(day).or_default() += uses;
                }
            } else if is_reported {
                let refused = usage.refused.entry(outcome).or_insert(RefusedUses { count: 0, last });
                refused.count += uses;
                if last.at > refused.last.at {
                    refused.last = last;
                }
            }
        }
        // An import can set a later time, of a use on another server.
        if let Some(LastUse { at, origin }) = last_accepted.filter(|last| Some(last.at) >= last_used_at) {
            usage.last_used_at = Some(at);
            usage.last_used_via = Some(origin.channel);
            usage.last_used_from = origin.client;
        }
        usage
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_micros(Day::from_number(day).micros() + 1000).unwrap()
    }

    fn uses(day: i64, outcome: UseOutcome, uses: u64) -> DayUses {
        let origin = Origin {
            channel: Channel::Verify,
            client: Some(IpAddr::from([10, 0, 0, u8::try_from(day % 100).unwrap()])),
        };
        DayUses {
            uses,
            ..DayUses::single(outcome, LastUse { at: at(day), origin })
        }
    }

    #[test]
    fn a_report_covers_ninety_days_and_knows_an_earlier_last_use() {
        let today = Day::from_number(20_000);
        let report = |records: &[DayUses], last| TokenUsage::new(records.iter().copied(), last, at(20_000));
        let usage = report(
            &[
                uses(20_000, UseOutcome::Accepted, 2),
                uses(19_911, UseOutcome::Accepted, 3),
                uses(20_000, UseOutcome::Accepted, 5),
                uses(19_910, UseOutcome::Accepted, 7),
                uses(19_990, UseOutcome::Expired, 1),
                uses(19_991, UseOutcome::Expired, 4),
                uses(19_910, UseOutcome::Address, 9),
            ],
            Some(at(20_000)),
        );
        let days = [(Day::from_number(19_911), 3), (today, 7)];
        assert_eq!(usage.days, BTreeMap::from(days));
        assert_eq!(usage.last_used_via, Some(Channel::Verify));
        let refused = RefusedUses {
            count: 5,
            last: uses(19_991, UseOutcome::Expired, 1).last,
        };
        assert_eq!(usage.refused, BTreeMap::from([(UseOutcome::Expired, refused)]));

        let old = [uses(19_000, UseOutcome::Accepted, 2)];
        let usage = report(&old, Some(at(19_000)));
        assert!(usage.days.is_empty());
        assert_eq!(usage.last_used_from, Some(IpAddr::from([10, 0, 0, 0])));
        let usage = report(&old, Some(at(19_001)));
        assert_eq!((usage.last_used_at, usage.last_used_from), (Some(at(19_001)), None));
    }
}
