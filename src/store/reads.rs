//! Decides which server a read goes to.
//!
//! Lookups and lists go to the read replica, if there is one, and to the primary if the replica cannot answer. All
//! other reads, and whole transactions, go to the primary.

use std::{sync::Arc, time::Instant};

use super::{
    Backend, Store, TIMEOUT_MARGIN,
    connection::AnyConnection,
    error::StoreError,
    replica::{Need, Replica, ReplicaMetrics, Tracker},
    revision::Listener,
    tokens::{self, TokenByValue},
    url::DatabaseUrl,
    worker::WaitingGuard,
};
use crate::domain::value::ValueHash;

impl Store {
    /// Reads from a replica from now on, while `listener` knows the current revision. Returns what is known about the
    /// replica.
    pub(super) fn attach_replica(
        &self,
        url: &DatabaseUrl,
        listener: Arc<dyn Listener>,
        metrics: Arc<ReplicaMetrics>,
    ) -> std::io::Result<Arc<Tracker>> {
        let replica = Replica::start(url.clone(), self.options, listener, metrics)?;
        Ok(Arc::clone(self.replica.get_or_init(|| replica).tracker()))
    }

    /// Returns `true` if created tokens become visible in the order of their row numbers.
    pub fn creates_in_order(&self) -> bool {
        match &self.backend {
            Backend::Sqlite(..) => true,
            Backend::Postgres(..) => false,
        }
    }

    /// Sets the metrics of the read replica, if there is one.
    pub fn update_replica_metrics(&self) {
        if let Some(replica) = self.replica.get() {
            replica.update_metrics();
        }
    }

    /// Returns the token that this value belongs to.
    ///
    /// # Errors
    /// [`StoreError`] if the store is busy or unreachable, or the query fails.
    pub async fn find_by_value(&self, value: ValueHash) -> Result<Option<TokenByValue>, StoreError> {
        match &self.backend {
            Backend::Sqlite(..) => self.read_fast(move |conn| tokens::find_by_value(conn, &value)).await,
            Backend::Postgres(_, values) => {
                if let Some(replica) = self.replica.get() {
                    let found = replica.find_by_value(self.deadline(), self.waiting(), value).await;
                    if found.is_some() {
                        return Ok(found);
                    }
                }
                values.find(self.deadline(), self.waiting(), value).await
            }
        }
    }

    /// Runs a short lookup by an index that is not by value. It finds what the last change left; a row that was only
    /// created is looked up at the primary.
    ///
    /// # Errors
    /// Those of [`Store::read_fast`].
    pub async fn find_fast<T, E>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<Option<T>, E> + Clone + Send + 'static,
    ) -> Result<Option<T>, E>
    where
        T: Send + 'static,
        E: std::error::Error + From<StoreError> + Send + 'static,
    {
        if let Some(replica) = self.replica.get() {
            let found = replica.read(Need::Changes, self.deadline(), self.waiting(), work.clone());
            if let Some(found) = found.await {
                return Ok(Some(found));
            }
        }
        self.read_fast(work).await
    }

    /// Runs the read of a list. It includes every write of this server, and those that others made more than a second
    /// ago.
    ///
    /// # Errors
    /// Those of [`Store::read`].
    pub async fn list<T, E>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Clone + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: std::error::Error + From<StoreError> + Send + 'static,
    {
        if let Some(replica) = self.replica.get() {
            let work = work.clone();
            let work = move |conn: &mut AnyConnection| work(conn).map(Some);
            let list = replica.read(Need::Writes, self.deadline(), self.waiting(), work);
            if let Some(list) = list.await {
                return Ok(list);
            }
        }
        self.read(work).await
    }

    /// Runs the read of a short list: a few rows, by an index.
    ///
    /// # Errors
    /// Those of [`Store::read_fast`].
    pub async fn list_fast<T, E>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Clone + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: std::error::Error + From<StoreError> + Send + 'static,
    {
        match &self.backend {
            Backend::Sqlite(..) => self.read_fast(work).await,
            Backend::Postgres(..) => self.list(work).await,
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.options.timeout + TIMEOUT_MARGIN
    }

    fn waiting(&self) -> WaitingGuard {
        WaitingGuard::new(&self.waiting)
    }
}
