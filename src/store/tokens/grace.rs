//! Queries on previous values in their grace period.

use diesel::{ExpressionMethods, QueryDsl, RunQueryDsl};

use crate::{
    domain::{clock::Timestamp, token::TokenId, value::ValueHash},
    store::{
        columns::decode,
        connection::AnyConnection,
        error::StoreError,
        schema::{grace_values, tokens},
    },
};

/// A previous value of a token, and the stored end of its grace period, which may be over.
#[derive(Clone, Copy, Debug)]
pub struct GraceValue {
    /// The hash of the value.
    pub hash: ValueHash,
    /// The end of its grace period.
    pub valid_until: Timestamp,
}

/// Returns the previous values of a token, in the order of their ends.
///
/// # Errors
/// [`StoreError`] if the query fails, or a hash is malformed.
pub fn find_grace_values(conn: &mut AnyConnection, id: TokenId) -> Result<Vec<GraceValue>, StoreError> {
    let rows: Vec<(Vec<u8>, i64)> = grace_values::table
        .inner_join(tokens::table)
        .filter(tokens::id.eq(id.to_string()))
        .order((grace_values::valid_until.asc(), grace_values::value_hash.asc()))
        .select((grace_values::value_hash, grace_values::valid_until))
        .load(conn)?;
    let value = |(hash, until): (Vec<u8>, i64)| {
        Ok(GraceValue {
            hash: decode(hash.as_slice())?,
            valid_until: decode(until)?,
        })
    };
    rows.into_iter().map(value).collect()
}
