//! Queries on requests with an idempotency key.

use diesel::{ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, RunQueryDsl, dsl::min};
use serde::Serialize;

use super::{
    columns::decode,
    connection::{AnyConnection, with_conn},
    error::StoreError,
    schema::idempotency_keys,
};
use crate::domain::{
    clock::Timestamp,
    idempotency::{KeyHash, PayloadHash},
    token::TokenId,
    value::ValueHash,
};

/// Number of keys that are deleted at a time.
const BATCH_SIZE: i64 = 1000;

/// The first request with a key.
#[derive(Clone, Copy, Debug)]
pub struct FirstRequest {
    /// The hash of its payload.
    pub payload: PayloadHash,
    /// The token that it created or rotated.
    pub token_id: TokenId,
    /// The value in the last response to it or to a repetition.
    pub value: ValueHash,
}

/// A stored request.
#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = idempotency_keys)]
pub(super) struct KeyRow {
    pub(super) key_hash: Vec<u8>,
    payload_hash: Vec<u8>,
    token_id: String,
    value_hash: Vec<u8>,
    created_at: i64,
}

/// Returns the first request with this key after `since`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find(conn: &mut AnyConnection, key: &KeyHash, since: Timestamp) -> Result<Option<FirstRequest>, StoreError> {
    let row: Option<KeyRow> = idempotency_keys::table
        .filter(idempotency_keys::key_hash.eq(key.as_bytes().as_slice()))
        .filter(idempotency_keys::created_at.gt(since.micros()))
        .first(conn)
        .optional()?;
    let first = |row: KeyRow| {
        Ok(FirstRequest {
            payload: decode(row.payload_hash.as_slice())?,
            token_id: decode(row.token_id.as_str())?,
            value: decode(row.value_hash.as_slice())?,
        })
    };
    row.map(first).transpose()
}

/// Adds the first request with this key at `now`. Deletes an expired request with the same key, from before `since`.
///
/// # Errors
/// [`StoreError::AlreadyExists`] if a concurrent request with this key was recorded first.
pub fn insert(
    conn: &mut AnyConnection,
    key: &KeyHash,
    first: &FirstRequest,
    since: Timestamp,
    now: Timestamp,
) -> Result<(), StoreError> {
    let FirstRequest {
        payload,
        token_id,
        value,
    } = first;
    let expired = idempotency_keys::table
        .filter(idempotency_keys::key_hash.eq(key.as_bytes().as_slice()))
        .filter(idempotency_keys::created_at.le(since.micros()));
    diesel::delete(expired).execute(conn)?;
    let insert = diesel::insert_into(idempotency_keys::table).values(KeyRow {
        key_hash: key.as_bytes().to_vec(),
        payload_hash: payload.as_bytes().to_vec(),
        token_id: token_id.to_string(),
        value_hash: value.as_bytes().to_vec(),
        created_at: now.micros(),
    });
    with_conn!(conn, conn => insert.execute(conn)?, insert.execute(conn)?);
    Ok(())
}

/// Replaces the value in the last response.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn set_value(conn: &mut AnyConnection, key: &KeyHash, value: &ValueHash) -> Result<(), StoreError> {
    let this = idempotency_keys::table.filter(idempotency_keys::key_hash.eq(key.as_bytes().as_slice()));
    diesel::update(this)
        .set(idempotency_keys::value_hash.eq(value.as_bytes().as_slice()))
        .execute(conn)?;
    Ok(())
}

/// Returns `true` if there are keys from before `end`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn has_keys_before(conn: &mut AnyConnection, end: Timestamp) -> Result<bool, StoreError> {
    let oldest: Option<i64> = idempotency_keys::table
        .select(min(idempotency_keys::created_at))
        .first(conn)?;
    Ok(oldest.is_some_and(|oldest| oldest < end.micros()))
}

/// Deletes a batch of the keys from before `end`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete_before(conn: &mut AnyConnection, end: Timestamp) -> Result<(), StoreError> {
    let keys: Vec<Vec<u8>> = idempotency_keys::table
        .filter(idempotency_keys::created_at.lt(end.micros()))
        .select(idempotency_keys::key_hash)
        .limit(BATCH_SIZE)
        .load(conn)?;
    diesel::delete(idempotency_keys::table.filter(idempotency_keys::key_hash.eq_any(keys))).execute(conn)?;
    Ok(())
}
