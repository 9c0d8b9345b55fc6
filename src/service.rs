//! Every use case: one method and one transaction each. Nothing here knows of HTTP.

pub mod admins;
pub mod archive;
pub mod audit;
pub mod authentication;
mod bulk;
pub mod error;
pub mod export;
mod figures;
pub mod import;
pub mod legacy_usage;
mod passwords;
pub mod sessions;
mod throttle;
pub mod tokens;
mod transaction;
mod unwritten;
mod verified;

use std::sync::{Arc, Mutex, PoisonError};

pub use error::{Error, Refusal};
pub use verified::Recognised;

use crate::{
    domain::{
        clock::{Clock, Timestamp},
        legacy_usage::Bounds,
        random::Random,
    },
    store::{
        Store, admins as admin_rows, audit as event_rows,
        feed::{self, Following, Listener},
        legacy_usage as legacy_rows, tokens as token_rows,
        url::DatabaseUrl,
    },
};
use figures::Figures;
use legacy_usage::Forgotten;
use passwords::Passwords;
use throttle::Throttle;
use unwritten::Unwritten;
use verified::Verified;

/// The use cases, over one store.
pub struct Service {
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    passwords: Arc<Passwords>,
    throttle: Throttle,
    unwritten: Arc<Unwritten>,
    forgotten: Forgotten,
    verified: Arc<Verified>,
    figures: Arc<Figures>,
    following: Mutex<Following>,
}

impl Service {
    /// A service over `store`.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new(store: Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Self, Error> {
        Ok(Self {
            passwords: Arc::new(Passwords::new(random.as_ref())?),
            throttle: Throttle::default(),
            unwritten: Arc::default(),
            forgotten: Forgotten::default(),
            verified: Arc::default(),
            following: Mutex::default(),
            figures: Arc::new(Figures::new(store.kind).map_err(|error| Error::Internal(error.into()))?),
            store,
            clock,
            random,
        })
    }

    /// Begins to hear of the changes that others make at `database`, and with that to believe what it has verified. `announcer` is where
    /// PostgreSQL announces them, when that is not the same.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn follow_changes(&self, database: &DatabaseUrl, announcer: Option<&DatabaseUrl>) -> Result<(), Error> {
        let listener = Arc::clone(&self.verified) as Arc<dyn Listener>;
        let announcer = announcer.unwrap_or(database);
        let following = feed::follow(database.clone(), announcer.clone(), &listener);
        self.replace_following(following.map_err(|error| Error::Internal(error.into()))?);
        Ok(())
    }

    /// Hears of no more changes, and with that asks the store about every credential again before long.
    pub fn stop_following(&self) {
        self.replace_following(Following::default());
    }

    fn replace_following(&self, following: Following) {
        *self.following.lock().unwrap_or_else(PoisonError::into_inner) = following;
    }

    /// The present time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ready(&self) -> Result<(), Error> {
        Ok(self.store.read(admin_rows::ping).await?)
    }

    /// Writes what is written behind: when tokens were last used, which logins were refused, and who came through the legacy doors. What
    /// cannot be written now is kept.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn flush(&self) -> Result<(), Error> {
        let now = self.clock.now();
        self.unwritten
            .flush(|batch| {
                self.store.write(move |conn| {
                    token_rows::record_use(conn, &batch.uses)?;
                    let events: Vec<_> = batch.refusals.iter().map(|refusal| refusal.event(now)).collect();
                    event_rows::record(conn, &events)?;
                    Ok::<_, Error>(legacy_rows::record(conn, &batch.legacy_calls, Bounds::STORED)?)
                })
            })
            .await
    }
}
