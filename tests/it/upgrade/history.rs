//! The history of a store: migrations, and the rows that the program of each schema wrote.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use diesel::{Connection, PgConnection, migration::MigrationSource, pg::Pg, sqlite::Sqlite};
use diesel_migrations::{FileBasedMigrations, MigrationHarness};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::support::store::{StoreKind, execute, sqlite, texts};

/// The columns of a row with their values; blobs in hexadecimal.
pub type Row = Map<String, Value>;

/// The rows of each table, in the order of their texts.
pub type Content = BTreeMap<String, Vec<Row>>;

/// The only column that was renamed, in migration 0007: that of `audit_events`.
pub const RENAMED: (&str, &str) = ("door", "channel");

/// A migration, and the rows that are written after it.
pub struct Step {
    directory: PathBuf,
}

/// Returns all migrations in their order.
pub fn history(kind: StoreKind) -> Vec<Step> {
    let directory = Path::new("migrations").join(kind.to_string());
    let entries = std::fs::read_dir(directory).unwrap();
    let mut directories: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    directories.into_iter().map(|directory| Step { directory }).collect()
}

impl Step {
    /// The name of the migration, such as `0001_create`.
    fn name(&self) -> String {
        self.directory.file_name().unwrap().to_str().unwrap().to_owned()
    }

    pub fn version(&self) -> String {
        self.name()[..4].to_owned()
    }

    /// Applies the migration as diesel does.
    pub fn apply(&self, url: &str) {
        let source = FileBasedMigrations::from_path(self.directory.parent().unwrap()).unwrap();
        match url.strip_prefix("sqlite:") {
            Some(path) => self.run::<Sqlite, _>(&mut sqlite(path), &source),
            None => self.run::<Pg, _>(&mut PgConnection::establish(url).unwrap(), &source),
        }
    }

    fn run<DB: diesel::backend::Backend, C: MigrationHarness<DB>>(&self, conn: &mut C, source: &FileBasedMigrations) {
        let migrations = MigrationSource::<DB>::migrations(source).unwrap();
        let migration = migrations
            .iter()
            .find(|migration| migration.name().to_string() == self.name());
        // Creates the table of the versions.
        conn.applied_migrations().unwrap();
        conn.run_migration(migration.unwrap()).unwrap();
    }

    /// Writes the rows, if the migration added something that can be written.
    pub fn write_rows(&self, url: &str) {
        let file = format!("tests/it/upgrade/rows/{}.sql", self.name());
        let Ok(mut rows) = std::fs::read_to_string(file) else {
            return;
        };
        if !url.starts_with("sqlite:") {
            rows = rows.replace("X'", "'\\x");
        }
        let [from, to] = [RENAMED.0, RENAMED.1].map(|column| format!(" {column},"));
        if rows.contains(&from)
            && columns(url, "audit_events")
                .iter()
                .any(|column| column.name == RENAMED.1)
        {
            rows = rows.replace(&from, &to);
        }
        execute(url, &rows);
    }

    /// Returns the SHA-256 of the statements, without comments and the layout, and the name.
    pub fn fingerprint(&self, kind: StoreKind) -> String {
        let statements = std::fs::read_to_string(self.directory.join("up.sql")).unwrap();
        let mut digest = Sha256::new();
        for word in statements
            .lines()
            .filter(|line| !line.trim_start().starts_with("--"))
            .flat_map(str::split_whitespace)
        {
            digest.update(word);
            digest.update(" ");
        }
        let digest = digest.finalize();
        let digest = digest
            .iter()
            .fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
        format!("{digest} {kind}/{}", self.name())
    }
}

/// The columns of all tables.
pub struct Schema {
    /// The default of each column; null without one.
    pub defaults: BTreeMap<String, Row>,
    columns: BTreeMap<String, Vec<Column>>,
}

struct Column {
    name: String,
    data_type: String,
    is_required: bool,
    default: Option<String>,
}

