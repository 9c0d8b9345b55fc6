//! `tokenbridge check`.

use serde_json::json;

use super::{
    CliError,
    output::{self, Format},
    store_file::StoreFile,
};
use crate::{startup::StartError, store::check};

/// Checks the store for damage, and fails if there is any.
pub fn run(store: &StoreFile, format: Format) -> Result<(), CliError> {
    let url = store.url();
    let findings = check::check(url).map_err(StartError::from)?;
    match format {
        Format::Json => output::print_json(&json!({ "database": url.to_string(), "findings": findings }))?,
        Format::Table if findings.is_empty() => output::print_line(&format!("{url} is sound"))?,
        Format::Table => findings.iter().try_for_each(|finding| output::print_line(finding))?,
    }
    if findings.is_empty() {
        return Ok(());
    }
    Err(CliError::Failed(format!(
        "{url} is damaged (findings: {}); restore a backup with `tokenbridge restore`",
        findings.len()
    )))
}
