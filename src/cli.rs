//! The command line: one file per command, each a thin layer over the service.

mod admin;
mod audit;
mod backup;
mod boolean_flags;
mod check;
#[cfg(test)]
mod environment_file;
mod export;
mod healthcheck;
mod import;
mod legacy_usage;
mod man;
mod migrate;
mod misplaced_flags;
mod output;
mod password;
mod redact;
mod restore;
mod serve;
mod store_file;
mod token;
mod variables;
mod version;

use std::{io, process::ExitCode, sync::mpsc, thread, time::Duration};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand, error::ErrorKind};
use clap_complete::Shell;
use output::ReportFormat;

use crate::{
    domain::{
        Invalid,
        actor::{Channel, Origin},
        caller::{Call, Caller},
        errors::error_chain,
        printable::escape_unprintable,
    },
    http::openapi,
    legacy_server::CaFileError,
    service,
    settings::ServeSettings,
    startup::StartError,
    store::{backup::BackupError, transfer::TransferError},
};

/// Maximum wait for the reader of standard error when the program fails.
const PRINT_TIMEOUT: Duration = Duration::from_secs(2);

/// Token server with the tokens API of "Agent Apis for Bamboo" and an /api-tokens API over one
/// store
#[derive(Parser)]
#[command(version, long_version = version::VERSION.as_str(), after_help = serve::FIRST_ADMIN_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Output format of commands that print a result; csv for token list, audit, and legacy-usage
    #[arg(long, global = true, value_name = "FORMAT", default_value = "table")]
    output: ReportFormat,
    #[command(flatten)]
    serve: ServeSettings,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server (the default command)
    #[command(after_help = serve::FIRST_ADMIN_HELP)]
    Serve(ServeSettings),
    /// Add, change, remove, and list admins, who sign in with a name and a password, and their roles
    Admin {
        #[command(subcommand)]
        command: admin::AdminCommand,
    },
    /// Create, list, show, look up, update, rotate, disable, enable, and delete tokens, and show their
    /// use
    Token {
        #[command(subcommand)]
        command: token::TokenCommand,
    },
    /// Import the tokens of a legacy server, with their uuids, or those of an export
    ///
    /// Imports all rows or none, unless --keep-going is set. An import can be repeated: tokens that
    /// already exist unchanged are left alone.
    Import(import::Import),
    /// Export all tokens, with value hashes but never values
    Export(export::Export),
    /// Print the latest audit events, oldest first; with --follow, also new ones as they are
    /// written; with --output json, one object per line
    Audit(audit::Audit),
    /// Apply schema migrations, or copy all data from one database to another
    ///
    /// Creates a SQLite file that does not exist. `serve` applies migrations itself.
    Migrate(migrate::Migration),
    /// Copy the SQLite store to a new file that only its owner can read; servers may keep running
    Backup(backup::Backup),
    /// Replace the SQLite store with a copy of a backup; fails while a server or another command
    /// uses the store
    Restore(restore::Restore),
    /// Check the store for damage; fails if there is any
    Check(store_file::StoreFile),
    /// Show who still uses the legacy API, and whether it can be switched off
    LegacyUsage(legacy_usage::LegacyUsageArgs),
    /// Check that the server with these settings is ready, for container health checks
    Healthcheck(ServeSettings),
    /// Print the OpenAPI document
    Openapi,
    /// Print a completion script for a shell
    Completions {
        /// Shell to print the script for
        shell: Shell,
    },
    /// Print the man page of tokenbridge, or write one page for each command to a folder
    Man(man::Man),
}

