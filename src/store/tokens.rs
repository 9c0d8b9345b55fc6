//! Queries on tokens and their values.

mod claim;
mod counts;
mod found;
mod grace;
mod list;
mod many;
mod query;
mod search;
mod sorted;
mod values;

use diesel::{
    AsChangeset, BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable,
    RunQueryDsl,
};
use serde::Serialize;

use super::{
    columns::{decode, decode_actor},
    connection::{AnyConnection, with_conn},
    error::StoreError,
    schema::tokens,
};
use crate::domain::{
    annotation::{Description, Owner},
    clock::Timestamp,
    name::TokenName,
    token::{Attribution, Token, TokenId, TokenVersion},
    value::ValueHash,
};
pub use claim::{claim_value, reissue_value, set_unclaimed};
pub use counts::counts;
pub use grace::{GraceValue, find_grace_values};
pub use list::{count, page, visit_summaries};
pub use many::{FieldChange, delete_all, find_all, find_names, lock_all, record_use, update_all};
pub use query::TokenQuery;
pub use search::{ids, rows_after, search_fields_between, search_fields_of};
pub use sorted::sorted_page;
pub(super) use values::find_by_values;
pub use values::{
    TokenByValue, delete_grace_value, find_by_value, prune_and_count_grace_values, replace_value, shorten_grace_period,
};

/// A stored token.
#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = tokens)]
pub(super) struct TokenRow {
    pub(super) seq: i64,
    id: String,
    name: String,
    permissions: String,
    allowed_cidr_blocks: String,
    pub(super) value_hash: Option<Vec<u8>>,
    created_at: i64,
    created_by_type: String,
    created_by_id: String,
    updated_at: Option<i64>,
    updated_by_type: Option<String>,
    updated_by_id: Option<String>,
    rotated_at: Option<i64>,
    last_used_at: Option<i64>,
    expires_at: Option<i64>,
    version: i64,
    description: Option<String>,
    owner: Option<String>,
    disabled_at: Option<i64>,
    value_unclaimed: bool,
}

/// A token to insert or overwrite.
#[derive(Insertable, AsChangeset)]
#[diesel(table_name = tokens, treat_none_as_null = true, treat_none_as_default_value = false)]
pub(super) struct NewTokenRow<'a> {
    id: String,
    name: &'a str,
    permissions: String,
    allowed_cidr_blocks: String,
    value_hash: Option<&'a [u8]>,
    created_at: i64,
    created_by_type: &'a str,
    created_by_id: &'a str,
    updated_at: Option<i64>,
    updated_by_type: Option<&'a str>,
    updated_by_id: Option<&'a str>,
    rotated_at: Option<i64>,
    last_used_at: Option<i64>,
    expires_at: Option<i64>,
    version: i64,
    description: Option<&'a str>,
    owner: Option<&'a str>,
    disabled_at: Option<i64>,
    value_unclaimed: bool,
}

impl<'a> NewTokenRow<'a> {
    /// Creates a row from a token and the hash of its value, if it has one.
    pub(super) fn new(token: &'a Token, value: Option<&'a ValueHash>) -> Self {
        // Exhaustive, so that a new field does not compile until it is stored.
        let Token {
            id,
            name,
            permissions,
            allowed_cidr_blocks,
            has_value: _, // Implied by the hash.
            created,
            updated,
            rotated_at,
            last_used_at,
            expires_at,
            description,
            owner,
            disabled_at,
            version,
        } = token;
        let updated = updated.as_ref();
        Self {
            id: id.to_string(),
            name: name.as_str(),
            permissions: permissions.to_string(),
            allowed_cidr_blocks: allowed_cidr_blocks.to_string(),
            value_hash: value.map(|hash| hash.as_bytes().as_slice()),
            created_at: created.at.micros(),
            created_by_type: created.by.kind.name(),
            created_by_id: &created.by.id,
            updated_at: updated.map(|change| change.at.micros()),
            updated_by_type: updated.map(|change| change.by.kind.name()),
            updated_by_id: updated.map(|change| change.by.id.as_str()),
            rotated_at: rotated_at.map(Timestamp::micros),
            last_used_at: last_used_at.map(Timestamp::micros),
            expires_at: expires_at.time().map(Timestamp::micros),
            version: version.number(),
            description: description.as_ref().map(Description::as_str),
            owner: owner.as_ref().map(Owner::as_str),
            disabled_at: disabled_at.map(Timestamp::micros),
            value_unclaimed: false,
        }
    }
}

