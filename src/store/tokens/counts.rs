//! Numbers of tokens, counted up to a maximum.

use diesel::{
    ExpressionMethods, QueryDsl, QueryResult, RunQueryDsl,
    backend::Backend,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::BigInt,
};

use super::list::{Filtered, filtered};
use crate::{
    domain::{
        clock::Timestamp,
        page::{BoundedCount, ListCounts, TokenFilter},
    },
    store::{connection::AnyConnection, error::StoreError, schema::tokens},
};

/// Number of rows at which a count stops.
const LIMIT: i64 = BoundedCount::MAX.cast_signed() + 1;

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
        let limited = query.select(tokens::seq).limit(LIMIT - counted);
        counted += CountOf(limited).get_result::<i64>(conn)?;
    }
    Ok(BoundedCount::new(counted.unsigned_abs()))
}

/// Returns the number of tokens that match `filter`, and of those that match each of the `narrower` filters. Without an
/// index, only the tokens that match `filter` are read for the latter, if they are few enough to be counted.
///
/// # Errors
/// [`StoreError`] if a query fails.
pub fn counts(
    conn: &mut AnyConnection,
    filter: &TokenFilter,
    narrower: &[TokenFilter],
    now: Timestamp,
) -> Result<ListCounts, StoreError> {
    if filter.is_indexed() {
        let all = count_bounded(conn, [filtered(filter, now)])?;
        let counts = narrower
            .iter()
            .map(|one| count_bounded(conn, [filtered(one, now)]).map(Some));
        let narrower = counts.collect::<Result<_, _>>()?;
        return Ok(ListCounts { all, narrower });
    }
    let rows: Vec<i64> = filtered(filter, now).select(tokens::seq).limit(LIMIT).load(conn)?;
    let all = BoundedCount::new(rows.len() as u64);
    let mut count = |one: &TokenFilter| match all.exact() {
        Some(_) => count_bounded(conn, [filtered(one, now).filter(tokens::seq.eq_any(&rows))]).map(Some),
        None if one == filter => Ok(Some(all)),
        None => Ok(None),
    };
    let narrower = narrower.iter().map(&mut count).collect::<Result<_, _>>()?;
    Ok(ListCounts { all, narrower })
}
