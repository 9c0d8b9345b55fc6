//! Sorted pages of tokens.

use diesel::{BoolExpressionMethods, ExpressionMethods, NullableExpressionMethods, QueryDsl, RunQueryDsl};

use super::{
    TokenRow,
    counts::count_bounded,
    list::{Filtered, filtered, lower},
    token_from_row,
};
use crate::{
    domain::{
        clock::Timestamp,
        page::{BoundedCount, PageSize, TokenFilter, TokenState},
        sort::{PagePosition, SortKey, SortValue, SortedCursor, SortedPage, TokenOrder},
    },
    store::{connection::AnyConnection, error::StoreError, schema::tokens},
};

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
struct SortedList<'f> {
    filter: &'f TokenFilter,
    order: TokenOrder,
    now: Timestamp,
}

impl<'f> SortedList<'f> {
    /// Returns the queries that together yield the list, from a position on.
    fn parts(&self, after: Option<SortedCursor>) -> Vec<Filtered<'f>> {
        parts(self.filter, self.order, after, self.now)
    }

    /// Returns the list in the opposite order.
    const fn reversed(&self) -> Self {
        Self {
            order: self.order.reversed(),
            ..*self
        }
    }

    /// Reads up to `limit` rows from a position on.
    fn rows(
        &self,
        conn: &mut AnyConnection,
        after: Option<SortedCursor>,
        limit: usize,
    ) -> Result<Vec<TokenRow>, StoreError> {
        let mut rows: Vec<TokenRow> = Vec::new();
        for part in self.parts(after) {
            let missing = i64::try_from(limit - rows.len()).unwrap_or(i64::MAX);
            rows.extend(part.limit(missing).load::<TokenRow>(conn)?);
            if rows.len() == limit {
                break;
            }
        }
        Ok(rows)
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

/// Returns a page of the tokens that match `filter`, in this order. A position behind the last token stands for the
/// last page.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn sorted_page(
    conn: &mut AnyConnection,
    filter: &TokenFilter,
    order: TokenOrder,
    position: PagePosition,
    size: PageSize,
    now: Timestamp,
) -> Result<SortedPage, StoreError> {
    let list = SortedList { filter, order, now };
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
        Some(first) => count_bounded(conn, list.reversed().parts(Some(first.clone())))?,
        None => BoundedCount::default(),
    };
    let tokens = rows.into_iter().map(token_from_row).collect::<Result<_, _>>()?;
    Ok(SortedPage {
        tokens,
        preceding,
        previous: first.filter(|_| preceding != BoundedCount::default()),
        next,
    })
}

/// Returns one or two queries that together yield the list from a position on. The databases sort
/// rows without a key differently, so these rows have their own query.
fn parts(filter: &TokenFilter, order: TokenOrder, after: Option<SortedCursor>, now: Timestamp) -> Vec<Filtered<'_>> {
    let TokenOrder { by, descending } = order;
    let all = || filtered(filter, now);
    let row = after.as_ref().map(|place| place.row);
    let key = after.map(|place| place.key);
    macro_rules! by_time {
        ($column:expr, $can_be_absent:expr, $can_be_there:expr) => {{
            let time = match (&key, row) {
                (Some(SortValue::Time(time)), Some(row)) => Some((*time, row)),
                _ => None,
            };
            let never = sorted!(
                all().filter($column.is_null()),
                tokens::seq,
                row.filter(|_| time.is_none()).map(|row| (row, row)),
                descending
            );
            let at_some_time = sorted!(
                all().filter($column.is_not_null()),
                $column.assume_not_null(),
                time,
                descending
            );
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
            vec![sorted!(all(), lower(tokens::name), behind, descending)]
        }
        SortKey::LastUsed => {
            let never_used = filter.state == Some(TokenState::NeverUsed);
            by_time!(tokens::last_used_at, true, !never_used)
        }
        SortKey::Expires => {
            let expire = filter.state == Some(TokenState::Expired) || filter.expires_before.is_some();
            by_time!(tokens::expires_at, !expire, true)
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