impl Schema {
    pub fn of(url: &str) -> Self {
        let tables: Vec<_> = tables(url);
        let columns: BTreeMap<_, _> = tables
            .into_iter()
            .map(|table| (table.clone(), columns(url, &table)))
            .collect();
        let defaults = columns
            .iter()
            .map(|(table, columns)| {
                let default = |column: &Column| column.default.clone().unwrap_or_else(|| "NULL".to_owned());
                let defaults = columns.iter().map(|column| (column.name.as_str(), default(column)));
                (table.clone(), rows(url, &json_object(url, defaults), "").remove(0))
            })
            .collect();
        Self { defaults, columns }
    }

    /// Returns what a server of this schema misses in a later one.
    pub fn broken_by(&self, later: &Self) -> Vec<String> {
        let mut broken = Vec::new();
        for (table, known) in &self.columns {
            let found = later.columns.get(table).map_or(&[][..], Vec::as_slice);
            for column in found
                .iter()
                .filter(|column| known.iter().all(|other| other.name != column.name))
            {
                if column.is_required && column.default.is_none() {
                    broken.push(format!("{table}.{} needs a value", column.name));
                }
            }
            for column in known {
                match found.iter().find(|other| other.name == column.name) {
                    None => broken.push(format!("{table}.{} is missing", column.name)),
                    Some(other) if other.data_type != column.data_type || other.is_required != column.is_required => {
                        broken.push(format!("{table}.{} has another type", column.name));
                    }
                    Some(_) => {}
                }
            }
        }
        broken
    }
}

fn tables(url: &str) -> Vec<String> {
    let query = if url.starts_with("sqlite:") {
        "SELECT name AS found FROM sqlite_master WHERE type = 'table'"
    } else {
        "SELECT table_name::text AS found FROM information_schema.tables WHERE table_schema = 'public'"
    };
    let mut tables = texts(url, query);
    tables.retain(|table| !table.starts_with("sqlite_") && table != "__diesel_schema_migrations");
    tables
}

fn columns(url: &str, table: &str) -> Vec<Column> {
    let query = if url.starts_with("sqlite:") {
        format!("SELECT json_array(name, type, \"notnull\" = 1, dflt_value) AS found FROM pragma_table_info('{table}')")
    } else {
        format!(
            "SELECT json_build_array(column_name, data_type, is_nullable = 'NO', column_default)::text AS found
             FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{table}'"
        )
    };
    let column = |text: &String| {
        let fields: [Value; 4] = serde_json::from_str(text).unwrap();
        let [name, data_type, is_required, default] = fields;
        Column {
            name: name.as_str().unwrap().to_owned(),
            data_type: data_type.as_str().unwrap().to_owned(),
            is_required: is_required == true || is_required == 1,
            default: default.as_str().map(ToOwned::to_owned),
        }
    };
    texts(url, &query).iter().map(column).collect()
}

/// Returns an expression for an object with these expressions as values.
fn json_object<'a>(url: &str, values: impl Iterator<Item = (&'a str, String)>) -> String {
    let values: Vec<_> = values.map(|(name, value)| format!("'{name}', {value}")).collect();
    let function = if url.starts_with("sqlite:") {
        "json_object"
    } else {
        "jsonb_build_object"
    };
    format!("{function}({})", values.join(", "))
}

fn rows(url: &str, object: &str, from: &str) -> Vec<Row> {
    let cast = if url.starts_with("sqlite:") { "" } else { "::text" };
    let texts = texts(url, &format!("SELECT {object}{cast} AS found {from}"));
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// Returns the rows of all tables.
pub fn content(url: &str) -> Content {
    let of_table = |table: String| {
        let value = |column: &Column| match column.data_type.as_str() {
            "BLOB" => format!("hex({})", column.name),
            _ => column.name.clone(),
        };
        let columns = columns(url, &table);
        let object = json_object(url, columns.iter().map(|column| (column.name.as_str(), value(column))));
        let mut rows = rows(url, &object, &format!("FROM {table}"));
        rows.sort_by_key(|row| Value::from(row.clone()).to_string());
        (table, rows)
    };
    tables(url).into_iter().map(of_table).collect()
}
