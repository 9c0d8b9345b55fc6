//! A change in one transaction, by a caller who is looked at again in it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Error, Refusal, Service};
use crate::{
    domain::{
        actor::Origin,
        admin::Admin,
        audit::{Action, AuditEvent},
        authorization::{Operation, authorize},
        caller::{Call, Caller},
        clock::Timestamp,
        name::AdminName,
        token::{Token, TokenId},
    },
    store::{
        AnyConnection, StoreError, admins, audit,
        feed::Listener,
        revision::{self, Invalidation, Step},
        tokens,
    },
};

/// A change in the making.
pub struct Transaction<'c> {
    /// Where it is written.
    pub conn: &'c mut AnyConnection,
    /// Who makes it, as the store knows them now.
    pub caller: Caller,
    /// When it is made.
    pub now: Timestamp,
    origin: Origin,
    invalidation: Option<Invalidation>,
}

/// Something that was done.
pub struct AuditEntry {
    /// What.
    pub action: Action,
    /// To which token, if to one.
    pub token_id: Option<TokenId>,
    /// What changed, as a JSON object.
    pub details: Value,
}

impl Transaction<'_> {
    /// Remembers what is done.
    pub fn record(&mut self, action: Action, token_id: Option<TokenId>, details: Value) -> Result<(), Error> {
        self.audit(vec![AuditEntry {
            action,
            token_id,
            details,
        }])
    }

    /// Remembers what is done, an event for each.
    pub fn audit(&mut self, entries: Vec<AuditEntry>) -> Result<(), Error> {
        for entry in entries.iter().filter(|entry| entry.action.invalidates()) {
            let invalidation = entry.token_id.map_or(Invalidation::Admin, Invalidation::Token);
            self.invalidation = Some(self.invalidation.map_or(invalidation, |_| Invalidation::More));
        }
        let event = |entry: AuditEntry| AuditEvent {
            at: self.now,
            actor: Some(self.caller.actor()),
            origin: self.origin,
            action: entry.action,
            token_id: entry.token_id,
            details: entry.details,
        };
        let events: Vec<_> = entries.into_iter().map(event).collect();
        Ok(audit::record(self.conn, &events)?)
    }
}

impl Service {
    /// Returns a function for a read transaction, which authorizes the caller for `operation` and returns the current time.
    ///
    /// The caller is looked up again in that transaction: the wait for a connection may have been long.
    pub(super) fn authorization(
        &self,
        call: &Call,
        operation: Operation<'static>,
    ) -> impl FnOnce(&mut AnyConnection) -> Result<Timestamp, Error> + Send + 'static {
        let clock = Arc::clone(&self.clock);
        let Call { caller, origin } = call.clone();
        move |conn| {
            let now = clock.now();
            let caller = revalidate_caller(conn, caller, origin, now)?;
            authorize(&caller, operation, None)?;
            Ok(now)
        }
    }

    /// Changes something, all or nothing. `work` gets the target, if there is such a token, which nobody else can change or use to
    /// make changes until the transaction ends; and neither can anybody revoke the caller until then.
    pub(super) async fn transact<T: Send + 'static>(
        &self,
        call: Call,
        target: Option<TokenId>,
        work: impl FnOnce(&mut Transaction<'_>, Option<Token>) -> Result<T, Error> + Clone + Send + 'static,
    ) -> Result<T, Error> {
        let lock = move |conn: &mut AnyConnection, caller: &Caller| lock(conn, caller, target);
        self.transact_within(self.store.timeout(), call, lock, work).await
    }

    /// As [`Service::transact`], with more time, for work that ends itself after `max_duration`. `lock` must lock the caller against revocation,
    /// if it is a token; `work` gets what it gives.
    pub(super) async fn transact_within<L, T: Send + 'static>(
        &self,
        max_duration: Duration,
        call: Call,
        lock: impl FnOnce(&mut AnyConnection, &Caller) -> Result<L, Error> + Clone + Send + 'static,
        work: impl FnOnce(&mut Transaction<'_>, L) -> Result<T, Error> + Clone + Send + 'static,
    ) -> Result<T, Error> {
        let clock = Arc::clone(&self.clock);
        let step = Step::random(self.random.as_ref())?;
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
                Ok::<_, Error>((done, change))
            })
            .await?;
        // Others hear of it by the feed; this server has forgotten before it answers.
        if let Some(change) = change {
            self.token_cache.apply_change(&change, Instant::now());
        }
        Ok(done)
    }
}

/// Locks the caller, if it is a token, against revocation, and the target against everything. Tokens are locked in the order of their ids, as everywhere,
/// so that no two transactions wait for each other.
fn lock(conn: &mut AnyConnection, caller: &Caller, target: Option<TokenId>) -> Result<Option<Token>, Error> {
    let mut ids: Vec<TokenId> = target.into_iter().collect();
    match caller {
        Caller::CommandLine | Caller::Admin(_) => {}
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

/// The caller as the store knows them now: the credentials that they presented may have been revoked since, or limited.
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
        Caller::CommandLine => Ok(caller),
        Caller::Admin(admin) => match find(conn, &admin.name)? {
            Some(known) if known.password_hash == admin.password_hash => Ok(Caller::Admin(known)),
            _ => Err(Refusal::Password.into()),
        },
        Caller::Token(_, value) => {
            let works = |until: Option<Timestamp>| until.is_none_or(|end| end > now);
            let found = tokens::find_by_value(conn, &value)?;
            let (token, _) = found.filter(|(_, until)| works(*until)).ok_or(Refusal::Value)?;
            check_usable(&token, origin, now)?;
            Ok(Caller::Token(Arc::new(token), value))
        }
    }
}

/// Whether a token authenticates anybody at that time, from there.
pub fn check_usable(token: &Token, origin: Origin, now: Timestamp) -> Result<(), Refusal> {
    if token.is_expired(now) {
        return Err(Refusal::Expired);
    }
    let blocks = &token.allowed_cidr_blocks;
    match origin.client {
        Some(address) if blocks.allows(address) => Ok(()),
        None if blocks.is_empty() => Ok(()),
        _ => Err(Refusal::Address),
    }
}
