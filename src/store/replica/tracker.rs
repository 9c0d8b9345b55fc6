//! What is known about the read replica, by which it is decided whether it may answer.

use std::{
    collections::VecDeque,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    domain::errors::error_chain,
    store::{
        error::ReplicaFault,
        revision::{Listener, LogPosition, ServerState},
    },
};

/// Time without an answer of the replica to its poll, which is sent every 200 ms, after which no read waits for the
/// replica.
pub const MAX_SILENCE: Duration = Duration::from_millis(600);
/// Lag up to which the replica is asked. A read of a replica that lags would usually be repeated at the primary.
const MAX_LAG: Duration = Duration::from_secs(2);
/// Lag from which the replica counts as unusable in the log.
const MIN_REPORTED_LAG: Duration = Duration::from_secs(10);
/// Time after a failed read for which the replica is not asked.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Maximum number of log positions that the replica has not reached yet: those of 200 seconds.
const MAX_PENDING: usize = 1000;

/// What the answer to a read must include, beside every change that can invalidate a cached token or an admin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing else. For lookups: one that finds nothing is repeated at the primary, because a new token, value or
    /// admin is not such a change.
    Changes,
    /// Every write of this server, and those of others before the latest poll. For lists.
    Writes,
}

/// Decides which reads the replica may answer.
pub struct Tracker {
    /// The name of the replica in the log.
    name: String,
    /// Knows the latest revision.
    listener: Arc<dyn Listener>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The instant of the replica's latest answer to its poll; `None` if the latest poll failed.
    heard_at: Option<Instant>,
    /// The instant of the latest failed read.
    failed_at: Option<Instant>,
    /// The instant at which the latest write of this server ended.
    wrote_at: Option<Instant>,
    /// The response of the primary to the latest poll.
    latest: Option<PolledPosition>,
    /// The responses of the primary that the replica has not reached, oldest first.
    pending: VecDeque<PolledPosition>,
    /// When the latest poll of the primary was sent whose position the replica has reached.
    reached_at: Option<Instant>,
    /// `true` if the log says that the replica is not used.
    is_reported: bool,
}

/// The position of the primary in the response to a poll that was sent at `asked_at`.
#[derive(Clone, Copy)]
struct PolledPosition {
    position: LogPosition,
    asked_at: Instant,
}

impl Tracker {
    /// Creates a tracker. `name` names the replica in the log.
    pub fn new(name: String, listener: Arc<dyn Listener>) -> Self {
        Self {
            name,
            listener,
            state: Mutex::default(),
        }
    }

    /// Returns `true` if the replica should be asked. Its state decides whether the answer is used.
    pub fn is_usable(&self, need: Need, at: Instant) -> bool {
        let mut state = self.state();
        let is_silent = state.is_silent(at);
        if is_silent && state.heard_at.is_some() {
            self.report(&mut state, &ReplicaFault::Silent);
        }
        let has_failed = state.failed_at.is_some_and(|failed| at < failed + RETRY_PAUSE);
        let has_writes = match need {
            Need::Changes => true,
            // The position of the primary includes this server's writes.
            Need::Writes => state
                .latest
                .is_some_and(|latest| state.wrote_at < Some(latest.asked_at)),
        };
        !is_silent && !has_failed && has_writes && state.lag().is_some_and(|lag| lag < MAX_LAG)
    }

    /// Checks that the replica in this state has what a read needs.
    ///
    /// # Errors
    /// [`ReplicaFault::NotStandby`] or [`ReplicaFault::Behind`] if it does not.
    pub fn check(&self, replica: &ServerState, need: Need, at: Instant) -> Result<(), ReplicaFault> {
        if !replica.is_standby {
            return Err(ReplicaFault::NotStandby);
        }
        // A larger number proves nothing: a standby whose primary was replaced may have changes that were lost, and
        // lack others.
        let has_changes = self.listener.current_revision(at).as_ref() == Some(&replica.revision);
        let has_writes = match need {
            Need::Changes => true,
            Need::Writes => {
                let latest = self.state().latest;
                latest.is_some_and(|latest| latest.position <= replica.position)
            }
        };
        if has_changes && has_writes {
            Ok(())
        } else {
            Err(ReplicaFault::Behind)
        }
    }

