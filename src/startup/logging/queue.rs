//! A bounded queue of log lines, which one thread writes.
//!
//! A caller that logs never waits for the reader of standard error. If a pipe is full, or Ctrl-S
//! has stopped a terminal, lines are dropped and counted.

use std::{
    io::{self, ErrorKind, Write},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use prometheus::IntCounter;

/// Delay before non-urgent lines are written, so that one write takes many of them.
const BATCH_DELAY: Duration = Duration::from_millis(100);
/// Size in bytes from which a batch is written without delay.
const MIN_BATCH_BYTES: usize = 32 * 1024;
/// Delay before a retry if standard error is nonblocking and full.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// A queue of lines for standard error.
pub struct Queue {
    state: Mutex<State>,
    max_bytes: usize,
    dropped: IntCounter,
    is_added: Condvar,
    is_written: Condvar,
}

#[derive(Default)]
struct State {
    lines: String,
    /// Bytes that the writer took but has not written yet. They count toward the limit.
    writing: usize,
    is_urgent: bool,
    /// Dropped lines that the log has not reported yet.
    unreported: u64,
}

impl Queue {
    /// Creates an empty queue of at most `max_bytes` that counts dropped lines in `dropped`.
    pub fn new(max_bytes: usize, dropped: IntCounter) -> Self {
        Self {
            state: Mutex::default(),
            max_bytes,
            dropped,
            is_added: Condvar::new(),
            is_written: Condvar::new(),
        }
    }

    /// Adds a line, or drops it if the queue is full. An urgent line is written without delay.
    pub fn push(&self, line: &str, is_urgent: bool) {
        let mut state = self.state();
        if state.lines.len() + state.writing + line.len() > self.max_bytes {
            state.unreported += 1;
            self.dropped.inc();
            return;
        }
        let was_idle = state.lines.is_empty();
        let was_urgent = state.is_urgent;
        state.lines.push_str(line);
        state.is_urgent |= is_urgent || state.lines.len() >= MIN_BATCH_BYTES;
        // A wake-up costs a system call, so most lines do not cause one.
        if was_idle || state.is_urgent != was_urgent {
            self.is_added.notify_one();
        }
    }

    /// Waits until all lines are written, for at most `timeout`.
    pub fn flush(&self, timeout: Duration) {
        let mut state = self.state();
        state.is_urgent = true;
        self.is_added.notify_one();
        let is_pending = |state: &mut State| !state.lines.is_empty() || state.writing > 0;
        drop(self.is_written.wait_timeout_while(state, timeout, is_pending));
    }

    /// Writes lines to `out` until the process exits. After lines were dropped, also writes the
    /// message that `report` returns for their number.
    pub fn write_to(&self, out: &mut impl Write, report: impl Fn(u64) -> String) -> ! {
        let mut has_failed = false;
        loop {
            has_failed = self.write_batch(out, &report, has_failed).is_err();
        }
    }

    fn write_batch(&self, out: &mut impl Write, report: impl Fn(u64) -> String, has_failed: bool) -> io::Result<()> {
        // After a failure, only a new line triggers another attempt.
        let is_idle = |state: &mut State| state.lines.is_empty() && (state.unreported == 0 || has_failed);
        let state = self.is_added.wait_while(self.state(), is_idle);
        let state = state.unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .is_added
            .wait_timeout_while(state, BATCH_DELAY, |state| !state.is_urgent);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let mut batch = std::mem::take(&mut state.lines);
        state.writing = batch.len();
        state.is_urgent = false;
        let unreported = std::mem::take(&mut state.unreported);
        // The lock is not held during the write, which can take any time.
        drop(state);
        let lines = batch.matches('\n').count() as u64;
        if unreported > 0 {
            batch.push_str(&report(unreported));
        }
        let outcome = write_all(out, batch.as_bytes());
        let mut state = self.state();
        state.writing = 0;
        if outcome.is_err() {
            state.unreported += unreported + lines;
            self.dropped.inc_by(lines);
        }
        self.is_written.notify_all();
        outcome
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As [`Write::write_all`], but retries if `out` is nonblocking and full.
fn write_all(out: &mut impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY_DELAY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::net::UnixStream,
        sync::{Arc, mpsc},
    };

    use super::*;

    fn queue(max_bytes: usize) -> Queue {
        Queue::new(max_bytes, IntCounter::new("dropped", "lines").unwrap())
    }

    fn report(count: u64) -> String {
        format!("{count} dropped\n")
    }

    #[test]
    fn lines_beyond_the_limit_are_dropped_counted_and_reported() {
        let queue = queue(10);
        for line in ["one\n", "two\n", "three\n", "4\n", "5\n"] {
            queue.push(line, true);
        }
        assert_eq!(queue.dropped.get(), 2);
        let mut out = Vec::new();
        queue.write_batch(&mut out, report, false).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), "one\ntwo\n4\n2 dropped\n");
        // Dropped lines are reported once.
        queue.push("6\n", true);
        queue.write_batch(&mut out, report, false).unwrap();
        assert!(out.ends_with(b"2 dropped\n6\n"));
    }

    #[test]
    fn lines_being_written_count_toward_the_limit_and_flush_waits_for_them() {
        struct Gate(mpsc::Sender<()>, mpsc::Receiver<()>);
        impl Write for Gate {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.send(()).unwrap();
                self.1.recv().map_err(io::Error::other)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (began, has_begun) = mpsc::channel();
        let (open, is_open) = mpsc::channel();
        let queue = queue(5);
        std::thread::scope(|scope| {
            scope.spawn(|| queue.write_batch(&mut Gate(began, is_open), report, false));
            queue.push("1234\n", true);
            has_begun.recv().unwrap();
            queue.push("5\n", true);
            assert_eq!(queue.dropped.get(), 1);
            // The reader has stopped; the flush must still return.
            queue.flush(Duration::ZERO);
            assert_eq!(queue.state().writing, 5);
            open.send(()).unwrap();
            queue.flush(Duration::from_mins(1));
            assert_eq!(queue.state().writing, 0);
        });
    }

    #[test]
    fn lines_that_fail_to_write_are_counted_and_reported_later() {
        let queue = queue(100);
        let mut full: &mut [u8] = &mut [];
        queue.push("one\n", true);
        queue.push("two\n", true);
        assert!(queue.write_batch(&mut full, report, false).is_err());
        assert_eq!(queue.dropped.get(), 2);
        let mut out = Vec::new();
        queue.push("three\n", true);
        queue.write_batch(&mut out, report, true).unwrap();
        assert_eq!(String::from_utf8_lossy(&out), "three\n2 dropped\n");
    }

    #[test]
    fn a_non_blocking_stderr_loses_no_lines() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let queue = Arc::new(queue(1 << 22));
        let line = "x".repeat(4095) + "\n";
        for _ in 0..500 {
            queue.push(&line, true);
        }
        let reader = std::thread::spawn(move || io::copy(&mut theirs, &mut io::sink()).unwrap());
        queue.write_batch(&mut ours, report, false).unwrap();
        drop(ours);
        assert_eq!(reader.join().unwrap(), 500 * 4096);
    }
}
