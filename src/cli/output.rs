//! What commands print.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::CliError;
use crate::domain::printable::printable;

/// The form in which a command prints what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// Prints bytes as they are.
pub fn bytes(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|error| CliError::Io("cannot write to standard output".to_owned(), error))
}

/// Prints a line with its control characters escaped.
pub fn line(text: &str) -> Result<(), CliError> {
    bytes(format!("{}\n", printable(text)).as_bytes())
}

/// Prints something as indented JSON.
pub fn json(thing: &impl Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(thing)
        .map_err(|error| CliError::Io("cannot write JSON".to_owned(), error.into()))?;
    bytes(format!("{text}\n").as_bytes())
}

/// Prints rows in columns as wide as their widest cell, with control characters escaped.
pub fn table<const N: usize>(rows: &[[String; N]]) -> Result<(), CliError> {
    let printable_row = |row: &[String; N]| row.each_ref().map(|cell| printable(cell).into_owned());
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
    bytes(text.as_bytes())
}
