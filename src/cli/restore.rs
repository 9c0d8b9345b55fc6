//! `tokenbridge restore`.

use std::path::PathBuf;

use clap::Args;

use super::{
    CliError,
    output::Format,
    store_file::{StoreFile, print_copy},
};
use crate::store::backup;

/// Arguments of `restore`.
#[derive(Args)]
pub struct Restore {
    /// Backup to restore
    file: PathBuf,
    #[command(flatten)]
    store: StoreFile,
}

/// Replaces the store with a copy of a backup.
pub fn run(Restore { file, store }: &Restore, format: Format) -> Result<(), CliError> {
    let database = store.path("restore")?;
    let bytes = backup::restore(database, file)?;
    print_copy(format, file, database, bytes)
}
