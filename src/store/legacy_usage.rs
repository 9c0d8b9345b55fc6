//! Queries on the recorded use of the legacy API.

use diesel::{
    BoolExpressionMethods, ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, RunQueryDsl,
    connection::SimpleConnection,
    dsl::{count_star, max, min},
};
use serde::Serialize;

use super::{
    columns::{decode, decode_actor},
    connection::AnyConnection,
    error::StoreError,
    schema::{legacy_callers, legacy_calls},
};
use crate::domain::{
    actor::ActorKind,
    clock::{Day, Timestamp},
    legacy_usage::{CallerAddress, CallerCapacity, CallerLimits, Calls, LegacyCaller},
    name::AdminName,
};

/// The advisory lock for writes to these tables on PostgreSQL, so that two servers do not add the
/// same caller concurrently: "tokenuse" in ASCII.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(8390042714203583333)";
/// Number of rows that are read or removed at a time.
const BATCH_SIZE: i64 = 1000;

/// A stored caller.
#[derive(Clone, Debug)]
pub struct StoredCaller {
    /// The row number.
    pub seq: i64,
    /// The caller.
    pub caller: LegacyCaller,
    /// The time of the first call.
    pub first_seen: Timestamp,
    /// The time of the last call.
    pub last_seen: Timestamp,
    /// Number of calls, including those of days whose records were removed.
    pub total: u64,
}

/// A caller as it is stored.
#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = legacy_callers)]
pub(super) struct CallerRow {
    pub(super) seq: i64,
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

/// Adds calls to the recorded ones. Callers beyond the limits are counted as one.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn record(
    conn: &mut AnyConnection,
    calls: &[(LegacyCaller, Calls)],
    limits: CallerLimits,
    now: Timestamp,
) -> Result<(), StoreError> {
    if calls.is_empty() {
        return Ok(());
    }
    lock_tables(conn)?;
    let mut capacity = capacity(conn, limits)?;
    for (caller, calls) in calls {
        if let Some(known) = find(conn, caller)? {
            add(conn, &known, calls, now)?;
            continue;
        }
        let admitted = capacity.allocate(caller.clone());
        match find(conn, &admitted)? {
            Some(known) => add(conn, &known, calls, now)?,
            None => insert(conn, &admitted, calls)?,
        }
    }
    Ok(())
}

/// Locks these tables against writes by other transactions.
pub(super) fn lock_tables(conn: &mut AnyConnection) -> Result<(), StoreError> {
    match conn {
        AnyConnection::Sqlite(_) => Ok(()), // SQLite has one writer and needs no locks.
        AnyConnection::Postgres(conn) => Ok(conn.batch_execute(POSTGRES_LOCK)?),
    }
}

/// Returns the capacity that the stored callers leave.
fn capacity(conn: &mut AnyConnection, limits: CallerLimits) -> Result<CallerCapacity, StoreError> {
    let distinct = legacy_callers::table.filter(legacy_callers::client.ne(""));
    let callers: i64 = distinct.select(count_star()).first(conn)?;
    let unauthenticated: i64 = distinct
        .filter(legacy_callers::actor_type.eq(""))
        .select(count_star())
        .first(conn)?;
    let number = |count| usize::try_from(count).unwrap_or(usize::MAX);
    Ok(CallerCapacity::new(limits, number(callers), number(unauthenticated)))
}

fn find(conn: &mut AnyConnection, caller: &LegacyCaller) -> Result<Option<StoredCaller>, StoreError> {
    let (actor_type, actor_id, client) = key(caller);
    let row = legacy_callers::table
        .filter(legacy_callers::prefix.eq(&caller.prefix))
        .filter(legacy_callers::method.eq(&caller.method))
        .filter(legacy_callers::actor_type.eq(actor_type))
        .filter(legacy_callers::actor_id.eq(actor_id))
        .filter(legacy_callers::client.eq(client))
        .filter(legacy_callers::user_agent.eq(&caller.user_agent))
        .first::<CallerRow>(conn)
        .optional()?;
    row.map(caller_from_row).transpose()
}

