//! Who calls.

use std::{net::IpAddr, sync::Arc, time::Instant};

use secrecy::SecretString;

use super::{
    Error, Refusal, Service,
    metrics::{AuthenticationOutcome, CredentialKind},
    token_cache::{Credential, VerifiedToken},
    transaction::check_usable,
    write_behind::Subject,
};
use crate::{
    domain::{
        actor::Origin,
        admin::Password,
        authorization::{Operation, authorize, require_permissions},
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
pub enum PresentedCredential<'a> {
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
        let value = ValueHash::from_presented(presented);
        let VerifiedToken { token, .. } = self
            .authenticate(CredentialKind::Value, value.map(Credential::Value), origin)
            .await?;
        value
            .map(|value| Caller::Token(token, value))
            .ok_or(Error::Unauthenticated(Refusal::Value))
    }

    /// The token that a request to another service may pass with: one that was presented, and holds all that is `required`. Counts as a use of
    /// the token.
    ///
    /// # Errors
    /// As [`Service::authenticate_value`]; [`Error::Forbidden`] when the token lacks a permission.
    pub async fn verify(
        &self,
        presented: PresentedCredential<'_>,
        required: PermissionSet,
        origin: Origin,
    ) -> Result<VerifiedToken, Error> {
        let (kind, credential) = match presented {
            PresentedCredential::Value(text) => (
                CredentialKind::Value,
                ValueHash::from_presented(text).map(Credential::Value),
            ),
            PresentedCredential::LegacyUuid(text) => (
                CredentialKind::LegacyUuid,
                TokenId::parse(text).map(Credential::LegacyUuid),
            ),
        };
        let known = self.authenticate(kind, credential, origin).await?;
        require_permissions(&known.token, required)?;
        Ok(known)
    }

    /// The token of a value that somebody has presented to a service, which asks what it is worth (RFC 7662); nothing if it is worth nothing.
    /// `client` is from where it was presented: without it, a token that is limited to CIDR blocks is worth nothing. Counts as a use of
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
        let verified = match ValueHash::from_presented(presented) {
            Some(value) => self.find_verified(Credential::Value(value), now).await?,
            None => None,
        };
        let usable = match verified {
            None => Err(Refusal::Value),
            Some(known) => check_usable(&known.token, origin, now).map(|()| known),
        };
        match usable {
            Ok(known) => {
                self.write_behind.record_use(known.token.id, now);
                self.metrics
                    .count_authentication(CredentialKind::Value, AuthenticationOutcome::Accepted);
                Ok(Some(known))
            }
            Err(reason) => {
                self.metrics
                    .count_authentication(CredentialKind::Value, AuthenticationOutcome::Refused(reason));
                Ok(None)
            }
        }
    }

    /// The token of that credential, if there is one and it may be used, and now it is.
    async fn authenticate(
        &self,
        kind: CredentialKind,
        credential: Option<Credential>,
        origin: Origin,
    ) -> Result<VerifiedToken, Error> {
        let now = self.clock.now();
        let verified = match credential {
            Some(credential) => self.find_verified(credential, now).await?,
            None => None,
        };
        let Some(known) = verified else {
            return Err(self.refuse(kind, origin, Refusal::Value, Subject::Unknown));
        };
        let id = known.token.id;
        if let Err(reason) = check_usable(&known.token, origin, now) {
            return Err(self.refuse(kind, origin, reason, Subject::Token(id)));
        }
        self.write_behind.record_use(id, now);
        self.metrics.count_authentication(kind, AuthenticationOutcome::Accepted);
        Ok(known)
    }

    /// The token of that credential: cached, or asked for.
    async fn find_verified(&self, credential: Credential, now: Timestamp) -> Result<Option<VerifiedToken>, Error> {
        let cached = self.token_cache.get(&credential, now, Instant::now());
        self.metrics.count_lookup(cached.is_some());
        if cached.is_some() {
            return Ok(cached);
        }
        // Apart, so that a call whose credential is cached does not carry the room that this needs.
        Box::pin(self.look_up(credential)).await
    }

    async fn look_up(&self, credential: Credential) -> Result<Option<VerifiedToken>, Error> {
        let generation = self.token_cache.generation();
        let found = match credential {
            Credential::Value(value) => self.store.find_by_value(value).await?,
            Credential::LegacyUuid(id) => {
                let token = self.store.read_fast(move |conn| tokens::find(conn, id)).await?;
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
                        .write(move |conn| tokens::shorten_grace_period(conn, &value, end))
                        .await;
                }
                Some((token, Some(end)))
            }
            other => other,
        };
        let works = found.filter(|(_, valid_until)| valid_until.is_none_or(|end| end > now));
        Ok(works.map(|(token, valid_until)| {
            let verified = VerifiedToken::new(token, valid_until);
            self.token_cache
                .insert(generation, credential, verified.clone(), Instant::now());
            verified
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
        if let (Some(known), Ok(presented)) = (AdminName::parse_existing(name), Password::parse(password.clone()))
            && self
                .logins
                .passwords
                .was_correct(&known, &presented, self.clock.monotonic())
        {
            // Not throttled: failures of other clients do not affect a credential that is known to be right.
            let (logins, now) = (Arc::clone(&self.logins), self.clock.monotonic());
            let look_up = move |conn: &mut AnyConnection| {
                let admin = admins::find(conn, &known)?;
                let Some(admin) = admin.filter(|admin| logins.passwords.is_correct(admin, &presented, now)) else {
                    return Ok(None);
                };
                Ok::<_, StoreError>(Some((admin, read(conn)?)))
            };
            if let Some((admin, found)) = self.store.read_fast(look_up).await? {
                self.logins.accept(&admin.name, origin);
                return Ok((Caller::Admin(admin), Some(found)));
            }
        }
        let admin = self.logins.verify(name, password, origin).await?;
        Ok((Caller::Admin(admin), None))
    }

    /// Records a request that was refused because its credentials could not be parsed.
    pub fn refuse_unreadable(&self, kind: CredentialKind, reason: Refusal, origin: Origin) {
        self.refuse(kind, origin, reason, Subject::Unknown);
    }

    fn refuse(&self, kind: CredentialKind, origin: Origin, reason: Refusal, subject: Subject) -> Error {
        self.metrics
            .count_authentication(kind, AuthenticationOutcome::Refused(reason));
        self.write_behind
            .record_refusal(origin, reason, subject, self.clock.monotonic());
        Error::Unauthenticated(reason)
    }
}