    /// Returns the time until the replica has been silent for too long; `None` if it has.
    pub fn time_to_silence(&self, at: Instant) -> Option<Duration> {
        let silent_at = self.state().heard_at? + MAX_SILENCE;
        silent_at.checked_duration_since(at).filter(|left| !left.is_zero())
    }

    /// Processes the position of the primary in the response to a poll that was sent at `asked_at`.
    pub fn observe_primary(&self, position: LogPosition, asked_at: Instant) {
        let mut state = self.state();
        let latest = PolledPosition { position, asked_at };
        state.latest = Some(latest);
        // An idle primary keeps its position: a replica that has reached it was current at the later poll too. After a
        // failover, the position can be smaller.
        while state.pending.pop_back_if(|last| last.position >= position).is_some() {}
        if state.pending.len() >= MAX_PENDING {
            state.pending.pop_back();
        }
        state.pending.push_back(latest);
    }

    /// Processes the replica's response to its poll.
    pub fn observe_replica(&self, replica: &ServerState, at: Instant) {
        let mut state = self.state();
        let is_other = |revision: &_| replica.revision.store_id != *revision;
        let store_id = self.listener.current_revision(at).map(|current| current.store_id);
        if store_id.as_ref().is_some_and(is_other) {
            state.heard_at = None;
            return self.report(&mut state, &ReplicaFault::OtherStore);
        }
        state.heard_at = Some(at);
        while let Some(reached) = state.pending.pop_front_if(|next| next.position <= replica.position) {
            state.reached_at = Some(reached.asked_at);
        }
        let Some(lag) = state.lag() else { return };
        if lag >= MIN_REPORTED_LAG {
            self.report(&mut state, &ReplicaFault::Behind);
        } else if lag < MAX_LAG
            && state.failed_at.is_none_or(|failed| at > failed + 2 * RETRY_PAUSE)
            && state.is_reported
        {
            state.is_reported = false;
            log::info!("the read replica at {} answers reads again", self.name);
        }
    }

    /// Processes a failed poll of the replica.
    pub fn observe_failure(&self, error: &(dyn Error + 'static)) {
        let mut state = self.state();
        state.heard_at = None;
        self.report(&mut state, error);
    }

    /// Records that a read at the replica failed.
    pub fn record_failed_read(&self, error: &(dyn Error + 'static), at: Instant) {
        let mut state = self.state();
        state.failed_at = Some(at);
        self.report(&mut state, error);
    }

    /// Records that a write of this server ended. A list that begins later must include it.
    pub fn record_write(&self, at: Instant) {
        self.state().wrote_at = Some(at);
    }

    /// Returns `true` if the replica answers its polls and is a standby of this store, and the time by which it is
    /// behind the primary, if it is known.
    pub fn status(&self, at: Instant) -> (bool, Option<Duration>) {
        let state = self.state();
        (!state.is_silent(at), state.lag())
    }

    /// Logs once that the replica is not used.
    fn report(&self, state: &mut State, error: &(dyn Error + 'static)) {
        if !std::mem::replace(&mut state.is_reported, true) {
            let name = &self.name;
            let reason = error_chain(error);
            log::warn!("the primary answers all reads, because the read replica at {name} cannot: {reason}");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_silent(&self, at: Instant) -> bool {
        self.heard_at.is_none_or(|heard| at >= heard + MAX_SILENCE)
    }

    /// Returns the time by which the replica is behind the primary: that between the latest poll of the primary, and the
    /// poll whose position the replica has reached. While the primary does not respond, it stays the same.
    fn lag(&self) -> Option<Duration> {
        Some(self.latest?.asked_at.saturating_duration_since(self.reached_at?))
    }
}

#[cfg(test)]
mod tests;
