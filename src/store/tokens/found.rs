//! Queries among known rows: those that a search found, or those that meet conditions on columns.
//!
//! If few tokens meet the conditions, or few were found, the rows that meet them are read first. Then a query lists up to
//! [`MAX_LISTED_ROWS`] rows. Of more rows, a query in the order of their numbers lists one part after the other. In another
//! order, it walks through the tokens, by the index of that order, until enough of them match.

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};

use super::{
    TokenRow,
    query::{Filtered, MAX_LISTED_ROWS, TokenQuery},
};
use crate::{
    domain::{page::ColumnFilter, search::RowSet},
    store::{connection::AnyConnection, error::StoreError, schema::tokens},
};

/// Maximum number of tokens that meet the conditions on columns, all of which are read to select the found ones.
const MAX_MEETING: usize = 50_000;
/// Maximum number of found rows, all of which are read to select those that meet the conditions.
const MAX_FOUND: usize = 40_000;
/// Number of tokens that a walk reads first. If too few of them match, it starts again with [`WALK_GROWTH`] times as
/// many: PostgreSQL would send a result without a limit to its end.
const FIRST_WALK: usize = 250;
const WALK_GROWTH: usize = 4;
/// Maximum number of tokens that a walk reads if the database can instead sort all that match. The rows of a search, or of
/// few tokens, are compared in memory; otherwise, the database checks each token.
const MAX_WALK_IN_MEMORY: usize = 64_000;
const MAX_WALK_IN_DATABASE: usize = 16_000;

pub(super) static NO_CONDITIONS: ColumnFilter = ColumnFilter {
    name_equals: None,
    owner: None,
    created_by: None,
    state: None,
    unused_since: None,
    expires_before: None,
    value_older_than: None,
    legacy_uuid_auth: false,
};

/// Returns the rows of a query, if a search found some, and the conditions on columns that these may not meet yet.
///
/// # Errors
/// [`StoreError`] if a query fails.
pub(super) fn narrow<'q>(
    conn: &mut AnyConnection,
    query: TokenQuery<'q>,
) -> Result<Option<(Cow<'q, RowSet>, &'q ColumnFilter)>, StoreError> {
    let Some(found) = query.found else { return Ok(None) };
    if query.filter.is_empty() {
        return Ok(Some((Cow::Borrowed(found), query.filter)));
    }
    let number = found.rows().len();
    if number > MAX_LISTED_ROWS {
        let mut rows: Vec<i64> = query
            .filtered()
            .select(tokens::seq)
            .limit(to_limit(MAX_MEETING + 1))
            .load(conn)?;
        if rows.len() <= MAX_MEETING {
            rows.retain(|row| found.contains(*row));
            rows.sort_unstable();
            return Ok(Some((Cow::Owned(RowSet::from_sorted(rows)), &NO_CONDITIONS)));
        }
        if number > MAX_FOUND {
            return Ok(Some((Cow::Borrowed(found), query.filter)));
        }
    }
    let mut rows = meeting_among(conn, query, found.rows())?;
    rows.sort_unstable();
    Ok(Some((Cow::Owned(RowSet::from_sorted(rows)), &NO_CONDITIONS)))
}

/// Returns the rows of a query without a search, unless they are more than [`MAX_LISTED_ROWS`].
///
/// # Errors
/// [`StoreError`] if a query fails.
pub(super) fn few_rows(conn: &mut AnyConnection, query: TokenQuery<'_>) -> Result<Option<RowSet>, StoreError> {
    let first = query
        .filtered()
        .select(tokens::seq)
        .limit(to_limit(MAX_LISTED_ROWS + 1));
    let mut rows: Vec<i64> = first.load(conn)?;
    rows.sort_unstable();
    Ok(Some(RowSet::from_sorted(rows)).filter(|few| few.rows().len() <= MAX_LISTED_ROWS))
}

/// Returns those of the rows that meet the conditions of a query on columns, in any order.
fn meeting_among(conn: &mut AnyConnection, query: TokenQuery<'_>, rows: &[i64]) -> Result<Vec<i64>, StoreError> {
    let mut meeting = Vec::new();
    for part in rows.chunks(MAX_LISTED_ROWS) {
        let listed = query.filtered().filter(tokens::seq.eq_any(part));
        meeting.extend(listed.select(tokens::seq).load::<i64>(conn)?);
    }
    Ok(meeting)
}

