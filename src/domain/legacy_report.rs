//! The report on whether the legacy API can be switched off.

use std::str::FromStr;

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::{
    Invalid,
    actor::{Actor, ActorKind},
    clock::{Day, Timestamp},
    legacy_phase::LegacyState,
    legacy_usage::{CallerAddress, Calls, LegacyCaller, RETENTION_DAYS},
    named::named_enum,
};

/// Maximum number of contacts in a report.
const MAX_CONTACTS: usize = 10;

/// The length of a report's window in days, including today: 1 to 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportDays(u16);

impl ReportDays {
    /// Returns the number of days.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Returns the first day of the window that ends with `today`.
    #[must_use]
    pub fn since(self, today: Day) -> Day {
        today.before(self.0.saturating_sub(1))
    }
}

impl FromStr for ReportDays {
    type Err = Invalid;

    /// Parses a decimal number.
    ///
    /// # Errors
    /// Returns [`Invalid`] if `text` is not a whole number from 1 to 400.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        text.parse()
            .ok()
            .filter(|_| !text.starts_with('+'))
            .filter(|days| (1..=RETENTION_DAYS).contains(days))
            .map(Self)
            .ok_or_else(|| {
                Invalid::new(
                    "days",
                    format!("{text:?} is not a whole number from 1 to {RETENTION_DAYS}"),
                )
            })
    }
}

impl Default for ReportDays {
    fn default() -> Self {
        Self(30)
    }
}

named_enum! {
    /// The verdict on the use of the legacy API.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
    #[serde(rename_all = "kebab-case")]
    pub enum Verdict {
        /// The servers have not watched for long enough, and no recent call is known.
        NotObservedYet = "not-observed-yet",
        /// There were calls within the days of the report.
        InUse = "in-use",
        /// There were calls, but not within those days.
        Quiet = "quiet",
        /// No call is known.
        NeverUsed = "never-used",
    }
}

impl Verdict {
    /// Returns the verdict for a window of `days` that starts at `since`, of which `watched_days`
    /// were watched. `last_call` is the last known call, in the window or before it.
    #[must_use]
    pub fn new(last_call: Option<Timestamp>, since: Day, days: ReportDays, watched_days: u16) -> Self {
        match last_call {
            Some(last) if last.day() >= since => Self::InUse,
            _ if watched_days < days.get() => Self::NotObservedYet,
            Some(_) => Self::Quiet,
            None => Self::NeverUsed,
        }
    }
}

/// The recorded use by one caller.
#[derive(Clone, Debug)]
pub struct CallerUsage {
    /// The caller.
    pub caller: LegacyCaller,
    /// The time of the first call.
    pub first_seen: Timestamp,
    /// The time of the last call.
    pub last_seen: Timestamp,
    /// Number of calls in total.
    pub total: u64,
    /// Number of calls in the window.
    pub recent: u64,
    /// Number of calls on each day of the window that had any.
    pub days: BTreeMap<Day, u64>,
}

impl CallerUsage {
    /// Creates a record without calls in the window.
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

    /// Adds calls. Those from `since` on count as calls in the window.
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

/// A caller to contact before a legacy endpoint is turned off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// The authenticated actor, if any.
    pub actor: Option<Actor>,
    /// The address of the client.
    pub client: CallerAddress,
    /// Number of calls in the window.
    pub count: u64,
    /// The time of the last call.
    pub last_seen: Timestamp,
}

/// The facts besides calls that a report depends on.
#[derive(Clone, Copy, Debug)]
pub struct ReportContext {
    /// The first day of the window.
    pub since: Day,
    /// Number of watched days in the window.
    pub watched_days: u16,
    /// Number of tokens that have never had a value.
    pub without_value: i64,
    /// The current state of the legacy API, if known.
    pub state: Option<LegacyState>,
}

/// The use of the legacy API.
#[derive(Clone, Debug)]
pub struct LegacyReport {
    /// The verdict on its use.
    pub verdict: Verdict,
    /// The length of the window.
    pub days: ReportDays,
    /// Number of watched days in the window.
    pub watched_days: u16,
    /// Number of tokens that have never had a value.
    pub without_value: i64,
    /// The current state of the legacy API, if known.
    pub state: Option<LegacyState>,
    /// The verdict in sentences.
    pub message: String,
    /// The callers within the window, the busiest first.
    pub contacts: Vec<Contact>,
    /// The callers, the most recently seen first.
    pub callers: Vec<CallerUsage>,
    /// Number of further callers that `callers` leaves out.
    pub more_callers: usize,
    /// Number of calls on each day of the window that had any.
    pub calls: BTreeMap<Day, u64>,
}

