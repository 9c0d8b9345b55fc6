//! The write-behind buffer: uses of tokens, refused logins, and calls of the legacy API are
//! collected in memory and written in batches.

mod refusals;
mod uses;

use std::{
    collections::{HashMap, hash_map::Entry},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Error, Refusal};
use crate::domain::{
    actor::Origin,
    clock::{Clock, Timestamp},
    legacy_usage::{CallerLimits, Calls, LegacyCaller, LegacyCalls},
    page::TokenFilter,
    token::{Token, TokenId},
    usage::{DayUses, LastUse, UseOutcome},
};
use refusals::Refusals;
pub use refusals::{Due, RefusedLogins, Subject};
use uses::PendingUses;

/// Maximum number of tokens whose uses one transaction writes. Other writes wait for it.
const MAX_TOKENS_PER_WRITE: usize = 500;
/// Minimum pause after a flush of all uses, as a multiple of its duration, so that such flushes take at most a fifth of
/// the time.
const PAUSE_FACTOR: u32 = 4;
/// Maximum pause after a flush of all uses.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Records that have not been written yet.
#[derive(Default)]
pub struct WriteBehind {
    state: Mutex<State>,
    flushing: tokio::sync::Mutex<()>,
}

struct State {
    uses: HashMap<TokenId, PendingUses>,
    /// The uses that the last flush of all uses, and each one after it, wrote or is writing. A reader whose read began
    /// before the flush committed finds them here.
    flushed: Vec<FlushedUses>,
    /// When all uses are due. Until then, only tokens without flushed uses are: they may have been unused for long.
    all_due_at: Option<Instant>,
    refusals: Refusals,
    legacy_calls: LegacyCalls,
}

impl Default for State {
    fn default() -> Self {
        Self {
            uses: HashMap::new(),
            flushed: Vec::new(),
            all_due_at: None,
            refusals: Refusals::default(),
            legacy_calls: LegacyCalls::with_limits(CallerLimits::BUFFERED),
        }
    }
}

/// The uses of a flush, in the order of their IDs. They are many, so all who need them share them.
type FlushedUses = Arc<Vec<(TokenId, PendingUses)>>;

/// Returns the uses of a token.
fn find_uses(uses: &[(TokenId, PendingUses)], id: TokenId) -> Option<&PendingUses> {
    let index = uses.binary_search_by_key(&id, |(id, _)| *id).ok()?;
    uses.get(index).map(|(_, uses)| uses)
}

/// The records that one transaction of a flush writes.
#[derive(Clone)]
pub struct Batch {
    flushed: FlushedUses,
    /// The part of `flushed` that belongs to this batch.
    part: Range<usize>,
    /// The refused logins.
    pub refusals: Vec<RefusedLogins>,
    /// The calls of the legacy API, by caller.
    pub legacy_calls: Vec<(LegacyCaller, Calls)>,
}

impl Batch {
    /// Returns the time of the last accepted use of each token, in the order of their IDs.
    pub fn last_uses(&self) -> Vec<(TokenId, Timestamp)> {
        let uses = self.uses().iter();
        uses.filter_map(|(id, uses)| Some((*id, uses.last_used_at()?)))
            .collect()
    }

    /// Returns the uses of each token by day and outcome.
    pub fn day_uses(&self) -> Vec<(TokenId, DayUses)> {
        let uses = self.uses().iter();
        uses.flat_map(|(id, uses)| uses.days().map(|day| (*id, day))).collect()
    }

    fn uses(&self) -> &[(TokenId, PendingUses)] {
        self.flushed.get(self.part.clone()).unwrap_or_default()
    }

    fn is_empty(&self) -> bool {
        let Self {
            flushed: _,
            part,
            refusals,
            legacy_calls,
        } = self;
        part.is_empty() && refusals.is_empty() && legacy_calls.is_empty()
    }

    /// Splits off batches with uses only, so that none has those of more than [`MAX_TOKENS_PER_WRITE`] tokens.
    fn split(self) -> impl Iterator<Item = Self> {
        let Range { start, end } = self.part;
        let end_of_part = move |start: usize| end.min(start.saturating_add(MAX_TOKENS_PER_WRITE));
        let flushed = Arc::clone(&self.flushed);
        let others = (end_of_part(start)..end)
            .step_by(MAX_TOKENS_PER_WRITE)
            .map(move |start| Self {
                flushed: Arc::clone(&flushed),
                part: start..end_of_part(start),
                refusals: Vec::new(),
                legacy_calls: Vec::new(),
            });
        let first = Self {
            part: start..end_of_part(start),
            ..self
        };
        std::iter::once(first).chain(others)
    }
}

impl State {
    fn last_use(&self, id: TokenId) -> Option<Timestamp> {
        let pending = self.uses.get(&id).and_then(PendingUses::last_used_at);
        let flushed = self
            .flushed
            .iter()
            .filter_map(|uses| find_uses(uses, id)?.last_used_at());
        pending.max(flushed.max())
    }
}

