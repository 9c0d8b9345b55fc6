//! Sorted pages of tokens.

use std::borrow::Cow;

use diesel::{
    BoolExpressionMethods, ExpressionMethods, NullableExpressionMethods, QueryDsl, RunQueryDsl, TextExpressionMethods,
};

use super::{
    TokenRow,
    counts::count_bounded,
    found::{NO_CONDITIONS, count_among, few_rows, load_by_number, load_in_order, narrow, to_limit, walk},
    query::{Filtered, TokenQuery, filtered, filtered_except_unused, lower},
    token_from_row,
};
use crate::{
    domain::{
        clock::Timestamp,
        page::{BoundedCount, ColumnFilter, PageSize, TokenState},
        search::RowSet,
        sort::{PagePosition, SortKey, SortValue, SortedCursor, SortedPage, TokenOrder},
    },
    store::{connection::AnyConnection, error::StoreError, schema::tokens},
};

/// Maximum number of rows that the database sorts before a walk is tried.
const MAX_SORTED_ROWS: usize = 4000;

/// Sorts a query by a key and then by row number, starting after a position if one is given. Only
/// the first condition gives the index its starting point.
macro_rules! sorted {
    ($query:expr, $key:expr, $behind:expr, $descending:expr) => {{
        let query = match ($behind, $descending) {
            (None, _) => $query,
            (Some((key, row)), false) => $query
                .filter($key.ge(key.clone()))
                .filter($key.gt(key).or(tokens::seq.gt(row))),
            (Some((key, row)), true) => $query
                .filter($key.le(key.clone()))
                .filter($key.lt(key).or(tokens::seq.lt(row))),
        };
        if $descending {
            query.order(($key.desc(), tokens::seq.desc()))
        } else {
            query.order(($key.asc(), tokens::seq.asc()))
        }
    }};
}

/// A filtered and sorted list of tokens.
struct SortedList<'q> {
    query: TokenQuery<'q>,
    order: TokenOrder,
    /// The conditions on the column of the order, if the list is a walk through the tokens that meet these, which checks
    /// the other conditions. Otherwise, the database selects the tokens by all conditions and sorts them.
    walked: Option<ColumnFilter>,
}

impl<'q> SortedList<'q> {
    /// Creates a list. `on_order` are the conditions on the column of the order.
    fn new(query: TokenQuery<'q>, order: TokenOrder, on_order: ColumnFilter) -> Self {
        let is_walk = match query.found {
            Some(found) => order.by != SortKey::Created && found.rows().len() > MAX_SORTED_ROWS,
            None => needs_sorting(query.filter, order.by),
        };
        Self {
            query,
            order,
            walked: Some(on_order).filter(|_| is_walk),
        }
    }

    /// Returns the queries that together yield the list from a position on.
    fn selected(&self, after: Option<SortedCursor>) -> Vec<Filtered<'q>> {
        let TokenQuery { filter, found, now } = self.query;
        parts(filter, found, now, self.order, after)
    }

    /// Returns the list in the opposite order.
    fn reversed(&self) -> Self {
        Self {
            order: self.order.reversed(),
            walked: self.walked.clone(),
            ..*self
        }
    }

    /// Returns the found rows from a position on, if they are in the order of the list.
    fn found_in_order(&self, after: Option<&SortedCursor>) -> Option<&'q [i64]> {
        let found = self.query.found.filter(|_| self.order.by == SortKey::Created)?;
        Some(match after {
            None => found.rows(),
            Some(after) if self.order.descending => found.before(after.row),
            Some(after) => found.after(after.row),
        })
    }

    /// Reads up to `limit` rows from a position on.
    fn rows(
        &self,
        conn: &mut AnyConnection,
        after: Option<SortedCursor>,
        limit: usize,
    ) -> Result<Vec<TokenRow>, StoreError> {
        if let Some(found) = self.found_in_order(after.as_ref()) {
            return load_by_number(conn, self.query, found, self.order.descending, limit);
        }
        if let Some(rows) = self.walk(conn, after.as_ref(), limit)? {
            return load_in_order(conn, &rows);
        }
        let mut rows: Vec<TokenRow> = Vec::new();
        for part in self.selected(after) {
            rows.extend(part.limit(to_limit(limit - rows.len())).load::<TokenRow>(conn)?);
            if rows.len() == limit {
                break;
            }
        }
        Ok(rows)
    }

    /// Counts the tokens from a position on, up to a maximum.
    fn count(&self, conn: &mut AnyConnection, after: Option<SortedCursor>) -> Result<BoundedCount, StoreError> {
        if let Some(found) = self.found_in_order(after.as_ref()) {
            return count_among(conn, self.query, found, BoundedCount::LIMIT).map(BoundedCount::new);
        }
        match self.walk(conn, after.as_ref(), BoundedCount::LIMIT)? {
            Some(rows) => Ok(BoundedCount::new(rows.len())),
            None => count_bounded(conn, self.selected(after)),
        }
    }

    /// Returns up to `limit` rows from a position on, if the list is a walk that finds them soon enough.
    fn walk(
        &self,
        conn: &mut AnyConnection,
        after: Option<&SortedCursor>,
        limit: usize,
    ) -> Result<Option<Vec<i64>>, StoreError> {
        let Some(walked) = &self.walked else { return Ok(None) };
        let all = || parts(walked, None, self.query.now, self.order, after.cloned());
        let mut rows = Vec::new();
        for part in 0..all().len() {
            let nth_part = || all().swap_remove(part);
            match walk(conn, self.query, nth_part, limit - rows.len())? {
                Some(found) => rows.extend(found),
                None => return Ok(None),
            }
            if rows.len() == limit {
                break;
            }
        }
        Ok(Some(rows))
    }

    fn cursor(&self, row: &TokenRow) -> SortedCursor {
        cursor_after(row, self.order.by)
    }

    /// Returns the position of the page that ends before `end`, or with the list; `None` for the first page.
    fn page_before(
        &self,
        conn: &mut AnyConnection,
        end: Option<SortedCursor>,
        size: PageSize,
    ) -> Result<Option<SortedCursor>, StoreError> {
        let backward = self.reversed().rows(conn, end, size.get() + 1)?;
        Ok(backward.get(size.get()).map(|row| self.cursor(row)))
    }
}

