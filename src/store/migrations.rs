//! Schema migrations.

use std::collections::BTreeSet;

use diesel::{connection::SimpleConnection, migration::MigrationSource, pg::Pg, sqlite::Sqlite};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{
    connection::AnyConnection,
    error::{NewerSchema, OpenError, to_single_line},
    url::DatabaseUrl,
};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The advisory lock for migrations of a PostgreSQL database: "tokenbri" in ASCII.
const POSTGRES_LOCK: &str = "SELECT pg_advisory_xact_lock(8389754706577060457)";

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Applies all pending migrations in one transaction, and returns their names. Servers that start
/// concurrently take turns, and find no pending migrations after the first.
///
/// # Errors
/// [`OpenError::Migration`] if a migration fails; [`OpenError::NewerSchema`] if the schema is newer
/// than this program.
pub fn run(url: &DatabaseUrl, conn: &mut AnyConnection) -> Result<Vec<String>, OpenError> {
    let failed = |error: AnyError| OpenError::Migration(url.to_string(), to_single_line(&error.to_string()));
    let outcome = match conn {
        AnyConnection::Sqlite(conn) => {
            conn.immediate_transaction(|conn| migrate::<Sqlite, _>(conn, SQLITE).map_err(MigrationFailure))
        }
        // Read committed: after the wait for the lock, the migrations that another server ran
        // meanwhile must be visible.
        AnyConnection::Postgres(conn) => conn.build_transaction().read_committed().run(|conn| {
            conn.batch_execute(POSTGRES_LOCK)?;
            migrate::<Pg, _>(conn, POSTGRES).map_err(MigrationFailure)
        }),
    };
    match outcome.map_err(|MigrationFailure(error)| failed(error))? {
        MigrationOutcome::Applied(names) => Ok(names),
        MigrationOutcome::Newer(schema) => Err(OpenError::NewerSchema(url.to_string(), schema)),
    }
}

/// Returns the schema with these migrations if this program does not know all of them. Their
/// versions are the same for both databases.
pub(super) fn find_newer(applied: impl IntoIterator<Item = String>) -> Option<NewerSchema> {
    let migrations = MigrationSource::<Sqlite>::migrations(&SQLITE).unwrap_or_default();
    let known: BTreeSet<_> = migrations
        .iter()
        .map(|migration| migration.name().version().to_string())
        .collect();
    let found = applied.into_iter().filter(|version| !known.contains(version)).max()?;
    let known = known.last().cloned().unwrap_or_default();
    Some(NewerSchema { found, known })
}

enum MigrationOutcome {
    Applied(Vec<String>),
    Newer(NewerSchema),
}

fn migrate<DB: diesel::backend::Backend, C: MigrationHarness<DB>>(
    conn: &mut C,
    migrations: EmbeddedMigrations,
) -> Result<MigrationOutcome, AnyError> {
    let applied = conn.applied_migrations()?;
    if let Some(schema) = find_newer(applied.iter().map(ToString::to_string)) {
        return Ok(MigrationOutcome::Newer(schema));
    }
    let applied = conn.run_pending_migrations(migrations)?;
    Ok(MigrationOutcome::Applied(
        applied.iter().map(ToString::to_string).collect(),
    ))
}

struct MigrationFailure(AnyError);

impl From<diesel::result::Error> for MigrationFailure {
    fn from(error: diesel::result::Error) -> Self {
        Self(error.into())
    }
}
