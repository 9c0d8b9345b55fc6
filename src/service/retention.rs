//! Removes old audit events, legacy calls, uses of tokens, and idempotency keys.
//!
//! A wall clock that jumps forward must not cause early removal. So ages are measured against a
//! reference time that does not follow such jumps: it starts at the newest record in the store, or
//! at the wall clock if that is earlier, and advances with the monotonic clock. It never exceeds
//! the wall clock. The trade-off: after a long downtime, records are removed late, after the next
//! start.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Error, Service};
use crate::{
    domain::{
        audit::Action,
        clock::{Clock, Day, Timestamp},
        idempotency::KEY_RETENTION,
        legacy_usage::RETENTION_DAYS,
        usage::REPORTED_DAYS,
    },
    store::{AnyConnection, StoreError, audit, idempotency_keys, legacy_usage, legacy_watch, token_uses},
};

/// Maximum number of batches that one sweep removes, so that other writes get a turn.
const MAX_BATCHES: usize = 10;
/// Maximum lead of the wall clock. Beyond it, the wall clock was set: clocks differ by minutes and
/// drift by seconds per day at most.
const MAX_LEAD: Duration = Duration::from_mins(10);

/// The reference time for ages, and the days up to which records were removed.
#[derive(Default)]
pub struct Retention(Mutex<State>);

#[derive(Default)]
struct State {
    anchor: Option<Anchor>,
    calls_deleted_before: Option<Day>,
    uses_deleted_before: Option<Day>,
}

/// A wall-clock time, and the instant at which it was taken.
#[derive(Clone, Copy)]
struct Anchor {
    wall: Timestamp,
    monotonic: Instant,
    warned: bool,
}

impl Anchor {
    /// Returns the reference time, and `true` if the wall clock is more than [`MAX_LEAD`] ahead of
    /// it.
    fn now(&mut self, clock: &dyn Clock) -> (Timestamp, bool) {
        let (wall, monotonic) = (clock.now(), clock.monotonic());
        let passed = self
            .wall
            .saturating_add(monotonic.saturating_duration_since(self.monotonic));
        if wall.since(passed) <= MAX_LEAD && passed.since(wall) <= MAX_LEAD {
            // The clocks agree: move the anchor, so that drift does not add up.
            (self.wall, self.monotonic) = (wall, monotonic);
        }
        (wall.min(passed), wall.since(passed) > MAX_LEAD)
    }
}

impl Service {
    /// Sets the reference time from the newest record in the store. Call it before the server
    /// writes its first record.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails.
    pub async fn begin_retention(&self) -> Result<(), Error> {
        let newest = self
            .store
            .read(|conn| {
                let records = audit::newest(conn)?.max(legacy_usage::newest(conn)?);
                Ok::<_, Error>(records.max(token_uses::newest(conn)?))
            })
            .await?;
        let wall = self.clock.now();
        self.retention().anchor = Some(Anchor {
            wall: newest.map_or(wall, |newest| newest.min(wall)),
            monotonic: self.clock.monotonic(),
            warned: false,
        });
        Ok(())
    }

    /// Removes audit events older than `age`, only those with `action` if one is given, in short
    /// transactions. Returns their number.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails. Events that were already removed stay removed.
    pub async fn delete_events_older_than(&self, age: Duration, action: Option<Action>) -> Result<usize, Error> {
        let Some(now) = self.reference_time() else {
            return Ok(0);
        };
        let end = now.saturating_sub(age);
        let mut removed = 0;
        while self
            .store
            .read(move |conn| audit::has_events_before(conn, end, action))
            .await?
        {
            match self
                .store
                .write(move |conn| audit::delete_before(conn, end, action))
                .await?
            {
                // Another server is removing them.
                0 => break,
                some => removed += some,
            }
        }
        Ok(removed)
    }

    /// Removes a limited number of legacy calls that are past their retention.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails.
    pub async fn delete_old_calls(&self) -> Result<(), Error> {
        let remove = |conn: &mut AnyConnection, first| {
            legacy_watch::delete_before(conn, first)?;
            legacy_usage::delete_before(conn, first)
        };
        self.delete_before(RETENTION_DAYS, |state| &mut state.calls_deleted_before, remove)
            .await
    }

    /// Removes a limited number of records of token uses that no report covers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails.
    pub async fn delete_old_uses(&self) -> Result<(), Error> {
        let remove = token_uses::delete_before;
        self.delete_before(REPORTED_DAYS - 1, |state| &mut state.uses_deleted_before, remove)
            .await
    }

    /// Removes a limited number of expired idempotency keys.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails.
    pub async fn delete_old_keys(&self) -> Result<(), Error> {
        let Some(now) = self.reference_time() else {
            return Ok(());
        };
        let end = now.saturating_sub(KEY_RETENTION);
        for _ in 0..MAX_BATCHES {
            let has_more = move |conn: &mut AnyConnection| idempotency_keys::has_keys_before(conn, end);
            if !self.store.read(has_more).await? {
                break;
            }
            self.store
                .write(move |conn| idempotency_keys::delete_before(conn, end))
                .await?;
        }
        Ok(())
    }

    /// Calls `remove` with the day `age` days ago, until it returns `false`: then nothing older is left, and
    /// `deleted_before` is set to that day, so that the next sweep has nothing to do.
    async fn delete_before(
        &self,
        age: u16,
        deleted_before: impl Fn(&mut State) -> &mut Option<Day>,
        remove: impl FnOnce(&mut AnyConnection, Day) -> Result<bool, StoreError> + Copy + Send + 'static,
    ) -> Result<(), Error> {
        let Some(now) = self.reference_time() else {
            return Ok(());
        };
        let first = now.day().before(age);
        if *deleted_before(&mut self.retention()) == Some(first) {
            return Ok(());
        }
        for _ in 0..MAX_BATCHES {
            if !self.store.write(move |conn| remove(conn, first)).await? {
                *deleted_before(&mut self.retention()) = Some(first);
                break;
            }
        }
        Ok(())
    }

    /// Returns the reference time for ages; `None` before [`Service::begin_retention`].
    pub(super) fn reference_time(&self) -> Option<Timestamp> {
        let mut state = self.retention();
        let anchor = state.anchor.as_mut()?;
        let (now, is_ahead) = anchor.now(self.clock.as_ref());
        if is_ahead && !anchor.warned {
            log::warn!(
                "the system clock ({}) is ahead of the newest record plus the uptime ({now}), because the clock was \
                 set forward, or the server was stopped or idle for a long time; retention uses the earlier time until \
                 the next start; if the clock is wrong, correct it before then",
                self.clock.now()
            );
        }
        anchor.warned = is_ahead;
        Some(now)
    }

    fn retention(&self) -> std::sync::MutexGuard<'_, State> {
        self.retention.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
