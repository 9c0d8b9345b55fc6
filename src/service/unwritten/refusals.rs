//! Refused logins, counted in memory until they are written as a bounded number of audit events per hour.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    domain::{
        actor::{Actor, ActorKind, Door, Origin},
        audit::{Action, AuditEvent},
        clock::Timestamp,
        name::AdminName,
        token::TokenId,
    },
    service::Refusal,
};

/// Maximum number of events per hour, in total and for unknown subjects. One more event counts the rest.
const MAX_EVENTS: usize = 500;
const MAX_EVENTS_ABOUT_STRANGERS: usize = 300;
const BUDGET_PERIOD: Duration = Duration::from_hours(1);
/// Minimum interval between two events for the same group. The first event of a group is written at the next flush.
const INTERVAL: Duration = Duration::from_mins(10);

/// The unwritten refused logins and the spent part of the hourly budget, which also bounds the memory.
#[derive(Default)]
pub struct Refusals {
    counts: HashMap<Alike, Count>,
    /// Number of counts for unknown subjects.
    strangers: usize,
    period_began: Option<Instant>,
    spent: usize,
    spent_on_strangers: usize,
}

/// The owner of refused credentials. A name that belongs to no admin is not stored: it may be a password typed into the wrong field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The credentials match no admin or token.
    Unknown,
    /// An admin.
    Admin(AdminName),
    /// A token.
    Token(TokenId),
}

/// The key by which refused logins are grouped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Alike {
    Origin {
        door: Door,
        network: Option<IpAddr>,
        reason: Refusal,
        subject: Subject,
    },
    /// All logins beyond the budget.
    BeyondBudget,
}

#[derive(Default)]
struct Count {
    unwritten: u64,
    written_at: Option<Instant>,
}

/// A group of refused logins.
#[derive(Clone, Debug)]
pub struct RefusedLogins {
    alike: Alike,
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
            _ => true,
        }
    }

    fn time(self) -> Option<Instant> {
        match self {
            Self::At(now) => Some(now),
            Self::All => None,
        }
    }
}