/// Returns a page of the tokens that a query selects, in this order. A position behind the last token stands for the
/// last page.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn sorted_page(
    conn: &mut AnyConnection,
    query: TokenQuery<'_>,
    order: TokenOrder,
    position: PagePosition,
    size: PageSize,
) -> Result<SortedPage, StoreError> {
    let on_order = conditions_on(order.by, query.filter);
    let narrowed = match narrow(conn, query)? {
        None if needs_sorting(query.filter, order.by) => {
            few_rows(conn, query)?.map(|few| (Cow::Owned(few), &NO_CONDITIONS))
        }
        narrowed => narrowed,
    };
    let query = match &narrowed {
        Some((found, filter)) => TokenQuery {
            filter,
            found: Some(found),
            ..query
        },
        None => query,
    };
    let list = SortedList::new(query, order, on_order);
    let page_limit = size.get() + 1;
    let after = match position {
        PagePosition::Start => None,
        PagePosition::After(cursor) => Some(cursor),
        PagePosition::Before(cursor) => list.page_before(conn, Some(cursor), size)?,
    };
    let mut is_first = after.is_none();
    let mut rows = list.rows(conn, after, page_limit)?;
    if rows.is_empty() && !is_first {
        let after = list.page_before(conn, None, size)?;
        is_first = after.is_none();
        rows = list.rows(conn, after, page_limit)?;
    }
    let more = rows.len() > size.get();
    rows.truncate(size.get());
    let next = rows.last().filter(|_| more).map(|row| list.cursor(row));
    let first = rows.first().filter(|_| !is_first).map(|row| list.cursor(row));
    let preceding = match &first {
        Some(first) => list.reversed().count(conn, Some(first.clone()))?,
        None => BoundedCount::default(),
    };
    let tokens = rows.into_iter().map(token_from_row).collect::<Result<_, _>>()?;
    let found = query.found.filter(|_| query.filter.is_empty());
    Ok(SortedPage {
        tokens,
        total: found.map(|found| BoundedCount::new(found.rows().len().min(BoundedCount::LIMIT))),
        preceding,
        previous: first.filter(|_| preceding != BoundedCount::default()),
        next,
    })
}

/// Returns `true` if no index has the tokens that match in an order.
fn needs_sorting(filter: &ColumnFilter, by: SortKey) -> bool {
    by != SortKey::Created && conditions_on(by, filter) != *filter
}

