//! Log lines, as text or as JSON, each with the id of the request that it belongs to.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use env_logger::{Builder, Env, fmt::Formatter};
use log::{
    Level, Log, Metadata, Record,
    kv::{Error, Key, Value, VisitSource},
};

use crate::{
    domain::clock::{Clock, SystemClock, Timestamp},
    http::{observe::ACCESS, request_id},
    settings::LogFormat,
};

const DEFAULT_FILTER: &str = "info,actix_http=off";

/// How long access lines may wait to be written, when nobody looks on at a terminal: one write is then for many of them.
const WAIT: Duration = Duration::from_millis(100);
/// How many bytes of them may wait.
const MOST_WAITING: usize = 32 * 1024;

/// Begins to log. What waits is written when the guard is dropped.
pub fn init(format: LogFormat) -> Guard {
    let mut builder = Builder::from_env(Env::default().default_filter_or(DEFAULT_FILTER));
    builder.format(match format {
        LogFormat::Text => text,
        LogFormat::Json => json,
    });
    let lines = Arc::new(Lines::default());
    let logger = Logger {
        at_once: builder.build(),
        access: (!io::stderr().is_terminal()).then(|| Arc::clone(&lines)),
        format,
    };
    let level = logger.at_once.filter();
    // A test binary may start more than one server.
    if log::set_boxed_logger(Box::new(logger)).is_ok() {
        log::set_max_level(level);
        let waiting = Arc::clone(&lines);
        let writer = std::thread::Builder::new().name("access log".to_owned());
        // Without a thread they are written when enough of them wait.
        let _ = writer.spawn(move || {
            loop {
                std::thread::sleep(WAIT);
                waiting.waiting().write();
            }
        });
    }
    Guard(lines)
}

/// Keeps log lines from being lost when the program ends.
#[must_use]
pub struct Guard(Arc<Lines>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.waiting().write();
    }
}

/// Access lines that wait to be written to standard error.
#[derive(Default)]
struct Lines(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    text: String,
    /// The second that the last line was of,
    second: i64,
    /// and how it is written.
    time: String,
}

impl Lines {
    fn add(&self, format: LogFormat, record: &Record<'_>) {
        let mut waiting = self.waiting();
        let Waiting { text, second, time } = &mut *waiting;
        let now = SystemClock.now();
        if *second != now.seconds() {
            *second = now.seconds();
            let whole = Timestamp::from_micros(now.seconds() * 1_000_000).unwrap_or(now);
            whole.to_string().trim_end_matches('Z').clone_into(time);
        }
        let until_second = time.len();
        push_thousandths(time, now.micros().rem_euclid(1_000_000) / 1000);
        // Nothing that is written to memory fails.
        let _ = match format {
            LogFormat::Text => text_line(text, time, padded(record.level()), record),
            LogFormat::Json => json_line(text, time, record),
        };
        time.truncate(until_second);
        if text.len() >= MOST_WAITING {
            waiting.write();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

impl Waiting {
    fn write(&mut self) {
        // Nobody can be told that nobody listens.
        let _ = io::stderr().write_all(self.text.as_bytes());
        self.text.clear();
    }
}

struct Logger {
    at_once: env_logger::Logger,
    /// Where access lines wait, if they do.
    access: Option<Arc<Lines>>,
    format: LogFormat,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.at_once.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        match &self.access {
            Some(lines) if record.target() == ACCESS => {
                if self.at_once.matches(record) {
                    lines.add(self.format, record);
                }
            }
            _ => {
                // What was logged earlier is read earlier.
                self.flush();
                self.at_once.log(record);
            }
        }
    }

    fn flush(&self) {
        if let Some(lines) = &self.access {
            lines.waiting().write();
        }
    }
}

fn text(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let (style, level) = (out.default_level_style(record.level()), padded(record.level()));
    let (time, level) = (out.timestamp_millis().to_string(), format!("{style}{level}{style:#}"));
    written(out, |line| text_line(line, &time, &level, record))
}

fn json(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let time = out.timestamp_millis().to_string();
    written(out, |line| json_line(line, &time, record))
}

fn written(out: &mut Formatter, write: impl FnOnce(&mut String) -> fmt::Result) -> io::Result<()> {
    let mut line = String::new();
    write(&mut line).map_err(io::Error::other)?;
    out.write_all(line.as_bytes())
}

const fn padded(level: Level) -> &'static str {
    match level {
        Level::Error => "ERROR",
        Level::Warn => "WARN ",
        Level::Info => "INFO ",
        Level::Debug => "DEBUG",
        Level::Trace => "TRACE",
    }
}

fn text_line(out: &mut String, time: &str, level: &str, record: &Record<'_>) -> fmt::Result {
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
    // Without an end at the first one, many bytes are looked at at once.
    text.bytes()
        .fold(false, |found, byte| found | matches!(byte, b' ' | b'"'))
}

fn write_message(out: &mut String, record: &Record<'_>) -> fmt::Result {
    match record.args().as_str() {
        Some(text) => out.write_str(text),
        None => out.write_fmt(*record.args()),
    }
}

fn json_line(out: &mut String, time: &str, record: &Record<'_>) -> fmt::Result {
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

/// The value of a field of a record.
enum Field<'v> {
    Number(u64),
    Text(&'v str),
    Other(Value<'v>),
}

/// Gives the fields of a record to `write`, one after the other.
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
