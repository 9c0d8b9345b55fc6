//! Brownouts: scheduled intervals in which the legacy API is closed, so that forgotten clients are
//! noticed before it is switched off.

use std::str::FromStr;

use std::time::Duration;

use super::clock::Timestamp;

/// Maximum length of a brownout.
const MAX_DURATION: Duration = Duration::from_hours(7 * 24);

/// A half-open interval: it includes its start and excludes its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brownout {
    start: Timestamp,
    end: Timestamp,
}

/// An invalid brownout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrownoutError {
    /// The text is not an ISO 8601 interval.
    #[error("must be an ISO 8601 interval, such as 2030-01-31T09:00Z/PT15M or 2030-01-31T09:00Z/2030-01-31T09:15Z")]
    Malformed,
    /// The interval is empty or ends before it starts.
    #[error("must end after it starts")]
    Empty,
    /// The interval is longer than 7 days.
    #[error("must be at most 7 days long; use --legacy off to close the legacy API permanently")]
    TooLong,
}

impl Brownout {
    /// Returns the start.
    #[must_use]
    pub const fn start(self) -> Timestamp {
        self.start
    }

    /// Returns the end.
    #[must_use]
    pub const fn end(self) -> Timestamp {
        self.end
    }

    /// Returns the end of the closed period at `now`, where overlapping and adjacent brownouts form
    /// one period. Returns `None` if `now` is in no brownout.
    #[must_use]
    pub fn find_end(brownouts: &[Self], now: Timestamp) -> Option<Timestamp> {
        let mut end = now;
        while let Some(later) = brownouts
            .iter()
            .find(|brownout| brownout.start <= end && end < brownout.end)
        {
            end = later.end;
        }
        (end > now).then_some(end)
    }
}

impl FromStr for Brownout {
    type Err = BrownoutError;

    /// Parses an ISO 8601 interval: a start, a slash, and an end or a duration in weeks, days,
    /// hours, minutes and seconds. Times are in RFC 3339 format; the seconds are optional.
    ///
    /// # Errors
    /// Returns [`BrownoutError::Malformed`] if `text` is not such an interval,
    /// [`BrownoutError::Empty`] if it does not end after its start, and [`BrownoutError::TooLong`]
    /// if it is longer than 7 days.
    fn from_str(text: &str) -> Result<Self, BrownoutError> {
        let (start, rest) = text.split_once('/').ok_or(BrownoutError::Malformed)?;
        let start = parse_time(start).ok_or(BrownoutError::Malformed)?;
        let end = match rest.strip_prefix('P') {
            Some(rest) => start.saturating_add(parse_duration(rest).ok_or(BrownoutError::Malformed)?),
            None => parse_time(rest).ok_or(BrownoutError::Malformed)?,
        };
        match end.since(start) {
            Duration::ZERO => Err(BrownoutError::Empty),
            length if length > MAX_DURATION => Err(BrownoutError::TooLong),
            _ => Ok(Self { start, end }),
        }
    }
}

impl std::fmt::Display for Brownout {
    /// Writes the start and the end, separated by a slash.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.start, self.end)
    }
}

/// Parses an RFC 3339 time with optional seconds.
fn parse_time(text: &str) -> Option<Timestamp> {
    const MINUTES: usize = "2030-01-31T09:00".len();
    let with_seconds = match (text.get(..MINUTES), text.get(MINUTES..)) {
        (Some(minutes), Some(offset)) if !offset.starts_with(':') => format!("{minutes}:00{offset}"),
        _ => text.to_owned(),
    };
    with_seconds.parse().ok()
}

/// Parses the part of an ISO 8601 duration after the `P`. Years and months are refused because
/// their length varies.
fn parse_duration(text: &str) -> Option<Duration> {
    const DATE_UNITS: &[(char, u64)] = &[('W', 604_800), ('D', 86_400)];
    const TIME_UNITS: &[(char, u64)] = &[('H', 3600), ('M', 60), ('S', 1)];
    let (date, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None if text.is_empty() => return None,
        None => (text, ""),
    };
    let seconds = parse_seconds(date, DATE_UNITS)?.checked_add(parse_seconds(time, TIME_UNITS)?)?;
    Some(Duration::from_secs(seconds))
}

