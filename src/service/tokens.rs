//! Operations on tokens, for all channels.

mod changes;
mod details;
mod grace;
mod list;
mod lookup;
mod names;
mod requests;
mod usage;

use std::sync::Arc;

use serde_json::json;

use super::{
    Error, Service,
    idempotency::{KeyedRequest, Repetition},
    transaction::{AuditEntry, Transaction, revalidate_caller},
};
use crate::{
    domain::{
        Invalid,
        audit::Action,
        authorization::{Grant, Operation, authorize},
        caller::{Call, Caller},
        clock::Timestamp,
        idempotency::IdempotencyKey,
        precondition::Precondition,
        token::{Attribution, Token, TokenId},
        value::{TokenValue, ValueHash},
    },
    store::{AnyConnection, StoreError, tokens},
};

pub use changes::{PermissionChange, TokenChanges};
pub(super) use details::{describe, diff};
pub use grace::GraceValue;
pub use list::SummaryFormat;
pub(super) use list::read_summaries;
pub use requests::{NewToken, Rotation};

/// Maximum number of previous values of a token in their grace period.
pub const MAX_GRACE_VALUES: i64 = 10;

/// A reference to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRef {
    /// The token that authenticates the call: `self`.
    Itself,
    /// The token with this ID.
    Id(TokenId),
}

impl Service {
    /// Returns a token.
    ///
    /// # Errors
    /// [`Error::NotFound`] if it does not exist; [`Error::Forbidden`] if the caller may not read
    /// it.
    pub async fn get(&self, call: &Call, which: TokenRef) -> Result<Token, Error> {
        if let (TokenRef::Itself, Caller::Token(token, _)) = (which, &call.caller) {
            authorize(&call.caller, Operation::Read, Some(token))?;
            return Ok(self.with_pending_use(Token::clone(token)));
        }
        let id = resolve_id(&call.caller, which)?;
        let find = move |conn: &mut AnyConnection, _| Ok(tokens::find(conn, id)?.map(|token| (token, ())));
        let (token, ()) = self.read_token(call, find).await?;
        Ok(self.with_pending_use(token))
    }

    /// Creates a token with a value. Returns the value, which cannot be read again. With the `key`
    /// of an earlier request, returns its token with a fresh value.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not create such a token; [`Error::Conflict`] if the
    /// ID exists; [`Error::KeyReused`] and [`Error::Conflict`] if the earlier request with this key
    /// cannot be repeated.
    pub async fn create(
        &self,
        call: Call,
        new: NewToken,
        key: Option<IdempotencyKey>,
    ) -> Result<(Token, TokenValue), Error> {
        let value = TokenValue::generate(self.random.as_ref())?;
        let request = key.map(|key| KeyedRequest::new(&key, &call, ("create", None), &new.payload(), value.hash()));
        let token = self.create_with(call, new, Some(value.hash()), request).await?;
        Ok((token, value))
    }

    /// Creates a token without a value, as the legacy API does.
    ///
    /// # Errors
    /// Those of [`Service::create`].
    pub async fn create_without_value(&self, call: Call, new: NewToken) -> Result<Token, Error> {
        self.create_with(call, new, None, None).await
    }

    async fn create_with(
        &self,
        call: Call,
        new: NewToken,
        value: Option<ValueHash>,
        request: Option<KeyedRequest>,
    ) -> Result<Token, Error> {
        let generated_id = TokenId::generate(self.random.as_ref())?;
        let id = new.id.unwrap_or(generated_id);
        self.transact_once(call, request, None, move |tx, earlier, repetition| {
            let token = new.into_token(id, value.is_some(), tx);
            let grant = Grant {
                permissions: Some(token.permissions),
                allowed_cidr_blocks: Some(&token.allowed_cidr_blocks),
                expires_at: Some(token.expires_at),
            };
            authorize(&tx.caller, Operation::Create(grant), None)?;
            if let Some(repetition) = repetition {
                return repetition.reissue(tx, earlier);
            }
            token.expires_at.require_future(tx.now)?;
            let inserted = tokens::insert(tx.conn, &token, value.as_ref());
            inserted.map_err(|error| match error {
                StoreError::AlreadyExists => Error::Conflict("a token with this id already exists".to_owned()),
                other => other.into(),
            })?;
            if let Some(request) = request {
                request.remember(tx, id)?;
            }
            tx.record_token(&token, Action::TokenCreated, describe(&token))?;
            Ok(token)
        })
        .await
    }

