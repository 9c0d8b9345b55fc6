//! Every use case: one method and one transaction each. Nothing here knows of HTTP.

pub mod admins;
pub mod authentication;
pub mod error;
mod passwords;
mod throttle;
pub mod tokens;
mod transaction;
mod unwritten;

use std::sync::Arc;

pub use error::{Error, Refusal};

use crate::{
    domain::{clock::Clock, random::Random},
    store::{Store, admins as admin_rows, audit, tokens as token_rows},
};
use passwords::Passwords;
use throttle::Throttle;
use unwritten::Unwritten;

/// The use cases, over one store.
pub struct Service {
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    passwords: Passwords,
    throttle: Throttle,
    unwritten: Unwritten,
}

impl Service {
    /// A service over `store`.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new(store: Store, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Result<Self, Error> {
        Ok(Self {
            passwords: Passwords::new(random.as_ref())?,
            throttle: Throttle::default(),
            unwritten: Unwritten::default(),
            store,
            clock,
            random,
        })
    }

    /// Whether the store answers.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ready(&self) -> Result<(), Error> {
        Ok(self.store.read(admin_rows::ping).await?)
    }

    /// Writes what is written behind: when tokens were last used, and which logins were refused. What cannot be written now is kept.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn flush(&self) -> Result<(), Error> {
        let now = self.clock.now();
        self.unwritten
            .flush(|uses, refusals| {
                self.store.write(move |conn| {
                    token_rows::record_use(conn, &uses)?;
                    refusals
                        .iter()
                        .try_for_each(|refusal| audit::record(conn, &refusal.event(now)))
                        .map_err(Error::from)
                })
            })
            .await
    }
}
