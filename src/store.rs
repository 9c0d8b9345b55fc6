//! The store: diesel on SQLite or PostgreSQL. It takes and returns domain types, and does not
//! depend on HTTP.

pub mod admins;
pub mod audit;
pub mod backup;
pub mod check;
mod columns;
mod connection;
pub mod error;
pub mod feed;
mod files;
mod health;
pub mod idempotency_keys;
pub mod legacy_usage;
pub mod legacy_watch;
mod migrations;
mod pool;
mod reader;
mod reads;
pub mod records;
pub mod replica;
pub mod revision;
mod schema;
pub mod sessions;
pub mod token_uses;
pub mod tokens;
pub mod transfer;
pub mod url;
mod values;
mod worker;
mod writer;

use std::{
    num::NonZeroUsize,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub use connection::{AnyConnection, ConnectionOptions};
pub use error::{Fault, OpenError, StoreError};
use error::{is_contended, to_single_line};
pub use files::find_exposed_files;
use pool::Pool;
use reader::Reader;
use replica::Replica;
use url::DatabaseUrl;
use values::ValueBatcher;
use worker::WaitingGuard;
use writer::{WriteOptions, Writer};

const MAX_CONNECTIONS: u32 = 8;
/// Time after which a pooled connection is replaced.
const MAX_CONNECTION_AGE: Duration = Duration::from_mins(30);
/// Maximum number of connections for short reads from SQLite.
const MAX_READERS: usize = 4;
/// Margin by which the time limit of a call exceeds the timeout of its statements, so that the
/// database cancels a slow statement first.
const TIMEOUT_MARGIN: Duration = Duration::from_secs(2);
/// Delay before the retry of a transaction that PostgreSQL aborted in favor of another one, so that
/// the other one can finish.
const RETRY_DELAY: Duration = Duration::from_millis(10);

/// The store. Its work runs on threads that may block, at most one per connection: its own, and
/// those of tokio's blocking pool.
#[derive(Clone)]
pub struct Store {
    /// The name of the database system.
    pub kind: &'static str,
    pool: Pool,
    connections: Arc<Semaphore>,
    backend: Backend,
    waiting: Arc<AtomicUsize>,
    options: ConnectionOptions,
    replica: Arc<OnceLock<Replica>>,
}

/// The threads for writes and short reads.
#[derive(Clone)]
enum Backend {
    /// One writer thread, because SQLite allows one writer, and reader threads of our own, because
    /// waking a thread takes longer than a lookup.
    Sqlite(Writer, Reader),
    /// Threads of the blocking pool, because they mostly wait for the server. Permits limit the
    /// number of writers. Only value lookups have a thread of their own, which batches them.
    Postgres(Arc<Semaphore>, ValueBatcher),
}

/// The state of a store's connections.
#[derive(Clone, Copy, Debug)]
pub struct StoreState {
    /// Number of busy connections.
    pub busy: u32,
    /// Number of idle connections.
    pub idle: u32,
    /// Number of calls that wait for a connection or for the writer.
    pub waiting: usize,
    /// Maximum number of connections.
    pub max_connections: u32,
}

impl Store {
    /// Opens the store and applies pending migrations. Returns the store and the names of these
    /// migrations.
    ///
    /// A missing SQLite file is created only if `create` is `true`; only its owner can read it.
    ///
    /// # Errors
    /// [`OpenError::Missing`] or [`OpenError::File`] if the SQLite file cannot be used;
    /// [`OpenError::Connection`] if the database cannot be opened; [`OpenError::Migration`] or
    /// [`OpenError::NewerSchema`] if it cannot be migrated.
    pub fn open(url: &DatabaseUrl, create: bool, options: ConnectionOptions) -> Result<(Self, Vec<String>), OpenError> {
        match url {
            DatabaseUrl::Sqlite(path) => files::prepare(path, create)?,
            DatabaseUrl::Postgres(_) => {}
        }
        let mut conn = url
            .connect_unlimited(options)
            .map_err(|error| OpenError::Connection(url.to_string(), to_single_line(&error.to_string())))?;
        let applied = migrations::run(url, &mut conn)?;
        drop(conn);
        let pool = Pool::new(url.clone(), options, MAX_CONNECTIONS, MAX_CONNECTION_AGE);
        let (backend, others) = match url {
            DatabaseUrl::Sqlite(_) => {
                let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
                let readers = cores.min(MAX_READERS);
                let reader = Reader::start(&pool, readers).map_err(OpenError::SpawnThread)?;
                let writer = Writer::start(pool.clone()).map_err(OpenError::SpawnThread)?;
                (Backend::Sqlite(writer, reader), MAX_CONNECTIONS as usize - readers - 1)
            }
            // Writes can hang while reads do not, for example while a synchronous standby is down.
            // So some connections are reserved for reads.
            DatabaseUrl::Postgres(_) => {
                let writers = Semaphore::new(MAX_CONNECTIONS as usize - 2);
                let of_values = pool.clone();
                let values = ValueBatcher::start("value-lookup", None, move |values| {
                    of_values.read(|conn| tokens::find_by_values(conn, values))
                });
                let values = values.map_err(OpenError::SpawnThread)?;
                (
                    Backend::Postgres(Arc::new(writers), values),
                    MAX_CONNECTIONS as usize - 1,
                )
            }
        };
        let store = Self {
            kind: url.kind(),
            pool,
            connections: Arc::new(Semaphore::new(others)),
            backend,
            waiting: Arc::default(),
            options,
            replica: Arc::default(),
        };
        Ok((store, applied))
    }

    /// Runs a long read on a consistent snapshot. On PostgreSQL, the timeout applies to each
    /// statement, not to the whole read. SQLite limits only its waits for locks.
    ///
    /// # Errors
    /// Those of `work`, or a [`StoreError`] if the store is busy or unreachable.
    pub async fn read_snapshot<T, E>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let timeout = self.options.timeout;
        let deadline = Instant::now() + timeout;
        self.with_connection(deadline, Duration::MAX, move |conn| {
            conn.begin_snapshot(Some(timeout)).map_err(StoreError::from)?;
            let done = work(conn);
            // A connection that cannot roll back is broken; the pool drops it.
            let _ = conn.rollback();
            done
        })
        .await
    }

    /// Runs a read.
    ///
    /// # Errors
    /// Those of `work`, or a [`StoreError`] if the store is busy or unreachable.
    pub async fn read<T, E>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let timeout = self.options.timeout;
        let deadline = Instant::now() + timeout;
        self.with_connection(deadline, timeout, move |conn| conn.read(timeout, work))
            .await
    }

    /// Runs a short read: a few rows, by an index.
    ///
    /// # Errors
    /// Those of `work`, or a [`StoreError`] if the store is busy or unreachable.
    pub async fn read_fast<T, E>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        match &self.backend {
            Backend::Postgres(..) => self.read(work).await,
            Backend::Sqlite(_, reader) => {
                let deadline = Instant::now() + self.options.timeout + TIMEOUT_MARGIN;
                reader.read(deadline, WaitingGuard::new(&self.waiting), work).await
            }
        }
    }

    /// Checks that the database responds. After a write failed because of a fault in the database
    /// file, also checks that the fault is fixed.
    ///
    /// # Errors
    /// [`StoreError::Unwritable`] while the fault persists; another [`StoreError`] if the database
    /// does not respond.
    pub async fn check_ready(&self) -> Result<(), StoreError> {
        let Some(fault) = self.pool.health().fault() else {
            return self.read(admins::ping).await;
        };
        let recover = async {
            self.read(check::require_intact_pages).await?;
            self.write(revision::touch).await
        };
        recover.await.map_err(|error| {
            log::warn!("the store has not recovered: {error}");
            StoreError::Unwritable(fault)
        })?;
        self.pool.health().set(None);
        Ok(())
    }

    /// Returns the timeout, which applies first to acquiring a connection and then to the query.
    pub fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// Returns the state of the connections.
    pub fn state(&self) -> StoreState {
        let pool = self.pool.state();
        StoreState {
            busy: pool.connections - pool.idle_connections,
            idle: pool.idle_connections,
            waiting: self.waiting.load(Ordering::Relaxed),
            max_connections: MAX_CONNECTIONS,
        }
    }

    async fn with_connection<T, E>(
        &self,
        deadline: Instant,
        max_duration: Duration,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = self.acquire_permit(&self.connections, deadline).await?;
        let pool = self.pool.clone();
        let work = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            pool.with(work)
        });
        // Work that takes longer keeps its connection until it ends, but its caller no longer waits
        // for it.
        tokio::time::timeout(max_duration.saturating_add(TIMEOUT_MARGIN), work)
            .await
            .map_err(|_| StoreError::Timeout)?
            .map_err(StoreError::from)?
    }

    async fn acquire_permit(
        &self,
        semaphore: &Arc<Semaphore>,
        deadline: Instant,
    ) -> Result<OwnedSemaphorePermit, StoreError> {
        let _waiting = WaitingGuard::new(&self.waiting);
        tokio::time::timeout_at(deadline.into(), Arc::clone(semaphore).acquire_owned())
            .await
            .map_err(|_| StoreError::Busy)?
            .map_err(|_| StoreError::ShuttingDown)
    }

    /// Runs `work` in a write transaction, which an error rolls back. When this returns, the change
    /// is on disk.
    ///
    /// PostgreSQL can abort a transaction in favor of another one; then a clone of `work` is
    /// retried.
    ///
    /// # Errors
    /// Those of `work`, or a [`StoreError`] if the store is busy or unreachable.
    pub async fn write<T, E>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Clone + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: std::error::Error + From<StoreError> + Send + 'static,
    {
        self.write_within(self.options.timeout, work).await
    }

    /// Runs `work` as [`Store::write`] does, for work of many statements that stops itself after
    /// `max_duration`. On PostgreSQL, the timeout applies to each statement; SQLite has no timeout
    /// for statements.
    ///
    /// # Errors
    /// Those of [`Store::write`].
    pub async fn write_within<T, E>(
        &self,
        max_duration: Duration,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E> + Clone + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: std::error::Error + From<StoreError> + Send + 'static,
    {
        let timeout = self.options.timeout;
        let deadline = Instant::now() + timeout;
        let writers = match &self.backend {
            Backend::Postgres(writers, _) => writers,
            Backend::Sqlite(writer, _) => {
                let options = WriteOptions {
                    deadline,
                    max_duration: max_duration.saturating_add(TIMEOUT_MARGIN),
                    exclusive: max_duration > self.options.timeout,
                    waiting: WaitingGuard::new(&self.waiting),
                };
                return writer.write(options, work).await;
            }
        };
        let writer = self.acquire_permit(writers, deadline).await?;
        let replica = Arc::clone(&self.replica);
        self.with_connection(deadline, max_duration, move |conn| {
            let _writer = writer;
            let done = loop {
                match conn.write(timeout, work.clone()) {
                    Err(error) if is_contended(&error) && Instant::now() < deadline => {
                        std::thread::sleep(RETRY_DELAY);
                    }
                    done => break done,
                }
            };
            if let Some(replica) = replica.get() {
                replica.tracker().record_write(Instant::now());
            }
            done
        })
        .await
    }
}