    /// Changes a token. If it already matches `changes`, nothing is written or recorded.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the token does not exist; [`Error::Forbidden`] if the caller may not
    /// change it like this; [`Error::PreconditionFailed`] if `changes` do not allow its
    /// current state.
    pub async fn update(&self, call: Call, which: TokenRef, changes: TokenChanges) -> Result<Token, Error> {
        let id = resolve_id(&call.caller, which)?;
        let update = move |tx: &mut Transaction<'_>, found: Option<Token>| {
            let (before, after) = plan_update(tx, found, changes)?;
            let Some(after) = after else { return Ok(before) };
            require_found(tokens::update(tx.conn, &after, before.version)?)?;
            tx.audit(vec![update_entry(&before, &after)])?;
            Ok(after)
        };
        let token = self.transact(call, Some(id), update).await?;
        Ok(self.with_pending_use(token))
    }

    /// Rotates a token, or gives a legacy token its first value. Returns the new value, which
    /// cannot be read again. With the `key` of an earlier request, replaces the value that
    /// the earlier rotation issued with a fresh one.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the token does not exist; [`Error::Forbidden`] if the caller may not
    /// rotate it; [`Error::Conflict`] if too many previous values are in their grace period;
    /// [`Error::PreconditionFailed`] if `rotation` does not allow its current state;
    /// [`Error::KeyReused`] and [`Error::Conflict`] if the earlier request with this key cannot be
    /// repeated.
    pub async fn rotate(
        &self,
        call: Call,
        which: TokenRef,
        rotation: Rotation,
        key: Option<IdempotencyKey>,
    ) -> Result<(Token, TokenValue), Error> {
        let id = resolve_id(&call.caller, which)?;
        let value = TokenValue::generate(self.random.as_ref())?;
        let hash = value.hash();
        let request = key.map(|key| KeyedRequest::new(&key, &call, ("rotate", Some(id)), &rotation.payload(), hash));
        let rotate = move |tx: &mut Transaction<'_>, found: Option<Token>, repetition: Option<Repetition>| {
            let expires_at = rotation.expires_at;
            authorize(&tx.caller, Operation::Rotate { expires_at }, found.as_ref())?;
            if let Some(repetition) = repetition {
                return repetition.reissue(tx, found);
            }
            let before = found.ok_or(Error::NotFound("token"))?;
            check_precondition(&rotation.precondition, &before)?;
            let expires_at = rotation.expires_at.map(|expiry| expiry.require_future(tx.now));
            let after = Token {
                has_value: true,
                rotated_at: Some(tx.now),
                expires_at: expires_at.transpose()?.unwrap_or(before.expires_at),
                version: before.version.next(),
                ..before.clone()
            };
            let grace = rotation.grace_period;
            let old_valid_until = (!grace.is_zero()).then(|| tx.now.saturating_add(grace));
            if old_valid_until.is_some() {
                check_grace_limit(tx.conn, id, tx.now)?;
            }
            require_found(tokens::replace_value(
                tx.conn,
                &after,
                before.version,
                &hash,
                old_valid_until,
            )?)?;
            let mut details = diff(&before, &after);
            if let Some(details) = details.as_object_mut() {
                details.insert("gracePeriodSeconds".to_owned(), json!(grace.as_secs()));
            }
            if let Some(request) = request {
                request.remember(tx, id)?;
            }
            tx.record_token(&after, Action::TokenRotated, details)?;
            Ok(after)
        };
        let token = self.transact_once(call, request, Some(id), rotate).await?;
        Ok((self.with_pending_use(token), value))
    }

    /// Deletes a token. Its values stop working immediately.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the token does not exist; [`Error::Forbidden`] if the caller may not
    /// delete it; [`Error::PreconditionFailed`] if `precondition` does not allow its current state.
    pub async fn delete(&self, call: Call, which: TokenRef, precondition: Precondition) -> Result<(), Error> {
        let id = resolve_id(&call.caller, which)?;
        self.transact(call, Some(id), move |tx, found| {
            authorize(&tx.caller, Operation::Delete, found.as_ref())?;
            let token = found.ok_or(Error::NotFound("token"))?;
            check_precondition(&precondition, &token)?;
            require_found(tokens::delete(tx.conn, id)?)?;
            tx.record_token(&token, Action::TokenDeleted, describe(&token))
        })
        .await
    }

    /// Returns the token that `find` finds, and what it read with it, if the caller may read the token.
    async fn read_token<T: Send + 'static>(
        &self,
        call: &Call,
        find: impl FnOnce(&mut AnyConnection, Timestamp) -> Result<Option<(Token, T)>, StoreError> + Send + 'static,
    ) -> Result<(Token, T), Error> {
        let clock = Arc::clone(&self.clock);
        let Call { caller, origin } = call.clone();
        self.store
            .read(move |conn| {
                // The wait for a connection may have been long.
                let now = clock.now();
                let caller = revalidate_caller(conn, caller, origin, now)?;
                let found = find(conn, now)?;
                authorize(&caller, Operation::Read, found.as_ref().map(|(token, _)| token))?;
                found.ok_or(Error::NotFound("token"))
            })
            .await
    }

    fn with_pending_use(&self, mut token: Token) -> Token {
        self.write_behind.apply_last_use(&mut token, self.clock.now());
        token
    }
}

