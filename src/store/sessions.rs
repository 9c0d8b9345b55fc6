//! Queries on sessions.

use std::net::IpAddr;

use diesel::{BoolExpressionMethods, ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};

use super::{
    admins::{AdminColumns, COLUMNS, decode_admin},
    columns::decode,
    connection::AnyConnection,
    error::StoreError,
    schema::{admins, sessions},
};
use crate::domain::{
    admin::Admin,
    clock::Timestamp,
    name::AdminName,
    session::{SessionHash, SessionInfo, SessionTimes},
};

/// Maximum number of sessions that one call removes.
const MAX_REMOVED: i64 = 500;
/// Maximum number of sessions that are listed.
const MAX_LISTED: i64 = 100;

/// The key hash, the begin, the last use, the client's address, and the user agent of a session.
type SessionRow = (Vec<u8>, i64, i64, Option<String>, String);

/// Adds a session of an admin that starts at `now`, from the address `client` by the program `user_agent`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn insert(
    conn: &mut AnyConnection,
    key: &SessionHash,
    admin: &AdminName,
    client: Option<IpAddr>,
    user_agent: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    diesel::insert_into(sessions::table)
        .values((
            sessions::key_hash.eq(key.as_bytes().as_slice()),
            sessions::admin.eq(admin.as_str()),
            sessions::begun_at.eq(now.micros()),
            sessions::seen_at.eq(now.micros()),
            sessions::client.eq(client.map(|address| address.to_string())),
            sessions::user_agent.eq(user_agent),
        ))
        .execute(conn)?;
    Ok(())
}

/// Returns the sessions of an admin that have not ended by the cutoffs `ended`, the last used first. `current` is the
/// one that asks.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn of_admin(
    conn: &mut AnyConnection,
    admin: &AdminName,
    ended: SessionTimes,
    current: &SessionHash,
) -> Result<Vec<SessionInfo>, StoreError> {
    let rows: Vec<SessionRow> = sessions::table
        .filter(sessions::admin.eq(admin.as_str()))
        .filter(sessions::begun_at.gt(ended.begun_at.micros()))
        .filter(sessions::seen_at.gt(ended.seen_at.micros()))
        .order(sessions::seen_at.desc())
        .limit(MAX_LISTED)
        .select((
            sessions::key_hash,
            sessions::begun_at,
            sessions::seen_at,
            sessions::client,
            sessions::user_agent,
        ))
        .load(conn)?;
    let session = |(key, begun_at, seen_at, client, user_agent): (Vec<u8>, i64, i64, Option<String>, String)| {
        Ok(SessionInfo {
            begun_at: decode(begun_at)?,
            seen_at: decode(seen_at)?,
            client: client.as_deref().map(decode).transpose()?,
            user_agent,
            is_current: key == current.as_bytes(),
        })
    };
    rows.into_iter().map(session).collect()
}

/// Removes the sessions of an admin except for `current`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete_others(conn: &mut AnyConnection, admin: &AdminName, current: &SessionHash) -> Result<(), StoreError> {
    let others = sessions::table
        .filter(sessions::admin.eq(admin.as_str()))
        .filter(sessions::key_hash.ne(current.as_bytes().as_slice()));
    diesel::delete(others).execute(conn)?;
    Ok(())
}

/// Removes up to 500 sessions that began or were last seen at or before the cutoffs `ended`, except
/// those for which `lasts` returns `true`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete_ended(
    conn: &mut AnyConnection,
    ended: SessionTimes,
    lasts: impl Fn(&[u8]) -> bool,
) -> Result<(), StoreError> {
    let begun_long_ago = sessions::begun_at.le(ended.begun_at.micros());
    let idle = sessions::seen_at.le(ended.seen_at.micros());
    let mut keys: Vec<Vec<u8>> = sessions::table
        .filter(begun_long_ago.or(idle))
        .select(sessions::key_hash)
        .limit(MAX_REMOVED)
        .load(conn)?;
    keys.retain(|key| !lasts(key));
    diesel::delete(sessions::table.filter(sessions::key_hash.eq_any(keys))).execute(conn)?;
    Ok(())
}

/// Returns the admin and the timestamps of the session with this key.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find(conn: &mut AnyConnection, key: &SessionHash) -> Result<Option<(Admin, SessionTimes)>, StoreError> {
    let row: Option<(AdminColumns, i64, i64)> = sessions::table
        .inner_join(admins::table)
        .filter(sessions::key_hash.eq(key.as_bytes().as_slice()))
        .select((COLUMNS, sessions::begun_at, sessions::seen_at))
        .first(conn)
        .optional()?;
    row.map(|(admin, begun_at, seen_at)| {
        let times = SessionTimes {
            begun_at: decode(begun_at)?,
            seen_at: decode(seen_at)?,
        };
        Ok((decode_admin(admin)?, times))
    })
    .transpose()
}

/// Updates the last use of a session.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn touch(conn: &mut AnyConnection, key: &SessionHash, now: Timestamp) -> Result<(), StoreError> {
    let this = sessions::key_hash.eq(key.as_bytes().as_slice());
    diesel::update(sessions::table.filter(this))
        .set(sessions::seen_at.eq(now.micros()))
        .execute(conn)?;
    Ok(())
}

/// Removes a session, if it exists.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete(conn: &mut AnyConnection, key: &SessionHash) -> Result<(), StoreError> {
    let this = sessions::key_hash.eq(key.as_bytes().as_slice());
    diesel::delete(sessions::table.filter(this)).execute(conn)?;
    Ok(())
}
