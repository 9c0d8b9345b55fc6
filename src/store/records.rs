//! Batch queries on complete records of tokens and admins, for exports and imports.

use std::collections::HashMap;

use diesel::{BoolExpressionMethods, ExpressionMethods, JoinOnDsl, OptionalExtension, QueryDsl, RunQueryDsl};

use super::{
    admins::{AdminRow, insert_record},
    columns::decode,
    connection::{AnyConnection, with_conn},
    error::StoreError,
    schema::{admins, grace_values, tokens},
    tokens::{NewTokenRow, TokenRow, token_from_row},
};
use crate::domain::{
    page::Cursor,
    record::{AdminRecord, GraceValue, TokenRecord},
    token::{TokenId, TokenVersion},
    value::ValueHash,
};

/// Maximum number of tokens in one query of this module.
pub const MAX_BATCH: usize = 500;

/// Returns the next tokens after `after`, oldest first, each with its cursor.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn page(conn: &mut AnyConnection, after: Cursor) -> Result<Vec<(Cursor, TokenRecord)>, StoreError> {
    let limit = i64::try_from(MAX_BATCH).unwrap_or(i64::MAX);
    let next = tokens::table.filter(tokens::seq.gt(after.row()));
    let rows: Vec<TokenRow> = next.order(tokens::seq.asc()).limit(limit).load(conn)?;
    with_grace_values(conn, rows)
}

/// Returns the existing tokens among `ids`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find_by_ids(conn: &mut AnyConnection, ids: &[TokenId]) -> Result<HashMap<TokenId, TokenRecord>, StoreError> {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    let rows: Vec<TokenRow> = tokens::table.filter(tokens::id.eq_any(ids)).load(conn)?;
    let records = with_grace_values(conn, rows)?;
    Ok(records
        .into_iter()
        .map(|(_, record)| (record.token.id, record))
        .collect())
}

fn with_grace_values(conn: &mut AnyConnection, rows: Vec<TokenRow>) -> Result<Vec<(Cursor, TokenRecord)>, StoreError> {
    let seqs: Vec<i64> = rows.iter().map(|row| row.seq).collect();
    let of_rows = grace_values::table
        .inner_join(tokens::table.on(tokens::seq.eq(grace_values::token_seq)))
        .filter(tokens::seq.eq_any(seqs))
        .order(grace_values::value_hash.asc())
        .select((
            grace_values::token_seq,
            grace_values::value_hash,
            grace_values::valid_until,
        ));
    let mut grace: HashMap<i64, Vec<GraceValue>> = HashMap::new();
    for (seq, value, until) in of_rows.load::<(i64, Vec<u8>, i64)>(conn)? {
        grace.entry(seq).or_default().push(GraceValue {
            value: decode(value.as_slice())?,
            valid_until: decode(until)?,
        });
    }
    rows.into_iter()
        .map(|row| {
            let seq = row.seq;
            let record = TokenRecord {
                value: row.value_hash.as_deref().map(decode).transpose()?,
                grace_values: grace.remove(&seq).unwrap_or_default(),
                token: token_from_row(row)?,
            };
            Ok((Cursor::after(seq), record))
        })
        .collect()
}

/// Adds tokens in this order.
///
/// # Errors
/// [`StoreError::AlreadyExists`] if an ID or a value exists.
pub fn insert_all(conn: &mut AnyConnection, records: &[TokenRecord]) -> Result<(), StoreError> {
    for chunk in records.chunks(MAX_BATCH) {
        let rows: Vec<NewTokenRow<'_>> = chunk
            .iter()
            .map(|record| NewTokenRow::new(&record.token, record.value.as_ref()))
            .collect();
        let insert = diesel::insert_into(tokens::table).values(&rows);
        with_conn!(conn, conn => insert.execute(conn)?, insert.execute(conn)?);
        for record in chunk.iter().filter(|record| !record.grace_values.is_empty()) {
            insert_grace_values(conn, record)?;
        }
    }
    Ok(())
}

/// Overwrites a token. Returns `false` if no token has this ID and the version `previous`; then the transaction must be
/// rolled back.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn replace(conn: &mut AnyConnection, record: &TokenRecord, previous: TokenVersion) -> Result<bool, StoreError> {
    let this = tokens::table.filter(tokens::id.eq(record.token.id.to_string()));
    let Some(seq) = this.select(tokens::seq).first::<i64>(conn).optional()? else {
        return Ok(false);
    };
    diesel::delete(grace_values::table.filter(grace_values::token_seq.eq(seq))).execute(conn)?;
    let is_current = tokens::version.eq(previous.number());
    let changed = diesel::update(tokens::table.filter(tokens::seq.eq(seq).and(is_current)))
        .set(NewTokenRow::new(&record.token, record.value.as_ref()))
        .execute(conn)?;
    insert_grace_values(conn, record)?;
    Ok(changed == 1)
}

fn insert_grace_values(conn: &mut AnyConnection, record: &TokenRecord) -> Result<(), StoreError> {
    let this = tokens::table.filter(tokens::id.eq(record.token.id.to_string()));
    let seq: i64 = this.select(tokens::seq).first(conn)?;
    for grace in &record.grace_values {
        diesel::insert_into(grace_values::table)
            .values((
                grace_values::value_hash.eq(grace.value.as_bytes().as_slice()),
                grace_values::token_seq.eq(seq),
                grace_values::valid_until.eq(grace.valid_until.micros()),
            ))
            .execute(conn)?;
    }
    Ok(())
}

/// Returns the owners of `values`, both current ones and those in their grace period. Unknown
/// values are left out.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find_owners(conn: &mut AnyConnection, values: &[ValueHash]) -> Result<HashMap<ValueHash, TokenId>, StoreError> {
    let mut owners = HashMap::new();
    for chunk in values.chunks(MAX_BATCH) {
        let hashes = || chunk.iter().map(|hash| hash.as_bytes().to_vec());
        let current: Vec<(Option<Vec<u8>>, String)> = tokens::table
            .filter(tokens::value_hash.eq_any(hashes().map(Some)))
            .select((tokens::value_hash, tokens::id))
            .load(conn)?;
        let earlier: Vec<(Vec<u8>, String)> = grace_values::table
            .inner_join(tokens::table.on(tokens::seq.eq(grace_values::token_seq)))
            .filter(grace_values::value_hash.eq_any(hashes()))
            .select((grace_values::value_hash, tokens::id))
            .load(conn)?;
        let current = current.into_iter().filter_map(|(hash, id)| Some((hash?, id)));
        for (hash, id) in current.chain(earlier) {
            owners.insert(decode(hash.as_slice())?, decode(id.as_str())?);
        }
    }
    Ok(owners)
}

/// Returns all admins, sorted by name.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn admins(conn: &mut AnyConnection) -> Result<Vec<AdminRecord>, StoreError> {
    let rows: Vec<AdminRow> = admins::table.order(admins::name.asc()).load(conn)?;
    rows.into_iter().map(AdminRecord::try_from).collect()
}

/// Adds an admin, or overwrites the one with the same name.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn upsert_admin(conn: &mut AnyConnection, record: &AdminRecord) -> Result<(), StoreError> {
    diesel::delete(admins::table.filter(admins::name.eq(record.admin.name.as_str()))).execute(conn)?;
    insert_record(conn, record)
}
