//! The use cases: one method and one transaction each. This layer does not depend on HTTP.

pub mod admins;
pub mod archive;
pub mod audit;
pub mod authentication;
pub mod bulk;
pub mod error;
pub mod export;
mod idempotency;
pub mod import;
mod keyed_hash;
mod legacy_login;
pub mod legacy_usage;
mod logins;
mod metrics;
mod passwords;
mod retention;
mod revocation;
mod search;
pub mod sessions;
mod throttle;
mod token_cache;
pub mod tokens;
mod transaction;
mod write_behind;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use error::{Error, Refusal};
pub use legacy_login::TIMEOUT as LEGACY_LOGIN_TIMEOUT;
pub use metrics::{CredentialKind, TokenCounts};
pub use token_cache::VerifiedToken;
pub use write_behind::BEYOND_LIMIT;

use crate::{
    domain::{
        admin::Role,
        clock::{Clock, Timestamp},
        legacy_usage::CallerLimits,
        legacy_watch::HourWatch,
        random::Random,
    },
    legacy_server::LegacyServer,
    store::{
        Store, StoreError, audit as event_rows,
        feed::{self, FeedHandle, FeedUrls},
        legacy_usage as legacy_rows, legacy_watch,
        revision::Listener,
        token_uses, tokens as token_rows,
    },
};
use legacy_login::LegacyLogin;
use logins::Logins;
use metrics::ServiceMetrics;
use retention::Retention;
use search::TokenSearch;
use sessions::SessionAges;
use token_cache::TokenCache;
use transaction::Transactor;
use write_behind::{Batch, Due, WriteBehind};

/// The use cases, over one store.
pub struct Service {
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    transactor: Transactor,
    logins: Arc<Logins>,
    write_behind: Arc<WriteBehind>,
    hour_watch: Mutex<HourWatch>,
    retention: Retention,
    session_ages: Arc<SessionAges>,
    token_cache: Arc<TokenCache>,
    search: TokenSearch,
    metrics: Arc<ServiceMetrics>,
    feed: Mutex<FeedHandle>,
}

impl Service {
    /// Creates a service on `store`.
    ///
    /// # Errors
    /// [`Error::Internal`] if the random source fails.
    pub fn new(store: Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Self, Error> {
        let metrics = Arc::new(ServiceMetrics::new(store.kind).map_err(|error| Error::Internal(error.into()))?);
        let write_behind = Arc::<WriteBehind>::default();
        let token_cache = Arc::<TokenCache>::default();
        let transactor = Transactor {
            store: store.clone(),
            clock: Arc::clone(&clock),
            random: Arc::clone(&random),
            token_cache: Arc::clone(&token_cache),
        };
        let logins = Logins::new(transactor.clone(), Arc::clone(&metrics), Arc::clone(&write_behind))?;
        Ok(Self {
            logins: Arc::new(logins),
            write_behind,
            hour_watch: Mutex::default(),
            retention: Retention::default(),
            session_ages: Arc::new(SessionAges::new(clock.as_ref())),
            search: TokenSearch::new(store.clone(), Arc::clone(&token_cache)),
            token_cache,
            transactor,
            feed: Mutex::default(),
            metrics,
            store,
            clock,
            random,
        })
    }

    /// Subscribes to changes that other processes make. Verified credentials are cached from then on, and lookups and
    /// lists are read from the replica, if there is one.
    ///
    /// # Errors
    /// [`Error::Internal`] if a thread cannot be started.
    pub fn subscribe(&self, urls: &FeedUrls<'_>) -> Result<(), Error> {
        let listener = Arc::clone(&self.token_cache) as Arc<dyn Listener>;
        let handle = feed::subscribe(&self.store, urls, &self.metrics.replica, &listener);
        self.replace_feed(handle.map_err(|error| Error::Internal(error.into()))?);
        Ok(())
    }

    /// Enables attempts at a legacy server for logins that fail here. Its administrators become
    /// admins with this role.
    ///
    /// # Errors
    /// [`Error::Internal`] if the random source fails.
    pub fn accept_legacy_logins(&self, server: LegacyServer, role: Role) -> Result<(), Error> {
        let legacy = LegacyLogin::new(server, role, self.random.as_ref())?;
        self.logins.accept_legacy_logins(legacy);
        Ok(())
    }

    /// Stops the change feed. Cached tokens expire within `MAX_POLL_AGE`; after that every lookup goes
    /// to the store.
    pub fn unsubscribe(&self) {
        self.replace_feed(FeedHandle::default());
    }

    fn replace_feed(&self, handle: FeedHandle) {
        *self.feed.lock().unwrap_or_else(PoisonError::into_inner) = handle;
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Checks that the server can serve requests.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store does not respond; [`Error::Unready`] if writes fail
    /// because of a fault in the database file.
    pub async fn ready(&self) -> Result<(), Error> {
        self.store.check_ready().await.map_err(|error| match error {
            StoreError::Unwritable(fault) => Error::Unready(fault.to_string()),
            other => other.into(),
        })
    }

    /// Frees the password hashing memory that was idle for a minute, and the search index after ten. Call this every
    /// few seconds.
    pub fn free_idle_memory(&self) {
        self.search.free_idle_memory();
        self.logins.passwords.free_idle_memory(self.clock.monotonic());
    }

    /// Flushes all write-behind records: token uses, refused logins, legacy calls, and the watched
    /// hour. Records that cannot be written are kept.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails.
    pub async fn flush(&self) -> Result<(), Error> {
        self.flush_pending(Due::All).await
    }

    /// Flushes as [`Service::flush`] does, but groups repeated refused logins for longer, so that a
    /// flood produces few events.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store fails.
    pub async fn flush_due(&self) -> Result<(), Error> {
        self.flush_pending(Due::At(self.clock.monotonic())).await
    }

    async fn flush_pending(&self, due: Due) -> Result<(), Error> {
        let now = self.clock.now();
        let hour = self.hour_watch().observe(now, self.clock.monotonic());
        let write = async |batch: Batch| {
            let write = self.store.write(move |conn| {
                token_rows::record_use(conn, &batch.last_uses(), now)?;
                token_uses::record(conn, &batch.day_uses())?;
                let events: Vec<_> = batch.refusals.iter().map(|refusal| refusal.event(now)).collect();
                event_rows::record(conn, &events)?;
                Ok::<_, Error>(legacy_rows::record(
                    conn,
                    &batch.legacy_calls,
                    CallerLimits::STORED,
                    now,
                )?)
            });
            write.await
        };
        self.write_behind.flush(due, self.clock.as_ref(), write).await?;
        if let Some(hour) = hour {
            self.store.write(move |conn| legacy_watch::record(conn, hour)).await?;
            self.hour_watch().mark_written(hour);
        }
        Ok(())
    }

    fn hour_watch(&self) -> MutexGuard<'_, HourWatch> {
        self.hour_watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
