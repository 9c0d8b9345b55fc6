//! The report on whether the legacy API can be switched off.

mod message;

use std::{
    collections::{BTreeMap, HashMap},
    str::FromStr,
};

use serde::Serialize;

use super::{
    Invalid,
    actor::Actor,
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
    /// The first day on which a server watched, if any did.
    pub watched_since: Option<Day>,
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
    /// The first day on which a server watched, if any did.
    pub watched_since: Option<Day>,
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
            watched_since,
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
            watched_since,
            without_value,
            state,
            message: String::new(),
            contacts,
            callers,
            more_callers,
            calls,
        };
        report.message = message::compose(&report);
        report.callers.truncate(max_callers);
        report
    }

    /// Returns `true` if the report gives no reason to keep the legacy API on.
    #[must_use]
    pub const fn is_safe_to_switch_off(&self) -> bool {
        matches!(self.verdict, Verdict::Quiet | Verdict::NeverUsed) && self.without_value == 0
    }
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

#[cfg(test)]
mod tests;
