//! `tokenbridge backup`.

use std::path::PathBuf;

use clap::Args;

use super::{
    CliError,
    output::Format,
    store_file::{StoreFile, print_copy},
};
use crate::store::backup;

/// Arguments of `backup`.
#[derive(Args)]
pub struct Backup {
    /// File to write; must not exist
    file: PathBuf,
    #[command(flatten)]
    store: StoreFile,
}

/// Copies the store to a new file.
pub fn run(Backup { file, store }: &Backup, format: Format) -> Result<(), CliError> {
    let database = store.path("backup")?;
    let bytes = backup::back_up(database, file)?;
    print_copy(format, database, file, bytes)
}
