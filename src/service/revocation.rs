//! Revocation of presented values (RFC 7009).

use serde_json::json;

use super::{
    Error, Service,
    tokens::{describe, require_found},
};
use crate::{
    domain::{
        actor::Origin,
        audit::Action,
        authorization::{Operation, authorize},
        caller::{Call, Caller},
        value::ValueHash,
    },
    store::tokens::{self, TokenByValue},
};

impl Service {
    /// Revokes a presented value, regardless of the state and the permissions of its token. Revoking the current value
    /// deletes the token; revoking a previous value ends its grace period. An unknown value counts as revoked. `client`
    /// is the call of the client, if it authenticated.
    ///
    /// # Errors
    /// [`Error::Unauthenticated`] if the client's credentials were revoked in the meantime; [`Error::Unavailable`] if
    /// the store fails.
    pub async fn revoke(&self, client: Option<Call>, presented: &str, origin: Origin) -> Result<(), Error> {
        let Some(value) = ValueHash::from_presented(presented) else {
            return Ok(());
        };
        let Some(TokenByValue { token, .. }) = self.store.find_by_value(value).await? else {
            return Ok(());
        };
        let caller = client.map_or(Caller::Holder(token.id, value), |call| call.caller);
        self.transact(Call { caller, origin }, Some(token.id), move |tx, found| {
            authorize(&tx.caller, Operation::Revoke, found.as_ref())?;
            // The lock on the token covers its values.
            let Some(TokenByValue { token, valid_until, .. }) = tokens::find_by_value(tx.conn, &value)? else {
                return Ok(());
            };
            if valid_until.is_some_and(|until| token.grace_end(until, tx.now) <= tx.now) {
                return Ok(());
            }
            let is_current = valid_until.is_none();
            require_found(if is_current {
                tokens::delete(tx.conn, token.id)?
            } else {
                tokens::delete_grace_value(tx.conn, &value)?
            })?;
            let mut details = describe(&token);
            if let Some(details) = details.as_object_mut() {
                details.insert("deleted".to_owned(), json!(is_current));
            }
            tx.record_token(&token, Action::TokenRevoked, details)
        })
        .await
    }
}
