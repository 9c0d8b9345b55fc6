//! Previous values of a token that are still valid.

use super::{TokenRef, describe, require_found, resolve_id};
use crate::{
    domain::{
        audit::Action,
        authorization::{Operation, authorize},
        caller::Call,
        clock::Timestamp,
        token::Token,
    },
    service::{Error, Service},
    store::{
        AnyConnection, StoreError,
        tokens::{self, GraceValue as StoredValue},
    },
};

/// A previous value of a token in its grace period.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraceValue {
    /// The first 16 hexadecimal digits of the value's SHA-256, which identify it.
    pub fingerprint: String,
    /// The end of the grace period.
    pub valid_until: Timestamp,
}

impl Service {
    /// Returns the previous values of a token that are still valid, in the order of their ends.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the token does not exist; [`Error::Forbidden`] if the caller may not read it;
    /// [`Error::Invalid`] for `self` if the caller is not a token.
    pub async fn grace_values(&self, call: &Call, which: TokenRef) -> Result<Vec<GraceValue>, Error> {
        let id = resolve_id(&call.caller, which)?;
        let find = move |conn: &mut AnyConnection, now| {
            let Some(token) = tokens::find(conn, id)? else {
                return Ok(None);
            };
            let values = valid_values(conn, &token, now)?;
            Ok(Some((token, values)))
        };
        let (_, values) = self.read_token(call, find).await?;
        let value = |(stored, valid_until): (StoredValue, Timestamp)| GraceValue {
            fingerprint: stored.hash.fingerprint(),
            valid_until,
        };
        Ok(values.into_iter().map(value).collect())
    }

    /// Ends the grace period of the previous value with this fingerprint. Returns `false` if it is over already.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the token does not exist; [`Error::Forbidden`] if the caller may not rotate it;
    /// [`Error::Invalid`] for `self` if the caller is not a token.
    pub async fn end_grace_value(&self, call: Call, which: TokenRef, fingerprint: String) -> Result<bool, Error> {
        let id = resolve_id(&call.caller, which)?;
        self.transact(call, Some(id), move |tx, found| {
            authorize(&tx.caller, Operation::Rotate { expires_at: None }, found.as_ref())?;
            let token = found.ok_or(Error::NotFound("token"))?;
            let values = valid_values(tx.conn, &token, tx.now)?;
            let same = values
                .into_iter()
                .find(|(value, _)| value.hash.fingerprint() == fingerprint);
            let Some((value, _)) = same else {
                return Ok(false);
            };
            require_found(tokens::delete_grace_value(tx.conn, &value.hash)?)?;
            let mut details = describe(&token);
            if let Some(details) = details.as_object_mut() {
                details.insert("deleted".to_owned(), false.into());
            }
            tx.record_token(&token, Action::TokenRevoked, details)?;
            Ok(true)
        })
        .await
    }
}

/// Returns the previous values that are valid at `now`, with the ends of their grace periods.
fn valid_values(
    conn: &mut AnyConnection,
    token: &Token,
    now: Timestamp,
) -> Result<Vec<(StoredValue, Timestamp)>, StoreError> {
    let stored = tokens::find_grace_values(conn, token.id)?;
    let ends = stored
        .into_iter()
        .map(|value| (value, token.grace_end(value.valid_until, now)));
    Ok(ends.filter(|(_, end)| *end > now).collect())
}
