//! The write-behind buffer: uses of tokens, refused logins, and calls of the legacy API are
//! collected in memory and written in batches.

mod refusals;
mod uses;

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Error, Refusal};
use crate::domain::{
    actor::Origin,
    clock::{Clock, Timestamp},
    legacy_usage::{CallerLimits, Calls, LegacyCaller, LegacyCalls},
    page::ColumnFilter,
    token::{Token, TokenId},
    usage::{DayUses, LastUse, UseOutcome},
};
use refusals::Refusals;
pub use refusals::{BEYOND_LIMIT, Due, RefusedLogins, Subject};
use uses::PendingUses;

/// Maximum number of tokens whose uses one transaction writes. Other writes wait for it.
const MAX_TOKENS_PER_WRITE: usize = 100;
/// Minimum pause after a flush of all uses, as a multiple of its duration, so that such flushes take at most a fifth of
/// the time.
const PAUSE_FACTOR: u32 = 4;
/// Maximum pause after a flush of all uses.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// Number of flushes whose uses are kept for readers. Their records take about 200 bytes for each token.
const KEPT_FLUSHES: usize = 2;

/// Records that have not been written yet.
#[derive(Default)]
pub struct WriteBehind {
    state: Mutex<State>,
    flushing: tokio::sync::Mutex<()>,
}

struct State {
    /// Uses of tokens that were not flushed recently. They may have been unused for long, so they are always due.
    new_uses: Uses,
    /// Uses of tokens that were flushed recently.
    repeated_uses: Uses,
    /// The uses that the last flush wrote or is writing, and those of the one before it. A reader whose read began before
    /// a flush committed finds its uses here.
    flushed: VecDeque<FlushedUses>,
    /// The sorted IDs of the tokens in the last flush of all uses, and in each one after it.
    recent: Vec<Arc<Vec<TokenId>>>,
    /// When all uses are due.
    all_due_at: Option<Instant>,
    refusals: Refusals,
    legacy_calls: LegacyCalls,
}

impl Default for State {
    fn default() -> Self {
        Self {
            new_uses: Uses::new(),
            repeated_uses: Uses::new(),
            flushed: VecDeque::new(),
            recent: Vec::new(),
            all_due_at: None,
            refusals: Refusals::default(),
            legacy_calls: LegacyCalls::with_limits(CallerLimits::BUFFERED),
        }
    }
}

type Uses = HashMap<TokenId, PendingUses>;

/// The new and the repeated uses of a flush. They are many, so all who need them share them.
type FlushedUses = Arc<[Uses; 2]>;

/// Returns the uses of a token.
fn find_uses(uses: &FlushedUses, id: TokenId) -> Option<&PendingUses> {
    uses.iter().find_map(|uses| uses.get(&id))
}

/// The records that one transaction of a flush writes.
#[derive(Clone)]
pub struct Batch {
    flushed: FlushedUses,
    /// The sorted IDs of `flushed`.
    ids: Arc<Vec<TokenId>>,
    /// The part of `ids` that belongs to this batch.
    part: Range<usize>,
    /// The refused logins.
    pub refusals: Vec<RefusedLogins>,
    /// The calls of the legacy API, by caller.
    pub legacy_calls: Vec<(LegacyCaller, Calls)>,
}

/// The records of a flush, as they are taken under the lock.
struct Taken {
    flushed: FlushedUses,
    /// Uses that readers no longer need.
    superseded: Option<FlushedUses>,
    /// IDs of tokens whose last flush is no longer recent.
    outdated: Vec<Arc<Vec<TokenId>>>,
    refusals: Vec<RefusedLogins>,
    legacy_calls: LegacyCalls,
}

impl Batch {
    /// Sorts the records of a flush. Every server locks rows in the same order, so that two flushes cannot deadlock.
    fn new(taken: Taken) -> Self {
        let Taken {
            flushed,
            superseded,
            outdated,
            refusals,
            legacy_calls,
        } = taken;
        // Not under the lock: freeing many takes long.
        drop((superseded, outdated));
        let mut ids: Vec<_> = flushed.iter().flat_map(HashMap::keys).copied().collect();
        ids.sort_unstable();
        Self {
            flushed,
            part: 0..ids.len(),
            ids: Arc::new(ids),
            refusals,
            legacy_calls: legacy_calls.into_sorted(),
        }
    }

    /// Returns the time of the last accepted use of each token, in the order of their IDs.
    pub fn last_uses(&self) -> Vec<(TokenId, Timestamp)> {
        self.uses()
            .filter_map(|(id, uses)| Some((id, uses.last_used_at()?)))
            .collect()
    }

    /// Returns the uses of each token by day and outcome.
    pub fn day_uses(&self) -> Vec<(TokenId, DayUses)> {
        self.uses()
            .flat_map(|(id, uses)| uses.days().map(move |day| (id, day)))
            .collect()
    }

    fn uses(&self) -> impl Iterator<Item = (TokenId, &PendingUses)> {
        let ids = self.ids.get(self.part.clone()).unwrap_or_default();
        ids.iter().filter_map(|id| Some((*id, find_uses(&self.flushed, *id)?)))
    }