/// Returns the conditions on the column of an order, which its index can select.
fn conditions_on(by: SortKey, filter: &ColumnFilter) -> ColumnFilter {
    let ColumnFilter {
        name_equals: _,
        owner: _,
        created_by: _,
        state,
        unused_since,
        expires_before,
        value_older_than: _,
        legacy_uuid_auth,
    } = *filter;
    let none = ColumnFilter {
        legacy_uuid_auth,
        ..ColumnFilter::default()
    };
    match by {
        SortKey::Created | SortKey::Name => none,
        SortKey::LastUsed => ColumnFilter {
            state: state.filter(|state| *state == TokenState::NeverUsed),
            unused_since,
            ..none
        },
        SortKey::Expires => ColumnFilter {
            // Active tokens that expire before a time have an index.
            state: state.filter(|state| *state == TokenState::Expired || expires_before.is_some()),
            expires_before,
            ..none
        },
    }
}

/// Returns one or two queries that together yield the list from a position on. The databases sort
/// rows without a key differently, so these rows have their own query.
///
/// The keys of listed rows are expressions without an index: otherwise, a database could look for these rows in the
/// whole index, in the order of the keys.
fn parts<'q>(
    filter: &ColumnFilter,
    found: Option<&'q RowSet>,
    now: Timestamp,
    order: TokenOrder,
    after: Option<SortedCursor>,
) -> Vec<Filtered<'q>> {
    let TokenOrder { by, descending } = order;
    let is_listed = found.is_some();
    let listed = |selected: Filtered<'q>| match found {
        Some(found) => selected.filter(tokens::seq.eq_any(found.rows())),
        None => selected,
    };
    let all = || listed(filtered(filter, now));
    let row = after.as_ref().map(|place| place.row);
    let key = after.map(|place| place.key);
    macro_rules! by_time {
        ($column:expr, $never:expr, $at_some_time:expr, $can_be_absent:expr, $can_be_there:expr) => {{
            let time = match (&key, row) {
                (Some(SortValue::Time(time)), Some(row)) => Some((*time, row)),
                _ => None,
            };
            let never = sorted!(
                $never.filter($column.is_null()),
                tokens::seq,
                row.filter(|_| time.is_none()).map(|row| (row, row)),
                descending
            );
            let at_some_time = $at_some_time.filter($column.is_not_null());
            let at_some_time = if is_listed {
                sorted!(at_some_time, $column.assume_not_null() + 0, time, descending)
            } else {
                sorted!(at_some_time, $column.assume_not_null(), time, descending)
            };
            // Rows without a time sort before all others. A part that cannot contain rows is left
            // out.
            let (in_absent, at_start) = (key == Some(SortValue::Absent), key.is_none());
            let never = Some(never).filter(|_| $can_be_absent && (descending || in_absent || at_start));
            let at_some_time = Some(at_some_time).filter(|_| $can_be_there && !(descending && in_absent));
            let parts = if descending {
                [at_some_time, never]
            } else {
                [never, at_some_time]
            };
            parts.into_iter().flatten().collect()
        }};
    }
    match by {
        SortKey::Created => {
            let behind = row.map(|row| (row, row));
            vec![sorted!(all(), tokens::seq, behind, descending)]
        }
        SortKey::Name => {
            let behind = match (key, row) {
                (Some(SortValue::Name(name)), Some(row)) => Some((name, row)),
                _ => None,
            };
            let behind = behind.map(|(name, row)| (lower(name), row));
            vec![if is_listed {
                sorted!(all(), lower(tokens::name).concat(""), behind, descending)
            } else {
                sorted!(all(), lower(tokens::name), behind, descending)
            }]
        }
        SortKey::LastUsed => {
            let never_used = filter.state == Some(TokenState::NeverUsed);
            // Each part has its own half of the condition on the last use, which its index selects.
            let except_unused = || listed(filtered_except_unused(filter, now));
            let (never, at_some_time) = match filter.unused_since.map(Timestamp::micros) {
                None => (all(), all()),
                Some(since) => (
                    except_unused().filter(tokens::created_at.lt(since)),
                    except_unused().filter(tokens::last_used_at.lt(since)),
                ),
            };
            by_time!(tokens::last_used_at, never, at_some_time, true, !never_used)
        }
        SortKey::Expires => {
            let expire = filter.state == Some(TokenState::Expired) || filter.expires_before.is_some();
            by_time!(tokens::expires_at, all(), all(), !expire, true)
        }
    }
}

fn cursor_after(row: &TokenRow, by: SortKey) -> SortedCursor {
    let time = |time: Option<i64>| time.map_or(SortValue::Absent, SortValue::Time);
    let key = match by {
        SortKey::Created => SortValue::Absent,
        SortKey::Name => SortValue::Name(row.name.clone()),
        SortKey::LastUsed => time(row.last_used_at),
        SortKey::Expires => time(row.expires_at),
    };
    SortedCursor { row: row.seq, key }
}
