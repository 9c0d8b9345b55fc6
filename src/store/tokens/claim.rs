//! Queries on values that were issued under an idempotency key. Such a value is unclaimed until a client presents
//! it: until then, a repetition of the request may replace it.

use diesel::{BoolExpressionMethods, ExpressionMethods, QueryDsl, RunQueryDsl};

use crate::{
    domain::{
        token::{Token, TokenVersion},
        value::ValueHash,
    },
    store::{connection::AnyConnection, error::StoreError, schema::tokens},
};

/// Marks the current value of a token as unclaimed.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn set_unclaimed(conn: &mut AnyConnection, value: &ValueHash) -> Result<(), StoreError> {
    let this = tokens::table.filter(tokens::value_hash.eq(value.as_bytes().as_slice()));
    diesel::update(this)
        .set(tokens::value_unclaimed.eq(true))
        .execute(conn)?;
    Ok(())
}

/// Marks the current value of a token as claimed. Returns `false` if no token has this current value.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn claim_value(conn: &mut AnyConnection, value: &ValueHash) -> Result<bool, StoreError> {
    let this = tokens::table.filter(tokens::value_hash.eq(value.as_bytes().as_slice()));
    let changed = diesel::update(this)
        .set(tokens::value_unclaimed.eq(false))
        .execute(conn)?;
    Ok(changed == 1)
}

/// Replaces the unclaimed value `lost` with `value`, which is unclaimed as well, and writes the token's version. Values
/// in their grace period keep it. Returns `false` if `lost` is not the current value or is claimed, or if no token has
/// this ID and the version `previous`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn reissue_value(
    conn: &mut AnyConnection,
    token: &Token,
    previous: TokenVersion,
    lost: &ValueHash,
    value: &ValueHash,
) -> Result<bool, StoreError> {
    let is_lost = tokens::value_hash
        .eq(lost.as_bytes().as_slice())
        .and(tokens::value_unclaimed);
    let this = tokens::id
        .eq(token.id.to_string())
        .and(tokens::version.eq(previous.number()));
    let changed = diesel::update(tokens::table.filter(this.and(is_lost)))
        .set((
            tokens::value_hash.eq(value.as_bytes().as_slice()),
            tokens::version.eq(token.version.number()),
        ))
        .execute(conn)?;
    Ok(changed == 1)
}
