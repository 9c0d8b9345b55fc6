//! The log: lines on standard error, each with its request ID.

mod line;
mod queue;

use std::{
    cell::RefCell,
    fs::File,
    io::{self, IsTerminal},
    os::fd::AsFd,
    sync::Arc,
    time::Duration,
};

use env_logger::Builder;
use log::{Level, Log, Metadata, Record};
use prometheus::{IntCounter, Opts};

use crate::{
    domain::clock::{Clock, SystemClock},
    http::observe::ACCESS_LOG_TARGET,
    settings::LogFormat,
};
use line::{LineFormat, LineFormatter};
use queue::Queue;

const DEFAULT_FILTER: &str = "info,actix_http=off";

/// Maximum number of bytes that wait for the reader of standard error: a few thousand access-log
/// lines.
const MAX_QUEUED_BYTES: usize = 1024 * 1024;
/// Maximum wait for the reader of standard error when the program exits.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum wait for the reader of standard error after a panic, which may abort the process.
const PANIC_TIMEOUT: Duration = Duration::from_millis(250);

/// Starts logging.
///
/// # Errors
/// If standard error cannot be used or a thread cannot be started.
pub fn init(format: LogFormat) -> io::Result<Guard> {
    let filter = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = Builder::new()
        .parse_filters(filter.as_deref().unwrap_or(DEFAULT_FILTER))
        .build();
    let (level, is_terminal) = (filter.filter(), io::stderr().is_terminal());
    let dropped = IntCounter::with_opts(Opts::new(
        "tokenbridge_log_lines_dropped_total",
        "Log lines that were dropped because standard error did not take them",
    ))
    .map_err(io::Error::other)?;
    // Fails only if this process has already started logging.
    let _ = prometheus::register(Box::new(dropped.clone()));
    let logger = Arc::new(Logger {
        filter,
        format: LineFormat {
            format,
            is_colored: is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
        },
        is_terminal,
        queue: Queue::new(MAX_QUEUED_BYTES, dropped),
    });
    // A separate handle: a writer that holds the lock of `io::stderr` while a pipe is full would
    // block all other users of it.
    let mut out = File::from(io::stderr().as_fd().try_clone_to_owned()?);
    let writer = Arc::clone(&logger);
    std::thread::Builder::new().name("log".to_owned()).spawn(move || {
        writer.queue.write_to(&mut out, |count| {
            let message = format_args!("{count} log lines were dropped because standard error was not read in time");
            let record = Record::builder()
                .level(Level::Warn)
                .target(module_path!())
                .args(message)
                .build();
            LineFormatter::default()
                .format(writer.format, SystemClock.now(), &record)
                .to_owned()
        })
    })?;
    if log::set_boxed_logger(Box::new(Arc::clone(&logger))).is_ok() {
        log::set_max_level(level);
        log_panics(Arc::clone(&logger));
    }
    Ok(Guard(logger))
}

/// Flushes the remaining log lines when the program exits.
#[must_use]
pub struct Guard(Arc<Logger>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.queue.flush(EXIT_TIMEOUT);
    }
}

/// Logs panics regardless of `RUST_LOG`. The default hook would block if standard error is not
/// read.
fn log_panics(logger: Arc<Logger>) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let backtrace = std::backtrace::Backtrace::capture();
        let trace = match backtrace.status() {
            std::backtrace::BacktraceStatus::Captured => format!("\n{backtrace}"),
            _ => String::new(),
        };
        let message = format_args!("thread {:?} {panic}{trace}", thread.name().unwrap_or("unnamed"));
        let record = Record::builder()
            .level(Level::Error)
            .target(module_path!())
            .args(message)
            .build();
        logger.write(&record);
        logger.queue.flush(PANIC_TIMEOUT);
    }));
}

struct Logger {
    /// Used only to filter records.
    filter: env_logger::Logger,
    format: LineFormat,
    is_terminal: bool,
    queue: Queue,
}

impl Logger {
    fn write(&self, record: &Record<'_>) {
        thread_local! {
            static LINE: RefCell<LineFormatter> = RefCell::default();
        }
        // On a terminal, a person reads the lines as they appear.
        let is_urgent = self.is_terminal || record.target() != ACCESS_LOG_TARGET;
        let push = |line: &mut LineFormatter| {
            let text = line.format(self.format, SystemClock.now(), record);
            self.queue.push(text, is_urgent);
        };
        // The buffer is borrowed if a value logs while it is formatted, and gone once the thread
        // exits.
        let reused = LINE.try_with(|line| line.try_borrow_mut().map(|mut line| push(&mut line)).is_ok());
        if reused != Ok(true) {
            push(&mut LineFormatter::default());
        }
    }
}

/// Returns `true` for records that can contain credentials: the HTTP client traces whole requests.
fn may_contain_credentials(metadata: &Metadata<'_>) -> bool {
    metadata.level() > Level::Debug && metadata.target().starts_with("ureq")
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !may_contain_credentials(metadata) && self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !may_contain_credentials(record.metadata()) && self.filter.matches(record) {
            self.write(record);
        }
    }

    fn flush(&self) {
        self.queue.flush(EXIT_TIMEOUT);
    }
}