/// Returns the columns for the actor's type and ID and for the client. They are empty, not null, so
/// that a unique index covers them.
fn key(caller: &LegacyCaller) -> (&str, &str, String) {
    // Exhaustive, so that a new field does not compile until it is part of the key.
    let LegacyCaller {
        prefix: _,
        method: _,
        actor,
        client,
        user_agent: _,
    } = caller;
    let actor = actor.as_ref();
    (
        actor.map_or("", |actor| actor.kind.name()),
        actor.map_or("", |actor| &actor.id),
        match client {
            CallerAddress::Other => String::new(),
            client => client.to_string(),
        },
    )
}

fn add(conn: &mut AnyConnection, known: &StoredCaller, calls: &Calls, now: Timestamp) -> Result<(), StoreError> {
    // A time in the future was written while a server's clock was ahead.
    let last_seen = if known.last_seen.is_in_future(now) {
        calls.last_seen
    } else {
        known.last_seen.max(calls.last_seen)
    };
    diesel::update(legacy_callers::table.filter(legacy_callers::seq.eq(known.seq)))
        .set((
            legacy_callers::first_seen.eq(known.first_seen.min(calls.first_seen).micros()),
            legacy_callers::last_seen.eq(last_seen.micros()),
            legacy_callers::total.eq(to_column(known.total.saturating_add(calls.count()))),
        ))
        .execute(conn)?;
    add_days(conn, known.seq, calls)
}

fn insert(conn: &mut AnyConnection, caller: &LegacyCaller, calls: &Calls) -> Result<(), StoreError> {
    let (actor_type, actor_id, client) = key(caller);
    let seq: i64 = diesel::insert_into(legacy_callers::table)
        .values((
            legacy_callers::prefix.eq(&caller.prefix),
            legacy_callers::method.eq(&caller.method),
            legacy_callers::actor_type.eq(actor_type),
            legacy_callers::actor_id.eq(actor_id),
            legacy_callers::client.eq(client),
            legacy_callers::user_agent.eq(&caller.user_agent),
            legacy_callers::first_seen.eq(calls.first_seen.micros()),
            legacy_callers::last_seen.eq(calls.last_seen.micros()),
            legacy_callers::total.eq(to_column(calls.count())),
        ))
        .returning(legacy_callers::seq)
        .get_result(conn)?;
    add_days(conn, seq, calls)
}

fn add_days(conn: &mut AnyConnection, seq: i64, calls: &Calls) -> Result<(), StoreError> {
    for (day, count) in &calls.days {
        let of_day = legacy_calls::caller_seq.eq(seq).and(legacy_calls::day.eq(day.number()));
        let known = diesel::update(legacy_calls::table.filter(of_day))
            .set(legacy_calls::calls.eq(legacy_calls::calls + to_column(*count)))
            .execute(conn)?;
        if known == 0 {
            diesel::insert_into(legacy_calls::table)
                .values((
                    legacy_calls::caller_seq.eq(seq),
                    legacy_calls::day.eq(day.number()),
                    legacy_calls::calls.eq(to_column(*count)),
                ))
                .execute(conn)?;
        }
    }
    Ok(())
}

/// Returns all callers.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn callers(conn: &mut AnyConnection) -> Result<Vec<StoredCaller>, StoreError> {
    let rows: Vec<CallerRow> = legacy_callers::table.load(conn)?;
    rows.into_iter().map(caller_from_row).collect()
}

/// Calls `take` with the row number of each caller, each day from `since` on, and the number of
/// calls. Rows are read in batches, so memory is bounded.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn for_each_day(
    conn: &mut AnyConnection,
    since: Day,
    mut take: impl FnMut(i64, Day, u64),
) -> Result<(), StoreError> {
    let mut last = (0, i64::MIN);
    loop {
        let behind = legacy_calls::caller_seq
            .gt(last.0)
            .or(legacy_calls::caller_seq.eq(last.0).and(legacy_calls::day.gt(last.1)));
        let rows: Vec<(i64, i64, i64)> = legacy_calls::table
            .filter(legacy_calls::day.ge(since.number()).and(behind))
            .order((legacy_calls::caller_seq.asc(), legacy_calls::day.asc()))
            .limit(BATCH_SIZE)
            .load(conn)?;
        let Some((seq, day, _)) = rows.last() else {
            return Ok(());
        };
        last = (*seq, *day);
        for (seq, day, calls) in rows {
            take(seq, Day::from_number(day), u64::try_from(calls).unwrap_or_default());
        }
    }
}

