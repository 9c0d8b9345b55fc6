//! Authenticates callers.

use std::{net::IpAddr, sync::Arc, time::Instant};

use secrecy::{ExposeSecret, SecretString};

use super::{
    Error, Refusal, Service,
    metrics::{AuthenticationOutcome, CredentialKind},
    token_cache::{Credential, VerifiedToken},
    tokens::{SummaryFormat, read_summaries},
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
        token::{Token, TokenId},
        usage::{LastUse, UseOutcome},
        value::ValueHash,
    },
    store::{AnyConnection, admins, tokens},
};

/// A credential that a client presents to a service behind the gate.
pub enum PresentedCredential<'a> {
    /// A claimed token value.
    Value(&'a str),
    /// The claimed UUID of a legacy token that has never had a value.
    LegacyUuid(&'a str),
}

impl Service {
    /// Authenticates a caller from `origin` by a token value. Counts as a use of the token.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if no token has this value, or if the token has expired or does
    /// not allow the client's address.
    pub async fn authenticate_value(&self, presented: &str, origin: Origin) -> Result<Caller, Error> {
        self.authenticate_token(ValueHash::from_presented(presented), None, origin)
            .await
    }

    /// Authenticates a client from `origin` by the ID of a token and a value of the same token. Counts as a use of the
    /// token.
    ///
    /// # Errors
    /// Those of [`Service::authenticate_value`].
    pub async fn authenticate_client(&self, id: &str, secret: &SecretString, origin: Origin) -> Result<Caller, Error> {
        let id = id.parse().ok();
        let value = ValueHash::from_presented(secret.expose_secret()).filter(|_| id.is_some());
        self.authenticate_token(value, id, origin).await
    }

    async fn authenticate_token(
        &self,
        value: Option<ValueHash>,
        expected: Option<TokenId>,
        origin: Origin,
    ) -> Result<Caller, Error> {
        let VerifiedToken { token, .. } = self
            .authenticate(CredentialKind::Value, value.map(Credential::Value), expected, origin)
            .await?;
        value
            .map(|value| Caller::Token(token, value))
            .ok_or(Error::Unauthenticated(Refusal::Value))
    }

    /// Verifies a credential for a request to another service, and returns the token. The token
    /// must have all `required` permissions. Counts as a use of the token.
    ///
    /// # Errors
    /// Those of [`Service::authenticate_value`]; [`Error::Forbidden`] if the token lacks a
    /// permission.
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
                text.parse().ok().map(Credential::LegacyUuid),
            ),
        };
        let known = self.authenticate(kind, credential, None, origin).await?;
        require_permissions(&known.token, required)?;
        Ok(known)
    }

    /// Introspects a value that a client presented to another service (RFC 7662). Returns `None` if
    /// the value is not active. `client` is the address of that client; without it, a token that is
    /// limited to CIDR blocks is not active. Counts as a use of the token.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not read tokens.
    pub async fn introspect(
        &self,
        call: &Call,
        presented: &str,
        client: Option<IpAddr>,
    ) -> Result<Option<VerifiedToken>, Error> {
        authorize(&call.caller, Operation::Introspect, None)?;
        let now = self.clock.now();
        let origin = Origin { client, ..call.origin };
        let verified = match ValueHash::from_presented(presented) {
            Some(value) => self.find_verified(Credential::Value(value), now).await?,
            None => None,
        };
        let usable = match verified {
            None => Err(Refusal::Value),
            Some(known) => self.use_token(&known.token, origin, now).map(|()| known),
        };
        match usable {
            Ok(known) => {
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

    /// Returns the token of this credential if it can be used from `origin`, and records the use. If `expected` is
    /// given, other tokens are refused.
    async fn authenticate(
        &self,
        kind: CredentialKind,
        credential: Option<Credential>,
        expected: Option<TokenId>,
        origin: Origin,
    ) -> Result<VerifiedToken, Error> {
        let now = self.clock.now();
        let verified = match credential {
            Some(credential) => self.find_verified(credential, now).await?,
            None => None,
        };
        let is_expected = |known: &VerifiedToken| expected.is_none_or(|expected| expected == known.token.id);
        let Some(known) = verified.filter(is_expected) else {
            return Err(self.refuse(kind, origin, Refusal::Value, Subject::Unknown));
        };
        if let Err(reason) = self.use_token(&known.token, origin, now) {
            let subject = Subject::Token(known.token.id, known.token.name.clone());
            return Err(self.refuse(kind, origin, reason, subject));
        }
        self.metrics.count_authentication(kind, AuthenticationOutcome::Accepted);
        Ok(known)
    }

    /// Checks that a token can be used at `now` from `origin`, and counts the use under its outcome.
    fn use_token(&self, token: &Token, origin: Origin, now: Timestamp) -> Result<(), Refusal> {
        let usable = check_usable(token, origin, now);
        let outcome = usable.map_or_else(Refusal::use_outcome, |()| Some(UseOutcome::Accepted));
        if let Some(outcome) = outcome {
            self.write_behind
                .record_use(token.id, outcome, LastUse { at: now, origin });
        }
        usable
    }

    /// Returns the token of this credential from the cache or the store.
    async fn find_verified(&self, credential: Credential, now: Timestamp) -> Result<Option<VerifiedToken>, Error> {
        let cached = self.token_cache.get(&credential, now, Instant::now());
        self.metrics.count_lookup(cached.is_some());
        if cached.is_some() {
            return Ok(cached);
        }
        // Boxed, so that the future of a cache hit does not reserve space for the lookup.
        Box::pin(self.look_up(credential)).await
    }

    async fn look_up(&self, credential: Credential) -> Result<Option<VerifiedToken>, Error> {
        let generation = self.token_cache.generation();
        let found = match credential {
            Credential::Value(value) => self.find_and_claim(value).await?,
            Credential::LegacyUuid(id) => {
                let token = self.store.find_fast(move |conn| tokens::find(conn, id)).await?;
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

    /// Returns the token that this value belongs to, and the end of the grace period of a previous value. Claims the
    /// value if it was never presented before.
    async fn find_and_claim(&self, value: ValueHash) -> Result<Option<(Token, Option<Timestamp>)>, Error> {
        let Some(found) = self.store.find_by_value(value).await? else {
            return Ok(None);
        };
        // A failed write refuses the use: a repetition of the request would revoke a value in use.
        if found.is_unclaimed && !self.store.write(move |conn| tokens::claim_value(conn, &value)).await? {
            // A repetition has just replaced it.
            return Ok(None);
        }
        Ok(Some((found.token, found.valid_until)))
    }

    /// Authenticates an admin from `origin` by name and password.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if either is wrong; [`Error::Throttled`] after too many failures;
    /// [`Error::TooManyLogins`] if too many logins from this network are waiting;
    /// [`Error::Unavailable`] if the store fails.
    pub async fn authenticate_admin(
        &self,
        name: &str,
        password: SecretString,
        origin: Origin,
    ) -> Result<Caller, Error> {
        let (caller, _) = self.sign_in(name, password, origin, |_, _| Ok(())).await?;
        Ok(caller)
    }

    /// Authenticates an admin, and returns the call with the first page of the legacy API's token list. If the
    /// credential is cached, both take one call of the store.
    ///
    /// # Errors
    /// Those of [`Service::authenticate_admin`].
    pub async fn authenticate_and_list(
        &self,
        name: &str,
        password: SecretString,
        origin: Origin,
        size: PageSize,
        format: SummaryFormat,
    ) -> Result<(Call, SummaryPage), Error> {
        let read = move |conn: &mut AnyConnection, caller: &Caller| {
            authorize(caller, Operation::Read, None)?;
            read_summaries(conn, Cursor::default(), size, format)
        };
        let (caller, page) = self.sign_in(name, password, origin, read).await?;
        let call = Call { caller, origin };
        let page = match page {
            Some(page) => page,
            None => self.list_summaries(&call, Cursor::default(), size, format).await?,
        };
        Ok((call, page))
    }

    /// Returns the admin who signed in. If the admin used this password within the last minute,
    /// also returns the result of `read`, which runs on the same connection right after the check
    /// that the password has not changed since.
    async fn sign_in<T: Send + 'static>(
        &self,
        name: &str,
        password: SecretString,
        origin: Origin,
        read: impl FnOnce(&mut AnyConnection, &Caller) -> Result<T, Error> + Clone + Send + 'static,
    ) -> Result<(Caller, Option<T>), Error> {
        if let (Some(known), Ok(presented)) = (AdminName::parse_existing(name), Password::parse(password.clone()))
            && self
                .logins
                .passwords
                .was_correct(&known, &presented, self.clock.monotonic())
        {
            // Not throttled: failures of other clients do not affect a credential that is known to
            // be right.
            let (logins, now) = (Arc::clone(&self.logins), self.clock.monotonic());
            let look_up = move |conn: &mut AnyConnection| {
                let admin = admins::find(conn, &known)?;
                let Some(admin) = admin.filter(|admin| logins.passwords.is_correct(admin, &presented, now)) else {
                    return Ok(None);
                };
                let name = admin.name.clone();
                let caller = Caller::Admin(admin);
                let found = read(conn, &caller)?;
                Ok::<_, Error>(Some((name, caller, found)))
            };
            if let Some((name, caller, found)) = self.store.list_fast(look_up).await? {
                self.logins.accept(&name, origin);
                return Ok((caller, Some(found)));
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