/// Parses numbers that are each followed by a unit, and returns their sum in seconds. Each unit
/// occurs at most once, in the order of `units`.
fn parse_seconds(mut text: &str, units: &[(char, u64)]) -> Option<u64> {
    let mut seconds: u64 = 0;
    for (unit, length) in units {
        let Some((number, rest)) = text.split_once(*unit) else {
            continue;
        };
        if !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(*length)?)?;
        text = rest;
    }
    text.is_empty().then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn intervals_are_parsed() {
        for (text, read) in [
            ("2026-12-01T09:00Z/PT15M", "2026-12-01T09:00:00Z/2026-12-01T09:15:00Z"),
            (
                "2026-12-01T09:00:30Z/PT1H0M5S",
                "2026-12-01T09:00:30Z/2026-12-01T10:00:35Z",
            ),
            (
                "2026-12-01T10:00+01:00/P1DT1H",
                "2026-12-01T09:00:00Z/2026-12-02T10:00:00Z",
            ),
            ("2026-12-01T09:00Z/P1W", "2026-12-01T09:00:00Z/2026-12-08T09:00:00Z"),
            (
                "2026-12-01T09:00Z/2026-12-01T09:15Z",
                "2026-12-01T09:00:00Z/2026-12-01T09:15:00Z",
            ),
            (
                "2026-12-01T09:00:00.5Z/2026-12-01T11:15+02:00",
                "2026-12-01T09:00:00.500Z/2026-12-01T09:15:00Z",
            ),
        ] {
            assert_eq!(text.parse::<Brownout>().unwrap().to_string(), read, "{text}");
        }
        for (text, why) in [
            ("", BrownoutError::Malformed),
            ("2026-12-01T09:00Z", BrownoutError::Malformed),
            ("2026-12-01T09:00Z/", BrownoutError::Malformed),
            ("2026-12-01T09:00Z/P", BrownoutError::Malformed),
            ("2026-12-01T09:00Z/PT", BrownoutError::Malformed),
            ("2026-12-01T09:00Z/P1DT", BrownoutError::Malformed),
            ("2026-12-01T09:00Z/P1M", BrownoutError::Malformed),
            ("2026-12-01T09:00Z/PT5M1H", BrownoutError::Malformed),
            ("2026-12-01T09:00Z/PTM", BrownoutError::Malformed),
            ("2026-12-01T09:00Z/PT+5M", BrownoutError::Malformed),
            ("2026-12-01T09:00Z/PT99999999999999999999H", BrownoutError::Malformed),
            ("PT15M/2026-12-01T09:00Z", BrownoutError::Malformed),
            ("2026-12-01T09:00/PT15M", BrownoutError::Malformed),
            ("2026-12-01/P1D", BrownoutError::Malformed),
            ("2026-12-01T09:00Z/PT15M/x", BrownoutError::Malformed),
            ("2026-12-01T09:00Z/PT0S", BrownoutError::Empty),
            ("2026-12-01T09:00Z/2026-12-01T08:00Z", BrownoutError::Empty),
            ("2026-12-01T09:00Z/P7DT1S", BrownoutError::TooLong),
            ("2026-12-01T09:00Z/2027-12-01T09:00Z", BrownoutError::TooLong),
        ] {
            assert_eq!(text.parse::<Brownout>(), Err(why), "{text}");
        }
    }

    #[test]
    fn intervals_include_their_start_and_exclude_their_end() {
        let brownouts = [
            "2026-12-01T09:00Z/PT15M",
            "2026-12-01T09:15Z/PT5M",
            "2026-12-01T09:10Z/PT1M",
        ];
        let brownouts = brownouts.map(|text| text.parse::<Brownout>().unwrap());
        let end = Some(at("2026-12-01T09:20:00Z"));
        for (now, expected) in [
            ("2026-12-01T08:59:59.999999Z", None),
            ("2026-12-01T09:00:00Z", end),
            ("2026-12-01T09:19:59.999999Z", end),
            ("2026-12-01T09:20:00Z", None),
        ] {
            assert_eq!(Brownout::find_end(&brownouts, at(now)), expected, "{now}");
        }
        assert_eq!(Brownout::find_end(&[], at("2026-12-01T09:00:00Z")), None);
    }
}
