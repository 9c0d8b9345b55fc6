//! Flags of `serve`, the default command, before another command.

use clap::{Arg, ArgMatches, Command, Error, error::ErrorKind, parser::ValueSource};

/// Refuses flags of `serve` before another command, which would ignore them: `--listen ADDRESS healthcheck`. Global
/// flags may stand there.
///
/// # Errors
/// If there is such a flag.
pub fn refuse(mut command: Command, matches: &ArgMatches) -> Result<(), Error> {
    let Some(name) = matches.subcommand_name() else {
        return Ok(());
    };
    let is_misplaced = |arg: &&Arg| {
        !arg.is_global_set() && matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine)
    };
    let misplaced = command.get_arguments().find(is_misplaced).and_then(Arg::get_long);
    let Some(long) = misplaced else { return Ok(()) };
    let message = format!("'--{long}' before the command '{name}' has no effect; write flags of '{name}' after it");
    Err(command.error(ErrorKind::ArgumentConflict, message))
}
