//! Queries on many tokens at once.

use std::collections::HashMap;

use diesel::{
    ExpressionMethods, QueryDsl, RunQueryDsl, sql_query,
    sql_types::{Array, BigInt, Text},
};

use super::{TokenRow, token_from_row};
use crate::{
    domain::{
        clock::{MAX_CLOCK_SKEW, Timestamp},
        expiry::Expiry,
        name::TokenName,
        token::{Attribution, Token, TokenId},
    },
    store::{
        columns::decode,
        connection::{AnyConnection, with_conn},
        error::StoreError,
        schema::tokens,
    },
};

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

/// Returns the names of the existing tokens among `ids`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find_names(conn: &mut AnyConnection, ids: &[TokenId]) -> Result<HashMap<TokenId, TokenName>, StoreError> {
    let rows: Vec<(String, String)> = tokens::table
        .filter(tokens::id.eq_any(to_strings(ids)))
        .select((tokens::id, tokens::name))
        .load(conn)?;
    let named = |(id, name): (String, String)| Ok((decode(id.as_str())?, TokenName::from_stored(name)));
    rows.into_iter().map(named).collect()
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

/// A change of one field, to the same value for many tokens.
#[derive(Clone, Copy, Debug)]
pub enum FieldChange {
    /// Sets the time since when every use is refused.
    DisabledAt(Option<Timestamp>),
    /// Sets the expiry.
    ExpiresAt(Expiry),
}

/// Changes a field of tokens, which must be locked, and writes this update and their versions. Returns the number of
/// changed tokens.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn update_all(
    conn: &mut AnyConnection,
    ids: &[TokenId],
    change: FieldChange,
    update: &Attribution,
) -> Result<usize, StoreError> {
    let updating = diesel::update(tokens::table.filter(tokens::id.eq_any(to_strings(ids))));
    let updated = (
        tokens::version.eq(tokens::version + 1),
        tokens::updated_at.eq(update.at.micros()),
        tokens::updated_by_type.eq(update.by.kind.name()),
        tokens::updated_by_id.eq(&update.by.id),
    );
    let changed = match change {
        FieldChange::DisabledAt(at) => updating
            .set((updated, tokens::disabled_at.eq(at.map(Timestamp::micros))))
            .execute(conn)?,
        FieldChange::ExpiresAt(expiry) => updating
            .set((updated, tokens::expires_at.eq(expiry.time().map(Timestamp::micros))))
            .execute(conn)?,
    };
    Ok(changed)
}

/// Removes tokens and their values. Returns the number of removed tokens.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete_all(conn: &mut AnyConnection, ids: &[TokenId]) -> Result<usize, StoreError> {
    Ok(diesel::delete(tokens::table.filter(tokens::id.eq_any(to_strings(ids)))).execute(conn)?)
}

pub(super) fn to_strings(ids: &[TokenId]) -> Vec<String> {
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
