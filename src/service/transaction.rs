//! Changes in one transaction, which also revalidates the caller.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Error, Refusal, Service, token_cache::TokenCache};
use crate::{
    domain::{
        actor::Origin,
        admin::Admin,
        audit::{Action, AuditEvent},
        authorization::{Operation, authorize},
        caller::{Call, Caller},
        clock::{Clock, Timestamp},
        name::{AdminName, TokenName},
        random::Random,
        token::{Token, TokenId},
    },
    store::{
        AnyConnection, Store, StoreError, admins, audit,
        revision::{self, Invalidation, Listener, Step},
        tokens,
    },
};

/// An open transaction of a caller.
pub struct Transaction<'c> {
    /// The connection.
    pub conn: &'c mut AnyConnection,
    /// The caller, as currently stored.
    pub caller: Caller,
    /// The time of the change.
    pub now: Timestamp,
    origin: Origin,
    invalidation: Option<Invalidation>,
}

/// An audit event to record, without its time and actor.
pub struct AuditEntry {
    /// The action.
    pub action: Action,
    /// The affected token and its name, if there is one.
    pub token: Option<(TokenId, TokenName)>,
    /// The details of the change, as a JSON object.
    pub details: Value,
}

impl AuditEntry {
    /// Creates an entry about a token, as it is after the change.
    pub fn about(token: &Token, action: Action, details: Value) -> Self {
        Self {
            action,
            token: Some((token.id, token.name.clone())),
            details,
        }
    }
}

impl Transaction<'_> {
    /// Records an audit event about a token, as it is after the change.
    pub fn record_token(&mut self, token: &Token, action: Action, details: Value) -> Result<(), Error> {
        self.audit(vec![AuditEntry::about(token, action, details)])
    }

    /// Records an audit event that is not about a token.
    pub fn record(&mut self, action: Action, details: Value) -> Result<(), Error> {
        self.audit(vec![AuditEntry {
            action,
            token: None,
            details,
        }])
    }

    /// Records audit events, and the invalidations that they imply.
    pub fn audit(&mut self, entries: Vec<AuditEntry>) -> Result<(), Error> {
        for entry in entries.iter().filter(|entry| entry.action.invalidates()) {
            let token = entry.token.as_ref();
            let invalidation = token.map_or(Invalidation::Admin, |(id, _)| Invalidation::Token(*id));
            self.invalidation = Some(self.invalidation.map_or(invalidation, |_| Invalidation::Several));
        }
        let event = |AuditEntry { action, token, details }: AuditEntry| {
            let (token_id, token_name) = token.unzip();
            AuditEvent {
                at: self.now,
                actor: Some(self.caller.actor()),
                origin: self.origin,
                action,
                token_id,
                token_name,
                details,
            }
        };
        let events: Vec<_> = entries.into_iter().map(event).collect();
        Ok(audit::record(self.conn, &events)?)
    }
}

impl Service {
    /// Returns a function to call at the start of a read. It revalidates the caller, because the
    /// wait for a connection may have been long, and authorizes `operation`. It returns the current
    /// time.
    pub(super) fn caller_check(
        &self,
        call: &Call,
        operation: Operation<'static>,
    ) -> impl FnOnce(&mut AnyConnection) -> Result<Timestamp, Error> + Clone + Send + 'static {
        let clock = Arc::clone(&self.clock);
        let Call { caller, origin } = call.clone();
        move |conn| {
            let now = clock.now();
            let caller = revalidate_caller(conn, caller, origin, now)?;
            authorize(&caller, operation, None)?;
            Ok(now)
        }
    }

    /// Runs `work` in a write transaction. `work` gets the target token, if it exists. The target
    /// is locked: no other transaction can change it, or use it to make changes, until this one
    /// ends. The caller is locked against revocation.
    pub(super) async fn transact<T: Send + 'static>(
        &self,
        call: Call,
        target: Option<TokenId>,
        work: impl FnOnce(&mut Transaction<'_>, Option<Token>) -> Result<T, Error> + Clone + Send + 'static,
    ) -> Result<T, Error> {
        let lock = move |conn: &mut AnyConnection, caller: &Caller| lock(conn, caller, target);
        self.transactor.run(self.store.timeout(), call, lock, work).await
    }
}

/// Runs write transactions.
#[derive(Clone)]
pub struct Transactor {
    /// The store.
    pub store: Store,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The source of random revision steps.
    pub random: Arc<dyn Random>,
    /// The cache of this server, which a change invalidates.
    pub token_cache: Arc<TokenCache>,
}

