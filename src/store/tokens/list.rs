//! Queries on tokens by filter.

use diesel::{ExpressionMethods, QueryDsl, QueryResult, RunQueryDsl, connection::DefaultLoadingMode, dsl::count_star};

use super::{
    TokenRow,
    found::{load_by_number, narrow, to_limit},
    query::{TokenQuery, filtered},
    token_from_row,
};
use crate::{
    domain::{
        clock::Timestamp,
        name::TokenName,
        page::{ColumnFilter, Cursor, Page, PageSize},
        permission::PermissionSet,
        token::TokenSummary,
    },
    store::{
        columns::decode,
        connection::{AnyConnection, with_conn},
        error::StoreError,
        schema::tokens,
    },
};

/// Returns a page of the tokens that a query selects, oldest first, starting after `after`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn page(
    conn: &mut AnyConnection,
    query: TokenQuery<'_>,
    after: Cursor,
    size: PageSize,
) -> Result<Page, StoreError> {
    let page_limit = size.get() + 1;
    let mut rows = match narrow(conn, query)? {
        Some((found, filter)) => {
            let query = TokenQuery { filter, ..query };
            load_by_number(conn, query, found.after(after.row()), false, page_limit)?
        }
        None => query
            .filtered()
            .filter(tokens::seq.gt(after.row()))
            .order(tokens::seq.asc())
            .limit(to_limit(page_limit))
            .load::<TokenRow>(conn)?,
    };
    let more = rows.len() > size.get();
    rows.truncate(size.get());
    let next = rows.last().filter(|_| more).map(|row| Cursor::after(row.seq));
    let tokens = rows.into_iter().map(token_from_row).collect::<Result<_, _>>()?;
    Ok(Page { tokens, next })
}

/// Passes a page of summaries to `visit`, oldest first, starting after `after`. Returns the cursor to the next page, if
/// there may be one. That page can be empty.
///
/// # Errors
/// [`StoreError`] if the query fails, or the error of `visit`.
pub fn visit_summaries<E: From<StoreError>>(
    conn: &mut AnyConnection,
    after: Cursor,
    size: PageSize,
    visit: impl FnMut(TokenSummary) -> Result<(), E>,
) -> Result<Option<Cursor>, E> {
    let page = tokens::table
        .filter(tokens::seq.gt(after.row()))
        .order(tokens::seq.asc())
        .limit(i64::try_from(size.get()).unwrap_or(i64::MAX))
        .select((tokens::seq, tokens::id, tokens::name, tokens::permissions));
    let (rows, last) = with_conn!(
        conn,
        conn => visit_rows(page.load_iter::<_, DefaultLoadingMode>(conn).map_err(StoreError::from)?, visit)?,
        visit_rows(page.load_iter::<_, DefaultLoadingMode>(conn).map_err(StoreError::from)?, visit)?,
    );
    Ok(last.filter(|_| rows == size.get()))
}

/// Returns the number of rows, and the cursor after the last one.
fn visit_rows<E: From<StoreError>>(
    rows: impl Iterator<Item = QueryResult<(i64, String, String, String)>>,
    mut visit: impl FnMut(TokenSummary) -> Result<(), E>,
) -> Result<(usize, Option<Cursor>), E> {
    let (mut count, mut last) = (0, None);
    // Most tokens have the same permissions as the one before.
    let (mut known_names, mut permissions) = (String::new(), PermissionSet::default());
    for row in rows {
        let (seq, id, name, names) = row.map_err(StoreError::from)?;
        if names != known_names {
            permissions = decode(names.as_str())?;
            known_names = names;
        }
        visit(TokenSummary {
            id: decode(id.as_str())?,
            name: TokenName::from_stored(name),
            permissions,
        })?;
        (count, last) = (count + 1, Some(Cursor::after(seq)));
    }
    Ok((count, last))
}

/// Returns the number of tokens that match `filter`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn count(conn: &mut AnyConnection, filter: &ColumnFilter, now: Timestamp) -> Result<i64, StoreError> {
    Ok(filtered(filter, now).select(count_star()).first(conn)?)
}