/// Returns the first `limit` tokens among `rows` that meet the conditions of a query on columns, in the order of their
/// numbers, or the last ones in the opposite order.
///
/// # Errors
/// [`StoreError`] if a query fails.
pub(super) fn load_by_number(
    conn: &mut AnyConnection,
    query: TokenQuery<'_>,
    rows: &[i64],
    descending: bool,
    limit: usize,
) -> Result<Vec<TokenRow>, StoreError> {
    // Without conditions, only tokens that were deleted since the search are missing.
    let length = if query.filter.is_empty() {
        limit
    } else {
        MAX_LISTED_ROWS
    };
    let parts: Box<dyn Iterator<Item = &[i64]>> = if descending {
        Box::new(rows.rchunks(length))
    } else {
        Box::new(rows.chunks(length))
    };
    let mut selected: Vec<TokenRow> = Vec::new();
    for part in parts {
        let listed = query.filtered().filter(tokens::seq.eq_any(part));
        let listed = listed.limit(to_limit(limit - selected.len()));
        selected.extend(if descending {
            listed.order(tokens::seq.desc()).load::<TokenRow>(conn)?
        } else {
            listed.order(tokens::seq.asc()).load::<TokenRow>(conn)?
        });
        if selected.len() == limit {
            break;
        }
    }
    Ok(selected)
}

/// Returns the first `limit` rows of a query in the order of `all`, which selects the tokens of the query or more. `None`
/// if the database had better sort: if the walk would read too many tokens, unless the found rows are too many to list.
///
/// # Errors
/// [`StoreError`] if a query fails.
pub(super) fn walk<'q>(
    conn: &mut AnyConnection,
    query: TokenQuery<'_>,
    all: impl Fn() -> Filtered<'q>,
    limit: usize,
) -> Result<Option<Vec<i64>>, StoreError> {
    let (mut length, mut wanted) = (FIRST_WALK, limit);
    loop {
        let mut rows: Vec<i64> = all().select(tokens::seq).limit(to_limit(length)).load(conn)?;
        let is_end = rows.len() < length;
        if let Some(found) = query.found {
            rows.retain(|row| found.contains(*row));
        }
        if rows.len() >= wanted || is_end {
            if !query.filter.is_empty() {
                let meeting: HashSet<i64> = meeting_among(conn, query, &rows)?.into_iter().collect();
                rows.retain(|row| meeting.contains(row));
            }
            if rows.len() >= limit || is_end {
                rows.truncate(limit);
                return Ok(Some(rows));
            }
            wanted *= WALK_GROWTH;
        }
        length *= WALK_GROWTH;
        let max_length = match query.found {
            None => MAX_WALK_IN_DATABASE,
            Some(found) if found.rows().len() <= MAX_LISTED_ROWS => MAX_WALK_IN_MEMORY,
            Some(_) => usize::MAX,
        };
        if length > max_length {
            return Ok(None);
        }
    }
}

/// Returns the tokens with these row numbers, in the same order.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub(super) fn load_in_order(conn: &mut AnyConnection, rows: &[i64]) -> Result<Vec<TokenRow>, StoreError> {
    let tokens: Vec<TokenRow> = tokens::table.filter(tokens::seq.eq_any(rows)).load(conn)?;
    let mut by_number: HashMap<i64, TokenRow> = tokens.into_iter().map(|row| (row.seq, row)).collect();
    Ok(rows.iter().filter_map(|row| by_number.remove(row)).collect())
}

/// Returns the number of tokens among `rows` that meet the conditions of a query on columns, counted up to `limit`.
///
/// # Errors
/// [`StoreError`] if a query fails.
pub(super) fn count_among(
    conn: &mut AnyConnection,
    query: TokenQuery<'_>,
    rows: &[i64],
    limit: usize,
) -> Result<usize, StoreError> {
    if query.filter.is_empty() {
        return Ok(rows.len().min(limit));
    }
    let mut counted = 0;
    for part in rows.chunks(MAX_LISTED_ROWS) {
        let listed = query.filtered().filter(tokens::seq.eq_any(part));
        counted += usize::try_from(listed.count().get_result::<i64>(conn)?).unwrap_or(0);
        if counted >= limit {
            return Ok(limit);
        }
    }
    Ok(counted)
}

pub(super) fn to_limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}
