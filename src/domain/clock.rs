//! The time, and where it comes from.

use std::time::Duration;

use chrono::{DateTime, Datelike, SecondsFormat, SubsecRound, TimeDelta, Utc};
use serde::{Serialize, Serializer};

use super::Invalid;

const DAY_SECONDS: i64 = 86_400;

/// A point in time in UTC, in whole microseconds: the finest step that both stores keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// The time that many microseconds after the Unix epoch; `None` outside the years 0 to 9999, which RFC 3339 cannot write.
    #[must_use]
    pub fn from_micros(micros: i64) -> Option<Self> {
        DateTime::from_timestamp_micros(micros)
            .filter(|time| (0..=9999).contains(&time.year()))
            .map(Self)
    }

    /// Microseconds since the Unix epoch.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0.timestamp_micros()
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub fn seconds(self) -> i64 {
        self.0.timestamp()
    }

    /// The day it is in UTC.
    #[must_use]
    pub fn day(self) -> Day {
        Day(self.seconds().div_euclid(DAY_SECONDS))
    }

    /// Reads an RFC 3339 time with any offset; finer digits than microseconds are cut off.
    ///
    /// # Errors
    /// When `text` is not such a time; the message names `field`.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Invalid> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .and_then(|time| Self::from_micros(time.timestamp_micros()))
            .ok_or_else(|| {
                Invalid::new(
                    field,
                    format!("{text:?} is not an RFC 3339 time; write it like \"2030-01-31T12:00:00Z\""),
                )
            })
    }

    /// This time and `duration` more, or the last time that can be written.
    #[must_use]
    pub fn saturating_add(self, duration: Duration) -> Self {
        TimeDelta::from_std(duration)
            .ok()
            .and_then(|delta| self.0.checked_add_signed(delta))
            .and_then(|time| Self::from_micros(time.timestamp_micros()))
            .unwrap_or(Self(DateTime::<Utc>::MAX_UTC))
    }

    /// This time and `duration` less, or the beginning of 1970 when that is before the year 0.
    #[must_use]
    pub fn saturating_sub(self, duration: Duration) -> Self {
        TimeDelta::from_std(duration)
            .ok()
            .and_then(|delta| self.0.checked_sub_signed(delta))
            .and_then(|time| Self::from_micros(time.timestamp_micros()))
            .unwrap_or(Self(DateTime::<Utc>::UNIX_EPOCH))
    }

    /// How long this is after `earlier`; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        (self.0 - earlier.0).to_std().unwrap_or_default()
    }

    /// The date of RFC 9110, as `Sunset` (RFC 8594) wants it: `Sat, 31 Dec 2033 00:00:00 GMT`.
    #[must_use]
    pub fn http_date(self) -> String {
        self.0.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }
}

impl std::fmt::Display for Timestamp {
    /// RFC 3339 in UTC with `Z`, with as many groups of three digits of a second as are needed.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
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
    /// The day that many days after that of the Unix epoch.
    #[must_use]
    pub const fn from_number(number: i64) -> Self {
        Self(number)
    }

    /// How many days it is after that of the Unix epoch.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The day so many days before.
    #[must_use]
    pub fn before(self, days: u16) -> Self {
        Self(self.0.saturating_sub(days.into()))
    }

    /// Its first moment, in microseconds since the Unix epoch.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0.saturating_mul(DAY_SECONDS * 1_000_000)
    }
}

impl std::fmt::Display for Day {
    /// The date of RFC 3339: `2030-01-31`.
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

/// Where the time comes from; a test brings its own.
pub trait Clock: Send + Sync {
    /// The present time.
    fn now(&self) -> Timestamp;
}

/// The operating system's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the system's time is read")]
    fn now(&self) -> Timestamp {
        Timestamp(Utc::now().trunc_subsecs(6))
    }
}
