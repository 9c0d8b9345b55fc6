//! Requests with an idempotency key. Decision 14 gives the reasons.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{
    Error, Service,
    transaction::{Transaction, lock},
};
use crate::{
    domain::{
        audit::Action,
        authorization::{Operation, authorize},
        caller::Call,
        clock::Timestamp,
        idempotency::{IdempotencyKey, KEY_RETENTION, KeyHash, PayloadHash},
        token::{Token, TokenId},
        value::ValueHash,
    },
    store::{
        AnyConnection, StoreError,
        idempotency_keys::{self, FirstRequest},
        tokens,
    },
};

/// A request with an idempotency key, which issues a value.
#[derive(Clone, Copy)]
pub struct KeyedRequest {
    key: KeyHash,
    payload: PayloadHash,
    value: ValueHash,
}

/// A repetition of an earlier request.
pub struct Repetition {
    request: KeyedRequest,
    first: FirstRequest,
}

impl KeyedRequest {
    /// Creates the request of `call` for an operation and its target, if any.
    pub fn new(
        key: &IdempotencyKey,
        call: &Call,
        (operation, target): (&str, Option<TokenId>),
        payload: &Value,
        value: ValueHash,
    ) -> Self {
        Self {
            key: key.hash(&call.caller.actor(), operation, target),
            payload: PayloadHash::new(payload),
            value,
        }
    }

    /// Returns the first request with the same key.
    fn find(self, conn: &mut AnyConnection, now: Timestamp) -> Result<Option<FirstRequest>, StoreError> {
        idempotency_keys::find(conn, &self.key, now.saturating_sub(KEY_RETENTION))
    }

    /// Records that this request issued its value for a token, so that it can be repeated.
    ///
    /// # Errors
    /// [`Error::Conflict`] if a concurrent request with the same key was recorded first.
    pub fn remember(self, tx: &mut Transaction<'_>, token_id: TokenId) -> Result<(), Error> {
        let first = FirstRequest {
            payload: self.payload,
            token_id,
            value: self.value,
        };
        let since = tx.now.saturating_sub(KEY_RETENTION);
        idempotency_keys::insert(tx.conn, &self.key, &first, since, tx.now).map_err(|error| match error {
            StoreError::AlreadyExists => still_running(),
            other => other.into(),
        })?;
        Ok(tokens::set_unclaimed(tx.conn, &self.value)?)
    }
}

impl Repetition {
    /// Replaces the value in the lost response with that of this request. Returns the token.
    ///
    /// # Errors
    /// [`Error::KeyReused`] if the first request had another payload; [`Error::Conflict`] if the token is gone, or
    /// the value was used or replaced; [`Error::Forbidden`] if the caller may no longer rotate the token.
    pub fn reissue(self, tx: &mut Transaction<'_>, token: Option<Token>) -> Result<Token, Error> {
        let Self { request, first } = self;
        if first.payload != request.payload {
            return Err(Error::KeyReused);
        }
        let before = token.ok_or_else(|| {
            let message = "the token of the first request with this Idempotency-Key was deleted; use a new key";
            Error::Conflict(message.to_owned())
        })?;
        authorize(&tx.caller, Operation::Rotate { expires_at: None }, Some(&before))?;
        let after = Token {
            version: before.version.next(),
            ..before.clone()
        };
        if !tokens::reissue_value(tx.conn, &after, before.version, &first.value, &request.value)? {
            let message = "the value in the first response to this Idempotency-Key was used or replaced, so it stays \
                           as it is; rotate the token with a new key for another value";
            return Err(Error::Conflict(message.to_owned()));
        }
        idempotency_keys::set_value(tx.conn, &request.key, &request.value)?;
        tx.record_token(&after, Action::TokenReissued, json!({}))?;
        Ok(after)
    }
}

impl Service {
    /// Runs `work` as [`Service::transact`] does. If `request` repeats an earlier one, `work` also gets the repetition.
    /// If there is no `target`, it then gets the token of the earlier request.
    ///
    /// # Errors
    /// Those of `work`; [`Error::Conflict`] if the first request with the same key ends while this one runs.
    pub(super) async fn transact_once<T: Send + 'static>(
        &self,
        call: Call,
        request: Option<KeyedRequest>,
        target: Option<TokenId>,
        work: impl FnOnce(&mut Transaction<'_>, Option<Token>, Option<Repetition>) -> Result<T, Error>
        + Clone
        + Send
        + 'static,
    ) -> Result<T, Error> {
        let clock = Arc::clone(&self.clock);
        // A first request that is recorded after this check was still running when this one arrived.
        let has_ended = match request {
            None => false,
            Some(request) => {
                let now = clock.now();
                let first = self.store.read_fast(move |conn| request.find(conn, now)).await?;
                first.is_some()
            }
        };
        let lock = move |conn: &mut AnyConnection, caller: &_| {
            let Some(request) = request else {
                return Ok((lock(conn, caller, target)?, None));
            };
            let first = request.find(conn, clock.now())?;
            if first.is_some() && !has_ended {
                return Err(still_running());
            }
            let target = target.or(first.map(|first| first.token_id));
            let repetition = first.map(|first| Repetition { request, first });
            Ok((lock(conn, caller, target)?, repetition))
        };
        self.transactor
            .run(self.store.timeout(), call, lock, |tx, (target, repetition)| {
                work(tx, target, repetition)
            })
            .await
    }
}

fn still_running() -> Error {
    Error::Conflict("a request with this Idempotency-Key is still running; try again later".to_owned())
}
