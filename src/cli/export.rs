//! `tokenbridge export`.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use clap::Args;

use super::{CliError, call};
use crate::{service::export::ExportError, settings::StoreSettings, startup::open_service};

/// Arguments of `export`.
#[derive(Args)]
pub struct Export {
    /// File to write; must not exist [default: standard output]
    file: Option<PathBuf>,
    /// Also export the admins, with password hashes
    #[arg(long)]
    with_admins: bool,
    #[command(flatten)]
    store: StoreSettings,
}

/// Exports all tokens, and the admins on request.
pub async fn run(export: Export) -> Result<(), CliError> {
    let service = open_service(&export.store, false)?;
    let out: Box<dyn Write + Send> = match &export.file {
        None => Box::new(io::stdout()),
        Some(path) => {
            // Only the owner may read it: weak passwords can be guessed from their hashes.
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            Box::new(file.map_err(|error| CliError::Io(format!("cannot create {}", path.display()), error))?)
        }
    };
    let exported = service.export(&call(), BufWriter::new(out), export.with_admins).await;
    let exported = exported.map_err(|error| match error {
        ExportError::Service(error) => CliError::Service(error),
        ExportError::Write(error) => CliError::Io("cannot write the export".to_owned(), error),
    })?;
    eprintln!("{} tokens and {} admins exported", exported.tokens, exported.admins);
    Ok(())
}
