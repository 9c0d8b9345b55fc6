//! The answer to the question whether the legacy doors can be closed.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{
    Invalid,
    actor::{Actor, ActorKind},
    clock::{Day, Timestamp},
    legacy_usage::{CallerAddress, Calls, KEPT_DAYS, LegacyCaller},
};

/// How many are named to be talked to.
const MOST_TO_TALK_TO: usize = 10;

/// How many days a report looks back, today included: 1 to 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportDays(u16);

impl ReportDays {
    /// Reads a number.
    ///
    /// # Errors
    /// When it is none, or out of bounds.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        text.parse()
            .ok()
            .filter(|_| !text.starts_with('+'))
            .filter(|days| (1..=KEPT_DAYS).contains(days))
            .map(Self)
            .ok_or_else(|| Invalid::new("days", format!("{text:?} is not a whole number from 1 to {KEPT_DAYS}")))
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The first of the days that end with `today`.
    #[must_use]
    pub fn since(self, today: Day) -> Day {
        today.before(self.0.saturating_sub(1))
    }
}

impl Default for ReportDays {
    fn default() -> Self {
        Self(30)
    }
}

/// Whether the legacy doors are needed still.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Somebody has called within the days that were looked at.
    InUse,
    /// Somebody has called, but not within those days.
    Quiet,
    /// No call is known.
    NeverUsed,
}

impl Verdict {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::InUse, Self::Quiet, Self::NeverUsed];

    /// The name in a report.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InUse => "in-use",
            Self::Quiet => "quiet",
            Self::NeverUsed => "never-used",
        }
    }
}

/// What is known of one caller.
#[derive(Clone, Debug)]
pub struct CallerUsage {
    /// Who.
    pub caller: LegacyCaller,
    /// When they called first.
    pub first_seen: Timestamp,
    /// When they called last.
    pub last_seen: Timestamp,
    /// How often in all.
    pub total: u64,
    /// How often within the days that are looked at.
    pub recent: u64,
    /// How often on which of these days.
    pub days: BTreeMap<Day, u64>,
}

impl CallerUsage {
    /// Somebody whose calls are to be added.
    #[must_use]
    pub const fn new(caller: LegacyCaller, first_seen: Timestamp, last_seen: Timestamp, total: u64) -> Self {
        Self {
            caller,
            first_seen,
            last_seen,
            total,
            recent: 0,
            days: BTreeMap::new(),
        }
    }

    /// Adds calls of which those from `since` on are looked at.
    pub fn add(&mut self, calls: &Calls, since: Day) {
        self.first_seen = self.first_seen.min(calls.first_seen);
        self.last_seen = self.last_seen.max(calls.last_seen);
        self.total += calls.count();
        for (day, count) in calls.days.range(since..) {
            self.recent += count;
            *self.days.entry(*day).or_default() += count;
        }
    }
}

/// Somebody to talk to before a door is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Who, if that is known.
    pub actor: Option<Actor>,
    /// From which address; absent for all who are too many to be told apart.
    pub client: CallerAddress,
    /// How often within the days that were looked at.
    pub count: u64,
    /// When last.
    pub last_seen: Timestamp,
}

/// What is known of the legacy doors' use.
#[derive(Clone, Debug)]
pub struct LegacyReport {
    /// Whether they are needed still.
    pub verdict: Verdict,
    /// How many days were looked at.
    pub days: ReportDays,
    /// The verdict in a sentence.
    pub message: String,
    /// Who has called within these days, the busiest first.
    pub talk_to: Vec<Contact>,
    /// The callers, those seen last first.
    pub callers: Vec<CallerUsage>,
    /// How many callers there are beside those.
    pub more_callers: usize,
    /// How many calls there were on each of these days that had any.
    pub calls: BTreeMap<Day, u64>,
}

impl LegacyReport {
    /// The report on `callers`, which are sorted, those seen last first; it shows `most` of them.
    #[must_use]
    pub fn new(days: ReportDays, calls: BTreeMap<Day, u64>, mut callers: Vec<CallerUsage>, most: usize) -> Self {
        let talk_to = contacts(&callers);
        let verdict = match (callers.is_empty(), talk_to.is_empty()) {
            (true, _) => Verdict::NeverUsed,
            (false, true) => Verdict::Quiet,
            (false, false) => Verdict::InUse,
        };
        let message = sentence(verdict, days, &calls, callers.first(), talk_to.first());
        let more_callers = callers.len().saturating_sub(most);
        callers.truncate(most);
        Self {
            verdict,
            days,
            message,
            talk_to,
            callers,
            more_callers,
            calls,
        }
    }
}

