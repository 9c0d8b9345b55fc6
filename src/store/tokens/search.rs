//! The fields that a search looks at, and the tokens that it found.

use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};

use super::{
    found::to_limit,
    many::to_strings,
    query::{MAX_LISTED_ROWS, TokenQuery, filtered},
};
use crate::{
    domain::{
        page::{Cursor, PageSize},
        search::{RowSet, SearchFields},
        token::TokenId,
    },
    store::{columns::decode, connection::AnyConnection, error::StoreError, schema::tokens},
};

/// The columns of [`SearchFields`], after the row number.
const COLUMNS: (
    tokens::seq,
    tokens::id,
    tokens::name,
    tokens::owner,
    tokens::permissions,
    tokens::allowed_cidr_blocks,
) = (
    tokens::seq,
    tokens::id,
    tokens::name,
    tokens::owner,
    tokens::permissions,
    tokens::allowed_cidr_blocks,
);

type Row = (i64, String, String, Option<String>, String, String);

/// Returns the row numbers of a page of all tokens, oldest first, starting after `after`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn rows_after(conn: &mut AnyConnection, after: Cursor, size: PageSize) -> Result<Vec<i64>, StoreError> {
    let rows = tokens::table
        .filter(tokens::seq.gt(after.row()))
        .order(tokens::seq.asc())
        .limit(to_limit(size.get()))
        .select(tokens::seq);
    Ok(rows.load(conn)?)
}

/// Returns the searched fields of the tokens from row `first` to row `last`, with their row numbers, in any order.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn search_fields_between(
    conn: &mut AnyConnection,
    first: i64,
    last: i64,
) -> Result<Vec<(i64, SearchFields)>, StoreError> {
    let rows: Vec<Row> = tokens::table
        .filter(tokens::seq.between(first, last))
        .select(COLUMNS)
        .load(conn)?;
    rows.into_iter().map(decode_row).collect()
}

/// Returns the searched fields of the existing tokens among `ids`, with their row numbers, in any order.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn search_fields_of(conn: &mut AnyConnection, ids: &[TokenId]) -> Result<Vec<(i64, SearchFields)>, StoreError> {
    let these = tokens::table.filter(tokens::id.eq_any(to_strings(ids)));
    let rows: Vec<Row> = these.select(COLUMNS).load(conn)?;
    rows.into_iter().map(decode_row).collect()
}

/// Returns the sorted IDs of the tokens that a query selects. `still_matches` is asked about each token that a search
/// found, because it may have changed since.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn ids(
    conn: &mut AnyConnection,
    query: TokenQuery<'_>,
    still_matches: impl Fn(&SearchFields) -> bool,
) -> Result<Vec<TokenId>, StoreError> {
    let Some(found) = query.found else {
        return ids_by_columns(conn, query);
    };
    let mut fields = search_fields_in(conn, query, found)?;
    fields.retain(still_matches);
    let mut ids: Vec<_> = fields.iter().map(|token| token.id).collect();
    ids.sort_unstable();
    Ok(ids)
}

fn ids_by_columns(conn: &mut AnyConnection, query: TokenQuery<'_>) -> Result<Vec<TokenId>, StoreError> {
    const BATCH_SIZE: i64 = 10_000;
    let mut ids = Vec::new();
    let mut last = String::new();
    loop {
        let mut found: Vec<String> = filtered(query.filter, query.now)
            .filter(tokens::id.gt(&last))
            .order(tokens::id.asc())
            .select(tokens::id)
            .limit(BATCH_SIZE)
            .load(conn)?;
        for id in &found {
            ids.push(decode(id.as_str())?);
        }
        match found.pop() {
            Some(id) => last = id,
            None => return Ok(ids),
        }
    }
}

/// Returns the searched fields of the tokens in `found` that the conditions on columns select, in any order.
fn search_fields_in(
    conn: &mut AnyConnection,
    query: TokenQuery<'_>,
    found: &RowSet,
) -> Result<Vec<SearchFields>, StoreError> {
    let mut fields = Vec::new();
    for rows in found.rows().chunks(MAX_LISTED_ROWS) {
        let these = filtered(query.filter, query.now).filter(tokens::seq.eq_any(rows));
        for row in these.select(COLUMNS).load::<Row>(conn)? {
            fields.push(decode_row(row)?.1);
        }
    }
    Ok(fields)
}

fn decode_row((row, id, name, owner, permissions, blocks): Row) -> Result<(i64, SearchFields), StoreError> {
    let fields = SearchFields {
        id: decode(id.as_str())?,
        name,
        owner,
        permissions: decode(permissions.as_str())?,
        allowed_cidr_blocks: decode(blocks.as_str())?,
    };
    Ok((row, fields))
}
