//! Moves everything from one store to another.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, QueryDsl, Queryable, RunQueryDsl,
    connection::SimpleConnection, dsl::max,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    connection::{AnyConnection, with_conn},
    error::StoreError,
    schema::{admins, audit_events, grace_values, legacy_callers, legacy_calls, legacy_watch, revision, tokens},
    tokens::TokenRow,
};

const BATCH_SIZE: i64 = 1000;

/// What a store holds: how many rows of each table, and the SHA-256 of all of them in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Contents {
    /// Tokens.
    pub tokens: u64,
    /// Values in their grace period.
    pub grace_values: u64,
    /// Admins.
    pub admins: u64,
    /// Audit events.
    pub audit_events: u64,
    /// Callers of the legacy endpoints.
    pub legacy_callers: u64,
    /// Days on which they called.
    pub legacy_calls: u64,
    /// Number of days on which servers watched the legacy API.
    pub legacy_watch: u64,
    /// The SHA-256 of every row, in hexadecimal digits.
    pub digest: String,
}

/// Why nothing was moved.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The destination is in use.
    #[error("the destination holds what the source does not: it has had a life of its own, and nothing was moved")]
    InUse,
    /// What arrived is not what was sent.
    #[error("the destination holds something else than the source after the move, and it was undone")]
    DigestMismatch,
}

impl From<diesel::result::Error> for TransferError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Makes `to` hold exactly what `from` holds, all or nothing, and tells what that is. `moved` is told after each step how many rows have
/// been moved.
///
/// `to` must be empty, or an earlier copy of `from` that nobody has changed since: each change leaves an audit event.
///
/// # Errors
/// When `to` is in use, or either store fails; then `to` is as it was.
pub fn transfer(
    from: &mut AnyConnection,
    to: &mut AnyConnection,
    mut moved: impl FnMut(u64),
) -> Result<Contents, TransferError> {
    from.begin_snapshot(None)?;
    to.begin_write(None)?;
    match to {
        AnyConnection::Sqlite(_) => {} // It has one writer, and needs no locks.
        // No other writes until the end of the transaction. The lock precedes the first read, which would otherwise be out of date.
        AnyConnection::Postgres(conn) => conn.batch_execute(
            "LOCK TABLE tokens, grace_values, admins, audit_events, legacy_callers, legacy_calls, legacy_watch, revision IN EXCLUSIVE MODE",
        )?,
    }
    let outcome = transfer_rows(from, to, &mut moved);
    from.rollback()?;
    match outcome {
        Ok(contents) => {
            to.commit()?;
            Ok(contents)
        }
        Err(error) => {
            // A connection that cannot roll back is broken, and nothing was committed.
            let _ = to.rollback();
            Err(error)
        }
    }
}

fn transfer_rows(
    from: &mut AnyConnection,
    to: &mut AnyConnection,
    moved: &mut impl FnMut(u64),
) -> Result<Contents, TransferError> {
    if !is_earlier_copy(from, to)? {
        return Err(TransferError::InUse);
    }
    for table in [
        "grace_values",
        "tokens",
        "admins",
        "audit_events",
        "legacy_calls",
        "legacy_callers",
        "legacy_watch",
    ] {
        to.batch_execute(&format!("DELETE FROM {table}"))?;
    }
    let mut rows = 0;
    let mut step = |count: u64| {
        rows += count;
        moved(rows);
    };
    TokenRow::move_all(from, to, &mut step)?;
    GraceValueRow::move_all(from, to, &mut step)?;
    AdminRow::move_all(from, to, &mut step)?;
    AuditEventRow::move_all(from, to, &mut step)?;
    LegacyCallerRow::move_all(from, to, &mut step)?;
    LegacyCallsRow::move_all(from, to, &mut step)?;
    LegacyWatchRow::move_all(from, to, &mut step)?;
    let contents = contents(to)?;
    if contents != self::contents(from)? {
        return Err(TransferError::DigestMismatch);
    }
    copy_sequences(from, to)?;
    Ok(contents)
}

