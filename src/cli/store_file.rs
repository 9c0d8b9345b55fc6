//! What the commands on a store's file share: `backup`, `restore`, and `check`.

use std::path::Path;

use clap::Args;
use serde_json::json;

use super::{
    CliError,
    output::{self, Format},
};
use crate::{domain::Invalid, settings::StoreSettings, store::url::DatabaseUrl};

/// The store's URL.
#[derive(Args)]
pub struct StoreFile {
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
}

/// Prints the result of a copy.
///
/// # Errors
/// If standard output fails.
pub fn print_copy(format: Format, from: &Path, to: &Path, bytes: u64) -> Result<(), CliError> {
    let (from, to) = (from.display().to_string(), to.display().to_string());
    let sentence = format!("copied {from} to {to}, {bytes} bytes");
    output::print_result(format, &json!({ "from": from, "to": to, "bytes": bytes }), &sentence)
}