    fn is_empty(&self) -> bool {
        let Self {
            flushed: _,
            ids: _,
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
        let (flushed, ids) = (Arc::clone(&self.flushed), Arc::clone(&self.ids));
        let others = (end_of_part(start)..end)
            .step_by(MAX_TOKENS_PER_WRITE)
            .map(move |start| Self {
                flushed: Arc::clone(&flushed),
                ids: Arc::clone(&ids),
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
        let pending = self.pending_uses(id).and_then(PendingUses::last_used_at);
        let flushed = self
            .flushed
            .iter()
            .filter_map(|uses| find_uses(uses, id)?.last_used_at());
        pending.max(flushed.max())
    }

    fn pending_uses(&self, id: TokenId) -> Option<&PendingUses> {
        self.repeated_uses.get(&id).or_else(|| self.new_uses.get(&id))
    }

    /// Passes the pending uses of a token to `add`. If there are none, inserts those of `create`.
    fn add_uses(&mut self, id: TokenId, add: impl FnOnce(&mut PendingUses), create: impl FnOnce() -> PendingUses) {
        let pending = self.repeated_uses.get_mut(&id).or_else(|| self.new_uses.get_mut(&id));
        if let Some(uses) = pending {
            return add(uses);
        }
        let is_repeated = self.flushed.iter().any(|uses| find_uses(uses, id).is_some())
            || self.recent.iter().any(|ids| ids.binary_search(&id).is_ok());
        let pending = if is_repeated {
            &mut self.repeated_uses
        } else {
            &mut self.new_uses
        };
        pending.insert(id, create());
    }
}

impl WriteBehind {
    /// Records a use of a token. Allocates nothing if the buffer has uses of this token, of the same day and outcome.
    pub fn record_use(&self, id: TokenId, outcome: UseOutcome, last: LastUse) {
        self.state().add_uses(
            id,
            |uses| uses.record(outcome, last),
            || PendingUses::new(outcome, last),
        );
    }

    /// Returns the pending uses of a token by day and outcome. No flush runs while the guard is
    /// held, so a reader does not count uses twice or miss them.
    pub async fn pending_uses(&self, id: TokenId) -> (Vec<DayUses>, tokio::sync::MutexGuard<'_, ()>) {
        let guard = self.flushing.lock().await;
        let state = self.state();
        let days = state.pending_uses(id).into_iter().flat_map(PendingUses::days).collect();
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
    pub fn retain_matching(&self, ids: &mut Vec<TokenId>, filter: &ColumnFilter) {
        // The lock is taken for each ID, because there can be a million and verifications need it too.
        ids.retain(|id| filter.allows_last_use(self.state().last_use(*id)));
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
        // Verifications wait for the lock, so nothing that grows with the number of tokens is done while it is held.
        let (all_uses, pending) = self.state().count_due(due);
        let room = Uses::with_capacity(pending);
        let taken = self.state().take(due, all_uses, room);
        let records = Batch::new(taken);
        if records.is_empty() {
            return Ok(());
        }
        self.state().recent.push(Arc::clone(&records.ids));
        let mut batches = records.split();
        while let Some(batch) = batches.next() {
            if let Err(error) = write(batch.clone()).await {
                self.state().all_due_at = None;
                for batch in std::iter::once(batch).chain(batches) {
                    self.state().put_back(batch);
                }
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
    /// Returns `true` if all uses are due, and their number in that case.
    fn count_due(&self, due: Due) -> (bool, usize) {
        let all_uses = match due {
            Due::All => true,
            Due::At(now) => self.all_due_at.is_none_or(|due_at| due_at <= now),
        };
        let pending = self.new_uses.len() + self.repeated_uses.len();
        (all_uses, if all_uses { pending } else { 0 })
    }

    /// Takes the records that are due. `room` receives the next repeated uses, if all uses are taken.
    fn take(&mut self, due: Due, all_uses: bool, room: Uses) -> Taken {
        let new = std::mem::take(&mut self.new_uses);
        let (repeated, outdated) = if all_uses {
            let repeated = std::mem::replace(&mut self.repeated_uses, room);
            (repeated, std::mem::take(&mut self.recent))
        } else {
            (room, Vec::new())
        };
        let flushed = Arc::new([new, repeated]);
        self.flushed.push_back(Arc::clone(&flushed));
        let is_superseded = self.flushed.len() > KEPT_FLUSHES;
        Taken {
            flushed,
            superseded: is_superseded.then(|| self.flushed.pop_front()).flatten(),
            outdated,
            refusals: self.refusals.take(due),
            legacy_calls: std::mem::replace(&mut self.legacy_calls, LegacyCalls::with_limits(CallerLimits::BUFFERED)),
        }
    }

    fn put_back(&mut self, batch: Batch) {
        for (id, uses) in batch.uses() {
            self.add_uses(id, |newer| newer.put_back(uses), || uses.clone());
        }
        self.refusals.put_back(batch.refusals);
        for (caller, calls) in batch.legacy_calls {
            self.legacy_calls.add(caller, &calls);
        }
    }
}

#[cfg(test)]
mod tests;
