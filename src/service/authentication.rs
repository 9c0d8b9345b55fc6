//! Who calls.

use std::sync::Arc;

use secrecy::SecretString;

use super::{Error, Refusal, Service, transaction::may_be_used, unwritten::Subject};
use crate::{
    domain::{
        actor::Origin, admin::Password, caller::Caller, clock::Timestamp, name::AdminName, token::Token,
        value::ValueHash,
    },
    store::{admins, tokens},
};

impl Service {
    /// Who presented this as a token value, from `origin`. Counts as a use of the token.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when no token has that value, or it has expired, or may not be used from there.
    pub async fn authenticate_value(&self, presented: &str, origin: Origin) -> Result<Caller, Error> {
        let now = self.clock.now();
        let Some(value) = ValueHash::of_presented(presented) else {
            return Err(self.refuse(origin, Refusal::Value, Subject::Unknown));
        };
        let Some(token) = self.token_of(value, now).await? else {
            return Err(self.refuse(origin, Refusal::Value, Subject::Unknown));
        };
        if let Err(reason) = may_be_used(&token, origin, now) {
            return Err(self.refuse(origin, reason, Subject::Token(token.id)));
        }
        self.unwritten.used(token.id, now);
        Ok(Caller::Token(token, value))
    }

    /// The token of that value: remembered, or asked for.
    async fn token_of(&self, value: ValueHash, now: Timestamp) -> Result<Option<Arc<Token>>, Error> {
        if let Some(token) = self.verified.get(&value, now) {
            return Ok(Some(token));
        }
        let era = self.verified.era();
        let clock = Arc::clone(&self.clock);
        let found = self
            .store
            .read(move |conn| tokens::find_by_value(conn, &value, clock.now()))
            .await?;
        Ok(found.map(|(token, works_until)| {
            let token = Arc::new(token);
            self.verified.remember(era, value, Arc::clone(&token), works_until);
            token
        }))
    }

    /// Who signed in with this name and password, from `origin`.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when either is wrong; [`Error::Throttled`] after too many of those.
    pub async fn authenticate_admin(
        &self,
        name: &str,
        password: SecretString,
        origin: Origin,
    ) -> Result<Caller, Error> {
        let now = self.clock.now();
        self.throttle.check(origin.client, name, now)?;
        let admin = match AdminName::parse(name) {
            Err(_) => None,
            Ok(name) => self.store.read(move |conn| admins::find(conn, &name)).await?,
        };
        let subject = admin
            .as_ref()
            .map_or(Subject::Unknown, |admin| Subject::Admin(admin.name.clone()));
        let Ok(password) = Password::parse(password) else {
            self.throttle.failed(origin.client, name, now);
            return Err(self.refuse(origin, Refusal::Password, subject));
        };
        let remembered = |admin| self.passwords.recently_verified(admin, &password, now);
        if !admin.as_ref().is_some_and(remembered) {
            let turn = self.passwords.turn().await?;
            // While this call waited for its turn, others may have failed for it, or have shown the same password.
            self.throttle.check(origin.client, name, self.clock.now())?;
            let right = admin.as_ref().is_some_and(remembered)
                || self.passwords.verify(turn, admin.as_ref(), &password, now).await?;
            if !right {
                self.throttle.failed(origin.client, name, self.clock.now());
                return Err(self.refuse(origin, Refusal::Password, subject));
            }
            self.throttle.succeeded(origin.client, name);
        }
        admin
            .map(Caller::Admin)
            .ok_or(Error::Unauthenticated(Refusal::Password))
    }

    fn refuse(&self, origin: Origin, reason: Refusal, subject: Subject) -> Error {
        self.unwritten.refused(origin, reason, subject);
        Error::Unauthenticated(reason)
    }
}
