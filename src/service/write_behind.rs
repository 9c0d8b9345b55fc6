//! The write-behind buffer: uses of tokens, refused logins, and calls of the legacy API are
//! collected in memory and written in batches.

mod refusals;
mod uses;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use super::{Error, Refusal};
use crate::domain::{
    actor::Origin,
    clock::Timestamp,
    legacy_usage::{CallerLimits, Calls, LegacyCaller, LegacyCalls},
    page::TokenFilter,
    token::{Token, TokenId},
    usage::{DayUses, LastUse, UseOutcome},
};
use refusals::Refusals;
pub use refusals::{Due, RefusedLogins, Subject};
use uses::PendingUses;

/// Records that have not been written yet.
#[derive(Default)]
pub struct WriteBehind {
    state: Mutex<State>,
    flushing: tokio::sync::Mutex<()>,
}

struct State {
    uses: HashMap<TokenId, PendingUses>,
    /// The uses that a flush is writing, or that the last flush wrote. A reader whose read began
    /// before the flush committed finds them here.
    flushed: FlushedUses,
    refusals: Refusals,
    legacy_calls: LegacyCalls,
}

impl Default for State {
    fn default() -> Self {
        Self {
            uses: HashMap::new(),
            flushed: FlushedUses::default(),
            refusals: Refusals::default(),
            legacy_calls: LegacyCalls::with_limits(CallerLimits::BUFFERED),
        }
    }
}

/// The uses of a flush, in the order of their IDs. They are many, so all who need them share them.
type FlushedUses = Arc<Vec<(TokenId, PendingUses)>>;

/// The records that one flush writes.
#[derive(Clone)]
pub struct Batch {
    uses: FlushedUses,
    /// The refused logins.
    pub refusals: Vec<RefusedLogins>,
    /// The calls of the legacy API, by caller.
    pub legacy_calls: Vec<(LegacyCaller, Calls)>,
}

impl Batch {
    /// Returns the time of the last accepted use of each token, in the order of their IDs.
    pub fn last_uses(&self) -> Vec<(TokenId, Timestamp)> {
        let uses = self.uses.iter();
        uses.filter_map(|(id, uses)| Some((*id, uses.last_used_at()?)))
            .collect()
    }

    /// Returns the uses of each token by day and outcome.
    pub fn day_uses(&self) -> Vec<(TokenId, DayUses)> {
        let uses = self.uses.iter();
        uses.flat_map(|(id, uses)| uses.days().map(|day| (*id, day))).collect()
    }
}

impl State {
    fn last_use(&self, id: TokenId) -> Option<Timestamp> {
        let pending = self.uses.get(&id).and_then(PendingUses::last_used_at);
        let index = self.flushed.binary_search_by_key(&id, |(id, _)| *id).ok();
        let flushed = index.and_then(|index| self.flushed.get(index)?.1.last_used_at());
        pending.max(flushed)
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

    /// Passes the records that are due to `write`, and keeps them for the next flush if it fails.
    pub async fn flush<W>(&self, due: Due, write: impl FnOnce(Batch) -> W) -> Result<(), Error>
    where
        W: Future<Output = Result<(), Error>>,
    {
        let _guard = self.flushing.lock().await;
        let Some(batch) = self.state().take(due) else {
            return Ok(());
        };
        let outcome = write(batch.clone()).await;
        if outcome.is_err() {
            self.state().put_back(batch);
        }
        outcome
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes the records that are due. Returns `None` if there are none.
    fn take(&mut self, due: Due) -> Option<Batch> {
        let refusals = self.refusals.take(due);
        if self.uses.is_empty() && refusals.is_empty() && self.legacy_calls.is_empty() {
            return None;
        }
        // Every server locks rows in the same order, so that two flushes cannot deadlock.
        let mut uses: Vec<_> = std::mem::take(&mut self.uses).into_iter().collect();
        uses.sort_unstable_by_key(|(id, _)| *id);
        self.flushed = Arc::new(uses);
        let legacy_calls = std::mem::replace(&mut self.legacy_calls, LegacyCalls::with_limits(CallerLimits::BUFFERED));
        Some(Batch {
            uses: Arc::clone(&self.flushed),
            refusals,
            legacy_calls: legacy_calls.into_sorted(),
        })
    }

    fn put_back(&mut self, batch: Batch) {
        for (id, uses) in batch.uses.iter() {
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
mod tests {
    use super::*;
    use crate::domain::{actor::Channel, random::OsRandom};

    fn used_at(micros: i64) -> LastUse {
        LastUse {
            at: Timestamp::from_micros(micros).unwrap(),
            origin: Origin {
                channel: Channel::Verify,
                client: None,
            },
        }
    }

    /// A reader reads the store, a flush begins and ends, and then the reader asks the buffer.
    #[tokio::test]
    async fn a_flushed_use_still_excludes_tokens_that_were_read_before_it() {
        let write_behind = WriteBehind::default();
        let id = TokenId::generate(&OsRandom).unwrap();
        let last = used_at(1_800_000_000_000_000);
        let filter = TokenFilter {
            unused_since: Some(last.at),
            ..TokenFilter::default()
        };
        write_behind.record_use(id, UseOutcome::Accepted, last);
        write_behind.flush(Due::All, async |_| Ok(())).await.unwrap();
        let mut read_before = vec![id];
        write_behind.retain_matching(&mut read_before, &filter);
        assert!(read_before.is_empty());
        write_behind
            .flush(Due::All, async |_| panic!("it was written"))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn uses_of_a_failed_flush_are_added_to_later_ones() {
        let write_behind = WriteBehind::default();
        let id = TokenId::generate(&OsRandom).unwrap();
        let noon = 1_800_014_400_000_000;
        for (outcome, micros) in [
            (UseOutcome::Accepted, noon),
            (UseOutcome::Expired, noon + 1),
            (UseOutcome::Accepted, noon + 2),
        ] {
            write_behind.record_use(id, outcome, used_at(micros));
        }
        let failed = write_behind
            .flush(Due::All, async |_| Err(Error::NotFound("store")))
            .await;
        assert!(failed.is_err());
        write_behind.record_use(id, UseOutcome::Accepted, used_at(noon + 3));
        write_behind.record_use(id, UseOutcome::Accepted, used_at(noon + 86_400_000_000));
        let check = async |batch: Batch| {
            assert_eq!(batch.last_uses(), [(id, used_at(noon + 86_400_000_000).at)]);
            let days = batch.day_uses().into_iter();
            let mut days: Vec<_> = days
                .map(|(_, day)| (day.last.at.micros() - noon, day.outcome, day.uses))
                .collect();
            days.sort_unstable();
            let expected = [
                (1, UseOutcome::Expired, 1),
                (3, UseOutcome::Accepted, 3),
                (86_400_000_000, UseOutcome::Accepted, 1),
            ];
            assert_eq!(days, expected);
            Ok(())
        };
        write_behind.flush(Due::All, check).await.unwrap();
        let (pending, _guard) = write_behind.pending_uses(id).await;
        assert!(pending.is_empty());
    }
}