/// Decides on an update of a token that `tx` has locked. Returns it before and after the update, or `None` for the
/// latter if it already matches `changes`; then nothing is written.
pub(super) fn plan_update(
    tx: &Transaction<'_>,
    found: Option<Token>,
    changes: TokenChanges,
) -> Result<(Token, Option<Token>), Error> {
    let current = found.as_ref().map(|token| token.permissions).unwrap_or_default();
    let permissions = changes.permissions.map(|wanted| wanted.apply(current));
    let grant = Grant {
        permissions,
        allowed_cidr_blocks: changes.allowed_cidr_blocks.as_ref(),
        expires_at: changes.expires_at,
    };
    authorize(&tx.caller, Operation::Update(grant), found.as_ref())?;
    let before = found.ok_or(Error::NotFound("token"))?;
    check_precondition(&changes.precondition, &before)?;
    let mut after = changes.apply(&before, tx.now)?;
    if after == before {
        return Ok((before, None));
    }
    after.version = before.version.next();
    after.updated = Some(Attribution {
        at: tx.now,
        by: tx.caller.actor(),
    });
    Ok((before, Some(after)))
}

/// Describes an update for the audit log.
pub(super) fn update_entry(before: &Token, after: &Token) -> AuditEntry {
    let action = match (before.disabled_at, after.disabled_at) {
        (None, Some(_)) => Action::TokenDisabled,
        (Some(_), None) => Action::TokenEnabled,
        (None, None) | (Some(_), Some(_)) => Action::TokenUpdated,
    };
    AuditEntry::about(after, action, diff(before, after))
}

fn resolve_id(caller: &Caller, which: TokenRef) -> Result<TokenId, Error> {
    match (which, caller) {
        (TokenRef::Id(id), _) => Ok(id),
        (TokenRef::Itself, Caller::Token(token, _)) => Ok(token.id),
        (TokenRef::Itself, Caller::Admin(_) | Caller::Holder(..) | Caller::CommandLine | Caller::LegacyLogin) => {
            let message = "\"self\" refers to the calling token, but the caller is not a token; use an id";
            Err(Invalid::new("id", message).into())
        }
    }
}

/// Fails the transaction if a locked row was not changed. The row is missing in spite of the lock,
/// so no audit event may be recorded.
pub(super) fn require_found(is_found: bool) -> Result<(), Error> {
    if is_found {
        Ok(())
    } else {
        Err(Error::NotFound("token"))
    }
}

fn check_precondition(precondition: &Precondition, current: &Token) -> Result<(), Error> {
    if precondition.allows(current) {
        Ok(())
    } else {
        Err(Error::PreconditionFailed)
    }
}

fn check_grace_limit(conn: &mut AnyConnection, id: TokenId, now: Timestamp) -> Result<(), Error> {
    if tokens::prune_and_count_grace_values(conn, id, now)? < MAX_GRACE_VALUES {
        return Ok(());
    }
    Err(Error::Conflict(format!(
        "{MAX_GRACE_VALUES} earlier values of this token are still in their grace period; rotate without a grace \
            period to revoke them all, or wait"
    )))
}
