//! Hears of the changes that other servers and the command line make.

use std::{
    sync::Weak,
    time::{Duration, Instant},
};

use diesel::RunQueryDsl;

use super::{
    connection::AnyConnection,
    error::StoreError,
    revision::{self, CHANNEL, Change},
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
    /// At `asked_at` there had been that many changes.
    fn hear_revision(&self, revision: i64, asked_at: Instant);

    /// A change was announced.
    fn hear_change(&self, change: Change);
}

/// Tells `listener` of changes, on a thread of its own, for as long as there is a listener.
///
/// The count of changes at `database` is what can be relied on. On PostgreSQL changes are also announced, on a connection to `announcer`,
/// and are heard of within milliseconds; when that connection breaks or a pooler swallows the announcements, nothing else is lost.
///
/// # Errors
/// When there is no thread to be had.
pub fn follow(database: DatabaseUrl, announcer: DatabaseUrl, listener: Weak<dyn Listener>) -> std::io::Result<()> {
    std::thread::Builder::new()
        .name("change feed".to_owned())
        .spawn(move || {
            let poll_interval = match database {
                DatabaseUrl::Sqlite(_) => FILE_POLL_INTERVAL,
                DatabaseUrl::Postgres(_) => SERVER_POLL_INTERVAL,
            };
            let mut counter = Line::new(database);
            let mut announcements = matches!(announcer, DatabaseUrl::Postgres(_)).then(|| Line::new(announcer));
            let mut next_poll = Instant::now();
            while let Some(listener) = listener.upgrade() {
                if let Some(line) = &mut announcements {
                    line.with(listen, |conn| hear_announcements(conn, listener.as_ref()));
                }
                let asked_at = Instant::now();
                if asked_at >= next_poll {
                    next_poll = asked_at + poll_interval;
                    if let Some(revision) = counter.with(|_| Ok(()), revision::current) {
                        listener.hear_revision(revision, asked_at);
                    }
                }
                drop(listener);
                std::thread::sleep(LISTEN_INTERVAL);
            }
        })?;
    Ok(())
}

/// A connection that is made again when it breaks, but not at once.
struct Line {
    url: DatabaseUrl,
    conn: Option<AnyConnection>,
    retry_at: Instant,
}

impl Line {
    fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
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
        if self.conn.is_none() {
            if Instant::now() < self.retry_at {
                return None;
            }
            self.retry_at = Instant::now() + SERVER_POLL_INTERVAL;
            let mut conn = self.url.connect_limited(PATIENCE).ok()?;
            prepare(&mut conn).ok()?;
            self.conn = Some(conn);
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
                listener.hear_change(change);
            }
        }
    }
    Ok(())
}
