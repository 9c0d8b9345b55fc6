//! Queries on tokens by filter.

use diesel::{
    BoolExpressionMethods, BoxableExpression, Connection, ExpressionMethods, IntoSql, QueryDsl, QueryResult,
    RunQueryDsl, TextExpressionMethods,
    connection::DefaultLoadingMode,
    define_sql_function,
    dsl::count_star,
    sql_types::{BigInt, Bool, Nullable, Text},
};

use super::{
    TokenRow,
    text_search::{SearchedColumn, TextContains},
    token_from_row,
};
use crate::{
    domain::{
        clock::Timestamp,
        name::TokenName,
        page::{Cursor, Page, PageSize, TokenFilter, TokenState},
        permission::PermissionSet,
        text::{fold_case, to_nfc, to_nfd},
        token::{TokenId, TokenIdPrefix, TokenSummary},
    },
    store::{
        columns::decode,
        connection::{AnyConnection, with_conn},
        error::StoreError,
        functions::blocks_overlap,
        schema::tokens,
    },
};

define_sql_function! {
    /// Replaces all occurrences of a substring. It is the only search for a substring that has the
    /// same semantics in both databases.
    fn replace(text: Text, part: Text, by: Text) -> Text;
}

define_sql_function! {
    /// Converts a text to lower case: only ASCII letters in SQLite, all letters of the locale in
    /// PostgreSQL.
    fn lower(text: Text) -> Text;
}

define_sql_function! {
    /// Returns the first argument that is not null.
    fn coalesce(first: Nullable<BigInt>, second: BigInt) -> BigInt;
}

/// Returns a page of the tokens that match `filter`, oldest first, starting after `after`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn page(
    conn: &mut AnyConnection,
    filter: &TokenFilter,
    after: Cursor,
    size: PageSize,
    now: Timestamp,
) -> Result<Page, StoreError> {
    let page_limit = i64::try_from(size.get() + 1).unwrap_or(i64::MAX);
    let mut rows: Vec<TokenRow> = filtered(filter, now)
        .filter(tokens::seq.gt(after.row()))
        .order(tokens::seq.asc())
        .limit(page_limit)
        .load(conn)?;
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
pub fn count(conn: &mut AnyConnection, filter: &TokenFilter, now: Timestamp) -> Result<i64, StoreError> {
    Ok(filtered(filter, now).select(count_star()).first(conn)?)
}

/// Returns the sorted IDs of the tokens that match `filter`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn ids(conn: &mut AnyConnection, filter: &TokenFilter, now: Timestamp) -> Result<Vec<TokenId>, StoreError> {
    const BATCH_SIZE: i64 = 10_000;
    let mut ids = Vec::new();
    let mut last = String::new();
    loop {
        let mut found: Vec<String> = filtered(filter, now)
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

type Backend = <AnyConnection as Connection>::Backend;
pub(super) type Filtered<'f> = tokens::BoxedQuery<'f, Backend>;
type Condition = Box<dyn BoxableExpression<tokens::table, Backend, SqlType = Bool>>;

/// Returns a text in the normal form of names and in the one that earlier versions may have stored.
fn forms(part: &str) -> [String; 2] {
    [to_nfc(part).into_owned(), to_nfd(part).into_owned()]
}

/// Selects the rows whose column is a text, in either normal form. A single comparison keeps the order of the column's
/// index.
macro_rules! equals {
    ($query:expr, $column:expr, $text:expr) => {
        match forms($text) {
            [composed, decomposed] if composed == decomposed => $query.filter($column.eq(composed)),
            either => $query.filter($column.eq_any(either)),
        }
    };
}

/// Builds the condition that a column contains a text in any case, in either normal form.
fn contains(column: SearchedColumn, part: &str) -> Condition {
    match forms(part).map(|form| fold_case(&form)) {
        [composed, decomposed] if composed == decomposed => Box::new(TextContains::new(column, composed)),
        [composed, decomposed] => {
            Box::new(TextContains::new(column, composed).or(TextContains::new(column, decomposed)))
        }
    }
}

/// Builds the condition that a token is found by a text.
fn is_found_by(text: &str) -> Condition {
    if let Ok(id) = text.parse::<TokenId>() {
        return Box::new(tokens::id.eq(id.to_string()));
    }
    let in_name = contains(SearchedColumn::Name, text);
    let found = in_name.or(contains(SearchedColumn::Owner, text));
    match text.parse::<TokenIdPrefix>() {
        Ok(TokenIdPrefix { first, last }) => {
            Box::new(found.or(tokens::id.between(first.to_string(), last.to_string())))
        }
        Err(_) => Box::new(found),
    }
}

/// Selects the tokens that match `filter`, without an order.
pub(super) fn filtered(filter: &TokenFilter, now: Timestamp) -> Filtered<'_> {
    // Exhaustive: a filter that is ignored would make a bulk deletion delete too much.
    let TokenFilter {
        search,
        name,
        name_equals,
        owner,
        created_by,
        permission,
        network,
        state,
        unused_since,
        expires_before,
        value_older_than,
        legacy_uuid_auth,
    } = filter;
    let mut query = tokens::table.into_boxed();
    if let Some(text) = search {
        query = query.filter(is_found_by(text));
    }
    if let Some(part) = name {
        query = query.filter(contains(SearchedColumn::Name, part));
    }
    if let Some(name) = name_equals {
        query = equals!(query, tokens::name, name);
    }
    if let Some(owner) = owner {
        query = query.filter(tokens::owner.eq(to_nfc(owner).into_owned()));
    }
    if let Some(actor) = created_by {
        query = equals!(query, tokens::created_by_id, actor);
    }
    if let Some(permission) = permission {
        let names = || " ".into_sql::<Text>().concat(tokens::permissions).concat(" ");
        query = query.filter(replace(names(), format!(" {} ", permission.name()), "").ne(names()));
    }
    if let Some(network) = network {
        query = query.filter(blocks_overlap(tokens::allowed_cidr_blocks, network.to_string()));
    }
    let not_expired = tokens::expires_at.is_null().or(tokens::expires_at.gt(now.micros()));
    query = match *state {
        None => query,
        Some(TokenState::Active) => {
            query = query.filter(tokens::disabled_at.is_null());
            if !legacy_uuid_auth {
                query = query.filter(tokens::value_hash.is_not_null());
            }
            // Tokens that expire before a time do expire, so those that never expire need not be
            // scanned.
            if expires_before.is_some() {
                query.filter(tokens::expires_at.gt(now.micros()))
            } else {
                query.filter(not_expired)
            }
        }
        Some(TokenState::Disabled) => query.filter(tokens::disabled_at.is_not_null()),
        Some(TokenState::Expired) => query.filter(tokens::expires_at.le(now.micros())),
        Some(TokenState::NeverUsed) => query.filter(tokens::last_used_at.is_null()),
        Some(TokenState::Legacy) => query.filter(tokens::value_hash.is_null()),
    };
    if let Some(since) = unused_since.map(Timestamp::micros) {
        let never = tokens::last_used_at.is_null().and(tokens::created_at.lt(since));
        query = query.filter(tokens::last_used_at.lt(since).or(never));
    }
    if let Some(before) = *expires_before {
        query = query.filter(tokens::expires_at.lt(before.micros()));
    }
    if let Some(before) = value_older_than.map(Timestamp::micros) {
        let value_created_at = coalesce(tokens::rotated_at, tokens::created_at);
        query = query.filter(tokens::value_hash.is_not_null().and(value_created_at.lt(before)));
    }
    query
}
