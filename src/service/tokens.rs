//! Operations on tokens, for all channels.

mod changes;
mod details;
mod list;

use std::{sync::Arc, time::Duration};

use serde_json::json;

use super::{
    Error, Service,
    transaction::{Transaction, revalidate_caller},
};
use crate::{
    domain::{
        Invalid,
        annotation::{Description, Owner},
        audit::Action,
        authorization::{Grant, Operation, authorize},
        caller::{Call, Caller},
        cidr::CidrBlocks,
        clock::Timestamp,
        expiry::Expiry,
        name::TokenName,
        permission::PermissionSet,
        precondition::Precondition,
        token::{Attribution, Token, TokenId, TokenVersion},
        value::{TokenValue, ValueHash},
    },
    store::{AnyConnection, StoreError, tokens},
};

pub use changes::{PermissionChange, TokenChanges};
pub(super) use details::{describe, diff};

/// Maximum number of previous values of a token in their grace period.
const MAX_GRACE_VALUES: i64 = 10;

/// A reference to a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenRef {
    /// The token that authenticates the call: `self`.
    Itself,
    /// The token with this ID.
    Id(TokenId),
}

/// The fields of a token to create.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The ID, for a caller that must not create the token twice; `None` to generate one.
    pub id: Option<TokenId>,
    /// The name.
    pub name: TokenName,
    /// The permissions; `None` for the caller's own.
    pub permissions: Option<PermissionSet>,
    /// The CIDR blocks; `None` for the caller's own.
    pub allowed_cidr_blocks: Option<CidrBlocks>,
    /// The expiry; `None` for the caller's own.
    pub expires_at: Option<Expiry>,
    /// The purpose.
    pub description: Option<Description>,
    /// The person or team to ask about it.
    pub owner: Option<Owner>,
    /// `true` to refuse every use until an update enables the token.
    pub disabled: bool,
}

