//! Stores the hours in which servers watched the legacy API.

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl, dsl::min};

use super::{connection::AnyConnection, error::StoreError, legacy_usage::lock_tables, schema::legacy_watch};
use crate::domain::{
    clock::Day,
    legacy_watch::{Hour, WatchedHours},
};

/// Records that a server watched during this hour.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn record(conn: &mut AnyConnection, hour: Hour) -> Result<(), StoreError> {
    lock_tables(conn)?;
    let day = hour.day().number();
    let of_day = legacy_watch::table.filter(legacy_watch::day.eq(day));
    let known: Option<i64> = of_day.select(legacy_watch::hours).first(conn).optional()?;
    if let Some(hours) = known {
        let hours = legacy_watch::hours.eq(hours | hour.bit());
        diesel::update(of_day).set(hours).execute(conn)?;
    } else {
        let row = (legacy_watch::day.eq(day), legacy_watch::hours.eq(hour.bit()));
        diesel::insert_into(legacy_watch::table).values(row).execute(conn)?;
    }
    Ok(())
}

/// Returns the watched hours since the day `since`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn since(conn: &mut AnyConnection, since: Day) -> Result<WatchedHours, StoreError> {
    let rows: Vec<(i64, i64)> = legacy_watch::table
        .filter(legacy_watch::day.ge(since.number()))
        .load(conn)?;
    let days = rows.into_iter().map(|(day, hours)| (Day::from_number(day), hours));
    Ok(days.collect())
}

/// Returns the first day with a watched hour.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn first_day(conn: &mut AnyConnection) -> Result<Option<Day>, StoreError> {
    let first: Option<i64> = legacy_watch::table.select(min(legacy_watch::day)).first(conn)?;
    Ok(first.map(Day::from_number))
}

/// Removes the records before `first`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete_before(conn: &mut AnyConnection, first: Day) -> Result<(), StoreError> {
    diesel::delete(legacy_watch::table.filter(legacy_watch::day.lt(first.number()))).execute(conn)?;
    Ok(())
}