impl WriteBehind {
    /// Records a use of a token. Allocates nothing if the buffer has uses of this token, of the same day and outcome.
    pub fn record_use(&self, id: TokenId, outcome: UseOutcome, last: LastUse) {
        self.state()
            .uses
            .entry(id)
            .and_modify(|uses| uses.record(outcome, last))
            .or_insert_with(|| PendingUses::new(outcome, last));
    }

    /// Returns the pending uses of a token by day and outcome. No flush runs while the guard is
    /// held, so a reader does not count uses twice or miss them.
    pub async fn pending_uses(&self, id: TokenId) -> (Vec<DayUses>, tokio::sync::MutexGuard<'_, ()>) {
        let guard = self.flushing.lock().await;
        let state = self.state();
        let days = state.uses.get(&id).into_iter().flat_map(PendingUses::days).collect();
        (days, guard)
    }

    /// Records a refused login.
    pub fn record_refusal(&self, origin: Origin, reason: Refusal, subject: Subject, now: Instant) {
        self.state().refusals.record(origin, reason, subject, now);
    }

    /// Records a call of a legacy endpoint.
    pub fn record_legacy_call(&self, caller: LegacyCaller, at: Timestamp) {
        self.state().legacy_calls.add(caller, &Calls::single(at));
    }

    /// Returns the pending calls of the legacy API. No flush runs while the guard is held, so a
    /// reader does not count calls twice or miss them.
    pub async fn legacy_calls(&self) -> (LegacyCalls, tokio::sync::MutexGuard<'_, ()>) {
        let guard = self.flushing.lock().await;
        (self.state().legacy_calls.clone(), guard)
    }

    /// Updates the last use of `token` with pending uses. A time that was written while a server's
    /// clock was ahead becomes `now`.
    pub fn apply_last_use(&self, token: &mut Token, now: Timestamp) {
        let last = token.last_used_at.max(self.state().last_use(token.id));
        token.last_used_at = last.map(|last| last.bounded_by(now));
    }

    /// Retains the tokens that still match `filter` after their pending uses.
    pub fn retain_matching(&self, ids: &mut Vec<TokenId>, filter: &TokenFilter) {
        let state = self.state();
        ids.retain(|id| filter.allows_last_use(state.last_use(*id)));
    }

    /// Passes the records that are due to `write`, in batches, between which other writes have their turn. If one
    /// fails, keeps it and those after it for the next flush.
    pub async fn flush(
        &self,
        due: Due,
        clock: &dyn Clock,
        write: impl AsyncFn(Batch) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let _guard = self.flushing.lock().await;
        let began = clock.monotonic();
        let (all_uses, records) = self.state().take(due);
        let Some(records) = records else { return Ok(()) };
        let mut batches = records.split();
        while let Some(batch) = batches.next() {
            if let Err(error) = write(batch.clone()).await {
                let mut state = self.state();
                state.all_due_at = None;
                state.put_back(batch);
                batches.for_each(|batch| state.put_back(batch));
                return Err(error);
            }
        }
        if all_uses {
            let ended = clock.monotonic();
            let pause = MAX_PAUSE.min(PAUSE_FACTOR * (ended - began));
            self.state().all_due_at = Some(ended + pause);
        }
        Ok(())
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the records that are due. Returns `true` if all uses are among them, and the records, if there are any.
    fn take(&mut self, due: Due) -> (bool, Option<Batch>) {
        let refusals = self.refusals.take(due);
        let all_uses = match due {
            Due::All => true,
            Due::At(now) => self.all_due_at.is_none_or(|due_at| due_at <= now),
        };
        let mut uses: Vec<_> = if all_uses {
            self.flushed.clear();
            std::mem::take(&mut self.uses).into_iter().collect()
        } else {
            let is_new = |id| self.flushed.iter().all(|uses| find_uses(uses, id).is_none());
            self.uses.extract_if(|id, _| is_new(*id)).collect()
        };
        // Every server locks rows in the same order, so that two flushes cannot deadlock.
        uses.sort_unstable_by_key(|(id, _)| *id);
        let uses = Arc::new(uses);
        self.flushed.push(Arc::clone(&uses));
        let legacy_calls = std::mem::replace(&mut self.legacy_calls, LegacyCalls::with_limits(CallerLimits::BUFFERED));
        let batch = Batch {
            part: 0..uses.len(),
            flushed: uses,
            refusals,
            legacy_calls: legacy_calls.into_sorted(),
        };
        (all_uses, (!batch.is_empty()).then_some(batch))
    }

    fn put_back(&mut self, batch: Batch) {
        for (id, uses) in batch.uses() {
            match self.uses.entry(*id) {
                Entry::Occupied(mut newer) => newer.get_mut().put_back(uses),
                Entry::Vacant(entry) => {
                    entry.insert(uses.clone());
                }
            }
        }
        self.refusals.put_back(batch.refusals);
        for (caller, calls) in batch.legacy_calls {
            self.legacy_calls.add(caller, &calls);
        }
    }
}

#[cfg(test)]
mod tests;
