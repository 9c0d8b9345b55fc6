//! The tokens that queries select.

use diesel::{
    BoolExpressionMethods, Connection, ExpressionMethods, QueryDsl, define_sql_function,
    sql_types::{BigInt, Nullable, Text},
};

use crate::{
    domain::{
        clock::Timestamp,
        page::{ColumnFilter, TokenState},
        search::RowSet,
        text::{to_nfc, to_nfd},
    },
    store::{connection::AnyConnection, schema::tokens},
};

/// Maximum number of rows that a query lists. SQLite allows 32,766 values.
pub(super) const MAX_LISTED_ROWS: usize = 20_000;

define_sql_function! {
    /// Converts a text to lower case: only ASCII letters in SQLite, all letters of the locale in
    /// PostgreSQL.
    fn lower(text: Text) -> Text;
}

define_sql_function! {
    /// Returns the first argument that is not null.
    fn coalesce(first: Nullable<BigInt>, second: BigInt) -> BigInt;
}

/// The tokens that a query selects.
#[derive(Clone, Copy)]
pub struct TokenQuery<'q> {
    /// The conditions on columns.
    pub filter: &'q ColumnFilter,
    /// The rows that a search found, if there was one.
    pub found: Option<&'q RowSet>,
    /// The current time, on which the state of a token depends.
    pub now: Timestamp,
}

impl<'q> TokenQuery<'q> {
    /// Selects the tokens that meet the conditions on columns, without an order.
    pub(super) fn filtered(self) -> Filtered<'q> {
        filtered(self.filter, self.now)
    }

    /// Returns `true` if a search found few enough rows to list them.
    pub(super) fn is_listed(self) -> bool {
        self.found.is_some_and(|found| found.rows().len() <= MAX_LISTED_ROWS)
    }

    /// Selects the tokens of the query, without an order, if the found rows can be listed; otherwise all tokens.
    pub(super) fn selected(self) -> Filtered<'q> {
        match self.found {
            Some(found) if self.is_listed() => self.filtered().filter(tokens::seq.eq_any(found.rows())),
            Some(_) => tokens::table.into_boxed(),
            None => self.filtered(),
        }
    }
}

type Backend = <AnyConnection as Connection>::Backend;
/// A query on tokens without an order.
pub(super) type Filtered<'f> = tokens::BoxedQuery<'f, Backend>;

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

/// Selects the tokens that match `filter`, without an order.
pub(super) fn filtered(filter: &ColumnFilter, now: Timestamp) -> Filtered<'_> {
    // Exhaustive: a filter that is ignored would make a bulk deletion delete too much.
    let ColumnFilter {
        name_equals,
        owner,
        created_by,
        state,
        unused_since,
        expires_before,
        value_older_than,
        legacy_uuid_auth,
    } = filter;
    let mut query = tokens::table.into_boxed();
    if let Some(name) = name_equals {
        query = equals!(query, tokens::name, name);
    }
    if let Some(owner) = owner {
        query = query.filter(tokens::owner.eq(to_nfc(owner).into_owned()));
    }
    if let Some(actor) = created_by {
        query = equals!(query, tokens::created_by_id, actor);
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
