//! The hours in which a server watched the legacy API. Without a watching server, the absence of calls proves nothing.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::clock::{Day, Timestamp};

const HOUR_SECONDS: i64 = 3600;
const DAY_HOURS: i64 = 24;
/// Minimum number of watched hours for a day to count. Restarts and short outages do not disqualify a day.
const MIN_HOURS: usize = 20;
/// Time for which both clocks must agree before an hour counts, so that a jump of the wall clock
/// adds no hours in the future.
const MIN_STEADY: Duration = Duration::from_mins(1);
/// Maximum difference between the clocks that is not a jump.
const MAX_DRIFT: Duration = Duration::from_mins(1);

/// An hour in UTC, by the number of hours since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hour(i64);

impl Hour {
    /// Returns the hour that contains a time.
    #[must_use]
    pub const fn containing(time: Timestamp) -> Self {
        Self(time.seconds().div_euclid(HOUR_SECONDS))
    }

    /// Returns the day that contains this hour.
    #[must_use]
    pub const fn day(self) -> Day {
        Day::from_number(self.0.div_euclid(DAY_HOURS))
    }

    /// Returns the bit for this hour in the mask of its day.
    #[must_use]
    pub const fn bit(self) -> i64 {
        1 << self.0.rem_euclid(DAY_HOURS)
    }
}

/// The watched hours of each day, one bit per hour.
#[derive(Clone, Debug, Default)]
pub struct WatchedHours(BTreeMap<Day, i64>);

impl WatchedHours {
    /// Counts the watched periods among the last `days` periods of 24 hours. The last period ends
    /// with the hour of `now`.
    #[must_use]
    pub fn count_days(&self, days: u16, now: Timestamp) -> u16 {
        let Hour(last) = Hour::containing(now);
        let is_watched = |period: &u16| {
            let end = last - i64::from(*period) * DAY_HOURS;
            let hours = (end - DAY_HOURS + 1..=end).map(Hour);
            hours.filter(|hour| self.contains(*hour)).count() >= MIN_HOURS
        };
        let watched = (0..days).filter(is_watched).count();
        u16::try_from(watched).unwrap_or(u16::MAX)
    }

    fn contains(&self, hour: Hour) -> bool {
        self.0.get(&hour.day()).is_some_and(|hours| hours & hour.bit() != 0)
    }
}

impl FromIterator<(Day, i64)> for WatchedHours {
    fn from_iter<I: IntoIterator<Item = (Day, i64)>>(days: I) -> Self {
        Self(days.into_iter().collect())
    }
}

/// Decides which hours count as watched.
#[derive(Debug, Default)]
pub struct HourWatch {
    /// The readings of both clocks at the last observation.
    last: Option<(Timestamp, Instant)>,
    /// The instant from which the clocks have agreed.
    steady_since: Option<Instant>,
    /// The last hour that was written.
    written: Option<Hour>,
}

impl HourWatch {
    /// Takes the readings of both clocks. Returns the current hour if it is watched and not written yet.
    pub fn observe(&mut self, now: Timestamp, monotonic: Instant) -> Option<Hour> {
        let agrees = self.last.is_some_and(|(wall, instant)| {
            let expected = wall.saturating_add(monotonic.saturating_duration_since(instant));
            now.since(expected).max(expected.since(now)) <= MAX_DRIFT
        });
        self.last = Some((now, monotonic));
        if !agrees {
            self.steady_since = None;
        }
        let since = *self.steady_since.get_or_insert(monotonic);
        let hour = Hour::containing(now);
        let is_due = monotonic.saturating_duration_since(since) >= MIN_STEADY && self.written != Some(hour);
        is_due.then_some(hour)
    }

    /// Marks an hour as written.
    pub fn mark_written(&mut self, hour: Hour) {
        self.written = Some(hour);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn start() -> Timestamp {
        "2030-01-10T12:30:00Z".parse().unwrap()
    }

    /// Marks the hours that are `ago` hours before the start as watched.
    fn hours(ago: impl Iterator<Item = i64>) -> WatchedHours {
        let Hour(now) = Hour::containing(start());
        let mut days = BTreeMap::new();
        for hour in ago.map(|ago| Hour(now - ago)) {
            *days.entry(hour.day()).or_default() |= hour.bit();
        }
        WatchedHours(days)
    }

    #[test]
    fn a_day_counts_when_20_hours_were_watched() {
        for (watched, days, count) in [
            (hours(0..0), 30, 0),
            (hours(0..19), 1, 0),
            (hours(0..20), 1, 1),
            (hours(0..20), 30, 1),
            (hours(0..24 * 30), 30, 30),
            (hours(0..24 * 30), 7, 7),
            // A short outage does not disqualify a day; a long one does.
            (hours((0..24 * 30).filter(|ago| !(48..52).contains(ago))), 30, 30),
            (hours((0..24 * 30).filter(|ago| !(48..53).contains(ago))), 30, 29),
            // A machine that is off at night has no watched days.
            (hours((0..24 * 30).filter(|ago| ago % 24 < 12)), 30, 0),
            // Hours in the future and before the window do not count.
            (hours(-24 * 30..0), 30, 0),
            (hours(24 * 30..24 * 60), 30, 0),
        ] {
            assert_eq!(watched.count_days(days, start()), count, "{watched:?}");
        }
    }

    #[test]
    fn an_hour_counts_once_both_clocks_agree() {
        let (mut watch, began) = (HourWatch::default(), Instant::now());
        let mut at = |wall: Timestamp, monotonic: Duration| {
            let due = watch.observe(wall, began + monotonic);
            due.inspect(|hour| watch.mark_written(*hour))
        };
        let hour = |ahead: u32| Some(Hour::containing(start().saturating_add(HOUR * ahead)));
        let second = Duration::from_secs(1);
        assert_eq!(at(start(), Duration::ZERO), None);
        assert_eq!(at(start().saturating_add(second * 59), second * 59), None);
        assert_eq!(at(start().saturating_add(second * 60), second * 60), hour(0));
        assert_eq!(at(start().saturating_add(second * 62), second * 62), None);
        assert_eq!(at(start().saturating_add(HOUR), HOUR), hour(1));
        // The clock jumps ten days ahead and back: no hour there counts.
        let far = start().saturating_add(HOUR * 240);
        assert_eq!(at(far, HOUR + second), None);
        assert_eq!(at(far.saturating_add(second * 30), HOUR + second * 31), None);
        assert_eq!(at(start().saturating_add(HOUR * 2), HOUR * 2), None);
        assert_eq!(
            at(start().saturating_add(HOUR * 2 + second * 60), HOUR * 2 + second * 60),
            hour(2)
        );
    }
}
