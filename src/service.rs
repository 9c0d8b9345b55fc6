//! Every use case: one method and one transaction each. Nothing here knows of HTTP.

pub mod admins;
pub mod authentication;
pub mod error;
mod passwords;
mod throttle;
pub mod tokens;
mod unwritten;

use std::sync::Arc;

pub use error::{Error, Refusal};

use crate::{
    domain::{
        actor::Origin,
        audit::{Action, AuditEvent},
        caller::Caller,
        clock::{Clock, Timestamp},
        random::Random,
        token::TokenId,
    },
    store::{AnyConnection, Store, admins as admin_rows, audit, tokens as token_rows},
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

/// The caller as the store knows them now: what they showed at the door may have been revoked since.
fn still_valid(conn: &mut AnyConnection, caller: Caller, now: Timestamp) -> Result<Caller, Error> {
    match caller {
        Caller::CommandLine => Ok(caller),
        Caller::Admin(admin) => match admin_rows::find(conn, &admin.name)? {
            Some(known) if known.password_hash == admin.password_hash => Ok(Caller::Admin(known)),
            _ => Err(Error::Unauthenticated(Refusal::Password)),
        },
        Caller::Token(_, value) => match token_rows::find_by_value(conn, &value, now)? {
            None => Err(Error::Unauthenticated(Refusal::Value)),
            Some(token) if token.is_expired(now) => Err(Error::Unauthenticated(Refusal::Expired)),
            Some(token) => Ok(Caller::Token(Box::new(token), value)),
        },
    }
}

/// Records what `caller` did.
fn record(
    conn: &mut AnyConnection,
    (caller, origin, at): (&Caller, Origin, Timestamp),
    action: Action,
    token_id: Option<TokenId>,
    details: serde_json::Value,
) -> Result<(), Error> {
    let event = AuditEvent {
        at,
        actor: Some(caller.actor()),
        origin,
        action,
        token_id,
        details,
    };
    Ok(audit::record(conn, &event)?)
}
