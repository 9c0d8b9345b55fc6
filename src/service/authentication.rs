//! Who calls.

use std::{net::IpAddr, sync::Arc, time::Instant};

use secrecy::SecretString;

use super::{
    Error, Refusal, Service,
    figures::{Kind, Outcome},
    token_cache::{Credential, VerifiedToken},
    transaction::may_be_used,
    unwritten::Subject,
};
use crate::{
    domain::{
        actor::Origin,
        admin::Password,
        authorization::{Operation, authorize, hold},
        caller::{Call, Caller},
        clock::Timestamp,
        name::AdminName,
        page::{Cursor, PageSize, SummaryPage},
        permission::PermissionSet,
        token::TokenId,
        value::ValueHash,
    },
    store::{AnyConnection, StoreError, admins, tokens},
};

/// What a client of a service behind the gate shows.
pub enum Shown<'a> {
    /// What is claimed to be a token's value.
    Value(&'a str),
    /// What is claimed to be the uuid of a token of the legacy add-on, which has never had a value.
    LegacyUuid(&'a str),
}

impl Service {
    /// Who presented this as a token value, from `origin`. Counts as a use of the token.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] when no token has that value, or it has expired, or may not be used from there.
    pub async fn authenticate_value(&self, presented: &str, origin: Origin) -> Result<Caller, Error> {
        let value = ValueHash::of_presented(presented);
        let VerifiedToken { token, .. } = self.admit(Kind::Value, value.map(Credential::Value), origin).await?;
        value
            .map(|value| Caller::Token(token, value))
            .ok_or(Error::Unauthenticated(Refusal::Value))
    }

    /// The token that a request to another service may pass with: one that was shown, and holds all that is `required`. Counts as a use of
    /// the token.
    ///
    /// # Errors
    /// As [`Service::authenticate_value`]; [`Error::Forbidden`] when the token lacks a permission.
    pub async fn verify(
        &self,
        shown: Shown<'_>,
        required: PermissionSet,
        origin: Origin,
    ) -> Result<VerifiedToken, Error> {
        let (kind, credential) = match shown {
            Shown::Value(text) => (Kind::Value, ValueHash::of_presented(text).map(Credential::Value)),
            Shown::LegacyUuid(text) => (Kind::LegacyUuid, TokenId::parse(text).map(Credential::LegacyUuid)),
        };
        let known = self.admit(kind, credential, origin).await?;
        hold(&known.token, required)?;
        Ok(known)
    }

    /// The token of a value that somebody has shown to a service, which asks what it is worth (RFC 7662); nothing if it is worth nothing.
    /// `client` is from where it was shown: without it, a token that is limited to CIDR blocks is worth nothing. Counts as a use of
    /// the token.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a caller that may not read tokens.
    pub async fn introspect(
        &self,
        call: &Call,
        presented: &str,
        client: Option<IpAddr>,
    ) -> Result<Option<VerifiedToken>, Error> {
        authorize(&call.caller, Operation::Read, None)?;
        let now = self.clock.now();
        let origin = Origin { client, ..call.origin };
        let recognised = match ValueHash::of_presented(presented) {
            Some(value) => self.recognise(Credential::Value(value), now).await?,
            None => None,
        };
        let usable = match recognised {
            None => Err(Refusal::Value),
            Some(known) => may_be_used(&known.token, origin, now).map(|()| known),
        };
        match usable {
            Ok(known) => {
                self.unwritten.used(known.token.id, now);
                self.figures.authenticated(Kind::Value, Outcome::Accepted);
                Ok(Some(known))
            }
            Err(reason) => {
                self.figures.authenticated(Kind::Value, Outcome::Refused(reason));
                Ok(None)
            }
        }
    }

    /// The token of that credential, if there is one and it may be used, and now it is.
    async fn admit(&self, kind: Kind, credential: Option<Credential>, origin: Origin) -> Result<VerifiedToken, Error> {
        let now = self.clock.now();
        let recognised = match credential {
            Some(credential) => self.recognise(credential, now).await?,
            None => None,
        };
        let Some(known) = recognised else {
            return Err(self.refuse(kind, origin, Refusal::Value, Subject::Unknown));
        };
        let id = known.token.id;
        if let Err(reason) = may_be_used(&known.token, origin, now) {
            return Err(self.refuse(kind, origin, reason, Subject::Token(id)));
        }
        self.unwritten.used(id, now);
        self.figures.authenticated(kind, Outcome::Accepted);
        Ok(known)
    }

    /// The token of that credential: remembered, or asked for.
    async fn recognise(&self, credential: Credential, now: Timestamp) -> Result<Option<VerifiedToken>, Error> {
        let remembered = self.token_cache.get(&credential, now, Instant::now());
        self.figures.looked_up(remembered.is_some());
        if remembered.is_some() {
            return Ok(remembered);
        }
        // Apart, so that a call whose credential is remembered does not carry the room that this needs.
        Box::pin(self.look_up(credential)).await
    }

    async fn look_up(&self, credential: Credential) -> Result<Option<VerifiedToken>, Error> {
        let generation = self.token_cache.generation();
        let found = match credential {
            Credential::Value(value) => self.store.find_by_value(value).await?,
            Credential::LegacyUuid(id) => {
                let token = self.store.read_briefly(move |conn| tokens::find(conn, id)).await?;
                token.filter(|token| !token.has_value).map(|token| (token, None))
            }
        };
        let now = self.clock.now();
        let found = match found {
            Some((token, Some(until))) => {
                let end = token.grace_end(until, now);
                if let Credential::Value(value) = credential
                    && end < until
                {
                    // Without a write, the next lookup caps the grace period again.
                    let _ = self
                        .store
                        .write(move |conn| tokens::end_grace_at(conn, &value, end))
                        .await;
                }
                Some((token, Some(end)))
            }
            other => other,
        };
        let works = found.filter(|(_, works_until)| works_until.is_none_or(|end| end > now));
        Ok(works.map(|(token, works_until)| {
            let recognised = VerifiedToken::new(token, works_until);
            self.token_cache
                .insert(generation, credential, recognised.clone(), Instant::now());
            recognised
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
        let (caller, _) = self.sign_in(name, password, origin, |_| Ok(())).await?;
        Ok(caller)
    }

    /// Who signed in with this name and password, from `origin`, and the first page of what the legacy view shows of all tokens.
    ///
    /// # Errors
    /// As [`Service::authenticate_admin`].
    pub async fn authenticate_and_list(
        &self,
        name: &str,
        password: SecretString,
        origin: Origin,
        size: PageSize,
    ) -> Result<(Call, SummaryPage), Error> {
        let read = move |conn: &mut AnyConnection| tokens::summaries(conn, Cursor::default(), size);
        let (caller, page) = self.sign_in(name, password, origin, read).await?;
        let call = Call { caller, origin };
        let page = match page {
            Some(page) => page,
            None => self.list_summaries(&call, Cursor::default(), size).await?,
        };
        Ok((call, page))
    }

    /// Returns the admin who signed in. If the admin used this password within the last minute, also returns the result of `read`, which
    /// runs in the same read transaction as the check that the password has not changed since.
    async fn sign_in<T: Send + 'static>(
        &self,
        name: &str,
        password: SecretString,
        origin: Origin,
        read: impl FnOnce(&mut AnyConnection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<(Caller, Option<T>), Error> {
        if let (Some(known), Ok(shown)) = (AdminName::of_existing(name), Password::parse(password.clone()))
            && self.logins.passwords.was_right(&known, &shown, self.clock.monotonic())
        {
            // Not throttled: failures of other clients do not affect a credential that is known to be right.
            let (logins, now) = (Arc::clone(&self.logins), self.clock.monotonic());
            let look_up = move |conn: &mut AnyConnection| {
                let admin = admins::find(conn, &known)?;
                let Some(admin) = admin.filter(|admin| logins.passwords.is_right(admin, &shown, now)) else {
                    return Ok(None);
                };
                Ok::<_, StoreError>(Some((admin, read(conn)?)))
            };
            if let Some((admin, found)) = self.store.read_briefly(look_up).await? {
                self.logins.accept(&admin.name, origin);
                return Ok((Caller::Admin(admin), Some(found)));
            }
        }
        let admin = self.logins.verify(name, password, origin).await?;
        Ok((Caller::Admin(admin), None))
    }

    /// Records a request that was refused because its credentials could not be parsed.
    pub fn refuse_unreadable(&self, kind: Kind, reason: Refusal, origin: Origin) {
        self.refuse(kind, origin, reason, Subject::Unknown);
    }

    fn refuse(&self, kind: Kind, origin: Origin, reason: Refusal, subject: Subject) -> Error {
        self.figures.authenticated(kind, Outcome::Refused(reason));
        self.unwritten.refused(origin, reason, subject, self.clock.monotonic());
        Error::Unauthenticated(reason)
    }
}
