//! Log lines, as text or as JSON.

use std::fmt::{self, Write as _};

use log::{
    Level, Record,
    kv::{Error, Key, Value, VisitSource},
};

use crate::{domain::clock::Timestamp, http::request_id, settings::LogFormat};

/// The format of all lines.
#[derive(Clone, Copy, Debug)]
pub struct LineFormat {
    /// Text or JSON.
    pub format: LogFormat,
    /// Colors the level in text lines.
    pub is_colored: bool,
}

/// A reusable buffer for a line, with a cached timestamp: most lines are in the same second as the
/// line before.
#[derive(Default)]
pub struct LineFormatter {
    text: String,
    /// The second in `time`.
    second: i64,
    time: String,
}

impl LineFormatter {
    /// Formats a record as a line that ends with a line feed.
    pub fn format(&mut self, format: LineFormat, now: Timestamp, record: &Record<'_>) -> &str {
        let Self { text, second, time } = self;
        text.clear();
        if *second != now.seconds() || time.is_empty() {
            *second = now.seconds();
            let whole = Timestamp::from_micros(now.seconds() * 1_000_000).unwrap_or(now);
            whole.to_string().trim_end_matches('Z').clone_into(time);
        }
        let until_second = time.len();
        push_thousandths(time, now.micros().rem_euclid(1_000_000) / 1000);
        let written = match format.format {
            LogFormat::Text => write_text(text, time, level(record.level(), format.is_colored), record),
            LogFormat::Json => write_json_line(text, time, record),
        };
        time.truncate(until_second);
        // Formatting fails only if a value's `Display` fails. The text before that value is still
        // logged.
        if written.is_err() {
            text.push('\n');
        }
        text
    }
}

fn push_thousandths(text: &mut String, thousandths: i64) {
    let padding = match thousandths {
        ..10 => ".00",
        10..100 => ".0",
        _ => ".",
    };
    text.extend([padding, itoa::Buffer::new().format(thousandths), "Z"]);
}

const fn level(level: Level, is_colored: bool) -> &'static str {
    match (level, is_colored) {
        (Level::Error, false) => "ERROR",
        (Level::Warn, false) => "WARN ",
        (Level::Info, false) => "INFO ",
        (Level::Debug, false) => "DEBUG",
        (Level::Trace, false) => "TRACE",
        (Level::Error, true) => "\x1b[1;31mERROR\x1b[0m",
        (Level::Warn, true) => "\x1b[33mWARN \x1b[0m",
        (Level::Info, true) => "\x1b[32mINFO \x1b[0m",
        (Level::Debug, true) => "\x1b[34mDEBUG\x1b[0m",
        (Level::Trace, true) => "\x1b[36mTRACE\x1b[0m",
    }
}

fn write_text(out: &mut String, time: &str, level: &str, record: &Record<'_>) -> fmt::Result {
    let id = request_id::current();
    out.extend([time, " ", level, " ", record.target(), " [", id.as_str(), "] "]);
    write_message(out, record)?;
    visit(record, |key, value| {
        out.extend([" ", key, "="]);
        match value {
            Field::Number(number) => out.write_str(itoa::Buffer::new().format(number)),
            Field::Text(text) if needs_quotes(text) => write_json(out, text),
            Field::Text(text) => out.write_str(text),
            Field::Other(value) => {
                let begin = out.len();
                write!(out, "{value}")?;
                if out.get(begin..).is_some_and(needs_quotes) {
                    let text = out.split_off(begin);
                    write_json(out, &text)?;
                }
                Ok(())
            }
        }
    })?;
    out.write_char('\n')
}

fn needs_quotes(text: &str) -> bool {
    // No early exit, so that the compiler can vectorize the loop.
    text.bytes()
        .fold(false, |found, byte| found | matches!(byte, b' ' | b'"'))
}

fn write_message(out: &mut String, record: &Record<'_>) -> fmt::Result {
    match record.args().as_str() {
        Some(text) => out.write_str(text),
        None => out.write_fmt(*record.args()),
    }
}

