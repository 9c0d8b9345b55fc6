//! `tokenbridge import`.

mod source;

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{
    CliError, call,
    output::{self, Format},
    password::PasswordSource,
};
use crate::{
    domain::token::TokenId,
    service::import::{
        ImportOptions, ImportReport, RowOutcome,
        rows::{self, ImportRow},
    },
    settings::{LogFormat, StoreSettings, list_item},
    startup::{StartError, logging, open_service},
};
use source::Source;

/// What `import` takes.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Import {
    /// The address of a legacy server like `http://bamboo:8085/builds`, or a file of its list or of an export, or - for standard input
    #[arg(value_name = "SOURCE")]
    source: String,
    /// The admin of the legacy server as whom its list is asked for
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[command(flatten)]
    password: PasswordSource,
    /// A PEM file of the certificate authorities that the legacy server is trusted by, in place of the system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Believe whatever certificate the legacy server shows: anybody in between can read the password and change the list
    #[arg(long, conflicts_with = "ca_file")]
    insecure: bool,
    /// How long each try to read the list may take
    #[arg(long, value_name = "N", default_value = "60", value_parser = clap::value_parser!(u16).range(1..=3600))]
    source_timeout_seconds: u16,
    /// Change tokens that are there already and differ, where they are refused otherwise
    #[arg(long)]
    update: bool,
    /// Import the rows that can be, even if others are refused; otherwise it is all of them or none
    #[arg(long)]
    keep_going: bool,
    /// Import the admins of an export, too, with the passwords that they have there
    #[arg(long)]
    with_admins: bool,
    /// Import this token alone; repeatable, or with commas
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = list_item(parse_token_id))]
    only: Vec<TokenId>,
    /// Write nothing, and say what would become of each row
    #[arg(long)]
    dry_run: bool,
    /// How to print what became of the rows
    #[arg(long, default_value = "table")]
    output: Format,
    #[command(flatten)]
    store: StoreSettings,
}

/// Imports the tokens of a legacy server, or those of an export.
pub async fn run(import: Import) -> Result<(), CliError> {
    let _logging = logging::init(LogFormat::Text).map_err(StartError::from)?;
    let source = Source::parse(&import.source)?;
    let rows = rows::parse(&source.read(&import)?, source.trust())
        // What was read cannot be imported; nobody has called the program wrong.
        .map_err(|invalid| CliError::Failed(invalid.to_string()))?;
    let is_selected =
        |row: &ImportRow| import.only.is_empty() || row.token_id().is_some_and(|id| import.only.contains(&id));
    let rows: Vec<ImportRow> = rows.into_iter().filter(is_selected).collect();
    let service = open_service(&import.store, true)?;
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} rows, {eta} to go")
        .unwrap_or(ProgressStyle::default_bar());
    // It is drawn on a terminal alone.
    let bar = ProgressBar::new(rows.len() as u64).with_style(style);
    let options = ImportOptions {
        source: source.to_string(),
        update: import.update,
        keep_going: import.keep_going,
        dry_run: import.dry_run,
        with_admins: import.with_admins,
    };
    let progress = {
        let bar = bar.clone();
        move |done: usize| bar.set_position(done as u64)
    };
    let report = service.import(call(), rows, options, progress).await;
    bar.finish_and_clear();
    let report = report?;
    print(&import, &report)?;
    if report.refused > 0 {
        let rest = if report.written {
            "the others were imported"
        } else {
            "nothing was written"
        };
        let message = format!(
            "{} of {} rows were refused, and {rest}",
            report.refused,
            report.rows.len()
        );
        return Err(CliError::Failed(message));
    }
    Ok(())
}

fn parse_token_id(text: &str) -> Result<TokenId, String> {
    TokenId::parse(text).ok_or_else(|| "it is not a UUID".to_owned())
}

fn print(import: &Import, report: &ImportReport) -> Result<(), CliError> {
    if import.output == Format::Json {
        let mut report = json!(report);
        if let Some(report) = report.as_object_mut() {
            report.insert("dryRun".to_owned(), json!(import.dry_run));
        }
        return output::print_json(&report);
    }
    for row in &report.rows {
        let (word, reason) = match &row.outcome {
            RowOutcome::Created | RowOutcome::Unchanged => continue,
            RowOutcome::Changed(what) => ("changed", what),
            RowOutcome::Refused(reason) => ("refused", reason),
        };
        output::print_line(&format!("row {} {}: {word}: {reason}", row.row, row.id))?;
    }
    let written = match (import.dry_run, report.written) {
        (true, _) => " (a dry run: nothing was written)",
        (false, false) => " (nothing was written)",
        (false, true) => "",
    };
    let ImportReport {
        created,
        unchanged,
        changed,
        refused,
        ..
    } = report;
    output::print_line(&format!(
        "{created} created, {unchanged} unchanged, {changed} changed, {refused} refused{written}"
    ))
}
