//! Hears of the changes that other servers and the command line make.

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
    connection::{AnyConnection, Connections, Usage},
    error::StoreError,
    revision::{self, CHANNEL, Change, Revision},
    url::DatabaseUrl,
};

/// How often PostgreSQL is asked for the count of changes.
const SERVER_POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How often a SQLite file is, which has no announcements and answers in microseconds.
const FILE_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long the feed waits for an answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often PostgreSQL's announcements are looked at: this asks nobody, and only reads what has arrived.
const LISTEN_INTERVAL: Duration = Duration::from_millis(10);

/// Who wants to hear of changes.
pub trait Listener: Send + Sync + 'static {
    /// The store is asked on a new connection: it may be another one than before, or have lost changes.
    fn begin(&self);

    /// At `asked_at` the store had come that far.
    fn hear_revision(&self, revision: Revision, asked_at: Instant);

    /// A change was announced, of this store or of another.
    fn hear_change(&self, change: &Change);
}

/// The threads that hear of changes. They end when this is dropped, which waits for them: one that is still at work in libpq or OpenSSL
/// when the process ends makes it crash.
#[derive(Default)]
pub struct Following {
    stops: Vec<mpsc::Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.stops.clear();
        for thread in self.threads.drain(..) {
            // One that panicked has ended, too.
            let _ = thread.join();
        }
    }
}

/// Tells `listener` of changes, on threads of their own.
///
/// The count of changes at `database` is what can be relied on. On PostgreSQL changes are also announced, on a connection to `announcer`,
/// and are heard of within milliseconds; when that connection breaks or hangs, or a pooler swallows the announcements, nothing else is lost.
///
/// # Errors
/// When there are no threads to be had.
pub fn follow(
    database: DatabaseUrl,
    announcer: DatabaseUrl,
    listener: &Arc<dyn Listener>,
) -> std::io::Result<Following> {
    let mut following = Following::default();
    let keeps_sessions = announcer == database;
    if let DatabaseUrl::Postgres(_) = announcer {
        let mut line = Line::new(announcer, true);
        let listener = Arc::clone(listener);
        following.repeat("announcements", LISTEN_INTERVAL, move || {
            line.with(listen, |conn| hear_announcements(conn, listener.as_ref()));
        })?;
    }
    let poll_interval = match database {
        DatabaseUrl::Sqlite(_) => FILE_POLL_INTERVAL,
        DatabaseUrl::Postgres(_) => SERVER_POLL_INTERVAL,
    };
    let mut line = Line::new(database, keeps_sessions);
    let listener = Arc::clone(listener);
    following.repeat("count of changes", poll_interval, move || {
        let asked_at = Instant::now();
        let begin = |_: &mut AnyConnection| {
            listener.begin();
            Ok(())
        };
        if let Some(revision) = line.with(begin, revision::current) {
            listener.hear_revision(revision, asked_at);
        }
    })?;
    Ok(following)
}

impl Following {
    /// Does `work` again and again, until this is dropped.
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

/// A connection that is made again when it breaks, but not at once.
struct Line {
    connections: Connections,
    conn: Option<AnyConnection>,
    retry_at: Instant,
}

impl Line {
    fn new(url: DatabaseUrl, keeps_sessions: bool) -> Self {
        let usage = Usage {
            patience: PATIENCE,
            keeps_sessions,
        };
        Self {
            connections: Connections::new(url, usage),
            conn: None,
            retry_at: Instant::now(),
        }
    }

    /// Does `work` on the connection, after `prepare` on a new one; nothing while there is none.
    fn with<T>(
        &mut self,
        prepare: impl FnOnce(&mut AnyConnection) -> Result<(), StoreError>,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Option<T> {
        if !self.connections.file_is_in_place() {
            self.conn = None;
            return None;
        }
        if self.conn.is_none() && Instant::now() >= self.retry_at {
            let mut conn = self.connections.open().ok();
            self.conn = conn.take_if(|conn| prepare(conn).is_ok());
            self.retry_at = Instant::now() + SERVER_POLL_INTERVAL;
        }
        let done = self.conn.as_mut().map(work)?;
        if done.is_err() {
            self.conn = None;
        }
        done.ok()
    }
}

fn listen(conn: &mut AnyConnection) -> Result<(), StoreError> {
    if let AnyConnection::Postgres(conn) = conn {
        diesel::sql_query(format!("LISTEN {CHANNEL}")).execute(conn)?;
    }
    Ok(())
}

fn hear_announcements(conn: &mut AnyConnection, listener: &dyn Listener) -> Result<(), StoreError> {
    if let AnyConnection::Postgres(conn) = conn {
        for announcement in conn.notifications_iter() {
            if let Some(change) = Change::parse(&announcement?.payload) {
                listener.hear_change(&change);
            }
        }
    }
    Ok(())
}
