//! Human-readable times.

use super::{text::count, texts::Texts};
use crate::domain::{Invalid, clock::Timestamp, invalid::parse_field};

/// A time in relative and exact form.
pub struct DisplayTime {
    /// The relative time, such as `2 hours ago` or `in 3 days`.
    pub relative: String,
    /// The exact time in UTC, to the second.
    pub exact: String,
    /// The exact time without the name of the time zone, for columns that name it.
    pub short: String,
    /// The machine-readable time (RFC 3339).
    pub rfc3339: String,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const MONTH: u64 = 30 * DAY;
const YEAR: u64 = 365 * DAY;

impl DisplayTime {
    /// Formats a time relative to `now`.
    pub fn new(time: Timestamp, now: Timestamp, texts: &Texts) -> Self {
        let rfc3339 = time.to_string();
        let exact = exact(time);
        Self {
            relative: relative(time, now, texts),
            short: exact.trim_end_matches(" UTC").to_owned(),
            exact,
            rfc3339,
        }
    }

    /// Returns the date in UTC: `2030-01-31`.
    pub fn date(&self) -> &str {
        self.exact.split(' ').next().unwrap_or_default()
    }
}

/// Formats a time in UTC, to the second: `2030-01-31 12:00:00 UTC`.
pub fn exact(time: Timestamp) -> String {
    let text = time.to_string();
    let seconds: String = text.chars().take("2030-01-31T12:00:00".len()).collect();
    seconds.replace('T', " ") + " UTC"
}

/// Formats a time in UTC for `<input type="datetime-local">`, to the second. Returns an empty text
/// for no time.
pub fn format_datetime_local(time: Option<Timestamp>) -> String {
    let text = time.map(|time| time.to_string()).unwrap_or_default();
    text.chars().take("2030-01-31T12:00:00".len()).collect()
}

/// Parses the value of such an input, with optional seconds. Returns `None` if it is empty.
///
/// # Errors
/// [`Invalid`] for `field` if the value is not a time.
pub fn parse_datetime_local(field: &'static str, text: &str) -> Result<Option<Timestamp>, Invalid> {
    let seconds = if text.len() == "2030-01-31T12:00".len() {
        ":00"
    } else {
        ""
    };
    let time = || parse_field(field, &format!("{text}{seconds}Z"));
    (!text.is_empty()).then(time).transpose()
}

fn relative(time: Timestamp, now: Timestamp, t: &Texts) -> String {
    let past = time <= now;
    let seconds = if past { now.since(time) } else { time.since(now) }.as_secs();
    let units = if past {
        [
            (YEAR, t.years_ago),
            (MONTH, t.months_ago),
            (DAY, t.days_ago),
            (HOUR, t.hours_ago),
            (MINUTE, t.minutes_ago),
        ]
    } else {
        [
            (YEAR, t.in_years),
            (MONTH, t.in_months),
            (DAY, t.in_days),
            (HOUR, t.in_hours),
            (MINUTE, t.in_minutes),
        ]
    };
    let unit = units.into_iter().find(|(unit, _)| seconds >= *unit);
    let Some((unit, text)) = unit else {
        return if past { t.just_now } else { t.very_soon }.to_owned();
    };
    count(text, seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::console::language::Language;

    #[test]
    fn relative_times_use_the_largest_unit() {
        let now = "2030-01-01T00:00:00Z".parse().unwrap();
        let texts = Language::English.texts();
        for (time, expected) in [
            ("2030-01-01T00:00:00Z", "just now"),
            ("2029-12-31T23:59:01Z", "just now"),
            ("2029-12-31T23:59:00Z", "1 minute ago"),
            ("2029-12-31T22:00:00Z", "2 hours ago"),
            ("2029-12-31T00:00:00Z", "1 day ago"),
            ("2029-10-01T00:00:00Z", "3 months ago"),
            ("2028-01-01T00:00:00Z", "2 years ago"),
            ("2030-01-01T00:00:59Z", "in less than a minute"),
            ("2030-01-02T00:00:00Z", "in 1 day"),
            ("2030-03-05T00:00:00Z", "in 2 months"),
        ] {
            let when = DisplayTime::new(time.parse().unwrap(), now, texts);
            assert_eq!(when.relative, expected, "{time}");
        }
        let time: Timestamp = "2030-01-02T03:04:05.678901Z".parse().unwrap();
        let when = DisplayTime::new(time, now, Language::Korean.texts());
        assert_eq!(when.exact, "2030-01-02 03:04:05 UTC");
        assert_eq!(when.rfc3339, "2030-01-02T03:04:05.678901Z");
        assert_eq!(when.relative, "1일 후");
    }
}
