//! The write-behind buffer: last uses of tokens, refused logins, and calls of the legacy API are
//! collected in memory and written in batches.

mod refusals;

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use super::{Error, Refusal};
use crate::domain::{
    actor::Origin,
    clock::Timestamp,
    legacy_usage::{CallerLimits, Calls, LegacyCaller, LegacyCalls},
    page::TokenFilter,
    token::{Token, TokenId},
};
use refusals::Refusals;
pub use refusals::{Due, RefusedLogins, Subject};

/// Records that have not been written yet.
#[derive(Default)]
pub struct WriteBehind {
    state: Mutex<State>,
    flushing: tokio::sync::Mutex<()>,
}

struct State {
    uses: HashMap<TokenId, Timestamp>,
    /// The uses that a flush is writing, or that the last flush wrote. A reader whose read began
    /// before the flush committed finds them here.
    flushed: HashMap<TokenId, Timestamp>,
    refusals: Refusals,
    legacy_calls: LegacyCalls,
}

impl Default for State {
    fn default() -> Self {
        Self {
            uses: HashMap::new(),
            flushed: HashMap::new(),
            refusals: Refusals::default(),
            legacy_calls: LegacyCalls::with_limits(CallerLimits::BUFFERED),
        }
    }
}

/// The records that one flush writes.
#[derive(Clone)]
pub struct Batch {
    /// The last use of each token.
    pub uses: Vec<(TokenId, Timestamp)>,
    /// The refused logins.
    pub refusals: Vec<RefusedLogins>,
    /// The calls of the legacy API, by caller.
    pub legacy_calls: Vec<(LegacyCaller, Calls)>,
}

impl State {
    fn last_use(&self, id: TokenId) -> Option<Timestamp> {
        self.uses.get(&id).max(self.flushed.get(&id)).copied()
    }
}

impl WriteBehind {
    /// Records a use of a token.
    pub fn record_use(&self, id: TokenId, at: Timestamp) {
        let mut state = self.state();
        let last = state.uses.entry(id).or_insert(at);
        *last = last.advanced_to(at);
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
        self.flushed = std::mem::take(&mut self.uses);
        // Every server locks rows in the same order, so that two flushes cannot deadlock.
        let mut uses: Vec<_> = self.flushed.iter().map(|(id, at)| (*id, *at)).collect();
        uses.sort_unstable();
        let legacy_calls = std::mem::replace(&mut self.legacy_calls, LegacyCalls::with_limits(CallerLimits::BUFFERED));
        Some(Batch {
            uses,
            refusals,
            legacy_calls: legacy_calls.into_sorted(),
        })
    }

    fn put_back(&mut self, batch: Batch) {
        for (id, at) in batch.uses {
            let last = self.uses.entry(id).or_insert(at);
            *last = at.max(*last);
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
    use crate::domain::random::OsRandom;

    /// A reader reads the store, a flush begins and ends, and then the reader asks the buffer.
    #[tokio::test]
    async fn a_flushed_use_still_excludes_tokens_that_were_read_before_it() {
        let write_behind = WriteBehind::default();
        let id = TokenId::generate(&OsRandom).unwrap();
        let at = Timestamp::from_micros(1_800_000_000_000_000).unwrap();
        let filter = TokenFilter {
            unused_since: Some(at),
            ..TokenFilter::default()
        };
        write_behind.record_use(id, at);
        write_behind.flush(Due::All, async |_| Ok(())).await.unwrap();
        let mut read_before = vec![id];
        write_behind.retain_matching(&mut read_before, &filter);
        assert!(read_before.is_empty());
        write_behind
            .flush(Due::All, async |_| panic!("it was written"))
            .await
            .unwrap();
    }
}
