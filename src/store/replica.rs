//! The read replica: a hot standby of PostgreSQL, which takes lookups and lists off the primary.
//!
//! Its answer counts only if it includes every change that this server knows. The primary answers all other reads, and
//! those that the replica answers negatively.

mod metrics;
mod tracker;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    connection::{AnyConnection, ConnectionOptions},
    error::{ReplicaFault, StoreError, find_store_error},
    pool::Pool,
    revision::{self, Listener},
    tokens::{self, TokenByValue},
    url::DatabaseUrl,
    values::ValueBatcher,
    worker::{WaitingGuard, Worker, wait_for_reply},
};
use crate::domain::value::ValueHash;
use metrics::Outcome;
pub use metrics::ReplicaMetrics;
pub use tracker::{Need, Tracker};

/// Number of threads for lists, each with a connection.
const READERS: usize = 4;
/// Time after which a connection is replaced: the server that it leads to can be promoted, and then answers nothing.
const MAX_CONNECTION_AGE: Duration = Duration::from_mins(1);
/// Time that the end of the program waits for a thread. One that waits for a frozen server is left behind.
pub const MAX_END: Option<Duration> = Some(Duration::from_secs(2));

type Job = Box<dyn FnOnce(&Standby) + Send>;

/// A handle of the threads that read from the replica. They are not those of tokio, whose end would wait for a frozen
/// server.
pub(super) struct Replica {
    standby: Arc<Standby>,
    readers: Worker<Job>,
    values: ValueBatcher,
    metrics: Arc<ReplicaMetrics>,
}

/// The connections to the replica.
struct Standby {
    pool: Pool,
    timeout: Duration,
    tracker: Arc<Tracker>,
}

impl Standby {
    /// Runs a read, if the replica has what it needs.
    fn read<T, E: From<StoreError>>(
        &self,
        need: Need,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let read = |conn: &mut AnyConnection| {
            conn.read(self.timeout, |conn| {
                let state = revision::server_state(conn)?;
                let checked = self.tracker.check(&state, need, Instant::now());
                checked.map_err(StoreError::from)?;
                work(conn)
            })
        };
        // An answer that does not count is no reason to check the connection before its next use.
        self.pool.with(|conn| Ok::<_, StoreError>(read(conn)))?
    }
}

impl Replica {
    /// Starts the threads. They connect on demand.
    ///
    /// # Errors
    /// [`std::io::Error`] if a thread cannot be started.
    pub(super) fn start(
        url: DatabaseUrl,
        options: ConnectionOptions,
        listener: Arc<dyn Listener>,
        metrics: Arc<ReplicaMetrics>,
    ) -> std::io::Result<Self> {
        let tracker = Arc::new(Tracker::new(url.to_string(), listener));
        let connections = u32::try_from(READERS).unwrap_or(u32::MAX) + 1;
        let standby = Arc::new(Standby {
            pool: Pool::new(url, options, connections, MAX_CONNECTION_AGE),
            timeout: options.timeout,
            tracker,
        });
        let of_values = Arc::clone(&standby);
        let values = ValueBatcher::start("replica-values", MAX_END, move |values| {
            of_values.read(Need::Changes, |conn| tokens::find_by_values(conn, values))
        })?;
        let of_readers = Arc::clone(&standby);
        let readers = Worker::start("replica-reader", READERS, MAX_END, move |job: Job, _| job(&of_readers))?;
        Ok(Self {
            standby,
            readers,
            values,
            metrics,
        })
    }

    /// Returns what is known about the replica, for the feed, which polls it.
    pub(super) fn tracker(&self) -> &Arc<Tracker> {
        &self.standby.tracker
    }

    /// Sets the metrics that are not counted.
    pub(super) fn update_metrics(&self) {
        let (is_up, lag) = self.tracker().status(Instant::now());
        self.metrics.set_status(is_up, lag);
    }

    /// Returns the result of `work`, or `None` if the primary must be asked: the result is `None`, the read fails, or
    /// the replica does not have what it needs.
    pub(super) async fn read<T, E>(
        &self,
        need: Need,
        deadline: Instant,
        waiting: WaitingGuard,
        work: impl FnOnce(&mut AnyConnection) -> Result<Option<T>, E> + Send + 'static,
    ) -> Option<T>
    where
        T: Send + 'static,
        E: std::error::Error + From<StoreError> + Send + 'static,
    {
        let answer = async {
            let (reply, answer) = oneshot::channel();
            self.readers.push(Box::new(move |standby: &Standby| {
                drop(waiting);
                if !reply.is_closed() {
                    // The receiver was dropped: the caller asks the primary.
                    let _ = reply.send(standby.read(need, work));
                }
            }))?;
            wait_for_reply(deadline, answer).await
        };
        self.settle(need, answer).await
    }

    /// Returns the token that this value belongs to, or `None` if the primary must be asked.
    pub(super) async fn find_by_value(
        &self,
        deadline: Instant,
        waiting: WaitingGuard,
        value: ValueHash,
    ) -> Option<TokenByValue> {
        let answer = self.values.find(deadline, waiting, value);
        self.settle(Need::Changes, answer).await
    }

    /// Waits for the answer to a read, unless the replica cannot answer now. Counts the outcome.
    async fn settle<T, E: std::error::Error + From<StoreError> + 'static>(
        &self,
        need: Need,
        answer: impl Future<Output = Result<Option<T>, E>>,
    ) -> Option<T> {
        let tracker = self.tracker();
        if !tracker.is_usable(need, Instant::now()) {
            self.metrics.count(Outcome::Skipped);
            return None;
        }
        let answered = tokio::select! {
            answered = answer => answered,
            () = silence(tracker) => Err(StoreError::from(ReplicaFault::Silent).into()),
        };
        let (outcome, found) = match answered {
            Ok(Some(found)) => (Outcome::Answered, Some(found)),
            Ok(None) => (Outcome::Negative, None),
            Err(error) => match find_store_error(&error) {
                None => (Outcome::Negative, None),
                Some(StoreError::Replica(ReplicaFault::Behind)) => (Outcome::Behind, None),
                // A standby cancels a query that delays the replication.
                Some(StoreError::Contended(_)) => (Outcome::Failed, None),
                Some(error) => {
                    tracker.record_failed_read(error, Instant::now());
                    (Outcome::Failed, None)
                }
            },
        };
        self.metrics.count(outcome);
        found
    }
}

/// Waits until the replica has not answered its polls for too long.
async fn silence(tracker: &Tracker) {
    while let Some(left) = tracker.time_to_silence(Instant::now()) {
        tokio::time::sleep(left).await;
    }
}
