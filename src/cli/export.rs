//! `tokenbridge export`.

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::PathBuf,
};

use clap::Args;

use super::CliError;
use crate::{service::export::ExportError, settings::StoreSettings, startup::open_service};

/// What `export` takes.
#[derive(Args)]
pub struct Export {
    /// The file to write, which must not be there yet [default: standard output]
    file: Option<PathBuf>,
    /// Export the admins, too, with the hashes of their passwords
    #[arg(long)]
    with_admins: bool,
    #[command(flatten)]
    store: StoreSettings,
}

/// Writes everything that is needed to start elsewhere.
pub async fn run(export: Export) -> Result<(), CliError> {
    let service = open_service(&export.store, false)?;
    let out: Box<dyn Write + Send> = match &export.file {
        None => Box::new(io::stdout()),
        Some(path) => {
            // Nobody else may read it: hashes of weak passwords can be guessed.
            let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            Box::new(file.map_err(|error| CliError::Io(format!("cannot make {}", path.display()), error))?)
        }
    };
    let exported = service.export(BufWriter::new(out), export.with_admins).await;
    let exported = exported.map_err(|error| match error {
        ExportError::Store(error) => CliError::Service(error.into()),
        ExportError::Write(error) => CliError::Io("cannot write the export".to_owned(), error),
    })?;
    eprintln!("{} tokens and {} admins exported", exported.tokens, exported.admins);
    Ok(())
}