impl LegacyReport {
    /// Creates the report on `callers`, which are sorted with the most recently seen first. The
    /// report lists at most `max_callers` of them.
    #[must_use]
    pub fn new(
        days: ReportDays,
        context: ReportContext,
        calls: BTreeMap<Day, u64>,
        callers: Vec<CallerUsage>,
        max_callers: usize,
    ) -> Self {
        let ReportContext {
            since,
            watched_days,
            without_value,
            state,
        } = context;
        let contacts = find_contacts(&callers);
        let last_call = callers.first().map(|caller| caller.last_seen);
        let more_callers = callers.len().saturating_sub(max_callers);
        let mut report = Self {
            verdict: Verdict::new(last_call, since, days, watched_days),
            days,
            watched_days,
            without_value,
            state,
            message: String::new(),
            contacts,
            callers,
            more_callers,
            calls,
        };
        report.message = report.compose_message();
        report.callers.truncate(max_callers);
        report
    }

    /// Returns `true` if the report gives no reason to keep the legacy API on.
    #[must_use]
    pub const fn is_safe_to_switch_off(&self) -> bool {
        matches!(self.verdict, Verdict::Quiet | Verdict::NeverUsed) && self.without_value == 0
    }

    fn compose_message(&self) -> String {
        let days = self.days.get();
        let window = match days {
            1 => "today".to_owned(),
            days => format!("in the last {days} days"),
        };
        let (state, subject) = match self.state {
            Some(state) => (format!("The legacy API {state}. "), "It"),
            None => (String::new(), "The legacy API"),
        };
        let watched = format!(
            "the server watched on {} of the last {}",
            self.watched_days,
            pluralize(days.into(), "day")
        );
        let last = self.callers.first().map(|last| {
            let who = describe_caller(last.caller.actor.as_ref(), last.caller.client);
            format!("at {} by {who}", last.last_seen)
        });
        let finding = match (self.verdict, last) {
            (Verdict::InUse, Some(last)) => {
                let busiest = self.contacts.first().map(|busiest| {
                    let who = describe_caller(busiest.actor.as_ref(), busiest.client);
                    format!(" Contact {who} first.")
                });
                let calls = pluralize(self.calls.values().sum(), "call");
                format!(
                    "{state}{subject} is in use: {calls} {window}, the last {last}.{}",
                    busiest.unwrap_or_default()
                )
            }
            (Verdict::NotObservedYet, last) => {
                let last = last.map(|last| format!(" The last known call was {last}."));
                format!(
                    "{state}{subject} has not been observed for long enough: {watched}.{}",
                    last.unwrap_or_default()
                )
            }
            (Verdict::Quiet | Verdict::NeverUsed, Some(last)) => {
                format!("{state}{subject} is quiet: no call {window}, while {watched}; the last call was {last}.")
            }
            (Verdict::InUse | Verdict::Quiet | Verdict::NeverUsed, None) => {
                format!("{state}No call is known, while {watched}.")
            }
        };
        let advice = if self.without_value > 0 {
            let tokens = pluralize(self.without_value.unsigned_abs(), "token");
            let (have, them) = if self.without_value == 1 {
                ("has", "it")
            } else {
                ("have", "them")
            };
            format!(" {tokens} {have} no value yet: rotate {them} before the legacy API is switched off.")
        } else if self.is_safe_to_switch_off() && !self.state.is_some_and(LegacyState::is_off) {
            " The legacy API can be switched off.".to_owned()
        } else {
            String::new()
        };
        finding + &advice
    }
}

