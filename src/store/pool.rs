//! A pool of connections.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use diesel::r2d2::R2D2Connection;

use super::{
    connection::{AnyConnection, ConnectionOptions},
    error::{Fault, PoolError, StoreError},
    files::{Files, WalGeneration},
    health::FaultState,
    url::DatabaseUrl,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time after a failed connection attempt during which further calls fail immediately.
const RECONNECT_DELAY: Duration = Duration::from_secs(1);
/// Time after a successful use during which a connection to PostgreSQL counts as valid. A check
/// takes as long as a simple query.
const VALIDATION_INTERVAL: Duration = Duration::from_millis(100);

/// A pool of connections that are opened on demand.
#[derive(Clone)]
pub(super) struct Pool {
    connections: r2d2::Pool<Connections>,
    files: Option<Arc<Files>>,
    health: Arc<FaultState>,
    timeout: Duration,
    unreachable_since: Arc<Mutex<Option<Instant>>>,
}

impl Pool {
    /// Creates a pool of at most `max_size` connections, each of which is replaced after `max_age`.
    pub(super) fn new(url: DatabaseUrl, options: ConnectionOptions, max_size: u32, max_age: Duration) -> Self {
        let files = Files::new(&url);
        let connections = r2d2::Pool::builder()
            .max_size(max_size)
            .min_idle(Some(0))
            .max_lifetime(Some(max_age))
            .connection_timeout(CONNECT_TIMEOUT)
            .error_handler(Box::new(r2d2::NopErrorHandler))
            .build_unchecked(Connections::new(url, options, files.clone()));
        Self {
            connections,
            files,
            health: Arc::default(),
            timeout: options.timeout,
            unreachable_since: Arc::default(),
        }
    }

    /// Runs a read on a pooled connection, as [`AnyConnection::read`] does.
    ///
    /// # Errors
    /// Those of [`Pool::with`].
    pub(super) fn read<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.with(|conn| conn.read(self.timeout, work))
    }

    /// Runs `work` on a pooled connection. A connection that was used successfully within
    /// [`VALIDATION_INTERVAL`] is not checked first.
    ///
    /// # Errors
    /// Those of `work` and of [`Pool::get`].
    pub(super) fn with<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&mut AnyConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut pooled = self.get()?;
        pooled.proven_at = None;
        let done = work(&mut pooled.conn)?;
        pooled.proven_at = Some(Instant::now());
        Ok(done)
    }

    /// Returns a valid connection.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] if no connection can be opened; [`StoreError::StillUnreachable`]
    /// within [`RECONNECT_DELAY`] after that; [`StoreError::Unwritable`] if a file of the database
    /// was removed or replaced.
    pub(super) fn get(&self) -> Result<r2d2::PooledConnection<Connections>, StoreError> {
        let failed_at = || self.unreachable_since.lock().unwrap_or_else(PoisonError::into_inner);
        let conn = if failed_at().is_some_and(|since| since.elapsed() < RECONNECT_DELAY) {
            Err(StoreError::StillUnreachable)
        } else {
            let conn = self.connections.get();
            *failed_at() = conn.is_err().then(Instant::now);
            conn.map_err(StoreError::from)
        };
        conn.map_err(|error| match &self.files {
            Some(files) if !files.are_in_place() => StoreError::Unwritable(Fault::Replaced),
            _ => error,
        })
    }

    /// Ensures that the commits on `pooled` are in the files at the database's path.
    ///
    /// # Errors
    /// [`StoreError::Unwritable`] if the file was removed or replaced meanwhile.
    pub(super) fn ensure_durable(&self, Pooled { conn, generation, .. }: &mut Pooled) -> Result<(), StoreError> {
        let (Some(files), Some(generation)) = (&self.files, generation) else {
            return Ok(());
        };
        files
            .ensure_durable(generation, conn)
            .map_err(|_| StoreError::Unwritable(Fault::Replaced))
    }

    /// Returns the files of a SQLite database; `None` for PostgreSQL.
    pub(super) fn files(&self) -> Option<Arc<Files>> {
        self.files.clone()
    }

    /// Returns the fault state of the database file.
    pub(super) fn health(&self) -> &FaultState {
        &self.health
    }

    /// Returns the numbers of open and of idle connections.
    pub(super) fn state(&self) -> r2d2::State {
        self.connections.state()
    }
}

/// A connection of a pool.
pub(super) struct Pooled {
    pub(super) conn: AnyConnection,
    /// The instant of the last use, if that succeeded.
    proven_at: Option<Instant>,
    /// The generation of the write-ahead log that this connection uses; `None` for PostgreSQL.
    generation: Option<Arc<WalGeneration>>,
}

/// The connection manager of a pool.
pub(super) struct Connections {
    url: DatabaseUrl,
    files: Option<Arc<Files>>,
    options: ConnectionOptions,
}

impl Connections {
    pub(super) fn new(url: DatabaseUrl, options: ConnectionOptions, files: Option<Arc<Files>>) -> Self {
        Self { url, files, options }
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// [`PoolError`] if the database cannot be opened or reached.
    pub(super) fn open(&self) -> Result<Pooled, PoolError> {
        let generation = self.files.as_ref().map(|files| files.join_generation()).transpose()?;
        Ok(Pooled {
            conn: self.url.connect_limited(self.options)?,
            proven_at: None,
            generation,
        })
    }

    /// Checks that a connection's files are in place.
    ///
    /// # Errors
    /// [`PoolError::FileReplaced`] or [`PoolError::LogRemoved`] if they are not.
    pub(super) fn verify(&self, pooled: &Pooled) -> Result<(), PoolError> {
        match (&self.files, &pooled.generation) {
            (Some(files), Some(generation)) => files.verify(generation),
            _ => Ok(()),
        }
    }
}

impl r2d2::ManageConnection for Connections {
    type Connection = Pooled;
    type Error = PoolError;

    fn connect(&self) -> Result<Pooled, PoolError> {
        self.open()
    }

    fn is_valid(&self, pooled: &mut Pooled) -> Result<(), PoolError> {
        self.verify(pooled)?;
        match &mut pooled.conn {
            AnyConnection::Sqlite(_) => Ok(()),
            AnyConnection::Postgres(_) if pooled.proven_at.is_some_and(|at| at.elapsed() < VALIDATION_INTERVAL) => {
                Ok(())
            }
            AnyConnection::Postgres(conn) => Ok(conn.ping()?),
        }
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        pooled.conn.is_broken()
    }
}
