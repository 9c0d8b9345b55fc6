//! Output of commands.

use std::io::{self, Write};

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::CliError;
use crate::domain::{Invalid, printable::escape_unprintable};

/// The output format of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A table, or a sentence.
    Table,
    /// JSON.
    Json,
}

/// The output format of a command whose result also fits a spreadsheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// A table.
    Table,
    /// JSON.
    Json,
    /// CSV (RFC 4180).
    Csv,
}

impl TryFrom<ReportFormat> for Format {
    type Error = Invalid;

    fn try_from(format: ReportFormat) -> Result<Self, Invalid> {
        match format {
            ReportFormat::Table => Ok(Self::Table),
            ReportFormat::Json => Ok(Self::Json),
            ReportFormat::Csv => Err(Invalid::new(
                "--output (TOKENBRIDGE_OUTPUT)",
                "csv is a format of token list, audit, and legacy-usage; use table or json",
            )),
        }
    }
}

/// Creates a progress bar over a number of rows. It is drawn only on a terminal.
pub fn progress_bar(rows: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} rows, {eta} to go");
    ProgressBar::new(rows).with_style(style.unwrap_or(ProgressStyle::default_bar()))
}

/// Prints bytes without escaping.
pub fn print_bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| CliError::Io("cannot write to standard output".to_owned(), error))
}

/// Prints a line with its control characters escaped.
pub fn print_line(text: &str) -> Result<(), CliError> {
    print_bytes(format!("{}\n", escape_unprintable(text)).as_bytes())
}

/// Prints a value as indented JSON.
pub fn print_json(value: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| CliError::Io("cannot write JSON".to_owned(), error.into()))?;
    print_bytes(format!("{text}\n").as_bytes())
}

/// Prints what a command has done, as JSON or as a sentence.
pub fn print_result(format: Format, value: &impl Serialize, sentence: &str) -> Result<(), CliError> {
    match format {
        Format::Json => print_json(value),
        Format::Table => print_line(sentence),
    }
}

/// Prints rows in columns as wide as their widest cell, with control characters escaped.
pub fn print_table<const N: usize>(rows: &[[String; N]]) -> Result<(), CliError> {
    let printable_row = |row: &[String; N]| row.each_ref().map(|cell| escape_unprintable(cell).into_owned());
    let rows: Vec<[String; N]> = rows.iter().map(printable_row).collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    print_bytes(text.as_bytes())
}
