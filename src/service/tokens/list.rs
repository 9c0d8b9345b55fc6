//! Lists of tokens, page by page.

use std::sync::Arc;

use crate::{
    domain::{
        authorization::{Operation, authorize},
        caller::Call,
        clock::Timestamp,
        page::{Cursor, Page, PageSize, SummaryPage, TokenFilter},
        sort::{SortedCursor, TokenOrder},
    },
    service::{Error, Service, transaction::still_valid},
    store::{AnyConnection, StoreError, tokens},
};

impl Service {
    /// A page of the tokens that pass `filter`, oldest first.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a token that may not read tokens.
    pub async fn list(&self, call: &Call, filter: TokenFilter, after: Cursor, size: PageSize) -> Result<Page, Error> {
        self.list_by(call, filter, move |conn, filter, now| {
            tokens::page(conn, filter, after, size, now)
        })
        .await
    }

    /// A page of the tokens that pass `filter`, in that order, behind `after`.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a token that may not read tokens.
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
        let asked = filter.clone();
        let may_read = self.may_read(call);
        let mut page = self
            .store
            .read(move |conn| {
                let now = may_read(conn)?;
                Ok::<_, Error>(page(conn, &asked, now)?)
            })
            .await?;
        let now = self.clock.now();
        page.tokens
            .iter_mut()
            .for_each(|token| self.unwritten.show_in(token, now));
        page.tokens.retain(|token| filter.admits_use(token.last_used_at));
        Ok(page)
    }

    /// A page of what the legacy view shows of all tokens, oldest first.
    ///
    /// # Errors
    /// [`Error::Forbidden`] for a token that may not read tokens.
    pub async fn list_summaries(&self, call: &Call, after: Cursor, size: PageSize) -> Result<SummaryPage, Error> {
        let may_read = self.may_read(call);
        self.store
            .read_briefly(move |conn| {
                may_read(conn)?;
                Ok(tokens::summaries(conn, after, size)?)
            })
            .await
    }

    /// What looks whether the caller may read tokens, when it is their turn, and gives the time of that.
    fn may_read(&self, call: &Call) -> impl FnOnce(&mut AnyConnection) -> Result<Timestamp, Error> + Send + 'static {
        let clock = Arc::clone(&self.clock);
        let Call { caller, origin } = call.clone();
        move |conn| {
            // The wait for the turn may have been long.
            let now = clock.now();
            let caller = still_valid(conn, caller, origin, now)?;
            authorize(&caller, Operation::Read, None)?;
            Ok(now)
        }
    }
}
