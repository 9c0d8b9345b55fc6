//! Queries on tokens and their values.

mod claim;
mod list;
mod sorted;

use std::collections::HashMap;

use diesel::{
    AsChangeset, BoolExpressionMethods, CombineDsl, ExpressionMethods, Insertable, IntoSql, NullableExpressionMethods,
    OptionalExtension, QueryDsl, Queryable, RunQueryDsl, sql_query,
    sql_types::{Array, BigInt, Nullable, Text},
};
use serde::Serialize;

use super::{
    columns::{decode, decode_actor},
    connection::{AnyConnection, with_conn},
    error::StoreError,
    schema::{grace_values, tokens},
};
use crate::domain::{
    annotation::{Description, Owner},
    clock::{MAX_CLOCK_SKEW, Timestamp},
    name::TokenName,
    token::{Attribution, MAX_GRACE_PERIOD, Token, TokenId, TokenVersion},
    value::ValueHash,
};
pub use claim::{claim_value, reissue_value, set_unclaimed};
pub use list::{count, ids, page, summaries};
pub use sorted::sorted_page;

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

/// A token found by a value.
#[derive(Clone, Debug)]
pub struct TokenByValue {
    /// The token. It may have expired.
    pub token: Token,
    /// The end of the grace period if it is a previous value. It may be over.
    pub valid_until: Option<Timestamp>,
    /// `true` for a current value that was issued under an idempotency key and has never been presented. It has to be
    /// claimed with [`claim_value`] before it authenticates a request.
    pub is_unclaimed: bool,
}

/// Returns the token that this value belongs to.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find_by_value(conn: &mut AnyConnection, value: &ValueHash) -> Result<Option<TokenByValue>, StoreError> {
    let hash = value.as_bytes().as_slice();
    let current = tokens::table
        .filter(tokens::value_hash.eq(hash))
        .select((tokens::all_columns, None::<i64>.into_sql::<Nullable<BigInt>>()));
    let earlier = grace_values::table
        .inner_join(tokens::table)
        .filter(grace_values::value_hash.eq(hash))
        .select((tokens::all_columns, grace_values::valid_until.nullable()));
    let either = current.union_all(earlier).limit(1);
    let found: Vec<(TokenRow, Option<i64>)> = with_conn!(conn, conn => either.load(conn)?, either.load(conn)?);
    found.into_iter().next().map(token_by_value).transpose()
}

/// Returns the tokens that `values` belong to. A malformed row is an error only for its own values.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub(super) fn find_by_values(
    conn: &mut AnyConnection,
    values: &[ValueHash],
) -> Result<HashMap<ValueHash, Result<TokenByValue, StoreError>>, StoreError> {
    let hashes: Vec<&[u8]> = values.iter().map(|value| value.as_bytes().as_slice()).collect();
    let current = tokens::table.filter(tokens::value_hash.eq_any(&hashes)).select((
        tokens::value_hash,
        tokens::all_columns,
        None::<i64>.into_sql::<Nullable<BigInt>>(),
    ));
    let earlier = grace_values::table
        .inner_join(tokens::table)
        .filter(grace_values::value_hash.eq_any(&hashes))
        .select((
            grace_values::value_hash.nullable(),
            tokens::all_columns,
            grace_values::valid_until.nullable(),
        ));
    let either = current.union_all(earlier);
    let found: Vec<(Option<Vec<u8>>, TokenRow, Option<i64>)> =
        with_conn!(conn, conn => either.load(conn)?, either.load(conn)?);
    let found = found.into_iter().filter_map(|(hash, row, until)| {
        let value = ValueHash::from_bytes(&hash?)?;
        Some((value, token_by_value((row, until))))
    });
    Ok(found.collect())
}

fn token_by_value((row, until): (TokenRow, Option<i64>)) -> Result<TokenByValue, StoreError> {
    Ok(TokenByValue {
        is_unclaimed: row.value_unclaimed && until.is_none(),
        token: token_from_row(row)?,
        valid_until: until.map(decode).transpose()?,
    })
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

/// Gives the token a new value, and writes its time of rotation, expiry and version. Returns `false` if no token has
/// this ID and the version `previous`; then the transaction must be rolled back.
///
/// The previous value stays valid until `old_valid_until`. If that is `None`, all earlier values are revoked.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn replace_value(
    conn: &mut AnyConnection,
    token: &Token,
    previous: TokenVersion,
    value: &ValueHash,
    old_valid_until: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let Token {
        id,
        rotated_at,
        expires_at,
        version,
        // Not changed by a rotation.
        name: _,
        permissions: _,
        allowed_cidr_blocks: _,
        has_value: _,
        created: _,
        updated: _,
        last_used_at: _,
        description: _,
        owner: _,
        disabled_at: _,
    } = token;
    let this = tokens::table.filter(tokens::id.eq(id.to_string()));
    let Some((seq, old)) = this
        .select((tokens::seq, tokens::value_hash))
        .first::<(i64, Option<Vec<u8>>)>(conn)
        .optional()?
    else {
        return Ok(false);
    };
    match old_valid_until {
        None => {
            diesel::delete(grace_values::table.filter(grace_values::token_seq.eq(seq))).execute(conn)?;
        }
        Some(until) => {
            if let Some(old) = old {
                diesel::insert_into(grace_values::table)
                    .values((
                        grace_values::value_hash.eq(old),
                        grace_values::token_seq.eq(seq),
                        grace_values::valid_until.eq(until.micros()),
                    ))
                    .execute(conn)?;
            }
        }
    }
    let is_current = tokens::version.eq(previous.number());
    let changed = diesel::update(tokens::table.filter(tokens::seq.eq(seq).and(is_current)))
        .set((
            tokens::version.eq(version.number()),
            tokens::value_hash.eq(value.as_bytes().as_slice()),
            tokens::value_unclaimed.eq(false),
            tokens::rotated_at.eq(rotated_at.map(Timestamp::micros)),
            tokens::expires_at.eq(expires_at.time().map(Timestamp::micros)),
        ))
        .execute(conn)?;
    Ok(changed == 1)
}

