//! Who still uses the legacy doors.

use std::{
    collections::{BTreeMap, HashMap},
    sync::atomic::{AtomicI64, Ordering},
};

use serde_json::Value;

use super::{Error, Service};
use crate::{
    domain::{
        actor::{Actor, ActorKind, Door, Origin},
        audit::{Action, AuditEvent},
        caller::Call,
        clock::Day,
        legacy_report::{CallerUsage, LegacyReport, ReportDays},
        legacy_usage::{Calls, KEPT_DAYS, LegacyCaller},
        page::{Cursor, PageSize, TokenFilter, TokenState},
        token::Token,
    },
    store::{AnyConnection, StoreError, audit, legacy_usage, tokens},
};

/// How many batches of old calls are removed before something else is written.
const BATCHES_AT_ONCE: usize = 10;

/// What is to be known before the legacy doors are closed.
#[derive(Clone, Debug)]
pub struct LegacyUsage {
    /// Who uses them.
    pub report: LegacyReport,
    /// How many tokens have never had a value.
    pub without_value: i64,
    /// The first 100 of them.
    pub tokens_without_value: Vec<Token>,
}

/// Up to which day the calls of long ago are known to be forgotten.
pub struct Forgotten(AtomicI64);

impl Default for Forgotten {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Service {
    /// Remembers a call of a legacy door, whatever its answer was.
    pub fn legacy_called(&self, caller: LegacyCaller) {
        let now = self.clock.now();
        self.figures.legacy_called(&caller.prefix, now);
        self.unwritten.called(caller, now);
    }

    /// Who has used the legacy doors, above all on the last `days`, with `most` of the callers; and which tokens have no value yet.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a token that may not read tokens.
    pub async fn legacy_usage(&self, call: &Call, days: ReportDays, most: usize) -> Result<LegacyUsage, Error> {
        let filter = TokenFilter {
            state: Some(TokenState::Legacy),
            ..TokenFilter::default()
        };
        // It looks at the caller's rights, too.
        let page = self
            .list(call, filter.clone(), Cursor::default(), PageSize::default())
            .await?;
        let now = self.clock.now();
        let since = days.since(now.day());
        let (unwritten, _not_written_meanwhile) = self.unwritten.legacy_calls().await;
        let (report, without_value) = self
            .store
            .read(move |conn| {
                let (callers, calls) = usage(conn, unwritten.into_sorted(), since, most)?;
                let report = LegacyReport::new(days, calls, callers, most);
                Ok::<_, Error>((report, tokens::count(conn, &filter, now)?))
            })
            .await?;
        Ok(LegacyUsage {
            report,
            without_value,
            tokens_without_value: page.tokens,
        })
    }

    /// Remembers how far the legacy API is on its way out, in the audit log, if that is not what was remembered last.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn record_legacy_phase(&self, details: Value) -> Result<(), Error> {
        let event = AuditEvent {
            at: self.clock.now(),
            actor: Some(Actor {
                id: "server".to_owned(),
                kind: ActorKind::System,
            }),
            origin: Origin {
                door: Door::Cli,
                client: None,
            },
            action: Action::LegacyPhase,
            token_id: None,
            details,
        };
        self.store
            .write(move |conn| Ok(audit::record_news(conn, &event)?))
            .await
    }

    /// Forgets some of the calls that are older than they are kept, if there are any.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_old_calls(&self) -> Result<(), Error> {
        let first = self.clock.now().day().before(KEPT_DAYS);
        if self.forgotten.0.load(Ordering::Relaxed) == first.number() {
            return Ok(());
        }
        for _ in 0..BATCHES_AT_ONCE {
            let more = self
                .store
                .write(move |conn| legacy_usage::forget_before(conn, first))
                .await?;
            if !more {
                self.forgotten.0.store(first.number(), Ordering::Relaxed);
                break;
            }
        }
        Ok(())
    }
}

/// Every caller, those seen last first, and the calls by day since then. Only the first `most` callers have days of their own, so that
/// many callers and many days do not fill the memory.
fn usage(
    conn: &mut AnyConnection,
    unwritten: Vec<(LegacyCaller, Calls)>,
    since: Day,
    most: usize,
) -> Result<(Vec<CallerUsage>, BTreeMap<Day, u64>), StoreError> {
    let stored = legacy_usage::callers(conn)?.into_iter().map(|stored| {
        let usage = CallerUsage::new(stored.caller, stored.first_seen, stored.last_seen, stored.total);
        (usage.caller.clone(), (Some(stored.seq), usage))
    });
    let mut known: HashMap<LegacyCaller, (Option<i64>, CallerUsage)> = stored.collect();
    let mut by_day = BTreeMap::new();
    for (caller, calls) in unwritten {
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
    legacy_usage::each_day(conn, since, |seq, day, count| {
        let Some(number) = numbers.get(&seq).copied() else {
            return;
        };
        let Some((_, usage)) = callers.get_mut(number) else {
            return;
        };
        *by_day.entry(day).or_default() += count;
        usage.recent += count;
        if number < most {
            *usage.days.entry(day).or_default() += count;
        }
    })?;
    Ok((callers.into_iter().map(|(_, usage)| usage).collect(), by_day))
}
