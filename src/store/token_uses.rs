//! Queries on the use of tokens by day.

use diesel::{
    ExpressionMethods, Insertable, QueryDsl, Queryable, RunQueryDsl,
    dsl::max,
    sql_query,
    sql_types::{Array, BigInt, Nullable, Text},
};
use serde::Serialize;

use super::{
    columns::decode,
    connection::{AnyConnection, with_conn},
    error::StoreError,
    schema::{token_uses, tokens},
};
use crate::domain::{
    actor::Origin,
    clock::{Day, Timestamp},
    token::TokenId,
    usage::{DayUses, LastUse, UseOutcome},
};

/// Number of rows that are deleted at a time.
const BATCH_SIZE: usize = 1000;

/// The stored uses of a token on one day with the same outcome.
#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = token_uses)]
pub(super) struct TokenUsesRow {
    pub(super) token_seq: i64,
    pub(super) day: i64,
    pub(super) outcome: String,
    uses: i64,
    last_at: i64,
    last_channel: String,
    last_client: Option<String>,
}

/// Adds uses to the stored ones. Deleted tokens are skipped.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn record(conn: &mut AnyConnection, uses: &[(TokenId, DayUses)]) -> Result<(), StoreError> {
    // One raw statement for all rows: diesel's batch inserts take no rows from a join.
    with_conn!(conn, conn =>
        {
            let rows: serde_json::Value = uses.iter().map(|(id, uses)| serde_json::json!(columns(*id, uses))).collect();
            let source = "(SELECT value ->> 0 AS id, value ->> 1 AS day, value ->> 2 AS outcome, value ->> 3 AS uses,
                value ->> 4 AS last_at, value ->> 5 AS last_channel, value ->> 6 AS last_client
                FROM json_each(?)) AS used";
            sql_query(upsert(source, "")).bind::<Text, _>(rows.to_string()).execute(conn)?
        },
        {
            let (mut ids, mut days, mut outcomes, mut counts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
            let (mut times, mut channels, mut clients) = (Vec::new(), Vec::new(), Vec::new());
            for (id, uses) in uses {
                let (id, day, outcome, count, at, channel, client) = columns(*id, uses);
                ids.push(id);
                days.push(day);
                outcomes.push(outcome);
                counts.push(count);
                times.push(at);
                channels.push(channel);
                clients.push(client);
            }
            let source = "unnest($1, $2, $3, $4, $5, $6, $7)
                AS used (id, day, outcome, uses, last_at, last_channel, last_client)";
            // The lock waits for a deletion in progress; the foreign key would fail the whole flush.
            sql_query(upsert(source, "FOR KEY SHARE OF tokens"))
                .bind::<Array<Text>, _>(ids)
                .bind::<Array<BigInt>, _>(days)
                .bind::<Array<Text>, _>(outcomes)
                .bind::<Array<BigInt>, _>(counts)
                .bind::<Array<BigInt>, _>(times)
                .bind::<Array<Text>, _>(channels)
                .bind::<Array<Nullable<Text>>, _>(clients)
                .execute(conn)?
        },
    );
    Ok(())
}

/// Returns the columns of one row: the token's ID, and those after `token_seq`.
fn columns(id: TokenId, uses: &DayUses) -> (String, i64, &'static str, i64, i64, &'static str, Option<String>) {
    let DayUses {
        day,
        outcome,
        uses,
        last: LastUse {
            at,
            origin: Origin { channel, client },
        },
    } = uses;
    (
        id.to_string(),
        day.number(),
        outcome.name(),
        i64::try_from(*uses).unwrap_or(i64::MAX),
        at.micros(),
        channel.name(),
        client.map(|address| address.to_string()),
    )
}

/// Returns the statement that adds the rows of `source`. It locks rows in the same order on every server, so that two
/// flushes cannot deadlock.
fn upsert(source: &str, lock: &str) -> String {
    format!(
        "INSERT INTO token_uses (token_seq, day, outcome, uses, last_at, last_channel, last_client)
         SELECT tokens.seq, used.day, used.outcome, used.uses, used.last_at, used.last_channel, used.last_client
         FROM {source} JOIN tokens ON tokens.id = used.id
         WHERE TRUE
         ORDER BY tokens.seq, used.day, used.outcome {lock}
         ON CONFLICT (token_seq, day, outcome) DO UPDATE SET
             uses = token_uses.uses + excluded.uses,
             last_at = CASE WHEN {IS_LATER} THEN excluded.last_at ELSE token_uses.last_at END,
             last_channel = CASE WHEN {IS_LATER} THEN excluded.last_channel ELSE token_uses.last_channel END,
             last_client = CASE WHEN {IS_LATER} THEN excluded.last_client ELSE token_uses.last_client END"
    )
}

const IS_LATER: &str = "excluded.last_at >= token_uses.last_at";

/// Returns the recorded uses of a token, in no particular order.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find(conn: &mut AnyConnection, id: TokenId) -> Result<Vec<DayUses>, StoreError> {
    let rows: Vec<TokenUsesRow> = token_uses::table
        .inner_join(tokens::table)
        .filter(tokens::id.eq(id.to_string()))
        .select(token_uses::all_columns)
        .load(conn)?;
    rows.into_iter().map(uses_from_row).collect()
}

fn uses_from_row(row: TokenUsesRow) -> Result<DayUses, StoreError> {
    let TokenUsesRow {
        token_seq: _,
        day,
        outcome,
        uses,
        last_at,
        last_channel,
        last_client,
    } = row;
    Ok(DayUses {
        day: Day::from_number(day),
        outcome: decode(outcome.as_str())?,
        uses: u64::try_from(uses).unwrap_or_default(),
        last: LastUse {
            at: decode(last_at)?,
            origin: Origin {
                channel: decode(last_channel.as_str())?,
                client: last_client.as_deref().map(decode).transpose()?,
            },
        },
    })
}

/// Returns the start of the last day with a use.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn newest(conn: &mut AnyConnection) -> Result<Option<Timestamp>, StoreError> {
    let newest: Option<i64> = token_uses::table.select(max(token_uses::day)).first(conn)?;
    Ok(newest.and_then(|day| Timestamp::from_micros(Day::from_number(day).micros())))
}

/// Deletes a batch of records from before `first`, except the last accepted uses of each token. Returns `true` if there
/// may be more.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete_before(conn: &mut AnyConnection, first: Day) -> Result<bool, StoreError> {
    // Raw, because diesel's IN does not take rows of several columns.
    let delete = sql_query(format!(
        "DELETE FROM token_uses WHERE (token_seq, day, outcome) IN (
             SELECT token_seq, day, outcome FROM token_uses AS old
             WHERE day < {} AND (outcome <> '{accepted}' OR EXISTS (
                 SELECT 1 FROM token_uses AS newer
                 WHERE newer.token_seq = old.token_seq AND newer.outcome = '{accepted}' AND newer.day > old.day))
             LIMIT {BATCH_SIZE})",
        first.number(),
        accepted = UseOutcome::Accepted.name(),
    ));
    let deleted = with_conn!(conn, conn => delete.execute(conn)?, delete.execute(conn)?);
    Ok(deleted == BATCH_SIZE)
}
