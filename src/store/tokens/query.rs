//! The tokens that queries select.

use diesel::{
    BoolExpressionMethods, Connection, ExpressionMethods, QueryDsl, Queryable, Selectable, define_sql_function,
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

impl TokenQuery<'_> {
    /// Selects the tokens that meet the conditions on columns, without an order.
    pub(super) fn filtered<'f>(self) -> Filtered<'f> {
        filtered(self.filter, self.now)
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
pub(super) fn filtered<'f>(filter: &ColumnFilter, now: Timestamp) -> Filtered<'f> {
    let query = filtered_except_unused(filter, now);
    match filter.unused_since.map(Timestamp::micros) {
        None => query,
        Some(since) => {
            let never = tokens::last_used_at.is_null().and(tokens::created_at.lt(since));
            query.filter(tokens::last_used_at.lt(since).or(never))
        }
    }
}

/// Selects the tokens that match `filter`, without an order, as queries for disjoint parts. A database may read all tokens
/// for the disjunction in the condition on the last use; each half of it has an index.
pub(super) fn filtered_parts<'f>(filter: &ColumnFilter, now: Timestamp) -> Vec<Filtered<'f>> {
    let query = || filtered_except_unused(filter, now);
    match filter.unused_since.map(Timestamp::micros) {
        None => vec![query()],
        Some(since) => vec![
            query().filter(tokens::last_used_at.lt(since)),
            query().filter(tokens::last_used_at.is_null().and(tokens::created_at.lt(since))),
        ],
    }
}

/// Selects the tokens that match `filter`, or would if they had not been used lately, without an order.
pub(super) fn filtered_except_unused<'f>(filter: &ColumnFilter, now: Timestamp) -> Filtered<'f> {
    // Exhaustive: a filter that is ignored would make a bulk deletion delete too much.
    let ColumnFilter {
        name_equals,
        owner,
        created_by,
        state,
        unused_since: _,
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
    if let Some(before) = *expires_before {
        query = query.filter(tokens::expires_at.lt(before.micros()));
    }
    if let Some(before) = value_older_than.map(Timestamp::micros) {
        let value_created_at = coalesce(tokens::rotated_at, tokens::created_at);
        query = query.filter(tokens::value_hash.is_not_null().and(value_created_at.lt(before)));
    }
    query
}

/// The columns of a token that conditions are on.
#[derive(Queryable, Selectable)]
#[diesel(table_name = tokens)]
pub(super) struct ConditionColumns {
    name: String,
    owner: Option<String>,
    created_by_id: String,
    created_at: i64,
    rotated_at: Option<i64>,
    last_used_at: Option<i64>,
    expires_at: Option<i64>,
    disabled_at: Option<i64>,
    value_hash: Option<Vec<u8>>,
}

impl ConditionColumns {
    /// Returns `true` if the token matches, exactly if [`filtered`] selects it.
    pub(super) fn match_filter(&self, filter: &ColumnFilter, now: Timestamp) -> bool {
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
        let has_value = self.value_hash.is_some();
        let is_before = |time: Option<i64>, end: Timestamp| time.is_some_and(|time| time < end.micros());
        let is_expired = self.expires_at.is_some_and(|time| time <= now.micros());
        let is_one_of = |text: &String, searched: &String| forms(searched).contains(text);
        name_equals.as_ref().is_none_or(|name| is_one_of(&self.name, name))
            && (owner.as_ref()).is_none_or(|owner| self.owner.as_deref() == Some(&*to_nfc(owner)))
            && (created_by.as_ref()).is_none_or(|creator| is_one_of(&self.created_by_id, creator))
            && state.is_none_or(|state| match state {
                TokenState::Active => self.disabled_at.is_none() && (has_value || *legacy_uuid_auth) && !is_expired,
                TokenState::Disabled => self.disabled_at.is_some(),
                TokenState::Expired => is_expired,
                TokenState::NeverUsed => self.last_used_at.is_none(),
                TokenState::Legacy => !has_value,
            })
            && unused_since.is_none_or(|since| is_before(self.last_used_at.or(Some(self.created_at)), since))
            && expires_before.is_none_or(|end| is_before(self.expires_at, end))
            && value_older_than.is_none_or(|end| has_value && is_before(self.rotated_at.or(Some(self.created_at)), end))
    }
}
