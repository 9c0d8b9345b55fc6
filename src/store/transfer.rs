//! Copies everything from one store to another.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, QueryDsl, Queryable, RunQueryDsl,
    connection::SimpleConnection, dsl::max,
};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::{
    admins::AdminRow,
    audit::EventRow,
    connection::{AnyConnection, with_conn},
    error::StoreError,
    idempotency_keys::KeyRow,
    legacy_usage::CallerRow,
    schema::{
        admins, audit_events, grace_values, idempotency_keys, legacy_callers, legacy_calls, legacy_watch,
        removed_admins, revision, token_uses, tokens,
    },
    token_uses::TokenUsesRow,
    tokens::TokenRow,
};

const BATCH_SIZE: i64 = 1000;

macro_rules! tables {
    ($($(#[doc = $doc:literal])* $table:ident: $row:ident,)*) => {
        /// The number of rows in each table, and a digest of all rows.
        #[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
        #[serde(rename_all = "camelCase")]
        pub struct Contents {
            $($(#[doc = $doc])* pub $table: u64,)*
            /// The SHA-256 of every row in order, in hexadecimal digits.
            pub digest: String,
        }

        /// The tables that are copied, referenced tables before those that refer to them.
        const TABLES: &[&str] = &[$(stringify!($table),)*];

        fn copy_tables(
            from: &mut AnyConnection,
            to: &mut AnyConnection,
            step: &mut impl FnMut(u64),
        ) -> Result<(), TransferError> {
            $($row::copy_all(from, to, step)?;)*
            Ok(())
        }

        /// Returns the number of rows to copy.
        ///
        /// # Errors
        /// [`StoreError`] if the query fails.
        pub fn count(conn: &mut AnyConnection) -> Result<u64, StoreError> {
            let counts = [$($table::table.count().get_result::<i64>(conn)?,)*];
            Ok(counts.into_iter().filter_map(|count| u64::try_from(count).ok()).sum())
        }

        /// Reads all rows.
        ///
        /// # Errors
        /// [`StoreError`] if the query fails.
        pub fn contents(conn: &mut AnyConnection) -> Result<Contents, TransferError> {
            let mut digest = Sha256::new();
            let mut contents = Contents {
                $($table: $row::digest_all(conn, &mut digest, u64::MAX)?,)*
                digest: String::new(),
            };
            let bytes: [u8; 32] = digest.finalize().into();
            contents.digest = bytes
                .iter()
                .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
            Ok(contents)
        }
    };
}

// All tables except `sessions`, which a copy ends, and `revision`, which a copy continues.
tables! {
    /// Tokens.
    tokens: TokenRow,
    /// Values in their grace period.
    grace_values: GraceValueRow,
    /// Admins.
    admins: AdminRow,
    /// Names of removed admins.
    removed_admins: RemovedAdminRow,
    /// Audit events.
    audit_events: EventRow,
    /// Callers of the legacy API.
    legacy_callers: CallerRow,
    /// Days on which they called.
    legacy_calls: LegacyCallsRow,
    /// Days on which servers watched the legacy API.
    legacy_watch: LegacyWatchRow,
    /// Uses of tokens by day.
    token_uses: TokenUsesRow,
    /// Requests with an idempotency key.
    idempotency_keys: KeyRow,
}

/// The tables whose rows are numbered by a sequence.
const NUMBERED_TABLES: [&str; 3] = ["tokens", "audit_events", "legacy_callers"];

/// The error of a transfer.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The destination contains changes of its own.
    #[error("the destination contains data that the source lacks, so it is not an earlier copy; nothing was copied")]
    InUse,
    /// The copy differs from the source.
    #[error("the copy in the destination differs from the source; the copy was rolled back")]
    DigestMismatch,
}

impl From<diesel::result::Error> for TransferError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Store(error.into())
    }
}

/// Replaces the rows of `to` by those of `from` in one transaction, and returns them. Calls `moved`
/// after each step with the number of rows copied so far.
///
/// `to` must be empty, or an earlier copy of `from` without later changes. A change is visible as
/// an audit event, a use as a time.
///
/// # Errors
/// [`TransferError::InUse`]; or if a store fails. Then `to` is unchanged.
pub fn transfer(
    from: &mut AnyConnection,
    to: &mut AnyConnection,
    mut moved: impl FnMut(u64),
) -> Result<Contents, TransferError> {
    from.begin_snapshot(None)?;
    to.begin_write(None)?;
    match to {
        AnyConnection::Sqlite(_) => {} // SQLite has one writer and needs no locks.
        // No other writes until the end of the transaction. The lock precedes the first read, which
        // would otherwise be out of date.
        AnyConnection::Postgres(conn) => {
            conn.batch_execute(&format!("LOCK TABLE {}, revision IN EXCLUSIVE MODE", TABLES.join(", ")))?;
        }
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
    for table in TABLES.iter().rev() {
        to.batch_execute(&format!("DELETE FROM {table}"))?;
    }
    let mut rows = 0;
    let mut step = |count: u64| {
        rows += count;
        moved(rows);
    };
    copy_tables(from, to, &mut step)?;
    let contents = contents(to)?;
    if contents != self::contents(from)? {
        return Err(TransferError::DigestMismatch);
    }
    copy_sequences(from, to)?;
    Ok(contents)
}

/// Returns `true` if `to` is empty, or its audit events are the first ones of `from` and neither a
/// token nor the legacy API was used there later.
fn is_earlier_copy(from: &mut AnyConnection, to: &mut AnyConnection) -> Result<bool, TransferError> {
    let (mut of_from, mut of_to) = (Sha256::new(), Sha256::new());
    let events = EventRow::digest_all(to, &mut of_to, u64::MAX)?;
    EventRow::digest_all(from, &mut of_from, events)?;
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

/// Continues the numbers of tokens, events, callers and revisions where `from` left off.
fn copy_sequences(from: &mut AnyConnection, to: &mut AnyConnection) -> Result<(), TransferError> {
    let changes: i64 = revision::table.select(revision::value).first(from)?;
    // One more, so that a server that uses the destination clears its cache.
    let known: i64 = revision::table.select(revision::value).first(to)?;
    diesel::update(revision::table)
        .set(revision::value.eq(changes.max(known) + 1))
        .execute(to)?;
    match to {
        AnyConnection::Sqlite(_) => {} // SQLite continues after the largest inserted number.
        AnyConnection::Postgres(conn) => {
            for table in NUMBERED_TABLES {
                conn.batch_execute(&format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'seq'), coalesce((SELECT max(seq) FROM {table}), 0) \
                    + 1, false)"
            ))?;
            }
        }
    }
    Ok(())
}

