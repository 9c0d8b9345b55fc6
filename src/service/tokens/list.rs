//! Pages of token lists.

use crate::{
    domain::{
        authorization::Operation,
        caller::Call,
        clock::Timestamp,
        page::{Cursor, Page, PageSize, SummaryPage, TokenFilter},
        sort::{SortedCursor, TokenOrder},
    },
    service::{Error, Service},
    store::{AnyConnection, StoreError, tokens},
};

impl Service {
    /// Returns a page of the tokens that match `filter`, oldest first.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not read tokens.
    pub async fn list(&self, call: &Call, filter: TokenFilter, after: Cursor, size: PageSize) -> Result<Page, Error> {
        self.list_by(call, filter, move |conn, filter, now| {
            tokens::page(conn, filter, after, size, now)
        })
        .await
    }

    /// Returns a page of the tokens that match `filter`, in this order, starting after `after`.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not read tokens.
    pub async fn list_sorted(
        &self,
        call: &Call,
        filter: TokenFilter,
        order: TokenOrder,
        after: Option<SortedCursor>,
        size: PageSize,
    ) -> Result<Page<SortedCursor>, Error> {
        self.list_by(call, filter, move |conn, filter, now| {
            tokens::sorted_page(conn, filter, order, after, size, now)
        })
        .await
    }

    async fn list_by<C: Send + 'static>(
        &self,
        call: &Call,
        filter: TokenFilter,
        page: impl FnOnce(&mut AnyConnection, &TokenFilter, Timestamp) -> Result<Page<C>, StoreError> + Send + 'static,
    ) -> Result<Page<C>, Error> {
        let store_filter = filter.clone();
        let check_caller = self.caller_check(call, Operation::Read);
        let mut page = self
            .store
            .read(move |conn| {
                let now = check_caller(conn)?;
                Ok::<_, Error>(page(conn, &store_filter, now)?)
            })
            .await?;
        let now = self.clock.now();
        page.tokens
            .iter_mut()
            .for_each(|token| self.write_behind.apply_last_use(token, now));
        page.tokens.retain(|token| filter.allows_last_use(token.last_used_at));
        Ok(page)
    }

    /// Returns a page of summaries of all tokens for the legacy API, oldest first.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not read tokens.
    pub async fn list_summaries(&self, call: &Call, after: Cursor, size: PageSize) -> Result<SummaryPage, Error> {
        let check_caller = self.caller_check(call, Operation::Read);
        self.store
            .read_fast(move |conn| {
                check_caller(conn)?;
                Ok(tokens::summaries(conn, after, size)?)
            })
            .await
    }
}
