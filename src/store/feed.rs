//! The change feed: reports the changes of other servers and of CLI commands.

use std::{
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, Instant},
};

use diesel::RunQueryDsl;

use super::{
    Store,
    connection::{AnyConnection, ConnectionOptions},
    error::StoreError,
    files::Files,
    pool::{Connections, Pooled},
    revision::{self, CHANNEL, Change, Revision},
    url::DatabaseUrl,
};

/// Interval between polls of the revision on PostgreSQL.
const SERVER_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Interval between polls of the revision on SQLite, which has no announcements and responds in
/// microseconds.
const FILE_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Timeout of a poll.
const QUERY_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval between reads of PostgreSQL's announcements. A read sends no query: it only takes what
/// has arrived on the connection.
const LISTEN_INTERVAL: Duration = Duration::from_millis(10);

/// A subscriber of the feed. All times come from the caller, so that a model checker can drive the subscriber.
pub trait Listener: Send + Sync + 'static {
    /// Discards all state: the feed has a new connection, possibly to another store or to one that has lost changes.
    fn reset(&self, at: Instant);

    /// Processes the response to a poll that was sent at `asked_at`. The response arrived before `at`.
    fn observe_revision(&self, revision: Revision, asked_at: Instant, at: Instant);

    /// Processes an announced change. It may belong to another store in the same database.
    fn apply_change(&self, change: &Change, at: Instant);
}

/// The threads of the feed. Dropping the handle stops the threads and waits for them: a thread that
/// is still inside libpq or OpenSSL when the process exits crashes it.
#[derive(Default)]
pub struct FeedHandle {
    stops: Vec<mpsc::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for FeedHandle {
    fn drop(&mut self) {
        self.stops.clear();
        for thread in self.threads.drain(..) {
            // A thread that panicked has ended as well.
            let _ = thread.join();
        }
    }
}

/// Reports changes to `listener`, on dedicated threads.
///
/// Correctness depends only on polling the revision at `database`. On PostgreSQL, changes are also
/// announced on a connection to `announcer`, and arrive within milliseconds. If that connection
/// breaks or hangs, or a pooler drops the announcements, changes arrive with the next poll.
///
/// # Errors
/// [`std::io::Error`] if a thread cannot be started.
pub fn subscribe(
    store: &Store,
    database: DatabaseUrl,
    announcer: DatabaseUrl,
    listener: &Arc<dyn Listener>,
) -> std::io::Result<FeedHandle> {
    let mut handle = FeedHandle::default();
    let keeps_sessions = announcer == database;
    match announcer {
        DatabaseUrl::Sqlite(_) => {}
        DatabaseUrl::Postgres(_) => {
            let mut reconnecting = Reconnecting::new(announcer, true, None);
            let listener = Arc::clone(listener);
            handle.repeat("change-listener", LISTEN_INTERVAL, move || {
                reconnecting.with(listen, |conn| process_announcements(conn, listener.as_ref()));
            })?;
        }
    }
    let poll_interval = match database {
        DatabaseUrl::Sqlite(_) => FILE_POLL_INTERVAL,
        DatabaseUrl::Postgres(_) => SERVER_POLL_INTERVAL,
    };
    let mut reconnecting = Reconnecting::new(database, keeps_sessions, store.pool.files());
    let listener = Arc::clone(listener);
    handle.repeat("change-poller", poll_interval, move || {
        let asked_at = Instant::now();
        let begin = |_: &mut AnyConnection| {
            listener.reset(Instant::now());
            Ok(())
        };
        if let Some(revision) = reconnecting.with(begin, |conn| conn.read(QUERY_TIMEOUT, revision::current)) {
            listener.observe_revision(revision, asked_at, Instant::now());
        }
    })?;
    Ok(handle)
}

impl FeedHandle {
    /// Repeats `work` on a thread until the handle is dropped.
    fn repeat(
        &mut self,
        name: &str,
        interval: Duration,
        mut work: impl FnMut() + Send + 'static,
    ) -> std::io::Result<()> {
        let (stop, stopped) = mpsc::channel();
        let thread = Builder::new().name(name.to_owned()).spawn(move || {
            loop {
                work();
                if stopped.recv_timeout(interval) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
        })?;
        self.stops.push(stop);
        self.threads.push(thread);
        Ok(())
    }
}

/// A connection that is reopened after a failure, with a pause between attempts.
struct Reconnecting {
    connections: Connections,
    pooled: Option<Pooled>,
    retry_at: Instant,
}

impl Reconnecting {
    fn new(url: DatabaseUrl, keeps_sessions: bool, files: Option<Arc<Files>>) -> Self {
        let options = ConnectionOptions {
            timeout: QUERY_TIMEOUT,
            keeps_sessions,
        };
        Self {
            connections: Connections::new(url, options, files),
            pooled: None,
            retry_at: Instant::now(),
        }
    }

    /// Runs `work` on the connection, after `prepare` on a new one. Returns `None` while there is no connection.
    fn with<T>(
        &mut self,
        prepare: impl FnOnce(&mut AnyConnection) -> Result<(), StoreError>,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Option<T> {
        // Closed immediately: an open connection would prevent the replacement of a removed log.
        self.pooled.take_if(|pooled| self.connections.verify(pooled).is_err());
        if self.pooled.is_none() && Instant::now() >= self.retry_at {
            let mut pooled = self.connections.open().ok();
            self.pooled = pooled.take_if(|pooled| prepare(&mut pooled.conn).is_ok());
            self.retry_at = Instant::now() + SERVER_POLL_INTERVAL;
        }
        let done = self.pooled.as_mut().map(|pooled| work(&mut pooled.conn))?;
        if done.is_err() {
            self.pooled = None;
        }
        done.ok()
    }
}

fn listen(conn: &mut AnyConnection) -> Result<(), StoreError> {
    match conn {
        AnyConnection::Sqlite(_) => {} // SQLite cannot notify; the feed polls.
        AnyConnection::Postgres(conn) => {
            diesel::sql_query(format!("LISTEN {CHANNEL}")).execute(conn)?;
        }
    }
    Ok(())
}

fn process_announcements(conn: &mut AnyConnection, listener: &dyn Listener) -> Result<(), StoreError> {
    match conn {
        AnyConnection::Sqlite(_) => {} // SQLite cannot notify; the feed polls.
        AnyConnection::Postgres(conn) => {
            for announcement in conn.notifications_iter() {
                if let Ok(change) = announcement?.payload.parse() {
                    listener.apply_change(&change, Instant::now());
                }
            }
        }
    }
    Ok(())
}