/// Formats a count with its noun: `1 call`, `2 calls`.
fn pluralize(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Returns the callers within the window, the busiest first. Callers that differ only in endpoint
/// or program are one contact.
fn find_contacts(callers: &[CallerUsage]) -> Vec<Contact> {
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
    contacts.truncate(MAX_CONTACTS);
    contacts
}

/// Describes a caller within a sentence.
fn describe_caller(actor: Option<&Actor>, client: CallerAddress) -> String {
    let name = match actor {
        None => "an unauthenticated caller".to_owned(),
        Some(Actor { id, kind }) => match kind {
            ActorKind::User => format!("admin {id}"),
            ActorKind::ApiToken => format!("token {id}"),
            ActorKind::System => id.clone(),
        },
    };
    match client {
        CallerAddress::Known(address) => format!("{name} from {address}"),
        CallerAddress::Unknown => format!("{name} from an unknown address"),
        CallerAddress::Other => "one of the callers beyond the limit, which are counted together".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::legacy_phase::LegacyMode;

    #[test]
    fn a_window_ends_today() {
        let today = Day::from_number(20_000);
        assert_eq!("1".parse::<ReportDays>().unwrap().since(today), today);
        assert_eq!(ReportDays::default().since(today), Day::from_number(19_971));
        for wrong in ["0", "401", "-1", "+1", "", "x", "1.5"] {
            let message = wrong.parse::<ReportDays>().unwrap_err().to_string();
            assert!(message.contains("from 1 to 400"), "{message}");
        }
    }

    #[test]
    fn the_ten_busiest_callers_are_listed_first() {
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
        let report = LegacyReport::new(ReportDays::default(), context(0, 0, None), BTreeMap::new(), callers, 5);
        assert_eq!((report.callers.len(), report.more_callers), (5, 19));
        let counts: Vec<_> = report.contacts.iter().map(|contact| contact.count).collect();
        assert_eq!(counts, [20, 18, 16, 14, 12, 10, 8, 6, 4, 2]);
    }

    fn context(watched_days: u16, without_value: i64, state: Option<LegacyState>) -> ReportContext {
        ReportContext {
            since: Day::from_number(20_000 - 29),
            watched_days,
            without_value,
            state,
        }
    }

    /// Returns the verdict, whether switching off is safe, and the sentences; the last call was `ago` days ago.
    fn evaluate(ago: Option<i64>, context: ReportContext) -> (Verdict, bool, String) {
        let caller = ago.map(|ago| {
            let at = Timestamp::from_micros(Day::from_number(20_000 - ago).micros()).unwrap();
            let recent = u64::from(ago < 30);
            let caller = LegacyCaller {
                prefix: "/rest/agent/1.0".to_owned(),
                method: "GET".to_owned(),
                actor: None,
                client: CallerAddress::Known(std::net::Ipv4Addr::LOCALHOST.into()),
                user_agent: String::new(),
            };
            CallerUsage {
                recent,
                ..CallerUsage::new(caller, at, at, 1)
            }
        });
        let calls = caller.iter().filter(|caller| caller.recent > 0);
        let calls = calls.map(|caller| (caller.last_seen.day(), 1)).collect();
        let report = LegacyReport::new(ReportDays::default(), context, calls, caller.into_iter().collect(), 5);
        (report.verdict, report.is_safe_to_switch_off(), report.message)
    }

    #[test]
    fn the_verdict_requires_the_whole_window() {
        let on = Some(LegacyState::Mode(LegacyMode::On));
        for (ago, watched, verdict) in [
            (None, 0, Verdict::NotObservedYet),
            (None, 29, Verdict::NotObservedYet),
            (None, 30, Verdict::NeverUsed),
            (Some(0), 0, Verdict::InUse),
            (Some(29), 30, Verdict::InUse),
            (Some(30), 29, Verdict::NotObservedYet),
            (Some(30), 30, Verdict::Quiet),
        ] {
            let (found, is_safe, message) = evaluate(ago, context(watched, 0, on));
            assert_eq!(found, verdict, "{ago:?}, {watched}: {message}");
            let advises = message.contains("can be switched off");
            assert_eq!(
                (is_safe, advises),
                (watched == 30 && verdict != Verdict::InUse, is_safe),
                "{message}"
            );
        }
    }

    #[test]
    fn switching_off_is_never_advised_while_tokens_have_no_value() {
        for ago in [None, Some(0), Some(30)] {
            for watched in [0, 30] {
                let (_, is_safe, message) = evaluate(ago, context(watched, 1498, None));
                assert!(!is_safe && !message.contains("can be"), "{message}");
                assert!(
                    message.ends_with(
                        " 1498 tokens have no value yet: rotate them before the legacy API is switched off."
                    ),
                    "{message}"
                );
            }
        }
        let (_, _, message) = evaluate(None, context(30, 1, None));
        assert!(message.ends_with(" 1 token has no value yet: rotate it before the legacy API is switched off."));
    }

    #[test]
    fn the_message_names_the_state_of_the_legacy_api() {
        let until = Timestamp::parse("time", "2030-01-01T09:15:00Z").unwrap();
        for (state, message) in [
            (
                LegacyState::Brownout(until),
                "The legacy API is closed by a brownout until 2030-01-01T09:15:00Z. No call is known, while the server watched on 30 \
                 of the last 30 days. The legacy API can be switched off.",
            ),
            (
                LegacyState::Mode(LegacyMode::Off),
                "The legacy API is off. No call is known, while the server watched on 30 of the last 30 days.",
            ),
        ] {
            assert_eq!(evaluate(None, context(30, 0, Some(state))).2, message);
        }
        let read_only = Some(LegacyState::Mode(LegacyMode::ReadOnly));
        assert_eq!(
            evaluate(Some(0), context(2, 0, read_only)).2,
            "The legacy API is read-only. It is in use: 1 call in the last 30 days, the last at 2024-10-04T00:00:00Z by an \
             unauthenticated caller from 127.0.0.1. Contact an unauthenticated caller from 127.0.0.1 first."
        );
    }
}
