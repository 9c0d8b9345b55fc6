//! Refused logins, counted in memory until they are written as a bounded number of audit events per
//! hour.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    domain::{
        actor::{Actor, ActorKind, Channel, Origin},
        audit::{Action, AuditEvent},
        clock::Timestamp,
        name::{AdminName, TokenName},
        token::TokenId,
    },
    service::Refusal,
};

/// Maximum number of events per hour, in total and for unknown subjects. One more event counts the
/// rest.
const MAX_EVENTS: usize = 500;
const MAX_ANONYMOUS_EVENTS: usize = 300;
const BUDGET_PERIOD: Duration = Duration::from_hours(1);
/// The reason in the event that counts the rest.
pub const BEYOND_LIMIT: &str = "refused logins beyond the hourly limit of the audit log";
/// Minimum interval between two events for the same group. The first event of a group is written at
/// the next flush.
const INTERVAL: Duration = Duration::from_mins(10);

/// The pending refused logins and the spent part of the hourly budget, which also bounds the
/// memory.
#[derive(Default)]
pub struct Refusals {
    counts: HashMap<RefusalKey, Count>,
    /// Number of counts for unknown subjects.
    anonymous: usize,
    period_began: Option<Instant>,
    spent: usize,
    spent_on_anonymous: usize,
}

/// The owner of refused credentials. A name that belongs to no admin is not stored: it may be a
/// password typed into the wrong field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The credentials match no admin or token.
    Unknown,
    /// An admin.
    Admin(AdminName),
    /// A token, by its ID and name.
    Token(TokenId, TokenName),
}

/// The key by which refused logins are grouped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum RefusalKey {
    Origin {
        channel: Channel,
        network: Option<IpAddr>,
        reason: Refusal,
        subject: Subject,
    },
    /// All logins beyond the budget.
    BeyondBudget,
}

#[derive(Default)]
struct Count {
    pending: u64,
    written_at: Option<Instant>,
}

/// A group of refused logins.
#[derive(Clone, Debug)]
pub struct RefusedLogins {
    key: RefusalKey,
    count: u64,
}

/// Selects the records that a flush writes.
#[derive(Clone, Copy)]
pub enum Due {
    /// Those due at this instant.
    At(Instant),
    /// All records.
    All,
}

impl Due {
    fn includes(self, written_at: Option<Instant>) -> bool {
        match (self, written_at) {
            (Self::At(now), Some(written_at)) => now.saturating_duration_since(written_at) >= INTERVAL,
            (Self::At(_), None) | (Self::All, _) => true,
        }
    }

    fn time(self) -> Option<Instant> {
        match self {
            Self::At(now) => Some(now),
            Self::All => None,
        }
    }
}

impl RefusalKey {
    fn is_anonymous(&self) -> bool {
        matches!(
            self,
            Self::Origin {
                subject: Subject::Unknown,
                ..
            }
        )
    }
}

impl Refusals {
    /// Counts a refused login.
    pub fn record(&mut self, origin: Origin, reason: Refusal, subject: Subject, now: Instant) {
        if self
            .period_began
            .is_none_or(|began| now.saturating_duration_since(began) >= BUDGET_PERIOD)
        {
            self.period_began = Some(now);
            (self.spent, self.spent_on_anonymous) = (0, 0);
            self.counts.retain(|_, count| count.pending > 0);
            self.anonymous = self.counts.keys().filter(|known| known.is_anonymous()).count();
        }
        let mut key = RefusalKey::Origin {
            channel: origin.channel,
            network: origin.network(),
            reason,
            subject,
        };
        if !self.counts.contains_key(&key) {
            let is_anonymous = key.is_anonymous();
            let is_full = is_anonymous && self.anonymous >= MAX_ANONYMOUS_EVENTS;
            if is_full || self.counts.len() >= MAX_EVENTS {
                key = RefusalKey::BeyondBudget;
            } else {
                self.anonymous += usize::from(is_anonymous);
            }
        }
        self.counts.entry(key).or_default().pending += 1;
    }

    /// Takes the groups that are due and within the budget. The rest is added to
    /// `RefusalKey::BeyondBudget`.
    pub fn take(&mut self, due: Due) -> Vec<RefusedLogins> {
        let mut taken = Vec::new();
        let mut beyond = self.counts.remove(&RefusalKey::BeyondBudget).unwrap_or_default();
        let counts = self
            .counts
            .iter_mut()
            .filter(|(_, count)| count.pending > 0 && due.includes(count.written_at));
        for (key, count) in counts {
            let is_anonymous = key.is_anonymous();
            let pending = std::mem::take(&mut count.pending);
            if self.spent >= MAX_EVENTS || is_anonymous && self.spent_on_anonymous >= MAX_ANONYMOUS_EVENTS {
                beyond.pending += pending;
                continue;
            }
            self.spent += 1;
            self.spent_on_anonymous += usize::from(is_anonymous);
            count.written_at = due.time();
            taken.push(RefusedLogins {
                key: key.clone(),
                count: pending,
            });
        }
        if beyond.pending > 0 && due.includes(beyond.written_at) {
            taken.push(RefusedLogins {
                key: RefusalKey::BeyondBudget,
                count: std::mem::take(&mut beyond.pending),
            });
            beyond.written_at = due.time();
        }
        if beyond.pending > 0 || beyond.written_at.is_some() {
            self.counts.insert(RefusalKey::BeyondBudget, beyond);
        }
        taken
    }

