//! Separate stores for tests: a copy of a file, or a database in the private cluster.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use diesel::{
    Connection, PgConnection, QueryableByName, RunQueryDsl, SqliteConnection, connection::SimpleConnection, sql_query,
};
use tempfile::TempDir;

use super::{ADMIN, cluster::Cluster, program::Program};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    Sqlite,
    Postgres,
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        })
    }
}

/// An empty store with one admin.
pub struct TestStore {
    pub directory: TempDir,
    kind: StoreKind,
    name: String,
}

static NEXT: AtomicU32 = AtomicU32::new(1);

static SQLITE_TEMPLATE: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("template.db");
    prepare(&format!("sqlite:{}", file.display()));
    (directory, file)
});

static POSTGRES_TEMPLATE: LazyLock<&str> = LazyLock::new(|| {
    postgres("postgres").batch_execute("CREATE DATABASE template").unwrap();
    prepare(&Cluster::shared_url("template"));
    "template"
});

fn prepare(url: &str) {
    let added = Program::new(url).run_with_input(&["admin", "add", ADMIN.0, "--password-stdin"], ADMIN.1);
    assert_eq!(added.exit_code, 0, "{added:?}");
}

impl TestStore {
    pub fn new(kind: StoreKind) -> Self {
        let store = Self {
            directory: TempDir::new().unwrap(),
            kind,
            name: format!("test_{}", NEXT.fetch_add(1, Ordering::SeqCst)),
        };
        match kind {
            StoreKind::Sqlite => {
                let file = store.directory.path().join("tokenbridge.db");
                std::fs::copy(&SQLITE_TEMPLATE.1, &file).unwrap();
                // The program may have exited before SQLite checkpointed its log.
                let log = |file: &Path| file.with_extension("db-wal");
                if log(&SQLITE_TEMPLATE.1).exists() {
                    std::fs::copy(log(&SQLITE_TEMPLATE.1), log(&file)).unwrap();
                }
            }
            StoreKind::Postgres => {
                let create = format!("CREATE DATABASE {} TEMPLATE {}", store.name, *POSTGRES_TEMPLATE);
                // PostgreSQL does not copy a template that has connections, not even those of other copies.
                super::wait_until("the database is created", || {
                    postgres("postgres").batch_execute(&create).ok()
                });
            }
        }
        store
    }

    /// Returns the URL of a new store: a file that does not exist, or an empty PostgreSQL database.
    pub fn fresh_url(&self) -> String {
        let name = format!("fresh_{}", NEXT.fetch_add(1, Ordering::SeqCst));
        match self.kind {
            StoreKind::Sqlite => format!("sqlite:{}", self.directory.path().join(name).display()),
            StoreKind::Postgres => {
                postgres("postgres")
                    .batch_execute(&format!("CREATE DATABASE {name}"))
                    .unwrap();
                Cluster::shared_url(&name)
            }
        }
    }

    pub fn url(&self) -> String {
        match self.kind {
            StoreKind::Sqlite => format!("sqlite:{}", self.directory.path().join("tokenbridge.db").display()),
            StoreKind::Postgres => Cluster::shared_url(&self.name),
        }
    }

    /// Runs statements directly in the database, without the server.
    pub fn execute(&self, statements: &str) {
        execute(&self.url(), statements);
    }

    /// Returns the texts in the column `found` of a query's result.
    pub fn texts(&self, query: &str) -> Vec<String> {
        texts(&self.url(), query)
    }
}

#[derive(QueryableByName)]
struct TextRow {
    #[diesel(sql_type = diesel::sql_types::Text)]
    found: String,
}

pub fn execute(url: &str, statements: &str) {
    match url.strip_prefix("sqlite:") {
        Some(path) => sqlite(path).batch_execute(statements).unwrap(),
        None => PgConnection::establish(url).unwrap().batch_execute(statements).unwrap(),
    }
}

pub fn texts(url: &str, query: &str) -> Vec<String> {
    let rows: Vec<TextRow> = match url.strip_prefix("sqlite:") {
        Some(path) => sql_query(query).load(&mut sqlite(path)).unwrap(),
        None => sql_query(query)
            .load(&mut PgConnection::establish(url).unwrap())
            .unwrap(),
    };
    rows.into_iter().map(|row| row.found).collect()
}

pub fn sqlite(path: &str) -> SqliteConnection {
    let mut conn = SqliteConnection::establish(path).unwrap();
    conn.batch_execute("PRAGMA busy_timeout = 10000").unwrap();
    conn
}

fn postgres(database: &str) -> PgConnection {
    PgConnection::establish(&Cluster::shared_url(database)).unwrap()
}
