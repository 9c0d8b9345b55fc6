//! Pages of token lists.

use crate::{
    domain::{
        authorization::Operation,
        caller::Call,
        page::{ColumnFilter, Cursor, ListCounts, Page, PageSize, SummaryPage, TokenFilter},
        sort::{PagePosition, SortedPage, TokenOrder},
        token::{Token, TokenSummary},
    },
    service::{Error, Service},
    store::{
        AnyConnection, StoreError,
        tokens::{self, TokenQuery},
    },
};

impl Service {
    /// Returns a page of the tokens that match `filter`, oldest first.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not read tokens.
    pub async fn list(&self, call: &Call, filter: TokenFilter, after: Cursor, size: PageSize) -> Result<Page, Error> {
        self.list_by(call, filter, move |conn, query| tokens::page(conn, query, after, size))
            .await
    }

    /// Returns a page of the tokens that match `filter`, in this order.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not read tokens.
    pub async fn list_sorted(
        &self,
        call: &Call,
        filter: TokenFilter,
        order: TokenOrder,
        position: PagePosition,
        size: PageSize,
    ) -> Result<SortedPage, Error> {
        self.list_by(call, filter, move |conn, query| {
            tokens::sorted_page(conn, query, order, position, size)
        })
        .await
    }

    /// Returns the number of tokens that match `filter`, and of those that a search finds for it and that match each of
    /// the `narrower` filters.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not read tokens.
    pub async fn count(
        &self,
        call: &Call,
        filter: TokenFilter,
        narrower: Vec<ColumnFilter>,
    ) -> Result<ListCounts, Error> {
        let TokenFilter { search, columns } = filter;
        let search = self.prepare_search(call, Operation::Read, search).await?;
        let check_caller = self.caller_check(call, Operation::Read);
        self.store
            .list(move |conn| {
                let now = check_caller(conn)?;
                Ok(tokens::counts(conn, search.query(&columns, now), &narrower)?)
            })
            .await
    }

    async fn list_by<P, F>(&self, call: &Call, filter: TokenFilter, page: F) -> Result<P, Error>
    where
        P: AsMut<Vec<Token>> + Send + 'static,
        F: FnOnce(&mut AnyConnection, TokenQuery<'_>) -> Result<P, StoreError> + Clone + Send + 'static,
    {
        let TokenFilter { search, columns } = filter;
        let search = self.prepare_search(call, Operation::Read, search).await?;
        let filter = columns.clone();
        let check_caller = self.caller_check(call, Operation::Read);
        let mut page = self
            .store
            .list(move |conn| {
                let now = check_caller(conn)?;
                Ok::<_, Error>(page(conn, search.query(&columns, now))?)
            })
            .await?;
        let now = self.clock.now();
        let tokens = page.as_mut();
        for token in tokens.iter_mut() {
            self.write_behind.apply_last_use(token, now);
        }
        tokens.retain(|token| filter.allows_last_use(token.last_used_at));
        Ok(page)
    }

    /// Returns a page of all tokens for the legacy API, oldest first, as the text that `format` writes.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not read tokens.
    pub async fn list_summaries(
        &self,
        call: &Call,
        after: Cursor,
        size: PageSize,
        format: SummaryFormat,
    ) -> Result<SummaryPage, Error> {
        let check_caller = self.caller_check(call, Operation::Read);
        self.store
            .list_fast(move |conn| {
                check_caller(conn)?;
                read_summaries(conn, after, size, format)
            })
            .await
    }
}

/// Appends a token to the text of a page.
///
/// The store calls it for each row, so that no page is held as rows and as text.
pub type SummaryFormat = fn(&mut Vec<u8>, &TokenSummary) -> Result<(), Error>;

/// Reads a page of summaries, as the text that `format` writes.
pub(in crate::service) fn read_summaries(
    conn: &mut AnyConnection,
    after: Cursor,
    size: PageSize,
    format: SummaryFormat,
) -> Result<SummaryPage, Error> {
    let mut text = Vec::new();
    let next = tokens::visit_summaries(conn, after, size, |token| format(&mut text, &token))?;
    Ok(SummaryPage { text, next })
}
