//! `tokenbridge man`.

use std::path::PathBuf;

use clap::{Args, Command};

use super::{CliError, output};

/// Arguments of `man`.
#[derive(Args)]
pub struct Man {
    /// Folder to write the pages to; without it, the page of tokenbridge is printed
    directory: Option<PathBuf>,
}

/// Prints the page of the program, or writes the pages of all commands.
pub fn run(Man { directory }: &Man, command: Command) -> Result<(), CliError> {
    if let Some(directory) = directory {
        return clap_mangen::generate_to(command, directory)
            .map_err(|error| CliError::Io(format!("cannot write to {}", directory.display()), error));
    }
    let mut page = Vec::new();
    // As `generate_to` does: there is no page of `help`.
    clap_mangen::Man::new(command.disable_help_subcommand(true))
        .render(&mut page)
        .map_err(|error| CliError::Io("cannot render the page".to_owned(), error))?;
    output::print_bytes(&page)
}