/// What a store holds.
///
/// # Errors
/// When it fails.
pub fn contents(conn: &mut AnyConnection) -> Result<Contents, TransferError> {
    let mut digest = Sha256::new();
    let mut contents = Contents {
        tokens: TokenRow::digest_all(conn, &mut digest, u64::MAX)?,
        grace_values: GraceValueRow::digest_all(conn, &mut digest, u64::MAX)?,
        admins: AdminRow::digest_all(conn, &mut digest, u64::MAX)?,
        audit_events: AuditEventRow::digest_all(conn, &mut digest, u64::MAX)?,
        legacy_callers: LegacyCallerRow::digest_all(conn, &mut digest, u64::MAX)?,
        legacy_calls: LegacyCallsRow::digest_all(conn, &mut digest, u64::MAX)?,
        legacy_watch: LegacyWatchRow::digest_all(conn, &mut digest, u64::MAX)?,
        digest: String::new(),
    };
    let bytes: [u8; 32] = digest.finalize().into();
    contents.digest = bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    Ok(contents)
}

/// How many rows there are to be moved.
///
/// # Errors
/// When the store fails.
pub fn count(conn: &mut AnyConnection) -> Result<u64, StoreError> {
    let counts = [
        tokens::table.count().get_result::<i64>(conn)?,
        grace_values::table.count().get_result(conn)?,
        admins::table.count().get_result(conn)?,
        audit_events::table.count().get_result(conn)?,
        legacy_callers::table.count().get_result(conn)?,
        legacy_calls::table.count().get_result(conn)?,
        legacy_watch::table.count().get_result(conn)?,
    ];
    Ok(counts.into_iter().filter_map(|count| u64::try_from(count).ok()).sum())
}

/// Whether `to` is empty, or its audit events are the first ones of `from`, and no token and no legacy endpoint was used there since.
fn is_earlier_copy(from: &mut AnyConnection, to: &mut AnyConnection) -> Result<bool, TransferError> {
    let (mut of_from, mut of_to) = (Sha256::new(), Sha256::new());
    let events = AuditEventRow::digest_all(to, &mut of_to, u64::MAX)?;
    AuditEventRow::digest_all(from, &mut of_from, events)?;
    let empty = tokens::table.count().get_result::<i64>(to)? == 0 && admins::table.count().get_result::<i64>(to)? == 0;
    let last_use = |conn| {
        tokens::table
            .select(max(tokens::last_used_at))
            .first::<Option<i64>>(conn)
    };
    let last_call = |conn| {
        legacy_callers::table
            .select(max(legacy_callers::last_seen))
            .first::<Option<i64>>(conn)
    };
    let unused = last_use(to)? <= last_use(from)? && last_call(to)? <= last_call(from)?;
    Ok(of_from.finalize() == of_to.finalize() && unused && (events > 0 || empty))
}

/// The next token, event and change get the numbers that they would have got.
fn copy_sequences(from: &mut AnyConnection, to: &mut AnyConnection) -> Result<(), TransferError> {
    let changes: i64 = revision::table.select(revision::value).first(from)?;
    // One more, so that a server that knew the destination before forgets what it knew.
    let known: i64 = revision::table.select(revision::value).first(to)?;
    diesel::update(revision::table)
        .set(revision::value.eq(changes.max(known) + 1))
        .execute(to)?;
    match to {
        AnyConnection::Sqlite(_) => {} // It continues after the largest number that was inserted.
        AnyConnection::Postgres(conn) => {
            for table in ["tokens", "audit_events", "legacy_callers"] {
                conn.batch_execute(&format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'seq'), coalesce((SELECT max(seq) FROM {table}), 0) + 1, false)"
            ))?;
            }
        }
    }
    Ok(())
}

