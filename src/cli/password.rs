//! Passwords of admins and values of tokens, from a terminal, standard input, or a file. Never from an argument: other
//! users can see command lines.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::Args;
use secrecy::SecretString;

use super::CliError;
use crate::domain::{Invalid, admin::Password};

/// The source of a password.
#[derive(Args)]
#[group(multiple = false)]
pub struct PasswordSource {
    /// Read the password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// Read the password from the first line of a file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordSource {
    /// Reads a new password. On a terminal, prompts for it twice.
    pub fn read(&self) -> Result<Password, CliError> {
        self.read_with(|| {
            let first = rpassword::prompt_password("Password: ")?;
            let same = rpassword::prompt_password("Confirm password: ")? == first;
            Ok(same.then_some(first))
        })
    }

    /// Reads an existing password of another server. On a terminal, prompts for it once.
    pub fn read_once(&self, prompt: &str) -> Result<Password, CliError> {
        self.read_with(|| rpassword::prompt_password(prompt).map(Some))
    }

    fn read_with(&self, ask: impl FnOnce() -> io::Result<Option<String>>) -> Result<Password, CliError> {
        let text = if self.password_stdin {
            read_line().map_err(|error| CliError::Io("cannot read the password".to_owned(), error))?
        } else if let Some(path) = &self.password_file {
            let failed = |error| CliError::Io(format!("cannot read {}", path.display()), error);
            std::fs::read_to_string(path)
                .map_err(failed)?
                .lines()
                .next()
                .unwrap_or_default()
                .to_owned()
        } else {
            let no_terminal = |error| {
                CliError::Io(
                    "cannot prompt for the password without a terminal; use --password-stdin or --password-file \
                     (TOKENBRIDGE_PASSWORD_STDIN or TOKENBRIDGE_PASSWORD_FILE)"
                        .to_owned(),
                    error,
                )
            };
            ask()
                .map_err(no_terminal)?
                .ok_or_else(|| Invalid::new("password", "the two passwords differ; try again"))?
        };
        Ok(Password::parse(SecretString::from(
            text.trim_end_matches(['\r', '\n']),
        ))?)
    }
}

/// Reads a token's value from the first line of standard input, or prompts for it on a terminal.
pub fn read_value() -> Result<SecretString, CliError> {
    let line = if io::stdin().is_terminal() {
        rpassword::prompt_password("Token value: ")
    } else {
        read_line()
    };
    let line = line.map_err(|error| CliError::Io("cannot read the token's value".to_owned(), error))?;
    Ok(SecretString::from(line.trim_end_matches(['\r', '\n'])))
}

fn read_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    Ok(line)
}