/// Shortens the grace period of an earlier value to `end`, if it ends later.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn shorten_grace_period(conn: &mut AnyConnection, value: &ValueHash, end: Timestamp) -> Result<(), StoreError> {
    let this = grace_values::value_hash.eq(value.as_bytes().as_slice());
    let later = grace_values::valid_until.gt(end.micros());
    diesel::update(grace_values::table.filter(this.and(later)))
        .set(grace_values::valid_until.eq(end.micros()))
        .execute(conn)?;
    Ok(())
}

/// Ends the grace period of a previous value. Returns `false` if there is none.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete_grace_value(conn: &mut AnyConnection, value: &ValueHash) -> Result<bool, StoreError> {
    let this = grace_values::value_hash.eq(value.as_bytes().as_slice());
    let removed = diesel::delete(grace_values::table.filter(this)).execute(conn)?;
    Ok(removed == 1)
}

/// Removes previous values of a token whose grace period is over at `now`. Returns the number of
/// those that are still valid.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn prune_and_count_grace_values(conn: &mut AnyConnection, id: TokenId, now: Timestamp) -> Result<i64, StoreError> {
    let seq = tokens::table.filter(tokens::id.eq(id.to_string())).select(tokens::seq);
    let Some(seq) = seq.first::<i64>(conn).optional()? else {
        return Ok(0);
    };
    let of_token = grace_values::token_seq.eq(seq);
    // Ends too far in the future were written while a server's clock was ahead. Values in use were
    // capped at their lookup.
    let is_over = grace_values::valid_until.le(now.micros());
    let is_in_future = grace_values::valid_until.gt(now.saturating_add(MAX_GRACE_PERIOD).micros());
    diesel::delete(grace_values::table.filter(of_token.and(is_over.or(is_in_future)))).execute(conn)?;
    Ok(grace_values::table.filter(of_token).count().get_result(conn)?)
}

/// Removes a token and its values. Returns `false` if the token does not exist.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete(conn: &mut AnyConnection, id: TokenId) -> Result<bool, StoreError> {
    let removed = diesel::delete(tokens::table.filter(tokens::id.eq(id.to_string()))).execute(conn)?;
    Ok(removed == 1)
}

/// Returns the existing tokens among `ids`, in the order of their IDs.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find_all(conn: &mut AnyConnection, ids: &[TokenId]) -> Result<Vec<Token>, StoreError> {
    let rows: Vec<TokenRow> = tokens::table
        .filter(tokens::id.eq_any(to_strings(ids)))
        .order(tokens::id.asc())
        .load(conn)?;
    rows.into_iter().map(token_from_row).collect()
}

/// Locks tokens: no other transaction can change them, or use them to make changes, until this one
/// ends. The IDs must be sorted, so that transactions cannot deadlock.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn lock_all(conn: &mut AnyConnection, ids: &[TokenId]) -> Result<(), StoreError> {
    match conn {
        AnyConnection::Sqlite(_) => {} // SQLite has one writer and needs no locks.
        AnyConnection::Postgres(conn) => {
            let these = tokens::table.filter(tokens::id.eq_any(to_strings(ids)));
            let query = these.order(tokens::id.asc()).select(tokens::seq);
            query.for_update().load::<i64>(conn)?;
        }
    }
    Ok(())
}

/// Removes tokens and their values. Returns the number of removed tokens.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete_all(conn: &mut AnyConnection, ids: &[TokenId]) -> Result<usize, StoreError> {
    Ok(diesel::delete(tokens::table.filter(tokens::id.eq_any(to_strings(ids)))).execute(conn)?)
}

fn to_strings(ids: &[TokenId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}

/// Updates the last use of tokens. A time never moves backward, unless it was written while a
/// server's clock was ahead. Deleted tokens are skipped.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn record_use(conn: &mut AnyConnection, uses: &[(TokenId, Timestamp)], now: Timestamp) -> Result<(), StoreError> {
    let impossible = now.saturating_add(MAX_CLOCK_SKEW).micros();
    // One raw statement for all tokens: diesel cannot set a different value for each row, and does
    // not cache an update statement.
    let update = |used: &str| {
        sql_query(format!(
            "UPDATE tokens SET last_used_at = used.at FROM {used}
             WHERE tokens.id = used.id
               AND (tokens.last_used_at IS NULL OR tokens.last_used_at < used.at OR tokens.last_used_at > {impossible})"
        ))
    };
    let uses = uses.iter().map(|(id, at)| (id.to_string(), at.micros()));
    with_conn!(conn, conn =>
        {
            let list: serde_json::Value = uses.map(|(id, at)| serde_json::json!([id, at])).collect();
            update("(SELECT value ->> 0 AS id, value ->> 1 AS at FROM json_each(?)) AS used")
                .bind::<Text, _>(list.to_string())
                .execute(conn)?
        },
        {
            let (ids, times): (Vec<_>, Vec<_>) = uses.unzip();
            update("unnest($1, $2) AS used (id, at)")
                .bind::<Array<Text>, _>(ids)
                .bind::<Array<BigInt>, _>(times)
                .execute(conn)?
        },
    );
    Ok(())
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
