//! Hears of the changes that other servers and the command line make.

use std::{
    sync::Weak,
    time::{Duration, Instant},
};

use diesel::RunQueryDsl;
use r2d2::ManageConnection;

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

/// Tells `listener` of changes, on threads of their own, for as long as there is a listener.
///
/// The count of changes at `database` is what can be relied on. On PostgreSQL changes are also announced, on a connection to `announcer`,
/// and are heard of within milliseconds; when that connection breaks or hangs, or a pooler swallows the announcements, nothing else is lost.
///
/// # Errors
/// When there are no threads to be had.
pub fn follow(database: DatabaseUrl, announcer: DatabaseUrl, listener: &Weak<dyn Listener>) -> std::io::Result<()> {
    let keeps_sessions = announcer == database;
    if let DatabaseUrl::Postgres(_) = announcer {
        let mut line = Line::new(announcer, true);
        repeat("announcements", LISTEN_INTERVAL, listener.clone(), move |listener| {
            line.with(listen, |conn| hear_announcements(conn, listener));
        })?;
    }
    let poll_interval = match database {
        DatabaseUrl::Sqlite(_) => FILE_POLL_INTERVAL,
        DatabaseUrl::Postgres(_) => SERVER_POLL_INTERVAL,
    };
    let mut line = Line::new(database, keeps_sessions);
    repeat("count of changes", poll_interval, listener.clone(), move |listener| {
        let asked_at = Instant::now();
        let begin = |_: &mut AnyConnection| {
            listener.begin();
            Ok(())
        };
        if let Some(revision) = line.with(begin, revision::current) {
            listener.hear_revision(revision, asked_at);
        }
    })
}

/// Does `work` again and again, for as long as there is a listener.
fn repeat(
    name: &str,
    interval: Duration,
    listener: Weak<dyn Listener>,
    mut work: impl FnMut(&dyn Listener) + Send + 'static,
) -> std::io::Result<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(move || {
        while let Some(listener) = listener.upgrade() {
            work(listener.as_ref());
            drop(listener);
            std::thread::sleep(interval);
        }
    })?;
    Ok(())
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
            let mut conn = self.connections.connect().ok();
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