/// Those who have called lately, the busiest first.
fn contacts(callers: &[CallerUsage]) -> Vec<Contact> {
    let mut contacts: HashMap<_, Contact> = HashMap::new();
    for usage in callers.iter().filter(|usage| usage.recent > 0) {
        let LegacyCaller { actor, client, .. } = &usage.caller;
        let contact = contacts.entry((actor, client)).or_insert_with(|| Contact {
            actor: actor.clone(),
            client: *client,
            count: 0,
            last_seen: usage.last_seen,
        });
        contact.count += usage.recent;
        contact.last_seen = contact.last_seen.max(usage.last_seen);
    }
    let mut contacts: Vec<_> = contacts.into_values().collect();
    contacts.sort_unstable_by(|one, other| {
        let busier = other.count.cmp(&one.count);
        busier.then_with(|| (&one.actor, one.client).cmp(&(&other.actor, other.client)))
    });
    contacts.truncate(MOST_TO_TALK_TO);
    contacts
}

fn sentence(
    verdict: Verdict,
    days: ReportDays,
    calls: &BTreeMap<Day, u64>,
    last: Option<&CallerUsage>,
    busiest: Option<&Contact>,
) -> String {
    let window = match days.get() {
        1 => "today".to_owned(),
        days => format!("in the last {days} days"),
    };
    let Some(last) = last else {
        return format!("No call of a legacy door is known, {window} or before: they can be closed.");
    };
    let who = who(last.caller.actor.as_ref(), last.caller.client);
    match (verdict, busiest) {
        (Verdict::InUse, Some(busiest)) => {
            let calls = match calls.values().sum() {
                1_u64 => "1 call".to_owned(),
                count => format!("{count} calls"),
            };
            format!(
                "The legacy doors are in use: {calls} {window}, the last at {} by {who}; talk to {} first.",
                last.last_seen,
                self::who(busiest.actor.as_ref(), busiest.client)
            )
        }
        _ => format!(
            "The legacy doors are quiet: no call {window}; the last was at {} by {who}.",
            last.last_seen
        ),
    }
}

/// Who that is, in words.
fn who(actor: Option<&Actor>, client: CallerAddress) -> String {
    let name = match actor {
        None => "somebody unknown".to_owned(),
        Some(Actor { id, kind }) => match kind {
            ActorKind::User => format!("the admin {id}"),
            ActorKind::ApiToken => format!("the token {id}"),
            ActorKind::System => id.clone(),
        },
    };
    match client {
        CallerAddress::Known(address) => format!("{name} from {address}"),
        CallerAddress::Unknown => format!("{name} from an unknown address"),
        CallerAddress::Any => "one of those who are too many to be told apart".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_today() {
        let today = Day::from_number(20_000);
        assert_eq!(ReportDays::parse("1").unwrap().since(today), today);
        assert_eq!(ReportDays::default().since(today), Day::from_number(19_971));
        for wrong in ["0", "401", "-1", "+1", "", "x", "1.5"] {
            let message = ReportDays::parse(wrong).unwrap_err().to_string();
            assert!(message.contains("from 1 to 400"), "{message}");
        }
    }

    #[test]
    fn the_busiest_are_named_first_and_ten_at_most() {
        let at = Timestamp::from_micros(0).unwrap();
        let usage = |number: u32, recent| CallerUsage {
            recent,
            ..CallerUsage::new(
                LegacyCaller {
                    prefix: "/verify".to_owned(),
                    method: "GET".to_owned(),
                    actor: None,
                    client: CallerAddress::Known(std::net::Ipv4Addr::from_bits(number % 12).into()),
                    user_agent: number.to_string(),
                },
                at,
                at,
                9,
            )
        };
        // Two programs on each of twelve machines; the last machine has not called lately.
        let callers = (0..24)
            .map(|number| usage(number, u64::from(number % 12 % 11)))
            .collect();
        let report = LegacyReport::new(ReportDays::default(), BTreeMap::new(), callers, 5);
        assert_eq!((report.callers.len(), report.more_callers), (5, 19));
        let counts: Vec<_> = report.talk_to.iter().map(|contact| contact.count).collect();
        assert_eq!(counts, [20, 18, 16, 14, 12, 10, 8, 6, 4, 2]);
    }
}
