//! Flags that are true or false. They take a value only after "=", because a separate word could be a subcommand.

use std::ffi::OsString;

use clap::{
    Arg, ArgAction, Error,
    builder::{BoolishValueParser, TypedValueParser},
    error::{ContextKind, ContextValue, ErrorKind},
};

/// The names of the values.
const VALUE_NAME: &str = "true|false";

/// Clap's description of the value in errors and usage texts.
pub const OPTIONAL_VALUE: &str = "[=<true|false>]";

/// Lets a boolean flag take the same values as its variable, after "=": `--follow=false`.
pub fn with_optional_value(arg: Arg) -> Arg {
    match arg.get_action() {
        ArgAction::SetTrue => arg
            .action(ArgAction::Set)
            .num_args(0..=1)
            .require_equals(true)
            .value_name(VALUE_NAME)
            .value_parser(BoolishValueParser::new())
            .default_value("false")
            .default_missing_value("true")
            .hide_default_value(true)
            .hide_possible_values(true),
        _ => arg,
    }
}

/// Explains a boolean flag with a separate value, `--follow true`: the value looks like a subcommand.
pub fn explain_separate_value(error: Error, arguments: &[OsString]) -> Error {
    let unknown = match error.kind() {
        ErrorKind::UnknownArgument => error.get(ContextKind::InvalidArg),
        _ => error.get(ContextKind::InvalidSubcommand),
    };
    let Some(ContextValue::String(value)) = unknown else {
        return error;
    };
    // The words that the flag accepts after "=".
    let is_boolean = TypedValueParser::possible_values(&BoolishValueParser::new())
        .into_iter()
        .flatten()
        .any(|word| word.matches(value, true));
    let mut pairs = arguments.iter().zip(arguments.iter().skip(1));
    let flag = pairs.find_map(|(flag, next)| {
        let flag = flag.to_str()?;
        // A flag with "=" has a value already, which may be a secret.
        let is_flag = flag.starts_with("--") && !flag.contains('=') && next == value.as_str();
        (is_flag && is_boolean).then_some(flag)
    });
    match flag {
        None => error,
        Some(flag) => {
            let message = format!("'{flag}' takes a value only after \"=\"; write {flag}={value}\n");
            Error::raw(ErrorKind::ValueValidation, message)
        }
    }
}
