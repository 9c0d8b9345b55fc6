//! Queries on admins.

use diesel::{ExpressionMethods, Insertable, OptionalExtension, QueryDsl, Queryable, RunQueryDsl};
use serde::Serialize;

use super::{
    columns::decode,
    connection::{AnyConnection, with_conn},
    error::StoreError,
    schema::{admins, sessions},
};
use crate::domain::{
    admin::{Admin, PasswordHash},
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
    let insert = diesel::insert_into(admins::table).values(AdminRow::from(&record));
    with_conn!(conn, conn => insert.execute(conn)?, insert.execute(conn)?);
    Ok(())
}

/// Returns the admin with this name.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find(conn: &mut AnyConnection, name: &AdminName) -> Result<Option<Admin>, StoreError> {
    let query = by_name(name).select((admins::name, admins::password_hash));
    let found: Option<(String, String)> = with_conn!(conn, conn => query.first(conn), query.first(conn)).optional()?;
    Ok(found.map(|(name, phc)| admin_from_row(name, phc)))
}

/// Returns the admin with this name. No other transaction can change or remove the admin until this
/// one ends.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn find_and_lock(conn: &mut AnyConnection, name: &AdminName) -> Result<Option<Admin>, StoreError> {
    let query = by_name(name).select((admins::name, admins::password_hash));
    let found: Option<(String, String)> =
        with_conn!(conn, conn => query.first(conn), query.for_share().first(conn)).optional()?;
    Ok(found.map(|(name, phc)| admin_from_row(name, phc)))
}

/// Selects the admins with a name in either normal form: earlier versions stored names as they were typed.
#[diesel::dsl::auto_type]
fn by_name(name: &AdminName) -> _ {
    let forms: [String; 2] = [to_nfc(name.as_str()).into_owned(), to_nfd(name.as_str()).into_owned()];
    admins::table.filter(admins::name.eq_any(forms))
}

/// An admin as it is stored.
#[derive(Queryable, Insertable, Serialize)]
#[diesel(table_name = admins, treat_none_as_default_value = false)]
pub(super) struct AdminRow {
    pub(super) name: String,
    password_hash: String,
    created_at: i64,
    password_changed_at: Option<i64>,
}

impl From<&AdminRecord> for AdminRow {
    fn from(record: &AdminRecord) -> Self {
        // Exhaustive, so that a new field does not compile until it is stored.
        let AdminRecord {
            admin: Admin { name, password_hash },
            created_at,
            password_changed_at,
        } = record;
        Self {
            name: name.as_str().to_owned(),
            password_hash: password_hash.as_phc().to_owned(),
            created_at: created_at.micros(),
            password_changed_at: password_changed_at.map(Timestamp::micros),
        }
    }
}

impl TryFrom<AdminRow> for AdminRecord {
    type Error = StoreError;

    fn try_from(row: AdminRow) -> Result<Self, StoreError> {
        Ok(Self {
            admin: admin_from_row(row.name, row.password_hash),
            created_at: decode(row.created_at)?,
            password_changed_at: row.password_changed_at.map(decode).transpose()?,
        })
    }
}

pub(super) fn admin_from_row(name: String, phc: String) -> Admin {
    Admin {
        name: AdminName::from_stored(name),
        password_hash: PasswordHash::from_phc(phc),
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
    let rows: Vec<(String, i64, Option<i64>)> = admins::table
        .filter(admins::name.gt(after.map_or("", AdminName::as_str)))
        .order(admins::name.asc())
        .select((admins::name, admins::created_at, admins::password_changed_at))
        .limit(i64::try_from(size.get() + 1).unwrap_or(i64::MAX))
        .load(conn)?;
    let has_more = rows.len() > size.get();
    let entry = |(name, created_at, password_changed_at): (String, i64, Option<i64>)| {
        Ok::<_, StoreError>(AdminEntry {
            name: AdminName::from_stored(name),
            created_at: decode(created_at)?,
            password_changed_at: password_changed_at.map(decode).transpose()?,
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

/// Returns `true` if there is an admin other than this one.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn has_other(conn: &mut AnyConnection, name: &AdminName) -> Result<bool, StoreError> {
    let others = admins::table
        .filter(admins::name.ne(name.as_str()))
        .select(admins::name);
    Ok(others.first::<String>(conn).optional()?.is_some())
}

/// Returns the number of admins. No other transaction can change or remove one until this one ends.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn count_and_lock(conn: &mut AnyConnection) -> Result<usize, StoreError> {
    let names = admins::table.order(admins::name.asc()).select(admins::name);
    let names: Vec<String> = with_conn!(conn, conn => names.load(conn), names.for_update().load(conn))?;
    Ok(names.len())
}

/// Changes an admin's password and ends their sessions. Returns `false` if the admin does not
/// exist.
///
/// # Errors
/// [`StoreError`] if the query fails.
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

/// Removes an admin and their sessions. Returns `false` if the admin does not exist.
///
/// # Errors
/// [`StoreError`] if the query fails.
pub fn delete(conn: &mut AnyConnection, name: &AdminName) -> Result<bool, StoreError> {
    let removed = diesel::delete(admins::table.filter(admins::name.eq(name.as_str()))).execute(conn)?;
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
