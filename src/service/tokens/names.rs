//! The names of tokens, for pages that show their IDs.

use std::collections::HashMap;

use crate::{
    domain::{authorization::Operation, caller::Call, name::TokenName, token::TokenId},
    service::{Error, Service},
    store::{audit, tokens},
};

impl Service {
    /// Returns the names of tokens by their IDs: the current name, or of a deleted token the last one in the audit log.
    /// Tokens that were never known are left out.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not read the audit log.
    pub async fn find_token_names(&self, call: &Call, ids: Vec<TokenId>) -> Result<HashMap<TokenId, TokenName>, Error> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let check_caller = self.caller_check(call, Operation::ReadAudit);
        self.store
            .list(move |conn| {
                check_caller(conn)?;
                let mut names = tokens::find_names(conn, &ids)?;
                for id in ids {
                    if !names.contains_key(&id)
                        && let Some(name) = audit::find_last_name(conn, id)?
                    {
                        names.insert(id, name);
                    }
                }
                Ok(names)
            })
            .await
    }
}
