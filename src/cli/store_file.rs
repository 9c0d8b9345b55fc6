//! What the commands on the file of a store share: `backup`, `restore` and `check`.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::{
    CliError,
    output::{self, Format},
};
use crate::{domain::Invalid, settings::StoreSettings, store::url::DatabaseUrl};

/// Where the store is, and how to print what was done with it.
#[derive(Args)]
pub struct StoreFile {
    /// How to print the result
    #[arg(long, default_value = "table")]
    pub output: Format,
    #[command(flatten)]
    store: StoreSettings,
}

impl StoreFile {
    /// Returns the URL of the store.
    pub fn url(&self) -> &DatabaseUrl {
        &self.store.database_url
    }

    /// Returns the path of the store for `command`, which copies files.
    ///
    /// # Errors
    /// When the store is no file.
    pub fn path(&self, command: &str) -> Result<&Path, Invalid> {
        match self.url() {
            DatabaseUrl::Sqlite(path) => Ok(path),
            DatabaseUrl::Postgres(_) => Err(Invalid::new(
                "--database-url (TOKENBRIDGE_DATABASE_URL)",
                format!("`tokenbridge {command}` copies SQLite files; use pg_dump and pg_restore for PostgreSQL"),
            )),
        }
    }

    /// Prints what was copied.
    ///
    /// # Errors
    /// When standard output fails.
    pub fn print_copy(&self, from: &Path, to: &Path, bytes: u64) -> Result<(), CliError> {
        let (from, to) = (from.display().to_string(), to.display().to_string());
        match self.output {
            Format::Json => output::json(&json!({ "from": from, "to": to, "bytes": bytes })),
            Format::Table => output::line(&format!("copied {from} to {to}, {bytes} bytes")),
        }
    }
}
