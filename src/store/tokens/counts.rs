//! Numbers of tokens, counted up to a maximum.

use std::borrow::Cow;

use diesel::{
    ExpressionMethods, QueryDsl, QueryResult, RunQueryDsl, SelectableHelper,
    backend::Backend,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::BigInt,
};

use super::{
    found::{count_among, narrow, to_limit},
    query::{ConditionColumns, Filtered, TokenQuery, filtered_parts},
};
use crate::{
    domain::{
        page::{BoundedCount, ColumnFilter, ListCounts},
        search::RowSet,
    },
    store::{connection::AnyConnection, error::StoreError, schema::tokens},
};

/// `SELECT COUNT(*)` over a query with a limit, which diesel cannot build.
#[derive(QueryId)]
struct CountOf<T>(T);

impl<T> Query for CountOf<T> {
    type SqlType = BigInt;
}

impl<T, Conn> RunQueryDsl<Conn> for CountOf<T> {}

impl<DB: Backend, T: QueryFragment<DB>> QueryFragment<DB> for CountOf<T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("SELECT COUNT(*) FROM (");
        self.0.walk_ast(out.reborrow())?;
        out.push_sql(") AS counted");
        Ok(())
    }
}

/// Returns the number of tokens that the queries select together.
///
/// # Errors
/// [`StoreError`] if a query fails.
pub(super) fn count_bounded<'f>(
    conn: &mut AnyConnection,
    queries: impl IntoIterator<Item = Filtered<'f>>,
) -> Result<BoundedCount, StoreError> {
    let mut counted = 0;
    for query in queries {
        let limited = query.select(tokens::seq).limit(to_limit(BoundedCount::LIMIT - counted));
        counted += usize::try_from(CountOf(limited).get_result::<i64>(conn)?).unwrap_or(0);
    }
    Ok(BoundedCount::new(counted))
}

/// Maximum number of tokens whose columns are read to count those that match each narrower filter.
const MAX_COUNTED: usize = 1000;

/// Returns the number of tokens that a query selects, and of those among them that match each of the `narrower`
/// filters. If the query has conditions or a search, and selects more than 1,000, only it is counted.
///
/// # Errors
/// [`StoreError`] if a query fails.
pub fn counts(
    conn: &mut AnyConnection,
    query: TokenQuery<'_>,
    narrower: &[ColumnFilter],
) -> Result<ListCounts, StoreError> {
    let now = query.now;
    let (all, rows) = match narrow(conn, query)? {
        Some((found, filter)) => {
            let query = TokenQuery { filter, ..query };
            let all = count_among(conn, query, found.rows(), BoundedCount::LIMIT)?;
            (all, found)
        }
        None if query.filter.is_empty() => {
            let all = count_bounded(conn, [query.filtered()])?;
            let counts = narrower
                .iter()
                .map(|filter| count_bounded(conn, filtered_parts(filter, now)).map(Some));
            let narrower = counts.collect::<Result<_, _>>()?;
            return Ok(ListCounts { all, narrower });
        }
        None => {
            let first = query.filtered().select(tokens::seq);
            let mut rows: Vec<i64> = first.limit(to_limit(BoundedCount::LIMIT)).load(conn)?;
            rows.sort_unstable();
            (rows.len(), Cow::Owned(RowSet::from_sorted(rows)))
        }
    };
    let all = BoundedCount::new(all);
    if narrower.is_empty() || rows.rows().len() > MAX_COUNTED {
        let counts = narrower
            .iter()
            .map(|filter| Some(all).filter(|_| filter == query.filter));
        let narrower = counts.collect();
        return Ok(ListCounts { all, narrower });
    }
    let columns: Vec<ConditionColumns> = tokens::table
        .filter(tokens::seq.eq_any(rows.rows()))
        .select(ConditionColumns::as_select())
        .load(conn)?;
    let count = |filter: &ColumnFilter| columns.iter().filter(|token| token.match_filter(filter, now)).count();
    let narrower = narrower
        .iter()
        .map(|filter| Some(BoundedCount::new(count(filter))))
        .collect();
    Ok(ListCounts { all, narrower })
}
