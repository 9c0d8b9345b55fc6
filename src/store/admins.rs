//! Queries on admins.

use diesel::{
    ExpressionMethods, Insertable, OptionalExtension, QueryDsl, QueryResult, Queryable, RunQueryDsl,
    connection::SimpleConnection,
};
use serde::Serialize;

use super::{
    columns::decode,
    connection::{AnyConnection, with_conn},
    error::StoreError,
    schema::{admins, removed_admins, sessions},
};
use crate::domain::{
    admin::{Admin, PasswordHash, PasswordOrigin, Role},
    clock::Timestamp,
    name::AdminName,
    page::PageSize,
    record::AdminRecord,
    text::{to_nfc, to_nfd},
};

/// An admin in a list.
#[derive(Clone, Debug)]
pub struct AdminEntry {
    /// The name.
    pub name: AdminName,
    /// The time at which the admin was added.
    pub created_at: Timestamp,
    /// The time of the last password change; `None` if the first password is still in use.
    pub password_changed_at: Option<Timestamp>,
    /// The origin of the password.
    pub password_origin: PasswordOrigin,
    /// The role.
    pub role: Role,
}

/// Adds an admin.
///
/// # Errors
/// [`StoreError::AlreadyExists`] if the name exists.
pub fn insert(conn: &mut AnyConnection, admin: &Admin, now: Timestamp) -> Result<(), StoreError> {
    let record = AdminRecord {
        admin: admin.clone(),
        created_at: now,
        password_changed_at: None,
    };
    insert_record(conn, &record)
}

/// Adds an admin with all stored fields.
///
/// # Errors
/// [`StoreError::AlreadyExists`] if the name exists.
pub(super) fn insert_record(conn: &mut AnyConnection, record: &AdminRecord) -> Result<(), StoreError> {
    let insert = diesel::insert_into(admins::table).values(AdminRow::from(record));
    with_conn!(conn, conn => insert.execute(conn)?, insert.execute(conn)?);
    let key = record.admin.name.directory_key();
    diesel::delete(removed_admins::table.filter(removed_admins::name.eq(key))).execute(conn)?;
    Ok(())
}

/// The columns of an [`Admin`].
pub(super) const COLUMNS: (
    admins::name,
    admins::password_hash,
    admins::password_origin,
    admins::role,
) = (
    admins::name,
    admins::password_hash,
    admins::password_origin,
    admins::role,
);

/// The values of [`COLUMNS`].
pub(super) type AdminColumns = (String, String, String, String);

/// Decodes the values of [`COLUMNS`].
///
/// # Errors
/// [`StoreError::Corrupt`] if this program never wrote them.
pub(super) fn decode_admin((name, phc, password_origin, role): AdminColumns) -> Result<Admin, StoreError> {
    Ok(Admin {
        name: AdminName::from_stored(name),
        password_hash: PasswordHash::from_phc(phc),
        password_origin: decode(password_origin.as_str())?,
        role: decode(role.as_str())?,
    })
}

/// Returns the admin with this name.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find(conn: &mut AnyConnection, name: &AdminName) -> Result<Option<Admin>, StoreError> {
    find_in_either_form(name, |form| {
        let query = by_name(form).select(COLUMNS);
        with_conn!(conn, conn => query.first(conn), query.first(conn)).optional()
    })
}

/// Returns the admin with this name. No other transaction can change or remove the admin until this
/// one ends.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find_and_lock(conn: &mut AnyConnection, name: &AdminName) -> Result<Option<Admin>, StoreError> {
    find_in_either_form(name, |form| {
        let query = by_name(form).select(COLUMNS);
        with_conn!(conn, conn => query.first(conn), query.for_share().first(conn)).optional()
    })
}

/// Passes a name to `find` in its normal form, and then in the one that earlier versions may have stored. For nearly
/// every name both are the same; SQLite builds a temporary table for a query that compares with either.
fn find_in_either_form(
    name: &AdminName,
    mut find: impl FnMut(&str) -> QueryResult<Option<AdminColumns>>,
) -> Result<Option<Admin>, StoreError> {
    let (composed, decomposed) = (to_nfc(name.as_str()), to_nfd(name.as_str()));
    let mut found = find(&composed)?;
    if found.is_none() && decomposed != composed {
        found = find(&decomposed)?;
    }
    found.map(decode_admin).transpose()
}

#[diesel::dsl::auto_type]
fn by_name(name: &str) -> _ {
    let name: String = name.to_owned();
    admins::table.filter(admins::name.eq(name))
}

/// An admin as it is stored.
#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = admins, treat_none_as_default_value = false)]
pub(super) struct AdminRow {
    pub(super) name: String,
    password_hash: String,
    created_at: i64,
    password_changed_at: Option<i64>,
    role: String,
    password_origin: String,
}

impl From<&AdminRecord> for AdminRow {
    fn from(record: &AdminRecord) -> Self {
        // Exhaustive, so that a new field does not compile until it is stored.
        let AdminRecord {
            admin:
                Admin {
                    name,
                    password_hash,
                    password_origin,
                    role,
                },
            created_at,
            password_changed_at,
        } = record;
        Self {
            name: name.as_str().to_owned(),
            password_hash: password_hash.as_phc().to_owned(),
            created_at: created_at.micros(),
            password_changed_at: password_changed_at.map(Timestamp::micros),
            role: role.name().to_owned(),
            password_origin: password_origin.name().to_owned(),
        }
    }
}

impl TryFrom<AdminRow> for AdminRecord {
    type Error = StoreError;