/// Returns the number of calls with the credentials of an admin since `since`, and the time of the last one.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn calls_of_admin(
    conn: &mut AnyConnection,
    name: &AdminName,
    since: Day,
) -> Result<(u64, Option<Timestamp>), StoreError> {
    let rows: Vec<(i64, i64)> = legacy_calls::table
        .inner_join(legacy_callers::table)
        .filter(legacy_callers::actor_type.eq(ActorKind::User.name()))
        .filter(legacy_callers::actor_id.eq(name.as_str()))
        .filter(legacy_calls::day.ge(since.number()))
        .select((legacy_calls::calls, legacy_callers::last_seen))
        .load(conn)?;
    let calls = rows.iter().map(|(calls, _)| u64::try_from(*calls).unwrap_or_default());
    let last = rows.iter().map(|(_, last_seen)| *last_seen).max();
    Ok((calls.sum(), last.and_then(Timestamp::from_micros)))
}

/// Returns the time of the last call of each legacy endpoint, by prefix.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find_last_calls(conn: &mut AnyConnection) -> Result<Vec<(String, Timestamp)>, StoreError> {
    let rows: Vec<(String, Option<i64>)> = legacy_callers::table
        .group_by(legacy_callers::prefix)
        .select((legacy_callers::prefix, max(legacy_callers::last_seen)))
        .load(conn)?;
    let at = |(prefix, micros): (String, Option<i64>)| Some((prefix, Timestamp::from_micros(micros?)?));
    Ok(rows.into_iter().filter_map(at).collect())
}

/// Returns the time of the most recent call of the legacy API.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn newest(conn: &mut AnyConnection) -> Result<Option<Timestamp>, StoreError> {
    let newest: Option<i64> = legacy_callers::table
        .select(max(legacy_callers::last_seen))
        .first(conn)?;
    Ok(newest.and_then(Timestamp::from_micros))
}

/// Removes a batch of records from before `first`, the oldest first. Returns `true` if there may be
/// more.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete_before(conn: &mut AnyConnection, first: Day) -> Result<bool, StoreError> {
    lock_tables(conn)?;
    let oldest: Option<i64> = legacy_calls::table.select(min(legacy_calls::day)).first(conn)?;
    if let Some(day) = oldest.filter(|day| *day < first.number()) {
        let callers: Vec<i64> = legacy_calls::table
            .filter(legacy_calls::day.eq(day))
            .select(legacy_calls::caller_seq)
            .limit(BATCH_SIZE)
            .load(conn)?;
        let these = legacy_calls::caller_seq.eq_any(callers);
        diesel::delete(legacy_calls::table.filter(legacy_calls::day.eq(day).and(these))).execute(conn)?;
        return Ok(true);
    }
    let callers: Vec<i64> = legacy_callers::table
        .filter(legacy_callers::last_seen.lt(first.micros()))
        .select(legacy_callers::seq)
        .limit(BATCH_SIZE)
        .load(conn)?;
    if callers.is_empty() {
        return Ok(false);
    }
    diesel::delete(legacy_callers::table.filter(legacy_callers::seq.eq_any(callers))).execute(conn)?;
    Ok(true)
}

fn caller_from_row(row: CallerRow) -> Result<StoredCaller, StoreError> {
    let CallerRow {
        seq,
        prefix,
        method,
        actor_type,
        actor_id,
        client,
        user_agent,
        first_seen,
        last_seen,
        total,
    } = row;
    let actor = (!actor_type.is_empty())
        .then(|| decode_actor(&actor_type, actor_id))
        .transpose()?;
    let client = match client.as_str() {
        "" => CallerAddress::Other,
        text => decode(text)?,
    };
    Ok(StoredCaller {
        seq,
        caller: LegacyCaller {
            prefix,
            method,
            actor,
            client,
            user_agent,
        },
        first_seen: decode(first_seen)?,
        last_seen: decode(last_seen)?,
        total: u64::try_from(total).unwrap_or_default(),
    })
}

/// Converts a count to its column type, saturating at the maximum.
fn to_column(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
