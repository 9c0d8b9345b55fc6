//! What is removed from the store because it is old.
//!
//! A wall clock that jumps forward must not remove what is to be kept. So ages are taken at a time that the server has seen pass: from the
//! newest record in the store when it started, or the wall clock where that was earlier, it moves with the monotonic clock. Where the wall
//! clock lags behind it, the wall clock counts. The price is that a server that was off for long removes as much later, until its next start.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Error, Service};
use crate::{
    domain::{
        audit::Action,
        clock::{Clock, Day, Timestamp},
        legacy_usage::KEPT_DAYS,
    },
    store::{audit, legacy_usage, legacy_watch},
};

/// How many batches of old calls are removed before something else is written.
const BATCHES_AT_ONCE: usize = 10;
/// A wall clock that is ahead by more was set: clocks differ by some minutes at most, and drift by some seconds a day.
const MAX_LEAD: Duration = Duration::from_mins(10);

/// The time at which ages are taken, and what has been removed up to it.
#[derive(Default)]
pub struct Retention(Mutex<State>);

#[derive(Default)]
struct State {
    anchor: Option<Anchor>,
    forgotten_before: Option<Day>,
}

/// A time and the instant at which it was taken for the present.
#[derive(Clone, Copy)]
struct Anchor {
    wall: Timestamp,
    monotonic: Instant,
    warned: bool,
}

impl Anchor {
    /// Returns the present time as far as it has been seen to pass, and whether the wall clock is ahead of it.
    fn now(&mut self, clock: &dyn Clock) -> (Timestamp, bool) {
        let (wall, monotonic) = (clock.now(), clock.monotonic());
        let passed = self
            .wall
            .saturating_add(monotonic.saturating_duration_since(self.monotonic));
        if wall.since(passed) <= MAX_LEAD && passed.since(wall) <= MAX_LEAD {
            // They agree, so what they have drifted apart is forgotten.
            (self.wall, self.monotonic) = (wall, monotonic);
        }
        (wall.min(passed), wall.since(passed) > MAX_LEAD)
    }
}

impl Service {
    /// Begins to see time pass, from the newest record in the store: to be called before the first record is written.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn begin_retention(&self) -> Result<(), Error> {
        let newest = self
            .store
            .read(|conn| Ok::<_, Error>(audit::newest(conn)?.max(legacy_usage::newest(conn)?)))
            .await?;
        let wall = self.clock.now();
        self.retention().anchor = Some(Anchor {
            wall: newest.map_or(wall, |newest| newest.min(wall)),
            monotonic: self.clock.monotonic(),
            warned: false,
        });
        Ok(())
    }

    /// Removes audit events that are older than `age`, or of them those with that action, in short transactions; returns how many.
    ///
    /// # Errors
    /// When the store fails; events that have been removed stay removed.
    pub async fn remove_events_older_than(&self, age: Duration, action: Option<Action>) -> Result<usize, Error> {
        let Some(now) = self.time_seen_to_pass() else {
            return Ok(0);
        };
        let end = now.saturating_sub(age);
        let mut removed = 0;
        while self
            .store
            .read(move |conn| audit::reach_behind(conn, end, action))
            .await?
        {
            match self
                .store
                .write(move |conn| audit::remove_before(conn, end, action))
                .await?
            {
                // Another server is at it.
                0 => break,
                some => removed += some,
            }
        }
        Ok(removed)
    }

    /// Removes some of the legacy calls that are older than they are kept, if there are any.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn forget_old_calls(&self) -> Result<(), Error> {
        let Some(now) = self.time_seen_to_pass() else {
            return Ok(());
        };
        let first = now.day().before(KEPT_DAYS);
        if self.retention().forgotten_before == Some(first) {
            return Ok(());
        }
        for _ in 0..BATCHES_AT_ONCE {
            let more = self
                .store
                .write(move |conn| {
                    legacy_watch::forget_before(conn, first)?;
                    legacy_usage::forget_before(conn, first)
                })
                .await?;
            if !more {
                self.retention().forgotten_before = Some(first);
                break;
            }
        }
        Ok(())
    }

    /// Returns the time at which ages are taken, once it is known.
    pub(super) fn time_seen_to_pass(&self) -> Option<Timestamp> {
        let mut state = self.retention();
        let anchor = state.anchor.as_mut()?;
        let (now, is_ahead) = anchor.now(self.clock.as_ref());
        if is_ahead && !anchor.warned {
            log::warn!(
                "the clock says {}, but no more than {now} has been seen to pass: it was set forward, or the server was off or quiet for long. \
                 What is to be removed by age is removed by the earlier time; if the clock is right, the next start removes the rest",
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
