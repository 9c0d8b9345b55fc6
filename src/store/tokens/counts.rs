//! Numbers of tokens, counted up to a maximum.

use diesel::{
    QueryDsl, QueryResult, RunQueryDsl,
    backend::Backend,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::BigInt,
};

use super::{
    found::{count_among, narrow, to_limit},
    query::{Filtered, TokenQuery, filtered},
};
use crate::{
    domain::page::{BoundedCount, ColumnFilter, ListCounts},
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

/// Maximum number of found rows that are counted for each narrower filter.
const MAX_COUNTED: usize = 1000;

/// Returns the number of tokens that a query selects, and of those among them that match each of the `narrower`
/// filters. If a search found more than 1,000, only filters that exclude nothing are counted.
///
/// # Errors
/// [`StoreError`] if a query fails.
pub fn counts(
    conn: &mut AnyConnection,
    query: TokenQuery<'_>,
    narrower: &[ColumnFilter],
) -> Result<ListCounts, StoreError> {
    let Some((found, filter)) = narrow(conn, query)? else {
        let all = count_bounded(conn, [query.filtered()])?;
        let counts = narrower
            .iter()
            .map(|filter| count_bounded(conn, [filtered(filter, query.now)]).map(Some));
        let narrower = counts.collect::<Result<_, _>>()?;
        return Ok(ListCounts { all, narrower });
    };
    let count_found = |conn: &mut AnyConnection, filter: &ColumnFilter| {
        let query = TokenQuery {
            filter,
            found: None,
            now: query.now,
        };
        count_among(conn, query, found.rows(), BoundedCount::LIMIT).map(BoundedCount::new)
    };
    let all = count_found(conn, filter)?;
    let is_countable = found.rows().len() <= MAX_COUNTED;
    let mut count = |one: &ColumnFilter| match one {
        one if one == query.filter => Ok(Some(all)),
        one if is_countable => count_found(conn, one).map(Some),
        _ => Ok(None),
    };
    let narrower = narrower.iter().map(&mut count).collect::<Result<_, _>>()?;
    Ok(ListCounts { all, narrower })
}