/// A row as both stores keep it.
trait Row: Serialize + Sized {
    fn page(conn: &mut AnyConnection, behind: Option<&Self>) -> Result<Vec<Self>, TransferError>;
    fn insert(conn: &mut AnyConnection, rows: &[Self]) -> Result<(), TransferError>;

    fn move_all(
        from: &mut AnyConnection,
        to: &mut AnyConnection,
        step: &mut impl FnMut(u64),
    ) -> Result<(), TransferError> {
        let mut last = None;
        loop {
            let mut rows = Self::page(from, last.as_ref())?;
            Self::insert(to, &rows)?;
            step(rows.len() as u64);
            let Some(row) = rows.pop() else { return Ok(()) };
            last = Some(row);
        }
    }

    /// Adds the first `max_rows` rows to a digest, and counts them.
    fn digest_all(conn: &mut AnyConnection, digest: &mut Sha256, max_rows: u64) -> Result<u64, TransferError> {
        let mut last: Option<Self> = None;
        let mut count = 0;
        loop {
            let mut rows = Self::page(conn, last.as_ref())?;
            for row in &rows {
                if count == max_rows {
                    return Ok(count);
                }
                digest.update(serde_json::to_vec(row).map_err(|_| StoreError::Corrupt("row"))?);
                digest.update(b"\n");
                count += 1;
            }
            let Some(row) = rows.pop() else { return Ok(count) };
            last = Some(row);
        }
    }
}

macro_rules! row {
    ($name:ident of $table:ident by $key:ident) => {
        row!($name of $table in $table::$key.asc(), row => $table::$key.gt(&row.$key));
    };
    ($name:ident of $table:ident in $order:expr, $row:ident => $behind:expr) => {
        impl Row for $name {
            fn page(conn: &mut AnyConnection, behind: Option<&Self>) -> Result<Vec<Self>, TransferError> {
                let mut query = $table::table.order($order).limit(BATCH_SIZE).into_boxed();
                if let Some($row) = behind {
                    query = query.filter($behind);
                }
                Ok(query.load(conn)?)
            }

            fn insert(conn: &mut AnyConnection, rows: &[Self]) -> Result<(), TransferError> {
                let insert = diesel::insert_into($table::table).values(rows);
                with_conn!(conn, conn => insert.execute(conn)?, insert.execute(conn)?);
                Ok(())
            }
        }
    };
}

row!(TokenRow of tokens by seq);
row!(GraceValueRow of grace_values by value_hash);
row!(AdminRow of admins by name);
row!(AuditEventRow of audit_events by seq);
row!(LegacyCallerRow of legacy_callers by seq);
row!(LegacyWatchRow of legacy_watch by day);
row!(LegacyCallsRow of legacy_calls in (legacy_calls::caller_seq.asc(), legacy_calls::day.asc()), row =>
    legacy_calls::caller_seq.gt(row.caller_seq)
        .or(legacy_calls::caller_seq.eq(row.caller_seq).and(legacy_calls::day.gt(row.day))));

#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = grace_values)]
struct GraceValueRow {
    value_hash: Vec<u8>,
    token_seq: i64,
    valid_until: i64,
}

#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = admins)]
struct AdminRow {
    name: String,
    password_hash: String,
    created_at: i64,
    password_changed_at: Option<i64>,
}

#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = audit_events)]
struct AuditEventRow {
    seq: i64,
    at: i64,
    actor_type: Option<String>,
    actor_id: Option<String>,
    channel: String,
    client: Option<String>,
    action: String,
    token_id: Option<String>,
    details: String,
}

#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = legacy_callers)]
struct LegacyCallerRow {
    seq: i64,
    prefix: String,
    method: String,
    actor_type: String,
    actor_id: String,
    client: String,
    user_agent: String,
    first_seen: i64,
    last_seen: i64,
    total: i64,
}

#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = legacy_calls)]
struct LegacyCallsRow {
    caller_seq: i64,
    day: i64,
    calls: i64,
}

#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = legacy_watch)]
struct LegacyWatchRow {
    day: i64,
    hours: i64,
}
