//! The report on the use of the legacy API.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{Error, Service};
use crate::{
    domain::{
        actor::{Actor, ActorKind, Channel, Origin},
        audit::{Action, AuditEvent},
        authorization::Operation,
        caller::Call,
        clock::{Day, Timestamp},
        legacy_phase::LegacyState,
        legacy_report::{CallerUsage, LegacyReport, ReportContext, ReportDays},
        legacy_usage::{Calls, LegacyCaller},
        page::{ColumnFilter, Cursor, PageSize, TokenState},
        token::Token,
    },
    store::{AnyConnection, StoreError, audit, legacy_usage, legacy_watch, tokens},
};

/// The use of the legacy API, and the tokens that depend on it.
#[derive(Clone, Debug)]
pub struct LegacyUsage {
    /// The report on callers and calls.
    pub report: LegacyReport,
    /// The first 100 tokens that have never had a value.
    pub tokens_without_value: Vec<Token>,
}

impl Service {
    /// Records a call of a legacy endpoint, regardless of the response.
    pub fn record_legacy_call(&self, caller: LegacyCaller) {
        let now = self.clock.now();
        self.metrics.record_legacy_call(&caller.prefix, now);
        self.write_behind.record_legacy_call(caller, now);
    }

    /// Reports the callers of the legacy API, with calls per day in the last `days` days for the
    /// first `max_callers` of them, and the tokens without a value. Without a `state`, reports the
    /// state that the most recently started server recorded.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a token.
    pub async fn legacy_usage(
        &self,
        call: &Call,
        days: ReportDays,
        max_callers: usize,
        state: Option<LegacyState>,
    ) -> Result<LegacyUsage, Error> {
        let filter = ColumnFilter {
            state: Some(TokenState::Legacy),
            ..ColumnFilter::default()
        };
        let legacy_tokens = filter.clone();
        let check_caller = self.caller_check(call, Operation::ReadLegacyUsage);
        let now = self.clock.now();
        let since = days.since(now.day());
        let (pending, flush_guard) = self.write_behind.legacy_calls().await;
        let report = self
            .store
            .read(move |conn| {
                check_caller(conn)?;
                let (callers, calls) = load_usage(conn, pending.into_sorted(), now, since, max_callers)?;
                let recorded = |conn: &mut AnyConnection| {
                    let details = audit::last_details(conn, Action::LegacyPhase)?;
                    Ok::<_, Error>(details.and_then(|details| LegacyState::from_details(&details, now)))
                };
                let context = ReportContext {
                    since,
                    watched_days: watched_days(conn, days, now)?,
                    watched_since: legacy_watch::first_day(conn)?,
                    without_value: tokens::count(conn, &filter, now)?,
                    state: match state {
                        Some(state) => Some(state),
                        None => recorded(conn)?,
                    },
                };
                Ok::<_, Error>(LegacyReport::new(days, context, calls, callers, max_callers))
            })
            .await?;
        drop(flush_guard);
        let page = self
            .list(call, legacy_tokens.into(), Cursor::default(), PageSize::default())
            .await?;
        Ok(LegacyUsage {
            report,
            tokens_without_value: page.tokens,
        })
    }

    /// Records the phase of the legacy API's retirement in the audit log, unless the last recorded
    /// phase is the same.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails.
    pub async fn record_legacy_phase(&self, details: Value) -> Result<(), Error> {
        let event = AuditEvent {
            at: self.clock.now(),
            actor: Some(Actor {
                id: "server".to_owned(),
                kind: ActorKind::System,
            }),
            origin: Origin {
                channel: Channel::Cli,
                client: None,
            },
            action: Action::LegacyPhase,
            token_id: None,
            token_name: None,
            details,
        };
        self.store
            .write(move |conn| Ok(audit::record_if_changed(conn, &event)?))
            .await
    }
}

/// Counts how many of the last `days` days a server watched the legacy API.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn watched_days(conn: &mut AnyConnection, days: ReportDays, now: Timestamp) -> Result<u16, StoreError> {
    // The first 24-hour period begins within the day before the first day of the window.
    let first = now.day().before(days.get());
    Ok(legacy_watch::since(conn, first)?.count_days(days.get(), now))
}

/// Returns all callers, the most recently seen first, and the calls per day since `since`. Only the
/// first `max_callers` callers include calls per day, which bounds the memory.
fn load_usage(
    conn: &mut AnyConnection,
    pending: Vec<(LegacyCaller, Calls)>,
    now: Timestamp,
    since: Day,
    max_callers: usize,
) -> Result<(Vec<CallerUsage>, BTreeMap<Day, u64>), StoreError> {
    let stored = legacy_usage::callers(conn)?.into_iter().map(|stored| {
        let [first_seen, last_seen] = [stored.first_seen, stored.last_seen].map(|seen| seen.bounded_by(now));
        let usage = CallerUsage::new(stored.caller, first_seen, last_seen, stored.total);
        (usage.caller.clone(), (Some(stored.seq), usage))
    });
    let mut known: HashMap<LegacyCaller, (Option<i64>, CallerUsage)> = stored.collect();
    let mut by_day = BTreeMap::new();
    for (caller, calls) in pending {
        for (day, count) in calls.days.range(since..) {
            *by_day.entry(*day).or_default() += count;
        }
        let unknown = || {
            (
                None,
                CallerUsage::new(caller.clone(), calls.first_seen, calls.last_seen, 0),
            )
        };
        let (_, usage) = known.entry(caller.clone()).or_insert_with(unknown);
        usage.add(&calls, since);
    }
    let mut callers: Vec<_> = known.into_values().collect();
    callers.sort_unstable_by(|(_, one), (_, other)| {
        let later = other.last_seen.cmp(&one.last_seen);
        later.then_with(|| one.caller.cmp(&other.caller))
    });
    let seqs = callers.iter().map(|(seq, _)| *seq).enumerate();
    let numbers: HashMap<i64, usize> = seqs.filter_map(|(number, seq)| Some((seq?, number))).collect();
    legacy_usage::for_each_day(conn, since, |seq, day, count| {
        let Some(number) = numbers.get(&seq).copied() else {
            return;
        };
        let Some((_, usage)) = callers.get_mut(number) else {
            return;
        };
        *by_day.entry(day).or_default() += count;
        usage.recent += count;
        if number < max_callers {
            *usage.days.entry(day).or_default() += count;
        }
    })?;
    Ok((callers.into_iter().map(|(_, usage)| usage).collect(), by_day))
}
