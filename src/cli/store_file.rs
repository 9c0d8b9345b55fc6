//! Shared arguments of the commands on a store's file: `backup`, `restore`, and `check`.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::{
    CliError,
    output::{self, Format},
};
use crate::{domain::Invalid, settings::StoreSettings, store::url::DatabaseUrl};

/// The store's URL and the output format.
#[derive(Args)]
pub struct StoreFile {
    /// Output format
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

    /// Returns the path of the store's file for `command`.
    ///
    /// # Errors
    /// If the store is not a SQLite file.
    pub fn path(&self, command: &str) -> Result<&Path, Invalid> {
        match self.url() {
            DatabaseUrl::Sqlite(path) => Ok(path),
            DatabaseUrl::Postgres(_) => Err(Invalid::new(
                "--database-url (TOKENBRIDGE_DATABASE_URL)",
                format!("`tokenbridge {command}` copies SQLite files; use pg_dump and pg_restore for PostgreSQL"),
            )),
        }
    }

    /// Prints the result of a copy.
    ///
    /// # Errors
    /// If standard output fails.
    pub fn print_copy(&self, from: &Path, to: &Path, bytes: u64) -> Result<(), CliError> {
        let (from, to) = (from.display().to_string(), to.display().to_string());
        match self.output {
            Format::Json => output::print_json(&json!({ "from": from, "to": to, "bytes": bytes })),
            Format::Table => output::print_line(&format!("copied {from} to {to}, {bytes} bytes")),
        }
    }
}