/// A row in the form that both stores share.
trait Row: Serialize + Sized {
    fn page(conn: &mut AnyConnection, behind: Option<&Self>) -> Result<Vec<Self>, TransferError>;
    fn insert(conn: &mut AnyConnection, rows: &[Self]) -> Result<(), TransferError>;

    fn copy_all(
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

    /// Adds the first `max_rows` rows to a digest, and returns their number.
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
row!(RemovedAdminRow of removed_admins by name);
row!(KeyRow of idempotency_keys by key_hash);
row!(EventRow of audit_events by seq);
row!(CallerRow of legacy_callers by seq);
row!(LegacyWatchRow of legacy_watch by day);
row!(LegacyCallsRow of legacy_calls in (legacy_calls::caller_seq.asc(), legacy_calls::day.asc()), row =>
    legacy_calls::caller_seq.gt(row.caller_seq)
        .or(legacy_calls::caller_seq.eq(row.caller_seq).and(legacy_calls::day.gt(row.day))));
row!(TokenUsesRow of token_uses in
    (token_uses::token_seq.asc(), token_uses::day.asc(), token_uses::outcome.asc()), row => {
    let same_day = token_uses::day.eq(row.day).and(token_uses::outcome.gt(&row.outcome));
    let same_token = token_uses::token_seq.eq(row.token_seq).and(token_uses::day.gt(row.day).or(same_day));
    token_uses::token_seq.gt(row.token_seq).or(same_token)
});

#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = grace_values)]
struct GraceValueRow {
    value_hash: Vec<u8>,
    token_seq: i64,
    valid_until: i64,
}

#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = removed_admins)]
struct RemovedAdminRow {
    name: String,
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

#[cfg(test)]
mod tests {
    use diesel::{QueryableByName, sql_query, sql_types::Text};

    use super::*;
    use crate::store::{migrations, url::DatabaseUrl};

    #[derive(QueryableByName)]
    struct Table {
        #[diesel(sql_type = Text)]
        name: String,
    }

    #[test]
    fn every_table_is_copied_except_sessions_and_the_revision() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("t.db");
        std::fs::File::create(&path).unwrap();
        let url = DatabaseUrl::Sqlite(path);
        let mut conn = url.connect().unwrap();
        migrations::run(&url, &mut conn).unwrap();
        let query = sql_query(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%\\_\\_%' ESCAPE '\\' AND name <> \
                'sqlite_sequence'",
        );
        let found: Vec<Table> = with_conn!(&mut conn, conn => query.load(conn), query.load(conn)).unwrap();
        let mut found: Vec<String> = found.into_iter().map(|table| table.name).collect();
        found.sort_unstable();
        let mut expected: Vec<&str> = TABLES.iter().copied().chain(["revision", "sessions"]).collect();
        expected.sort_unstable();
        assert_eq!(found, expected);
    }
}