impl Alike {
    fn is_about_stranger(&self) -> bool {
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
            (self.spent, self.spent_on_strangers) = (0, 0);
            self.counts.retain(|_, count| count.unwritten > 0);
            self.strangers = self.counts.keys().filter(|known| known.is_about_stranger()).count();
        }
        let mut alike = Alike::Origin {
            door: origin.door,
            network: origin.network(),
            reason,
            subject,
        };
        if !self.counts.contains_key(&alike) {
            let is_about_stranger = alike.is_about_stranger();
            let is_full = is_about_stranger && self.strangers >= MAX_EVENTS_ABOUT_STRANGERS;
            if is_full || self.counts.len() >= MAX_EVENTS {
                alike = Alike::BeyondBudget;
            } else {
                self.strangers += usize::from(is_about_stranger);
            }
        }
        self.counts.entry(alike).or_default().unwritten += 1;
    }

    /// Takes the groups that are due and within the budget. The rest is added to `Alike::BeyondBudget`.
    pub fn take(&mut self, due: Due) -> Vec<RefusedLogins> {
        let mut taken = Vec::new();
        let mut beyond = self.counts.remove(&Alike::BeyondBudget).unwrap_or_default();
        let counts = self
            .counts
            .iter_mut()
            .filter(|(_, count)| count.unwritten > 0 && due.includes(count.written_at));
        for (alike, count) in counts {
            let is_about_stranger = alike.is_about_stranger();
            let unwritten = std::mem::take(&mut count.unwritten);
            if self.spent >= MAX_EVENTS || is_about_stranger && self.spent_on_strangers >= MAX_EVENTS_ABOUT_STRANGERS {
                beyond.unwritten += unwritten;
                continue;
            }
            self.spent += 1;
            self.spent_on_strangers += usize::from(is_about_stranger);
            count.written_at = due.time();
            taken.push(RefusedLogins {
                alike: alike.clone(),
                count: unwritten,
            });
        }
        if beyond.unwritten > 0 && due.includes(beyond.written_at) {
            taken.push(RefusedLogins {
                alike: Alike::BeyondBudget,
                count: std::mem::take(&mut beyond.unwritten),
            });
            beyond.written_at = due.time();
        }
        if beyond.unwritten > 0 || beyond.written_at.is_some() {
            self.counts.insert(Alike::BeyondBudget, beyond);
        }
        taken
    }

    /// Restores groups that could not be written, and returns their share of the budget.
    pub fn put_back(&mut self, refusals: Vec<RefusedLogins>) {
        for RefusedLogins { alike, count } in refusals {
            if !matches!(alike, Alike::BeyondBudget) {
                self.spent = self.spent.saturating_sub(1);
                self.spent_on_strangers = self.spent_on_strangers.saturating_sub(alike.is_about_stranger().into());
            }
            let counted = self.counts.entry(alike).or_default();
            counted.unwritten += count;
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
        let (actor, origin, token_id, details) = match &self.alike {
            Alike::Origin {
                door,
                network,
                reason,
                subject,
            } => {
                let (admin, token_id) = match subject {
                    Subject::Unknown => (None, None),
                    Subject::Admin(name) => (Some(name.as_str()), None),
                    Subject::Token(id) => (None, Some(*id)),
                };
                let origin = Origin {
                    door: *door,
                    client: *network,
                };
                let details = json!({ "reason": reason.to_string(), "admin": admin, "count": self.count });
                (None, origin, token_id, details)
            }
            Alike::BeyondBudget => {
                let origin = Origin {
                    door: Door::Cli,
                    client: None,
                };
                let reason = "more refused logins within an hour than the audit lists";
                let details = json!({ "reason": reason, "admin": null, "count": self.count });
                (Some(server), origin, None, details)
            }
        };
        AuditEvent {
            at,
            actor,
            origin,
            action: Action::LoginRefused,
            token_id,
            details,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(network: u32) -> Origin {
        Origin {
            door: Door::ApiTokens,
            client: Some(IpAddr::from(network.to_be_bytes())),
        }
    }

    fn admin() -> Subject {
        Subject::Admin(AdminName::parse("admin").unwrap())
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
                .filter(|refused| matches!(refused.alike, Alike::BeyondBudget))
                .count();
            let of_admin = taken
                .iter()
                .any(|refused| matches!(&refused.alike, Alike::Origin { subject, .. } if *subject == admin()));
            assert_eq!(of_admin, round % 10 == 0, "{round}");
        }
        assert!(events <= MAX_EVENTS_ABOUT_STRANGERS + 12, "{events}");
        assert_eq!(overflows, 6);
        let rest = refusals.take(Due::All);
        assert_eq!(count + total(&rest), 60 * 1001);
        // The next hour has a new budget.
        let now = start + Duration::from_hours(1);
        refusals.record(origin(2000), Refusal::Password, Subject::Unknown, now);
        assert_eq!(refusals.take(Due::At(now)).len(), 1);
    }

    #[test]
    fn a_64_is_one_client() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for client in ["2001:db8::1", "2001:db8::2:3:4:5", "2001:db8:0:1::1"] {
            let origin = Origin {
                door: Door::Verify,
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
    fn what_cannot_be_written_is_counted_again() {
        let (mut refusals, now) = (Refusals::default(), Instant::now());
        for network in 0..400 {
            refusals.record(origin(network), Refusal::Password, Subject::Unknown, now);
        }
        let taken = refusals.take(Due::At(now));
        assert_eq!(total(&taken), 400);
        refusals.put_back(taken);
        let again = refusals.take(Due::At(now));
        assert_eq!((again.len(), total(&again)), (MAX_EVENTS_ABOUT_STRANGERS + 1, 400));
        assert!(refusals.take(Due::All).is_empty());
    }
}
