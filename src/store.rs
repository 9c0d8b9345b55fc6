//! What is kept: diesel over SQLite or PostgreSQL. It answers in the domain's types and knows nothing of HTTP.

pub mod admins;
pub mod audit;
mod connection;
pub mod error;
pub mod feed;
pub mod legacy_usage;
mod migrations;
pub mod records;
pub mod revision;
mod schema;
pub mod tokens;
pub mod transfer;
pub mod url;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use connection::Connections;
pub use connection::{AnyConnection, Usage};
pub use error::{OpenError, StoreError};
use url::DatabaseUrl;

const CONNECTIONS: u32 = 8;
/// How much longer than a statement the work of a call may take, so that it is the database that ends it.
const GRACE: Duration = Duration::from_secs(2);
const LONGEST_CONNECT: Duration = Duration::from_secs(3);
/// How long after a failed connection the next calls are told so at once.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// The store. Its work runs on threads that may block, never more of them at once than there are connections.
#[derive(Clone)]
pub struct Store {
    /// The name of its kind of database.
    pub kind: &'static str,
    pool: r2d2::Pool<Connections>,
    connections: Arc<Semaphore>,
    writers: Arc<Semaphore>,
    unreachable_since: Arc<Mutex<Option<Instant>>>,
    waiting: Arc<AtomicUsize>,
    patience: Duration,
}

/// How the connections of a store are doing.
#[derive(Clone, Copy, Debug)]
pub struct StoreState {
    /// How many are at work, or about to be opened for it.
    pub busy: u32,
    /// How many are open and at rest.
    pub idle: u32,
    /// How many calls wait for one, or for their turn to write.
    pub waiting: usize,
    /// How many there can be.
    pub most: u32,
}

impl Store {
    /// Opens the store, with its schema up to date, and gives the names of the migrations that were missing.
    ///
    /// A missing SQLite file is made only if `create` says so, readable by its owner alone. `usage` says how its connections are used.
    ///
    /// # Errors
    /// When it cannot be opened, or is newer than this program.
    pub fn open(url: &DatabaseUrl, create: bool, usage: Usage) -> Result<(Self, Vec<String>), OpenError> {
        if let DatabaseUrl::Sqlite(path) = url {
            prepare_file(path, create)?;
        }
        let mut conn = url
            .connect_unlimited(usage)
            .map_err(|error| OpenError::Connection(url.to_string(), migrations::one_line(&error.to_string())))?;
        let applied = migrations::run(url, &mut conn)?;
        drop(conn);
        let pool = r2d2::Pool::builder()
            .max_size(CONNECTIONS)
            .min_idle(Some(0))
            .connection_timeout(LONGEST_CONNECT)
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(Connections::new(url.clone(), usage));
        let writers = match url {
            DatabaseUrl::Sqlite(_) => 1,
            // Writes can hang where reads do not: while a synchronous standby is missing. Some connections are left for reads.
            DatabaseUrl::Postgres(_) => CONNECTIONS as usize - 2,
        };
        let store = Self {
            kind: url.kind(),
            pool,
            connections: Arc::new(Semaphore::new(CONNECTIONS as usize)),
            writers: Arc::new(Semaphore::new(writers)),
            unreachable_since: Arc::default(),
            waiting: Arc::default(),
            patience: usage.patience,
        };
        Ok((store, applied))
    }

    /// Reads at length: as it all was at one moment, and without an end to the patience once it has begun.
    ///
    /// # Errors
    /// What `work` gives, or that the store is busy or gone.
    pub async fn read_at_length<T, E>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let deadline = Instant::now() + self.patience;
        self.with_connection(deadline, Duration::MAX, move |conn| {
            conn.begin_snapshot().map_err(StoreError::from)?;
            let done = work(conn);
            // A connection that cannot roll back is broken, and the pool throws it away.
            let _ = conn.rollback();
            done
        })
        .await
    }

    /// Reads.
    ///
    /// # Errors
    /// What `work` gives, or that the store is busy or gone.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let deadline = Instant::now() + self.patience;
        self.with_connection(deadline, self.patience, work).await
    }

    /// How long a call waits for a connection, and then about as long for the answer.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// How its connections are doing.
    pub fn state(&self) -> StoreState {
        let free = self.connections.available_permits();
        StoreState {
            busy: CONNECTIONS.saturating_sub(u32::try_from(free).unwrap_or(CONNECTIONS)),
            idle: self.pool.state().idle_connections,
            waiting: self.waiting.load(Ordering::Relaxed),
            most: CONNECTIONS,
        }
    }

    async fn with_connection<T, E>(
        &self,
        deadline: Instant,
        longest: Duration,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = self.wait_for(&self.connections, deadline).await?;
        let store = self.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let mut conn = store.connection()?;
            work(&mut conn)
        });
        // Work that takes longer keeps its connection until it ends; only nobody waits for it any more.
        tokio::time::timeout(longest.saturating_add(GRACE), work)
            .await
            .map_err(|_| StoreError::Slow)?
            .map_err(|_| StoreError::Ending)?
    }

    async fn wait_for(
        &self,
        semaphore: &Arc<Semaphore>,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, StoreError> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        tokio::time::timeout_at(deadline.into(), Arc::clone(semaphore).acquire_owned())
            .await
            .map_err(|_| StoreError::Busy)?
            .map_err(|_| StoreError::Ending)
    }

    fn connection(&self) -> Result<r2d2::PooledConnection<Connections>, StoreError> {
        let failed_at = || self.unreachable_since.lock().unwrap_or_else(PoisonError::into_inner);
        if failed_at().is_some_and(|since| since.elapsed() < PAUSE_AFTER_FAILURE) {
            return Err(StoreError::StillUnreachable);
        }
        let conn = self.pool.get();
        *failed_at() = conn.is_err().then(Instant::now);
        Ok(conn?)
    }

    /// Writes, all or nothing: `work` is one transaction, which an error undoes. When this answers, the change is on disk.
    ///
    /// # Errors
    /// What `work` gives, or that the store is busy or gone.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.write_within(self.patience, work).await
    }

    /// As [`Store::write`], for work of many statements that ends itself after `longest`. Each of them may take as long as in any other.
    ///
    /// # Errors
    /// As [`Store::write`].
    pub async fn write_within<T, E>(
        &self,
        longest: Duration,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let deadline = Instant::now() + self.patience;
        let writer = self.wait_for(&self.writers, deadline).await?;
        self.with_connection(deadline, longest, move |conn| {
            let _writer = writer;
            conn.begin_write().map_err(StoreError::from)?;
            match work(conn) {
                Ok(done) => {
                    conn.commit().map_err(StoreError::from)?;
                    Ok(done)
                }
                Err(error) => {
                    // A connection that cannot roll back is broken, and the pool throws it away.
                    let _ = conn.rollback();
                    Err(error)
                }
            }
        })
        .await
    }
}

/// A call that waits, until this is dropped.
struct Waiting<'s>(&'s AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn prepare_file(path: &std::path::Path, create: bool) -> Result<(), OpenError> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).append(true).create(create);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !create => {
            Err(OpenError::Missing(path.display().to_string()))
        }
        Err(error) => Err(OpenError::File(path.display().to_string(), error)),
    }
}
