//! The report on the use of a token.

use super::{TokenRef, resolve_id};
use crate::{
    domain::{caller::Call, usage::TokenUsage},
    service::{Error, Service},
    store::{AnyConnection, token_uses, tokens},
};

impl Service {
    /// Reports the use of a token by day.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the token does not exist; [`Error::Forbidden`] if the caller may not read it;
    /// [`Error::Invalid`] for `self` if the caller is not a token.
    pub async fn usage(&self, call: &Call, which: TokenRef) -> Result<TokenUsage, Error> {
        let id = resolve_id(&call.caller, which)?;
        let (pending, flush_guard) = self.write_behind.pending_uses(id).await;
        let find = move |conn: &mut AnyConnection, _| {
            let Some(token) = tokens::find(conn, id)? else {
                return Ok(None);
            };
            Ok(Some((token, token_uses::find(conn, id)?)))
        };
        let (token, records) = self.read_token(call, find).await?;
        let token = self.with_pending_use(token);
        drop(flush_guard);
        Ok(TokenUsage::new(
            records.into_iter().chain(pending),
            token.last_used_at,
            self.clock.now(),
        ))
    }
}
