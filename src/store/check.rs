//! Checks a database: its pages, its foreign keys, and its schema version.

use std::path::Path;

use diesel::{
    Connection, QueryResult, QueryableByName, RunQueryDsl, SqliteConnection, sql_query,
    sql_types::{BigInt, Nullable, Text},
};

use super::{
    connection::{AnyConnection, existing_file, with_conn},
    error::{Fault, OpenError, StoreError, to_single_line},
    migrations,
    url::DatabaseUrl,
};

#[derive(QueryableByName)]
struct TextRow {
    #[diesel(sql_type = Text)]
    line: String,
}

/// A row of `PRAGMA foreign_key_check`.
#[derive(QueryableByName)]
struct Orphan {
    #[diesel(sql_type = Text)]
    table: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    rowid: Option<i64>,
    #[diesel(sql_type = Text)]
    parent: String,
}

/// Checks a database and returns one line per problem. Changes nothing, and can run beside a server.
///
/// # Errors
/// [`OpenError::Missing`] if the SQLite file does not exist; [`OpenError::Connection`] if the
/// database cannot be opened or queried.
pub fn check(url: &DatabaseUrl) -> Result<Vec<String>, OpenError> {
    let failed = |error: String| OpenError::Connection(url.to_string(), to_single_line(&error));
    match url {
        DatabaseUrl::Sqlite(path) if !path.exists() => Err(OpenError::Missing(path.display().to_string())),
        // A read-write connection would copy a leftover log to the file, and remove it.
        DatabaseUrl::Sqlite(path) => check_file(path, "ro").map_err(|error| failed(error.to_string())),
        DatabaseUrl::Postgres(_) => {
            let mut conn = url.connect().map_err(|error| failed(error.to_string()))?;
            check_schema(&mut conn).map_err(|error| failed(error.to_string()))
        }
    }
}

/// Checks a SQLite file as [`check`] does. `mode` is `ro` or `rw`.
///
/// # Errors
/// [`diesel::ConnectionError`] if the file cannot be opened.
pub(super) fn check_file(path: &Path, mode: &str) -> Result<Vec<String>, diesel::ConnectionError> {
    let mut conn = SqliteConnection::establish(&existing_file(path, mode))?;
    // An error also counts as a finding: "file is not a database".
    let mut findings = check_pages(&mut conn).unwrap_or_else(|error| vec![to_single_line(&error.to_string())]);
    if findings.is_empty() {
        findings = check_schema(&mut AnyConnection::Sqlite(conn))
            .unwrap_or_else(|error| vec![to_single_line(&error.to_string())]);
    }
    Ok(findings)
}

/// A row of `PRAGMA quick_check`.
#[derive(QueryableByName)]
struct QuickCheck {
    #[diesel(sql_type = Text)]
    quick_check: String,
}

/// Checks that the pages of a SQLite file are intact.
///
/// # Errors
/// [`StoreError::Unwritable`] if they are damaged; [`StoreError::Failed`] if the query fails.
pub(super) fn require_intact_pages(conn: &mut AnyConnection) -> Result<(), StoreError> {
    let found: Vec<QuickCheck> = match conn {
        // Not the table-valued function: it would take the 1 for the name of a table.
        AnyConnection::Sqlite(conn) => sql_query("PRAGMA quick_check(1)").load(conn)?,
        AnyConnection::Postgres(_) => return Ok(()),
    };
    if found.iter().all(|QuickCheck { quick_check }| quick_check == "ok") {
        Ok(())
    } else {
        Err(StoreError::Unwritable(Fault::Damaged))
    }
}

fn check_pages(conn: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    let lines: Vec<TextRow> = sql_query("SELECT integrity_check AS line FROM pragma_integrity_check").load(conn)?;
    let damage = lines
        .into_iter()
        .map(|TextRow { line }| to_single_line(&line))
        .filter(|line| line != "ok");
    let orphans: Vec<Orphan> = sql_query("SELECT * FROM pragma_foreign_key_check").load(conn)?;
    let orphans = orphans.into_iter().map(|Orphan { table, rowid, parent }| {
        let row = rowid.map_or_else(|| "a row".to_owned(), |rowid| format!("row {rowid}"));
        format!("{row} of {table} refers to a row of {parent} that is missing")
    });
    Ok(damage.chain(orphans).collect())
}

fn check_schema(conn: &mut AnyConnection) -> QueryResult<Vec<String>> {
    let tables = "SELECT name AS line FROM sqlite_master WHERE type = 'table'";
    let schemas =
        "SELECT table_name::text AS line FROM information_schema.tables WHERE table_schema = current_schema()";
    let tables: Vec<TextRow> = with_conn!(conn, conn => sql_query(tables).load(conn)?, sql_query(schemas).load(conn)?);
    if ["__diesel_schema_migrations", "revision", "tokens"]
        .iter()
        .any(|table| tables.iter().all(|TextRow { line }| line != table))
    {
        return Ok(vec!["it is not a tokenbridge database".to_owned()]);
    }
    let versions = sql_query("SELECT version AS line FROM __diesel_schema_migrations");
    let versions: Vec<TextRow> = with_conn!(conn, conn => versions.load(conn)?, versions.load(conn)?);
    let newer = migrations::find_newer(versions.into_iter().map(|TextRow { line }| line));
    let newer = newer.map(|schema| format!("it {schema}"));
    let rows = sql_query("SELECT store_id AS line FROM revision");
    let rows: Vec<TextRow> = with_conn!(conn, conn => rows.load(conn)?, rows.load(conn)?);
    let count = (rows.len() != 1).then(|| format!("table revision has {} rows instead of one", rows.len()));
    Ok(newer.into_iter().chain(count).collect())
}
