//! Queries on the values of tokens.

use std::collections::HashMap;

use diesel::{
    BoolExpressionMethods, CombineDsl, ExpressionMethods, IntoSql, NullableExpressionMethods, OptionalExtension,
    QueryDsl, RunQueryDsl,
    sql_types::{BigInt, Nullable},
};

use super::{TokenRow, token_from_row};
use crate::{
    domain::{
        clock::Timestamp,
        token::{MAX_GRACE_PERIOD, Token, TokenId, TokenVersion},
        value::ValueHash,
    },
    store::{
        columns::decode,
        connection::{AnyConnection, with_conn},
        error::StoreError,
        schema::{grace_values, tokens},
    },
};

/// A token found by a value.
#[derive(Clone, Debug)]
pub struct TokenByValue {
    /// The token. It may have expired.
    pub token: Token,
    /// The end of the grace period if it is a previous value. It may be over.
    pub valid_until: Option<Timestamp>,
    /// `true` for a current value that was issued under an idempotency key and has never been presented. It has to be
    /// claimed with [`claim_value`](super::claim::claim_value) before it authenticates a request.
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
pub(in crate::store) fn find_by_values(
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
