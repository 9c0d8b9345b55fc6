//! The output of `tokenbridge token usage`.

use crate::{
    cli::{
        CliError,
        output::{self, Format},
    },
    domain::usage::TokenUsage,
    view::token_usage::TokenUsageView,
};

/// Prints the use of a token. Uses that a running server has not flushed yet, of the last two seconds, are missing.
pub fn print(format: Format, usage: &TokenUsage) -> Result<(), CliError> {
    match format {
        Format::Json => output::print_json(&TokenUsageView::from(usage)),
        Format::Table => print_tables(usage),
    }
}

fn print_tables(usage: &TokenUsage) -> Result<(), CliError> {
    let TokenUsage {
        days,
        last_used_at,
        last_used_via,
        last_used_from,
        refused,
    } = usage;
    let last_used_at = last_used_at.map_or_else(|| "never".to_owned(), |at| at.to_string());
    let from = last_used_from
        .map(|address| format!(" from {address}"))
        .unwrap_or_default();
    let via = last_used_via
        .map(|channel| format!(" via {}", channel.name()))
        .unwrap_or_default();
    output::print_line(&format!("last used: {last_used_at}{from}{via}"))?;
    if !days.is_empty() {
        let header = ["DAY", "USES"].map(str::to_owned);
        let rows = days.iter().map(|(day, uses)| [day.to_string(), uses.to_string()]);
        output::print_table(&[header].into_iter().chain(rows).collect::<Vec<_>>())?;
    }
    if !refused.is_empty() {
        let header = ["REFUSED", "COUNT", "LAST", "FROM"].map(str::to_owned);
        let rows = refused.iter().map(|(reason, refused)| {
            let client = refused.last.origin.client;
            [
                reason.name().to_owned(),
                refused.count.to_string(),
                refused.last.at.to_string(),
                client.map_or_else(|| "-".to_owned(), |address| address.to_string()),
            ]
        });
        output::print_table(&[header].into_iter().chain(rows).collect::<Vec<_>>())?;
    }
    Ok(())
}