    /// Restores groups that could not be written, and returns their share of the budget.
    pub fn put_back(&mut self, refusals: Vec<RefusedLogins>) {
        for RefusedLogins { key, count } in refusals {
            if !matches!(key, RefusalKey::BeyondBudget) {
                self.spent = self.spent.saturating_sub(1);
                self.spent_on_anonymous = self.spent_on_anonymous.saturating_sub(key.is_anonymous().into());
            }
            let counted = self.counts.entry(key).or_default();
            counted.pending += count;
            counted.written_at = None;
        }
    }
}

impl RefusedLogins {
    /// Returns the audit event for this group.
    pub fn event(&self, at: Timestamp) -> AuditEvent {
        let server = Actor {
            id: "server".to_owned(),
            kind: ActorKind::System,
        };
        let (actor, origin, token, details) = match &self.key {
            RefusalKey::Origin {
                channel,
                network,
                reason,
                subject,
            } => {
                let (admin, token) = match subject {
                    Subject::Unknown => (None, None),
                    Subject::Admin(name) => (Some(name.as_str()), None),
                    Subject::Token(id, name) => (None, Some((*id, name.clone()))),
                };
                let origin = Origin {
                    channel: *channel,
                    client: *network,
                };
                let details = json!({ "reason": reason.to_string(), "admin": admin, "count": self.count });
                (None, origin, token, details)
            }
            RefusalKey::BeyondBudget => {
                let origin = Origin {
                    channel: Channel::Cli,
                    client: None,
                };
                let details = json!({ "reason": BEYOND_LIMIT, "admin": null, "count": self.count });
                (Some(server), origin, None, details)
            }
        };
        let (token_id, token_name) = token.unzip();
        AuditEvent {
            at,
            actor,
            origin,
            action: Action::LoginRefused,
            token_id,
            token_name,
            details,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(network: u32) -> Origin {
        Origin {
            channel: Channel::ApiTokens,
            client: Some(IpAddr::from(network.to_be_bytes())),
        }
    }

    fn admin() -> Subject {
        Subject::Admin("admin".parse().unwrap())
    }

    fn total(taken: &[RefusedLogins]) -> u64 {
        taken.iter().map(|refused| refused.count).sum()
    }

    #[test]
    fn a_flood_stays_within_the_budget_and_the_rest_is_counted_in_one_event() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let (mut events, mut count, mut overflows) = (0, 0, 0);
        for round in 0..60_u64 {
            let now = start + Duration::from_mins(round);
            for network in 0..1000 {
                refusals.record(origin(network), Refusal::Password, Subject::Unknown, now);
            }
            refusals.record(origin(5), Refusal::Password, admin(), now);
            assert!(refusals.counts.len() <= MAX_EVENTS + 1);
            let taken = refusals.take(Due::At(now));
            events += taken.len();
            count += total(&taken);
            overflows += taken
                .iter()
                .filter(|refused| matches!(refused.key, RefusalKey::BeyondBudget))
                .count();
            let of_admin = taken
                .iter()
                .any(|refused| matches!(&refused.key, RefusalKey::Origin { subject, .. } if *subject == admin()));
            assert_eq!(of_admin, round % 10 == 0, "{round}");
        }
        assert!(events <= MAX_ANONYMOUS_EVENTS + 12, "{events}");
        assert_eq!(overflows, 6);
        let rest = refusals.take(Due::All);
        assert_eq!(count + total(&rest), 60 * 1001);
        // The next hour has a new budget.
        let now = start + Duration::from_hours(1);
        refusals.record(origin(2000), Refusal::Password, Subject::Unknown, now);
        assert_eq!(refusals.take(Due::At(now)).len(), 1);
    }

    #[test]
    fn an_ipv6_64_prefix_counts_as_one_client() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for client in ["2001:db8::1", "2001:db8::2:3:4:5", "2001:db8:0:1::1"] {
            let origin = Origin {
                channel: Channel::Verify,
                client: client.parse().ok(),
            };
            refusals.record(origin, Refusal::Value, Subject::Unknown, now);
        }
        let mut counts: Vec<u64> = refusals
            .take(Due::At(now))
            .iter()
            .map(|refused| refused.count)
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 2]);
    }

    #[test]
    fn refusals_that_fail_to_write_are_counted_again() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for network in 0..400 {
            refusals.record(origin(network), Refusal::Password, Subject::Unknown, now);
        }
        let taken = refusals.take(Due::At(now));
        assert_eq!(total(&taken), 400);
        refusals.put_back(taken);
        let again = refusals.take(Due::At(now));
        assert_eq!((again.len(), total(&again)), (MAX_ANONYMOUS_EVENTS + 1, 400));
        assert!(refusals.take(Due::All).is_empty());
    }
}
