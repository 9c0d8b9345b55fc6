//! The environment variables of the flags.

use std::{collections::BTreeMap, env, fs};

use clap::{
    Arg, ArgAction, Command, Error,
    error::{ContextKind, ContextValue, ErrorKind},
};

use super::boolean_flags;
use crate::{domain::Invalid, settings::env_variable, store::url::DatabaseUrl};

/// Adds a variable `TOKENBRIDGE_NAME_OF_THE_FLAG` to every flag.
pub fn with_variables(command: Command) -> Command {
    let command = command.mut_args(boolean_flags::with_optional_value);
    let command = command.mut_args(|arg| match (arg.get_long(), arg.get_action()) {
        (None, _) | (_, ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version) => arg,
        (Some(long), _) => {
            let variable = variable_name(long);
            // Compose files and unit files write `NAME=` for an unset setting.
            if env::var_os(&variable).is_some_and(|value| value.is_empty()) {
                arg
            } else {
                arg.env(variable)
            }
        }
    });
    command.mut_subcommands(with_variables)
}

/// Returns the environment variable of the flag `--long`.
pub fn variable_name(long: &str) -> String {
    format!("TOKENBRIDGE_{}", long.to_uppercase().replace('-', "_"))
}

/// Lets each setting with a secret value, such as `--database-url`, come from a file, which the variable with the suffix
/// `_FILE` names. The flag and the variable of the setting take precedence. An empty file counts as unset, as an empty
/// variable does.
///
/// # Errors
/// If a file cannot be read, or its first line is not a database URL.
pub fn with_values_from_files(command: Command) -> Result<Command, Invalid> {
    // Several commands have the same setting. A pipe can be read only once.
    let mut values = BTreeMap::new();
    collect_values(&command, &mut values)?;
    Ok(set_values(command, &values))
}

/// Reads the files of the secret settings of a command and its subcommands. The key is the flag.
fn collect_values(command: &Command, values: &mut BTreeMap<String, Option<String>>) -> Result<(), Invalid> {
    let secrets = command.get_arguments().filter(|arg| arg.is_hide_env_values_set());
    for long in secrets.filter_map(Arg::get_long) {
        if !values.contains_key(long) {
            values.insert(long.to_owned(), read_value(&format!("{}_FILE", variable_name(long)))?);
        }
    }
    command
        .get_subcommands()
        .try_for_each(|subcommand| collect_values(subcommand, values))
}

/// Returns the first line of the file that a variable names.
fn read_value(variable: &str) -> Result<Option<String>, Invalid> {
    let Some(path) = env_variable(variable)? else {
        return Ok(None);
    };
    let refused = |reason: String| Invalid::new(variable.to_owned(), format!("{path}: {reason}"));
    let text = fs::read_to_string(&path).map_err(|error| refused(error.to_string()))?;
    let url = text.lines().next().unwrap_or_default().trim();
    if url.is_empty() {
        return Ok(None);
    }
    url.parse::<DatabaseUrl>()
        .map_err(|invalid| refused(invalid.to_string()))?;
    Ok(Some(url.to_owned()))
}

fn set_values(command: Command, values: &BTreeMap<String, Option<String>>) -> Command {
    let command = command.mut_args(|arg| match arg.get_long().and_then(|long| values.get(long)) {
        Some(Some(value)) if arg.is_hide_env_values_set() => arg.default_value(value.clone()).hide_default_value(true),
        _ => arg,
    });
    command.mut_subcommands(|subcommand| set_values(subcommand, values))
}

/// Adds the environment variable of each flag to a usage error, because the value may come from it:
/// `--workers <N> (TOKENBRIDGE_WORKERS)`.
pub fn add_variable_names(mut error: Error) -> Error {
    if error.kind() == ErrorKind::UnknownArgument {
        return error;
    }
    let named = |flag: String| match flag.strip_prefix("--") {
        Some(rest) => {
            let long = rest.split([' ', '=', '[']).next().unwrap_or(rest);
            let flag = flag.strip_suffix(boolean_flags::OPTIONAL_VALUE).unwrap_or(&flag);
            format!("{flag} ({})", variable_name(long))
        }
        None => flag,
    };
    for kind in [ContextKind::InvalidArg, ContextKind::PriorArg] {
        let value = match error.remove(kind) {
            Some(ContextValue::String(flag)) => ContextValue::String(named(flag)),
            Some(ContextValue::Strings(flags)) => ContextValue::Strings(flags.into_iter().map(named).collect()),
            Some(other) => other,
            None => continue,
        };
        error.insert(kind, value);
    }
    error
}
