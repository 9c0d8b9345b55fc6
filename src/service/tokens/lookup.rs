//! Finds the token of a value.

use crate::{
    domain::{Invalid, caller::Call, clock::Timestamp, token::Token, value::ValueHash},
    service::{Error, Service},
    store::{
        AnyConnection, StoreError,
        tokens::{self, TokenByValue},
    },
};

impl Service {
    /// Returns the token of a value, which may be a previous one in its grace period. The token may be disabled or
    /// expired. Does not count as a use, but claims the value: a client has it.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `presented` is not a value; [`Error::NotFound`] if no token has it;
    /// [`Error::Forbidden`] if the caller may not read the token; [`Error::Unavailable`] if the store fails.
    pub async fn lookup(&self, call: &Call, presented: &str) -> Result<Token, Error> {
        // The message does not quote the input, which may be a secret of another kind.
        let malformed = || {
            Invalid::new(
                "value",
                "this is not a token value; send all 53 characters, from tbk_ on",
            )
        };
        let value = ValueHash::from_presented(presented).ok_or_else(malformed)?;
        let find = move |conn: &mut AnyConnection, now| find_by_value(conn, &value, now);
        let (token, is_unclaimed) = self.read_token(call, find).await?;
        if is_unclaimed && !self.store.write(move |conn| tokens::claim_value(conn, &value)).await? {
            // A repetition of the request that issued the value has just replaced it.
            return Err(Error::NotFound("token"));
        }
        Ok(self.with_pending_use(token))
    }
}

/// Returns the token of a value, and `true` if the value is unclaimed.
fn find_by_value(
    conn: &mut AnyConnection,
    value: &ValueHash,
    now: Timestamp,
) -> Result<Option<(Token, bool)>, StoreError> {
    let found = tokens::find_by_value(conn, value)?;
    let valid = found.filter(|TokenByValue { token, valid_until, .. }| {
        valid_until.is_none_or(|until| token.grace_end(until, now) > now)
    });
    Ok(valid.map(|found| (found.token, found.is_unclaimed)))
}