fn write_json_line(out: &mut String, time: &str, record: &Record<'_>) -> fmt::Result {
    let id = request_id::current();
    out.extend([r#"{"time":""#, time, r#"","level":""#, record.level().as_str()]);
    out.extend([r#"","request_id":""#, id.as_str(), r#"","target":"#]);
    write_json(out, record.target())?;
    out.push_str(r#","message":"#);
    let mut message = String::new();
    write_message(&mut message, record)?;
    write_json(out, &message)?;
    visit(record, |key, value| {
        out.push(',');
        write_json(out, key)?;
        out.push(':');
        match value {
            Field::Number(number) => out.write_str(itoa::Buffer::new().format(number)),
            Field::Text(text) => write_json(out, text),
            Field::Other(value) => write_json(out, &value.to_string()),
        }
    })?;
    out.write_str("}\n")
}

fn write_json(out: &mut String, text: &str) -> fmt::Result {
    out.push_str(&serde_json::to_string(text).map_err(|_| fmt::Error)?);
    Ok(())
}

/// The value of a record's field.
enum Field<'v> {
    Number(u64),
    Text(&'v str),
    Other(Value<'v>),
}

/// Passes each field of a record to `write`.
fn visit(record: &Record<'_>, write: impl FnMut(&str, Field<'_>) -> fmt::Result) -> fmt::Result {
    struct Visitor<W>(W);
    impl<'kvs, W: FnMut(&str, Field<'_>) -> fmt::Result> VisitSource<'kvs> for Visitor<W> {
        fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
            let Self(write) = self;
            match (value.to_u64(), value.to_borrowed_str()) {
                (Some(number), _) => write(key.as_str(), Field::Number(number)),
                (None, Some(text)) => write(key.as_str(), Field::Text(text)),
                (None, None) => write(key.as_str(), Field::Other(value)),
            }?;
            Ok(())
        }
    }
    record.key_values().visit(&mut Visitor(write)).map_err(|_| fmt::Error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(format: LogFormat, is_colored: bool) -> String {
        let mut line = LineFormatter::default();
        let format = LineFormat { format, is_colored };
        let now = Timestamp::from_micros(1_800_000_000_007_999).unwrap();
        let record = Record::builder()
            .level(Level::Warn)
            .target("tokenbridge")
            .key_values(&[("name", "a \"b\""), ("channel", "cli")])
            .args(format_args!("beware"))
            .build();
        // The second call uses the cached timestamp.
        let first = line.format(format, now, &record).to_owned();
        assert_eq!(line.format(format, now, &record), first);
        first
    }

    #[test]
    fn lines_are_text_or_json() {
        assert_eq!(
            formatted(LogFormat::Text, false),
            "2027-01-15T08:00:00.007Z WARN  tokenbridge [-] beware name=\"a \\\"b\\\"\" channel=cli\n"
        );
        assert!(formatted(LogFormat::Text, true).contains(" \x1b[33mWARN \x1b[0m tokenbridge "));
        assert_eq!(
            formatted(LogFormat::Json, true),
            [
                r#"{"time":"2027-01-15T08:00:00.007Z","level":"WARN","request_id":"-","target":"tokenbridge","#,
                r#""message":"beware","name":"a \"b\"","channel":"cli"}"#,
                "\n",
            ]
            .concat()
        );
    }

    #[test]
    fn a_failing_display_truncates_the_line() {
        struct Refused;
        impl fmt::Display for Refused {
            fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
                Err(fmt::Error)
            }
        }
        let mut line = LineFormatter::default();
        let format = LineFormat {
            format: LogFormat::Text,
            is_colored: false,
        };
        let now = Timestamp::from_micros(0).unwrap();
        let text = line.format(
            format,
            now,
            &Record::builder().args(format_args!("before {Refused}")).build(),
        );
        assert!(text.ends_with("before \n"), "{text:?}");
    }
}