/// An error of a command.
#[derive(Debug, thiserror::Error)]
enum CliError {
    /// An argument is invalid.
    #[error(transparent)]
    Usage(#[from] Invalid),
    /// The server could not start, or the store could not be opened.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The use case failed.
    #[error(transparent)]
    Service(service::Error),
    /// A file, the terminal or a pipe failed.
    #[error("{0}")]
    Io(String, #[source] io::Error),
    /// A file with certificate authorities is unusable.
    #[error(transparent)]
    CaFile(#[from] CaFileError),
    /// A transfer between databases failed.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// A backup or restore failed.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The command ran, and its result is negative.
    #[error("{0}")]
    Failed(String),
    /// The server is not ready.
    #[error("{0}")]
    Unhealthy(String),
}

impl From<service::Error> for CliError {
    fn from(error: service::Error) -> Self {
        match error {
            service::Error::Invalid(invalid) => Self::Usage(invalid),
            other => Self::Service(other),
        }
    }
}

/// Runs the command. Exit codes: 0 for success, 1 for a failure, 2 for invalid usage.
#[must_use]
pub fn run() -> ExitCode {
    let cli = variables::with_values_from_files(build_command())
        .map_err(|invalid| build_command().error(ErrorKind::ValueValidation, invalid))
        .and_then(clap::Command::try_get_matches)
        .and_then(|matches| {
            misplaced_flags::refuse(build_command(), &matches)?;
            Cli::from_arg_matches(&matches)
        })
        .unwrap_or_else(|error| {
            let arguments: Vec<_> = std::env::args_os().collect();
            let error = boolean_flags::explain_separate_value(error, &arguments);
            redact::redact(variables::add_variable_names(error)).exit()
        });
    let command = cli.command.unwrap_or(Command::Serve(cli.serve));
    match actix_web::rt::System::new().block_on(execute(command, cli.output)) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of standard output has exited, for example `head`.
        Err(CliError::Io(_, error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::FAILURE,
        Err(CliError::Usage(invalid) | CliError::Start(StartError::Setting(invalid))) => {
            build_command().error(ErrorKind::ValueValidation, invalid).exit()
        }
        Err(error) => {
            let message = error_chain(&error);
            // Only the program's own line feeds stay unescaped.
            let lines: Vec<_> = message.split('\n').map(escape_unprintable).collect();
            print_error(format!("tokenbridge: {}", lines.join("\n")));
            ExitCode::FAILURE
        }
    }
}

/// Prints an error to standard error, with a time limit: the program must exit even if standard
/// error is not read.
fn print_error(message: String) {
    let (print, is_printed) = mpsc::channel();
    let printer = thread::Builder::new().spawn(move || {
        eprintln!("{message}");
        // The receiver was dropped: the wait timed out.
        let _ = print.send(());
    });
    if printer.is_ok() {
        let _ = is_printed.recv_timeout(PRINT_TIMEOUT);
    }
}

/// Builds the parser, with a variable `TOKENBRIDGE_NAME_OF_THE_FLAG` for every flag.
fn build_command() -> clap::Command {
    variables::with_variables(Cli::command())
}

async fn execute(command: Command, output: ReportFormat) -> Result<(), CliError> {
    match command {
        Command::Serve(settings) => Ok(serve::serve(&settings).await?),
        Command::Admin { command } => admin::run(command, output.try_into()?).await,
        Command::Token { command } => token::run(command, output).await,
        Command::Import(import) => import::run(import, output.try_into()?).await,
        Command::Export(export) => export::run(export).await,
        Command::Audit(audit) => audit::run(audit, output).await,
        Command::Migrate(migration) => migrate::run(&migration, output.try_into()?),
        Command::Backup(backup) => backup::run(&backup, output.try_into()?),
        Command::Restore(restore) => restore::run(&restore, output.try_into()?),
        Command::Check(store) => check::run(&store, output.try_into()?),
        Command::LegacyUsage(usage) => legacy_usage::run(usage, output).await,
        Command::Healthcheck(settings) => healthcheck::run(&settings),
        Command::Openapi => output::print_json(&openapi::document("")),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut build_command(), "tokenbridge", &mut script);
            output::print_bytes(&script)
        }
        Command::Man(man) => man::run(&man, build_command()),
    }
}

/// Returns a call from the command line, which may do everything: access to the store's file or URL
/// implies it.
fn call() -> Call {
    Call {
        caller: Caller::CommandLine,
        origin: Origin {
            channel: Channel::Cli,
            client: None,
        },
    }
}

#[cfg(test)]
mod tests {
    use clap::ArgMatches;

    use super::{
        variables::{add_variable_names, variable_name},
        *,
    };
    use crate::{
        domain::{brownout::Brownout, token::TokenId},
        http::TrustedProxy,
        settings::ListenAddress,
    };

    /// Calls `check` for each flag of each command, with the command's words and the flag.
    fn for_each_flag(check: &mut dyn FnMut(&[String], &clap::Arg)) {
        fn visit(command: &clap::Command, words: &[String], check: &mut dyn FnMut(&[String], &clap::Arg)) {
            command.get_arguments().for_each(|arg| check(words, arg));
            for subcommand in command.get_subcommands() {
                let words = [words, &[subcommand.get_name().to_owned()]].concat();
                visit(subcommand, &words, check);
            }
        }
        visit(&build_command(), &["tokenbridge".to_owned()], check);
    }

    #[test]
    fn errors_name_flag_and_variable() {
        let mut refused = 0;
        for_each_flag(&mut |words, arg| {
            let Some(long) = arg.get_long().filter(|_| arg.get_action().takes_values()) else {
                return;
            };
            let arguments = [words, &[format!("--{long}=?")]].concat();
            let Err(error) = build_command().try_get_matches_from(&arguments) else {
                return;
            };
            if [ErrorKind::InvalidValue, ErrorKind::ValueValidation].contains(&error.kind()) {
                let text = add_variable_names(error).to_string();
                assert!(text.contains(&format!("'--{long} ")), "{arguments:?}: {text}");
                assert!(
                    text.contains(&format!(" ({})'", variable_name(long))),
                    "{arguments:?}: {text}"
                );
                refused += 1;
            }
        });
        assert!(refused > 30, "{refused}");
        for (arguments, expected) in [
            (&["--workers", "0"][..], "'--workers <N> (TOKENBRIDGE_WORKERS)'"),
            (&["--tls-cert", "x"], "--tls-key <FILE> (TOKENBRIDGE_TLS_KEY)"),
            (
                &["audit", "--follow", "--until", "2030-01-01T00:00:00Z"],
                "'--follow (TOKENBRIDGE_FOLLOW)' cannot be used with '--until <T> (TOKENBRIDGE_UNTIL)'",
            ),
            (&["--wrokers", "1"], "unexpected argument '--wrokers' found"),
        ] {
            let arguments = [&["tokenbridge"], arguments].concat();
            let error = build_command().try_get_matches_from(&arguments).unwrap_err();
            let text = add_variable_names(error).to_string();
            assert!(text.contains(expected), "{arguments:?}: {text}");
        }
    }

    #[test]
    fn blanks_around_list_items_are_ignored() {
        fn items<T: Clone + std::fmt::Debug + Send + Sync + 'static>(matches: &ArgMatches, id: &str) -> String {
            let items: Vec<&T> = matches.get_many(id).expect("the list was given").collect();
            format!("{items:?}")
        }
        const UUID: &str = "d0ea6653-05e2-4d51-9d89-665cdfe86be6";
        let mut lists = 0;
        for_each_flag(&mut |words, arg| {
            if arg.get_value_delimiter().is_none() {
                return;
            }
            let long = arg.get_long().expect("a list is a flag");
            let (item, read): (&str, fn(&ArgMatches, &str) -> String) = match long {
                "listen" => ("127.0.0.1:8086", items::<ListenAddress>),
                "trusted-proxy" => ("10.0.0.0/8", items::<TrustedProxy>),
                "legacy-brownout" => ("2030-01-01T09:00Z/PT15M", items::<Brownout>),
                "permission" => ("AlertRead", items::<String>),
                "cidr" => ("10.0.0.0/8", items::<String>),
                "only" => (UUID, items::<TokenId>),
                other => panic!("--{other} needs an item here"),
            };
            let positional = words.last().and_then(|word| match word.as_str() {
                "create" | "import" => Some("x".to_owned()),
                "update" => Some(UUID.to_owned()),
                _ => None,
            });
            let parse = |list: String| {
                let arguments = words.iter().cloned().chain(positional.clone());
                let matches = build_command().get_matches_from(arguments.chain([format!("--{long}={list}")]));
                let mut matches = &matches;
                while let Some((_, deeper)) = matches.subcommand() {
                    matches = deeper;
                }
                read(matches, arg.get_id().as_str())
            };
            assert_eq!(parse(format!(" {item} ,\t{item}\n")), parse(format!("{item},{item}")));
            lists += 1;
        });
        // Three flags of `serve`, which also exist without a command and in `healthcheck`, and five
        // other flags.
        assert_eq!(lists, 3 * 3 + 5);
    }
}
