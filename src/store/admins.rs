//! Queries on admins.

use diesel::{ExpressionMethods, OptionalExtension, QueryDsl, RunQueryDsl};

use super::{
    connection::{AnyConnection, with_conn},
    error::StoreError,
    schema::{admins, sessions},
};
use crate::domain::{
    admin::{Admin, PasswordHash},
    clock::Timestamp,
    name::AdminName,
};

/// An admin as a list shows them.
#[derive(Clone, Debug)]
pub struct AdminEntry {
    /// Their name.
    pub name: AdminName,
    /// When they were added.
    pub created_at: Timestamp,
    /// When their password last changed, after the first.
    pub password_changed_at: Option<Timestamp>,
}

/// Adds an admin.
///
/// # Errors
/// [`StoreError::Exists`] when there is one of that name.
pub fn insert(conn: &mut AnyConnection, admin: &Admin, now: Timestamp) -> Result<(), StoreError> {
    diesel::insert_into(admins::table)
        .values((
            admins::name.eq(admin.name.as_str()),
            admins::password_hash.eq(admin.password_hash.as_phc()),
            admins::created_at.eq(now.micros()),
        ))
        .execute(conn)?;
    Ok(())
}

/// The admin of that name.
///
/// # Errors
/// When the store fails.
pub fn find(conn: &mut AnyConnection, name: &AdminName) -> Result<Option<Admin>, StoreError> {
    let query = admins::table
        .filter(admins::name.eq(name.as_str()))
        .select(admins::password_hash);
    let hash = with_conn!(conn, conn => query.first(conn), query.first(conn)).optional()?;
    Ok(hash.map(|phc| of_row(name, phc)))
}

/// The admin of that name, whom nobody can change or remove until the transaction ends.
///
/// # Errors
/// When the store fails.
pub fn find_and_lock(conn: &mut AnyConnection, name: &AdminName) -> Result<Option<Admin>, StoreError> {
    let query = admins::table
        .filter(admins::name.eq(name.as_str()))
        .select(admins::password_hash);
    let hash = with_conn!(conn, conn => query.first(conn), query.for_share().first(conn)).optional()?;
    Ok(hash.map(|phc| of_row(name, phc)))
}

fn of_row(name: &AdminName, phc: String) -> Admin {
    Admin {
        name: name.clone(),
        password_hash: PasswordHash::from_phc(phc),
    }
}

/// Every admin, by name.
///
/// # Errors
/// When the store fails.
pub fn list(conn: &mut AnyConnection) -> Result<Vec<AdminEntry>, StoreError> {
    let rows: Vec<(String, i64, Option<i64>)> = admins::table
        .order(admins::name.asc())
        .select((admins::name, admins::created_at, admins::password_changed_at))
        .load(conn)?;
    let time = |micros| Timestamp::from_micros(micros).ok_or(StoreError::Corrupt("time"));
    rows.into_iter()
        .map(|(name, created_at, password_changed_at)| {
            Ok(AdminEntry {
                name: AdminName::parse(name).map_err(|_| StoreError::Corrupt("admin"))?,
                created_at: time(created_at)?,
                password_changed_at: password_changed_at.map(time).transpose()?,
            })
        })
        .collect()
}

/// How many admins there are; no other transaction can change or remove one until this one ends.
///
/// # Errors
/// When the store fails.
pub fn count_and_lock(conn: &mut AnyConnection) -> Result<usize, StoreError> {
    let names = admins::table.order(admins::name.asc()).select(admins::name);
    let names: Vec<String> = with_conn!(conn, conn => names.load(conn), names.for_update().load(conn))?;
    Ok(names.len())
}

/// Changes an admin's password, which ends their sessions; answers whether there was such an admin.
///
/// # Errors
/// When the store fails.
pub fn set_password(conn: &mut AnyConnection, admin: &Admin, now: Timestamp) -> Result<bool, StoreError> {
    let changed = diesel::update(admins::table.filter(admins::name.eq(admin.name.as_str())))
        .set((
            admins::password_hash.eq(admin.password_hash.as_phc()),
            admins::password_changed_at.eq(now.micros()),
        ))
        .execute(conn)?;
    diesel::delete(sessions::table.filter(sessions::admin.eq(admin.name.as_str()))).execute(conn)?;
    Ok(changed == 1)
}

/// Removes an admin, and with them their sessions; answers whether there was such an admin.
///
/// # Errors
/// When the store fails.
pub fn delete(conn: &mut AnyConnection, name: &AdminName) -> Result<bool, StoreError> {
    let removed = diesel::delete(admins::table.filter(admins::name.eq(name.as_str()))).execute(conn)?;
    Ok(removed == 1)
}

/// Does nothing to the database but reach it.
///
/// # Errors
/// When the store fails.
pub fn ping(conn: &mut AnyConnection) -> Result<(), StoreError> {
    admins::table.select(admins::name).first::<String>(conn).optional()?;
    Ok(())
}