/// The options of a rotation.
#[derive(Clone, Debug, Default)]
pub struct Rotation {
    /// Time for which the previous value stays valid.
    pub grace_period: Duration,
    /// The new expiry, if it changes.
    pub expires_at: Option<Expiry>,
    /// The states that the token may be rotated from.
    pub precondition: Precondition,
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
        let clock = Arc::clone(&self.clock);
        let Call { caller, origin } = call.clone();
        let token = self
            .store
            .read(move |conn| {
                // The wait for a connection may have been long.
                let caller = revalidate_caller(conn, caller, origin, clock.now())?;
                let found = tokens::find(conn, id)?;
                authorize(&caller, Operation::Read, found.as_ref())?;
                found.ok_or(Error::NotFound("token"))
            })
            .await?;
        Ok(self.with_pending_use(token))
    }

    /// Creates a token with a value. Returns the value, which cannot be read again.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not create such a token; [`Error::Conflict`] if the
    /// ID exists.
    pub async fn create(&self, call: Call, new: NewToken) -> Result<(Token, TokenValue), Error> {
        let value = TokenValue::generate(self.random.as_ref())?;
        let token = self.create_with(call, new, Some(value.hash())).await?;
        Ok((token, value))
    }

    /// Creates a token without a value, as the legacy API does.
    ///
    /// # Errors
    /// Those of [`Service::create`].
    pub async fn create_without_value(&self, call: Call, new: NewToken) -> Result<Token, Error> {
        self.create_with(call, new, None).await
    }

    async fn create_with(&self, call: Call, new: NewToken, value: Option<ValueHash>) -> Result<Token, Error> {
        let NewToken {
            id,
            name,
            permissions,
            allowed_cidr_blocks,
            expires_at,
            description,
            owner,
            disabled,
        } = new;
        let generated_id = TokenId::generate(self.random.as_ref())?;
        let id = id.unwrap_or(generated_id);
        self.transact(call, None, move |tx, _| {
            let (own_permissions, own_blocks, own_expiry) = match &tx.caller {
                Caller::Token(token, _) => (token.permissions, token.allowed_cidr_blocks.clone(), token.expires_at),
                Caller::Admin(_) | Caller::Holder(..) | Caller::CommandLine | Caller::LegacyLogin => {
                    (PermissionSet::token_management(), CidrBlocks::default(), Expiry::Never)
                }
            };
            let token = Token {
                id,
                name,
                permissions: permissions.unwrap_or(own_permissions),
                allowed_cidr_blocks: allowed_cidr_blocks.unwrap_or(own_blocks),
                has_value: value.is_some(),
                created: Attribution {
                    at: tx.now,
                    by: tx.caller.actor(),
                },
                updated: None,
                rotated_at: None,
                last_used_at: None,
                expires_at: expires_at.unwrap_or(own_expiry).require_future(tx.now)?,
                description,
                owner,
                disabled_at: disabled.then_some(tx.now),
                version: TokenVersion::FIRST,
            };
            let grant = Grant {
                permissions: Some(token.permissions),
                allowed_cidr_blocks: Some(&token.allowed_cidr_blocks),
                expires_at: Some(token.expires_at),
            };
            authorize(&tx.caller, Operation::Create(grant), None)?;
            let inserted = tokens::insert(tx.conn, &token, value.as_ref());
            inserted.map_err(|error| match error {
                StoreError::AlreadyExists => Error::Conflict("a token with this id already exists".to_owned()),
                other => other.into(),
            })?;
            tx.record(Action::TokenCreated, Some(id), describe(&token))?;
            Ok(token)
        })
        .await
    }

    /// Changes a token. If it already is as `changes` want it, nothing is written or recorded.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the token does not exist; [`Error::Forbidden`] if the caller may not
    /// change it like this; [`Error::PreconditionFailed`] if `changes` do not allow its
    /// current state.
    pub async fn update(&self, call: Call, which: TokenRef, changes: TokenChanges) -> Result<Token, Error> {
        let id = resolve_id(&call.caller, which)?;
        let update = move |tx: &mut Transaction<'_>, found: Option<Token>| {
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
                return Ok(before);
            }
            after.version = before.version.next();
            after.updated = Some(Attribution {
                at: tx.now,
                by: tx.caller.actor(),
            });
            require_found(tokens::update(tx.conn, &after, before.version)?)?;
            let action = match (before.disabled_at, after.disabled_at) {
                (None, Some(_)) => Action::TokenDisabled,
                (Some(_), None) => Action::TokenEnabled,
                (None, None) | (Some(_), Some(_)) => Action::TokenUpdated,
            };
            tx.record(action, Some(id), diff(&before, &after))?;
            Ok(after)
        };
        let token = self.transact(call, Some(id), update).await?;
        Ok(self.with_pending_use(token))
    }

    /// Rotates a token, or gives a legacy token its first value. Returns the new value, which
    /// cannot be read again.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the token does not exist; [`Error::Forbidden`] if the caller may not
    /// rotate it; [`Error::Conflict`] if too many previous values are in their grace period;
    /// [`Error::PreconditionFailed`] if `rotation` does not allow its current state.
    pub async fn rotate(&self, call: Call, which: TokenRef, rotation: Rotation) -> Result<(Token, TokenValue), Error> {
        let id = resolve_id(&call.caller, which)?;
        let value = TokenValue::generate(self.random.as_ref())?;
        let hash = value.hash();
        let rotate = move |tx: &mut Transaction<'_>, found: Option<Token>| {
            let expires_at = rotation.expires_at;
            authorize(&tx.caller, Operation::Rotate { expires_at }, found.as_ref())?;
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
            tx.record(Action::TokenRotated, Some(id), details)?;
            Ok(after)
        };
        let token = self.transact(call, Some(id), rotate).await?;
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
            tx.record(Action::TokenDeleted, Some(id), describe(&token))
        })
        .await
    }

    fn with_pending_use(&self, mut token: Token) -> Token {
        self.write_behind.apply_last_use(&mut token, self.clock.now());
        token
    }
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
        "{MAX_GRACE_VALUES} earlier values of this token are still in their grace period; rotate without a grace period to revoke them all, or wait"
    )))
}