/// Adds a token, with the hash of its value if it has one.
///
/// # Errors
/// [`StoreError::AlreadyExists`] if its ID or value exists.
pub fn insert(conn: &mut AnyConnection, token: &Token, value: Option<&ValueHash>) -> Result<(), StoreError> {
    let insert = diesel::insert_into(tokens::table).values(NewTokenRow::new(token, value));
    with_conn!(conn, conn => insert.execute(conn)?, insert.execute(conn)?);
    Ok(())
}

/// Returns the token with this ID.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find(conn: &mut AnyConnection, id: TokenId) -> Result<Option<Token>, StoreError> {
    let row = tokens::table
        .filter(tokens::id.eq(id.to_string()))
        .first(conn)
        .optional()?;
    row.map(token_from_row).transpose()
}

/// Returns the token with this ID. No other transaction can change it until this one ends.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find_and_lock(conn: &mut AnyConnection, id: TokenId) -> Result<Option<Token>, StoreError> {
    let query = tokens::table.filter(tokens::id.eq(id.to_string()));
    let row = with_conn!(conn, conn => query.first(conn), query.for_update().first(conn)).optional()?;
    row.map(token_from_row).transpose()
}

/// Locks a token against changes until the transaction ends, if it exists.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn lock(conn: &mut AnyConnection, id: TokenId) -> Result<(), StoreError> {
    match conn {
        AnyConnection::Sqlite(_) => {} // SQLite has one writer and needs no locks.
        AnyConnection::Postgres(conn) => {
            let query = tokens::table.filter(tokens::id.eq(id.to_string())).select(tokens::seq);
            query.for_share().load::<i64>(conn)?;
        }
    }
    Ok(())
}

/// Writes the fields of `token` that an update changes. Returns `false` if no token has this ID and the version
/// `previous`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn update(conn: &mut AnyConnection, token: &Token, previous: TokenVersion) -> Result<bool, StoreError> {
    let Token {
        id,
        name,
        permissions,
        allowed_cidr_blocks,
        updated,
        expires_at,
        description,
        owner,
        disabled_at,
        version,
        // Not changed by an update.
        has_value: _,
        created: _,
        rotated_at: _,
        last_used_at: _,
    } = token;
    let updated = updated.as_ref();
    let is_current = tokens::version.eq(previous.number());
    let this = tokens::id.eq(id.to_string()).and(is_current);
    let changed = diesel::update(tokens::table.filter(this))
        .set((
            tokens::version.eq(version.number()),
            tokens::name.eq(name.as_str()),
            tokens::permissions.eq(permissions.to_string()),
            tokens::allowed_cidr_blocks.eq(allowed_cidr_blocks.to_string()),
            tokens::expires_at.eq(expires_at.time().map(Timestamp::micros)),
            tokens::description.eq(description.as_ref().map(Description::as_str)),
            tokens::owner.eq(owner.as_ref().map(Owner::as_str)),
            tokens::disabled_at.eq(disabled_at.map(Timestamp::micros)),
            tokens::updated_at.eq(updated.map(|change| change.at.micros())),
            tokens::updated_by_type.eq(updated.map(|change| change.by.kind.name())),
            tokens::updated_by_id.eq(updated.map(|change| change.by.id.as_str())),
        ))
        .execute(conn)?;
    Ok(changed == 1)
}

/// Removes a token and its values. Returns `false` if the token does not exist.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete(conn: &mut AnyConnection, id: TokenId) -> Result<bool, StoreError> {
    let removed = diesel::delete(tokens::table.filter(tokens::id.eq(id.to_string()))).execute(conn)?;
    Ok(removed == 1)
}

/// Converts a row to a token.
pub(super) fn token_from_row(row: TokenRow) -> Result<Token, StoreError> {
    let updated = match (row.updated_at, row.updated_by_type, row.updated_by_id) {
        (Some(at), Some(kind), Some(id)) => Some(Attribution {
            at: decode(at)?,
            by: decode_actor(&kind, id)?,
        }),
        _ => None,
    };
    Ok(Token {
        id: decode(row.id.as_str())?,
        name: TokenName::from_stored(row.name),
        permissions: decode(row.permissions.as_str())?,
        allowed_cidr_blocks: decode(row.allowed_cidr_blocks.as_str())?,
        has_value: row.value_hash.is_some(),
        created: Attribution {
            at: decode(row.created_at)?,
            by: decode_actor(&row.created_by_type, row.created_by_id)?,
        },
        updated,
        rotated_at: row.rotated_at.map(decode).transpose()?,
        last_used_at: row.last_used_at.map(decode).transpose()?,
        expires_at: row.expires_at.map(decode).transpose()?.into(),
        description: row.description.map(Description::from_stored),
        owner: row.owner.map(Owner::from_stored),
        disabled_at: row.disabled_at.map(decode).transpose()?,
        version: decode(row.version)?,
    })
}
