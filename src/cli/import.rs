//! `tokenbridge import`.

mod source;

use std::path::PathBuf;

use clap::Args;
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

/// Arguments of `import`.
#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent flag")]
pub struct Import {
    /// URL of a legacy server such as `http://bamboo:8085/builds`, or a file with its list or an
    /// export, or - for standard input
    #[arg(value_name = "SOURCE")]
    source: String,
    /// Admin of the legacy server, whose password is read from a prompt, --password-stdin, or
    /// --password-file
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[command(flatten)]
    password: PasswordSource,
    /// PEM file with the certificate authorities to trust for the legacy server, instead of the
    /// system's
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Accept any certificate of the legacy server; an attacker on the network can then read the
    /// password and change the list
    #[arg(long, conflicts_with = "ca_file")]
    insecure: bool,
    /// Timeout in seconds for each attempt to read the list
    #[arg(long, value_name = "N", default_value = "60", value_parser = clap::value_parser!(u16).range(1..=3600))]
    source_timeout_seconds: u16,
    /// Update tokens that already exist and differ; without it, such rows are refused
    #[arg(long)]
    update: bool,
    /// Import the valid rows even if others are refused; without it, all rows are imported or none
    #[arg(long)]
    keep_going: bool,
    /// Also import the admins of an export, with their passwords
    #[arg(long)]
    with_admins: bool,
    /// Import only this token; repeat the flag or separate items by commas
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = list_item(str::parse::<TokenId>))]
    only: Vec<TokenId>,
    /// Report the result for each row without writing anything
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    store: StoreSettings,
}

/// Imports the tokens of a legacy server, or those of an export.
pub async fn run(import: Import, format: Format) -> Result<(), CliError> {
    let _logging = logging::init(LogFormat::Text).map_err(StartError::from)?;
    let source: Source = import.source.parse()?;
    let rows = rows::parse(&source.read(&import)?, source.trust())
        // The input is invalid, not the usage.
        .map_err(|invalid| CliError::Failed(invalid.to_string()))?;
    let is_selected =
        |row: &ImportRow| import.only.is_empty() || row.token_id().is_some_and(|id| import.only.contains(&id));
    let rows: Vec<ImportRow> = rows.into_iter().filter(is_selected).collect();
    let service = open_service(&import.store, true)?;
    let bar = output::progress_bar(rows.len() as u64);
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
    print(format, import.dry_run, &report)?;
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

fn print(format: Format, dry_run: bool, report: &ImportReport) -> Result<(), CliError> {
    match format {
        Format::Json => {
            let mut report = json!(report);
            if let Some(report) = report.as_object_mut() {
                report.insert("dryRun".to_owned(), json!(dry_run));
            }
            output::print_json(&report)
        }
        Format::Table => print_rows(dry_run, report),
    }
}

fn print_rows(dry_run: bool, report: &ImportReport) -> Result<(), CliError> {
    for row in &report.rows {
        let (word, reason) = match &row.outcome {
            RowOutcome::Created | RowOutcome::Unchanged => continue,
            RowOutcome::Changed(what) => ("changed", what),
            RowOutcome::Refused(reason) => ("refused", reason),
        };
        output::print_line(&format!("row {} {}: {word}: {reason}", row.row, row.id))?;
    }
    let written = match (dry_run, report.written) {
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
