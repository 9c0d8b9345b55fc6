//! Timestamps, days and clocks.

use std::{
    str::FromStr,
    time::{Duration, Instant, SystemTime},
};

use chrono::{DateTime, Datelike, Timelike, Utc};
use serde::{Serialize, Serializer};

use super::Invalid;

/// Seconds in a day.
pub const DAY_SECONDS: i64 = 86_400;
const SECOND_MICROS: i64 = 1_000_000;
/// Maximum difference between the wall clocks of servers that work correctly.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_mins(5);

/// A point in time in UTC, in whole microseconds since the Unix epoch: the finest resolution that
/// both stores keep. It lies in the years 0 to 9999, the range of RFC 3339.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    const FIRST: i64 = -62_167_219_200_000_000;
    const LAST: i64 = 253_402_300_799_999_999;

    /// Creates a timestamp from microseconds since the Unix epoch. Returns `None` outside the years
    /// 0 to 9999.
    #[must_use]
    pub fn from_micros(micros: i64) -> Option<Self> {
        (Self::FIRST..=Self::LAST).contains(&micros).then_some(Self(micros))
    }

    /// Returns the microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Returns the whole seconds since the Unix epoch.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(SECOND_MICROS)
    }

    /// Returns the day in UTC.
    #[must_use]
    pub fn day(self) -> Day {
        Day(self.seconds().div_euclid(DAY_SECONDS))
    }

    /// Adds `duration`, saturating at the end of the year 9999.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self(self.0.saturating_add(micros).min(Self::LAST))
    }

    /// Subtracts `duration`. Returns the Unix epoch if the result would be before the year 0.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        Self::from_micros(self.0.saturating_sub(micros)).unwrap_or(Self(0))
    }

    /// Returns the duration since `earlier`, or zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0 - earlier.0).unwrap_or_default())
    }

    /// Returns `true` if this time is more than [`MAX_CLOCK_SKEW`] in the future, so it was written
    /// while a server's clock was ahead.
    #[must_use]
    pub fn is_in_future(self, now: Self) -> bool {
        self.since(now) > MAX_CLOCK_SKEW
    }

    /// Returns this time, or `now` if this time was written while a server's clock was ahead.
    #[must_use]
    pub fn bounded_by(self, now: Self) -> Self {
        if self.is_in_future(now) { now } else { self }
    }

    /// Returns the later of the two times, or `now` if this one was written while a server's clock
    /// was ahead.
    #[must_use]
    pub fn advanced_to(self, now: Self) -> Self {
        self.bounded_by(now).max(now)
    }

    /// Formats an HTTP date (RFC 9110), as `Sunset` (RFC 8594) requires:
    /// `Sat, 31 Dec 2033 00:00:00 GMT`.
    #[must_use]
    pub fn http_date(self) -> String {
        self.calendar().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    fn calendar(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or_default()
    }
}

impl FromStr for Timestamp {
    type Err = Invalid;

    /// Parses an RFC 3339 time with any offset. Truncates to microseconds.
    ///
    /// # Errors
    /// [`Invalid`] if `text` is not such a time.
    fn from_str(text: &str) -> Result<Self, Invalid> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .and_then(|time| Self::from_micros(time.timestamp_micros()))
            .ok_or_else(|| {
                Invalid::new(
                    "time",
                    format!("{text:?} is not an RFC 3339 time; use one such as \"2030-01-31T12:00:00Z\""),
                )
            })
    }
}

impl std::fmt::Display for Timestamp {
    /// Writes RFC 3339 in UTC with `Z`, and with no, three or six fractional digits as needed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = self.calendar();
        let micros = time.timestamp_subsec_micros();
        // Responses contain several timestamps per token, so this writes the digits in place,
        // without intermediate strings.
        let mut text = *b"0000-00-00T00:00:00.000000";
        let numbers = [
            (0..4, time.year().unsigned_abs()),
            (5..7, time.month()),
            (8..10, time.day()),
            (11..13, time.hour()),
            (14..16, time.minute()),
            (17..19, time.second()),
            (20..26, micros),
        ];
        for (places, mut number) in numbers {
            for place in text.get_mut(places).into_iter().flatten().rev() {
                *place += u8::try_from(number % 10).unwrap_or_default();
                number /= 10;
            }
        }
        let length = match micros {
            0 => 19,
            micros if micros % 1000 == 0 => 23,
            _ => 26,
        };
        let text = text.get(..length).and_then(|text| std::str::from_utf8(text).ok());
        f.write_str(text.unwrap_or_default())?;
        f.write_str("Z")
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    /// Creates a day from the number of days since the Unix epoch.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// Returns the number of days since the Unix epoch.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// Returns the day `days` days earlier.
    #[must_use]
    pub fn before(self, days: u16) -> Self {
        Self(self.0.saturating_sub(days.into()))
    }

    /// Returns the start of the day, in microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0.saturating_mul(DAY_SECONDS * SECOND_MICROS)
    }
}

impl std::fmt::Display for Day {
    /// Writes an RFC 3339 date: `2030-01-31`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = DateTime::from_timestamp_micros(self.micros()).ok_or(std::fmt::Error)?;
        write!(f, "{}", start.format("%Y-%m-%d"))
    }
}

impl Serialize for Day {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The source of the time; tests inject their own.
///
/// Timestamps that people and other programs see come from the wall clock, [`Clock::now`], which an
/// administrator or NTP may set at any moment. Durations are measured on [`Clock::monotonic`],
/// which cannot be set.
pub trait Clock: Send + Sync {
    /// Returns the current time of the wall clock.
    fn now(&self) -> Timestamp;

    /// Returns the current instant of the monotonic clock.
    fn monotonic(&self) -> Instant;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the system's time is read")]
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Timestamp(0).saturating_add(since_epoch.unwrap_or_default())
    }

    fn monotonic(&self) -> Instant {
        Instant::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn times_are_formatted_like_chrono(
            seconds in -62_167_219_200_i64..253_402_300_800,
            micros in prop_oneof![
                Just(0),
                (0..1000_i64).prop_map(|millis| millis * 1000),
                0..1_000_000_i64,
            ],
        ) {
            let time = Timestamp::from_micros(seconds * SECOND_MICROS + micros).unwrap();
            prop_assert_eq!(time.to_string(), time.calendar().to_rfc3339_opts(SecondsFormat::AutoSi, true));
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }

    #[test]
    fn a_timestamp_in_the_future_is_bounded() {
        let at = |seconds: i64| Timestamp::from_micros(seconds * SECOND_MICROS).unwrap();
        for (written, bounded, advanced) in [(0, 0, 1000), (1000, 1000, 1000), (1300, 1300, 1300), (1301, 1000, 1000)] {
            assert_eq!(at(written).bounded_by(at(1000)), at(bounded), "{written}");
            assert_eq!(at(written).advanced_to(at(1000)), at(advanced), "{written}");
        }
    }

    #[test]
    fn times_span_the_range_of_rfc_3339() {
        let shown = |micros| Timestamp::from_micros(micros).map(|time| time.to_string());
        assert_eq!(shown(Timestamp::FIRST).as_deref(), Some("0000-01-01T00:00:00Z"));
        assert_eq!(shown(Timestamp::LAST).as_deref(), Some("9999-12-31T23:59:59.999999Z"));
        assert_eq!((shown(Timestamp::FIRST - 1), shown(Timestamp::LAST + 1)), (None, None));
        let last = Timestamp(Timestamp::LAST);
        assert_eq!(last.saturating_add(Duration::MAX), last);
        assert_eq!(last.saturating_sub(Duration::MAX), Timestamp(0));
    }
}