    fn try_from(row: AdminRow) -> Result<Self, StoreError> {
        Ok(Self {
            admin: decode_admin((row.name, row.password_hash, row.password_origin, row.role))?,
            created_at: decode(row.created_at)?,
            password_changed_at: row.password_changed_at.map(decode).transpose()?,
        })
    }
}

/// A page of admins, by name.
#[derive(Clone, Debug)]
pub struct AdminPage {
    /// The admins.
    pub admins: Vec<AdminEntry>,
    /// The name after which the next page starts, if there is one.
    pub next: Option<AdminName>,
}

/// Returns the admins whose names come after `after`, at most `size` of them.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn page(conn: &mut AnyConnection, after: Option<&AdminName>, size: PageSize) -> Result<AdminPage, StoreError> {
    let rows: Vec<AdminRow> = admins::table
        .filter(admins::name.gt(after.map_or("", AdminName::as_str)))
        .order(admins::name.asc())
        .limit(i64::try_from(size.get() + 1).unwrap_or(i64::MAX))
        .load(conn)?;
    let has_more = rows.len() > size.get();
    let entry = |row: AdminRow| {
        let record = AdminRecord::try_from(row)?;
        Ok::<_, StoreError>(AdminEntry {
            name: record.admin.name,
            created_at: record.created_at,
            password_changed_at: record.password_changed_at,
            password_origin: record.admin.password_origin,
            role: record.admin.role,
        })
    };
    let admins = rows
        .into_iter()
        .take(size.get())
        .map(entry)
        .collect::<Result<Vec<_>, _>>()?;
    let next = admins.last().filter(|_| has_more).map(|last| last.name.clone());
    Ok(AdminPage { admins, next })
}

/// Returns `true` if there is an admin with the role [`Role::Admin`] other than `except`.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn has_full_admin(conn: &mut AnyConnection, except: Option<&AdminName>) -> Result<bool, StoreError> {
    let full = admins::table
        .filter(admins::role.eq(Role::Admin.name()))
        .filter(admins::name.ne(except.map_or("", AdminName::as_str)))
        .select(admins::name);
    Ok(full.first::<String>(conn).optional()?.is_some())
}

/// Locks all admins: no other transaction can change or remove one until this one ends.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn lock_all(conn: &mut AnyConnection) -> Result<(), StoreError> {
    let names = admins::table.order(admins::name.asc()).select(admins::name);
    let _: Vec<String> = with_conn!(conn, conn => names.load(conn), names.for_update().load(conn))?;
    Ok(())
}

/// Locks all admins as [`lock_all`] does, and keeps other transactions from adding one.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn lock_table(conn: &mut AnyConnection) -> Result<(), StoreError> {
    lock_all(conn)?;
    match conn {
        AnyConnection::Sqlite(_) => {} // SQLite has one writer and needs no locks.
        AnyConnection::Postgres(conn) => conn.batch_execute("LOCK TABLE admins IN SHARE ROW EXCLUSIVE MODE")?,
    }
    Ok(())
}

/// Returns `true` if an admin, or a removed one, has this name, or one that differs only in what
/// user directories commonly ignore ([`AdminName::directory_key`]).
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn is_taken(conn: &mut AnyConnection, name: &AdminName) -> Result<bool, StoreError> {
    let key = name.directory_key();
    let removed = removed_admins::table
        .filter(removed_admins::name.eq(&key))
        .select(removed_admins::name);
    if removed.first::<String>(conn).optional()?.is_some() {
        return Ok(true);
    }
    let names: Vec<String> = admins::table.select(admins::name).load(conn)?;
    Ok(names
        .into_iter()
        .any(|name| AdminName::from_stored(name).directory_key() == key))
}

/// Changes an admin's password and its origin, and ends the admin's sessions. Returns `false` if
/// the admin does not exist.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn set_password(conn: &mut AnyConnection, admin: &Admin, now: Timestamp) -> Result<bool, StoreError> {
    let changed = diesel::update(admins::table.filter(admins::name.eq(admin.name.as_str())))
        .set((
            admins::password_hash.eq(admin.password_hash.as_phc()),
            admins::password_origin.eq(admin.password_origin.name()),
            admins::password_changed_at.eq(now.micros()),
        ))
        .execute(conn)?;
    diesel::delete(sessions::table.filter(sessions::admin.eq(admin.name.as_str()))).execute(conn)?;
    Ok(changed == 1)
}

/// Changes an admin's role. Returns `false` if the admin does not exist.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn set_role(conn: &mut AnyConnection, name: &AdminName, role: Role) -> Result<bool, StoreError> {
    let this = admins::table.filter(admins::name.eq(name.as_str()));
    let changed = diesel::update(this).set(admins::role.eq(role.name())).execute(conn)?;
    Ok(changed == 1)
}

/// Removes an admin and their sessions, and records the name as removed. Returns `false` if the
/// admin does not exist.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete(conn: &mut AnyConnection, name: &AdminName) -> Result<bool, StoreError> {
    let removed = diesel::delete(admins::table.filter(admins::name.eq(name.as_str()))).execute(conn)?;
    let record = diesel::insert_into(removed_admins::table).values(removed_admins::name.eq(name.directory_key()));
    with_conn!(
        conn,
        conn => record.on_conflict_do_nothing().execute(conn)?,
        record.on_conflict_do_nothing().execute(conn)?
    );
    Ok(removed == 1)
}

/// Checks that the database responds.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn ping(conn: &mut AnyConnection) -> Result<(), StoreError> {
    admins::table.select(admins::name).first::<String>(conn).optional()?;
    Ok(())
}
