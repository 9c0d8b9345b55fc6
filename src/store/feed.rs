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
    error::{PoolError, ReplicaFault, StoreError},
    files::Files,
    pool::{Connections, Pooled},
    replica::{self, ReplicaMetrics, Tracker},
    revision::{self, CHANNEL, Listener, ServerState},
    url::DatabaseUrl,
    worker,
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

/// The threads of the feed. Dropping the handle stops the threads and waits for them: a thread that
/// is still inside libpq or OpenSSL when the process exits crashes it.
#[derive(Default)]
pub struct FeedHandle {
    stops: Vec<mpsc::Sender<()>>,
    /// The threads, each with the time to wait for its end, if that is limited.
    threads: Vec<(JoinHandle<()>, Option<Duration>)>,
}

impl Drop for FeedHandle {
    fn drop(&mut self) {
        self.stops.clear();
        for (thread, max_end) in self.threads.drain(..) {
            worker::join([thread], max_end);
        }
    }
}

/// The databases that the feed connects to.
pub struct FeedUrls<'u> {
    /// The database of the store, whose revision is polled.
    pub database: &'u DatabaseUrl,
    /// The address for PostgreSQL's announcements, which differs from that of the database behind a pooler.
    pub announcer: &'u DatabaseUrl,
    /// The read replica, if there is one.
    pub replica: Option<&'u DatabaseUrl>,
}

/// Reports changes to `listener`, on dedicated threads. From then on, the store reads from the replica, if there is
/// one.
///
/// Correctness depends only on polling the revision of the database. On PostgreSQL, changes are also
/// announced on a connection to the announcer, and arrive within milliseconds. If that connection
/// breaks or hangs, or a pooler drops the announcements, changes arrive with the next poll.
///
/// # Errors
/// [`std::io::Error`] if a thread cannot be started.
pub fn subscribe(
    store: &Store,
    urls: &FeedUrls<'_>,
    replica_metrics: &Arc<ReplicaMetrics>,
    listener: &Arc<dyn Listener>,
) -> std::io::Result<FeedHandle> {
    let mut handle = FeedHandle::default();
    let keeps_sessions = urls.announcer == urls.database;
    match urls.announcer {
        DatabaseUrl::Sqlite(_) => {}
        DatabaseUrl::Postgres(_) => {
            let mut reconnecting = Reconnecting::new(urls.announcer.clone(), true, None);
            let listener = Arc::clone(listener);
            handle.repeat("change-listener", LISTEN_INTERVAL, None, move || {
                let _ = reconnecting.with(listen, |conn| process_announcements(conn, listener.as_ref()));
            })?;
        }
    }
    let tracker = match urls.replica {
        None => None,
        Some(url) => {
            let tracker = store.attach_replica(url, Arc::clone(listener), Arc::clone(replica_metrics))?;
            handle.watch_replica(url.clone(), keeps_sessions, Arc::clone(&tracker))?;
            Some(tracker)
        }
    };
    handle.poll(
        store,
        urls.database.clone(),
        keeps_sessions,
        tracker,
        Arc::clone(listener),
    )?;
    Ok(handle)
}

impl FeedHandle {
    /// Starts polling the revision.
    fn poll(
        &mut self,
        store: &Store,
        database: DatabaseUrl,
        keeps_sessions: bool,
        tracker: Option<Arc<Tracker>>,
        listener: Arc<dyn Listener>,
    ) -> std::io::Result<()> {
        let interval = match database {
            DatabaseUrl::Sqlite(_) => FILE_POLL_INTERVAL,
            DatabaseUrl::Postgres(_) => SERVER_POLL_INTERVAL,
        };
        let mut reconnecting = Reconnecting::new(database, keeps_sessions, store.pool.files());
        self.repeat("change-poller", interval, None, move || {
            let asked_at = Instant::now();
            let begin = |_: &mut AnyConnection| {
                listener.reset(Instant::now());
                Ok(())
            };
            let read = |conn: &mut AnyConnection| match &tracker {
                None => revision::current(conn),
                Some(tracker) => {
                    let ServerState { revision, position, .. } = revision::server_state(conn)?;
                    tracker.observe_primary(position, asked_at);
                    Ok(revision)
                }
            };
            if let Ok(revision) = reconnecting.with(begin, |conn| conn.read(QUERY_TIMEOUT, read)) {
                listener.observe_revision(revision, asked_at, Instant::now());
            }
        })
    }

    /// Starts polling the state of the read replica.
    fn watch_replica(&mut self, url: DatabaseUrl, keeps_sessions: bool, tracker: Arc<Tracker>) -> std::io::Result<()> {
        let mut reconnecting = Reconnecting::new(url, keeps_sessions, None);
        self.repeat(
            "replica-watcher",
            SERVER_POLL_INTERVAL,
            replica::MAX_END,
            move || match reconnecting.with(|_| Ok(()), read_standby) {
                Ok(state) => tracker.observe_replica(&state, Instant::now()),
                Err(FeedError::Waiting) => {}
                Err(FeedError::Open(error)) => tracker.observe_failure(&error),
                Err(FeedError::Read(error)) => tracker.observe_failure(&error),
            },
        )
    }

    /// Repeats `work` on a thread until the handle is dropped, which waits at most for `max_end` if there is one.
    fn repeat(
        &mut self,
        name: &str,
        interval: Duration,
        max_end: Option<Duration>,
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
        self.threads.push((thread, max_end));
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

    /// Runs `work` on the connection, after `prepare` on a new one.
    ///
    /// # Errors
    /// [`FeedError`] if there is no connection, or the work fails, which closes the connection.
    fn with<T>(
        &mut self,
        prepare: impl FnOnce(&mut AnyConnection) -> Result<(), StoreError>,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError>,
    ) -> Result<T, FeedError> {
        // Closed immediately: an open connection would prevent the replacement of a removed log.
        self.pooled.take_if(|pooled| self.connections.verify(pooled).is_err());
        let mut pooled = match self.pooled.take() {
            Some(pooled) => pooled,
            None if Instant::now() < self.retry_at => return Err(FeedError::Waiting),
            None => {
                let opened = self.connections.open();
                self.retry_at = Instant::now() + SERVER_POLL_INTERVAL;
                let mut pooled = opened.map_err(FeedError::Open)?;
                prepare(&mut pooled.conn).map_err(FeedError::Read)?;
                pooled
            }
        };
        let done = work(&mut pooled.conn).map_err(FeedError::Read)?;
        self.pooled = Some(pooled);
        Ok(done)
    }
}

/// An error of a connection of the feed.
enum FeedError {
    /// The pause after the last attempt to connect has not ended.
    Waiting,
    /// The connection cannot be opened.
    Open(PoolError),
    /// The connection failed.
    Read(StoreError),
}

/// Returns the state of a standby.
fn read_standby(conn: &mut AnyConnection) -> Result<ServerState, StoreError> {
    let state = conn.read(QUERY_TIMEOUT, revision::server_state)?;
    if state.is_standby {
        Ok(state)
    } else {
        // This closes the connection. The next one can lead to another server.
        Err(ReplicaFault::NotStandby.into())
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