impl Transactor {
    /// Runs `work` in a write transaction that revalidates the caller, for at most `max_duration`.
    /// `lock` must lock the caller against revocation, if it is a token; `work` gets its result.
    pub async fn run<L, T, E>(
        &self,
        max_duration: Duration,
        call: Call,
        lock: impl FnOnce(&mut AnyConnection, &Caller) -> Result<L, Error> + Clone + Send + 'static,
        work: impl FnOnce(&mut Transaction<'_>, L) -> Result<T, E> + Clone + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: std::error::Error + From<Error> + From<StoreError> + Send + 'static,
    {
        let clock = Arc::clone(&self.clock);
        let step = Step::random(self.random.as_ref()).map_err(Error::from)?;
        let (done, change) = self
            .store
            .write_within(max_duration, move |conn| {
                let locked = lock(conn, &call.caller)?;
                let caller =
                    revalidate_caller_with(conn, call.caller, call.origin, clock.now(), admins::find_and_lock)?;
                // The wait for the locks may have been long.
                let now = clock.now();
                let mut transaction = Transaction {
                    conn,
                    caller,
                    now,
                    origin: call.origin,
                    invalidation: None,
                };
                let done = work(&mut transaction, locked)?;
                let invalidation = transaction.invalidation;
                let change = invalidation
                    .map(|invalidation| revision::advance(conn, step, invalidation))
                    .transpose()?;
                Ok::<_, E>((done, change))
            })
            .await?;
        // Other servers learn of the change from the feed. This server invalidates its cache before
        // it responds.
        if let Some(change) = change {
            self.token_cache.apply_change(&change, Instant::now());
        }
        Ok(done)
    }
}

/// Locks the caller, if it is a token, against revocation, and the target exclusively. Tokens are
/// locked in the order of their IDs, so that such transactions cannot deadlock with each other. An
/// import locks tokens in the order of its rows; PostgreSQL resolves a deadlock with it, and
/// [`Store::write_within`](crate::store::Store::write_within) retries the aborted transaction.
pub(super) fn lock(conn: &mut AnyConnection, caller: &Caller, target: Option<TokenId>) -> Result<Option<Token>, Error> {
    let mut ids: Vec<TokenId> = target.into_iter().collect();
    match caller {
        Caller::CommandLine | Caller::Admin(_) | Caller::Holder(..) | Caller::LegacyLogin => {}
        Caller::Token(token, _) => ids.push(token.id),
    }
    ids.sort_unstable();
    ids.dedup();
    let mut found = None;
    for id in ids {
        if target == Some(id) {
            found = tokens::find_and_lock(conn, id)?;
        } else {
            tokens::lock(conn, id)?;
        }
    }
    Ok(found)
}

/// Returns the caller as currently stored: the credentials may have been revoked or restricted
/// since the authentication.
///
/// # Errors
/// [`Error::Unauthenticated`] if they were revoked.
pub fn revalidate_caller(
    conn: &mut AnyConnection,
    caller: Caller,
    origin: Origin,
    now: Timestamp,
) -> Result<Caller, Error> {
    revalidate_caller_with(conn, caller, origin, now, admins::find)
}

fn revalidate_caller_with(
    conn: &mut AnyConnection,
    caller: Caller,
    origin: Origin,
    now: Timestamp,
    find: fn(&mut AnyConnection, &AdminName) -> Result<Option<Admin>, StoreError>,
) -> Result<Caller, Error> {
    match caller {
        // A holder is not authenticated: the revocation looks up the value itself.
        Caller::CommandLine | Caller::Holder(..) | Caller::LegacyLogin => Ok(caller),
        Caller::Admin(admin) => match find(conn, &admin.name)? {
            Some(known) if known.password_hash == admin.password_hash => Ok(Caller::Admin(known)),
            Some(_) | None => Err(Refusal::Password.into()),
        },
        Caller::Token(_, value) => {
            let works = |until: Option<Timestamp>| until.is_none_or(|end| end > now);
            let found = tokens::find_by_value(conn, &value)?;
            let found = found.filter(|found| works(found.valid_until)).ok_or(Refusal::Value)?;
            check_usable(&found.token, origin, now)?;
            Ok(Caller::Token(Arc::new(found.token), value))
        }
    }
}

/// Checks that a token can be used at `now` from `origin`.
///
/// # Errors
/// [`Refusal::Disabled`] if it is disabled; [`Refusal::Expired`] if it has expired; [`Refusal::Address`]
/// if it does not allow the client's address.
pub fn check_usable(token: &Token, origin: Origin, now: Timestamp) -> Result<(), Refusal> {
    if token.disabled_at.is_some() {
        return Err(Refusal::Disabled);
    }
    if token.is_expired(now) {
        return Err(Refusal::Expired);
    }
    let blocks = &token.allowed_cidr_blocks;
    // An unknown address satisfies no CIDR limit.
    let is_allowed = origin
        .client
        .map_or_else(|| blocks.is_empty(), |address| blocks.allows(address));
    if is_allowed { Ok(()) } else { Err(Refusal::Address) }
}
