//! `tokenbridge legacy-usage`.

use clap::Args;

use super::{
    CliError, call,
    output::{self, ReportFormat},
};
use crate::{
    domain::legacy_report::{CallerUsage, ReportDays},
    service::legacy_usage::LegacyUsage,
    settings::StoreSettings,
    startup::open_service,
    view::{
        legacy_callers::format_callers,
        legacy_usage::{LegacyUsageReport, MAX_CALLERS},
    },
};

/// Arguments of `legacy-usage`.
#[derive(Args)]
pub struct LegacyUsageArgs {
    /// Number of days to report, including today: 1 to 400
    #[arg(long, value_name = "N", default_value = "30")]
    days: ReportDays,
    #[command(flatten)]
    store: StoreSettings,
}

/// Prints the callers of the legacy API. Calls that a running server has not flushed yet, of the
/// last two seconds, are missing.
pub async fn run(usage: LegacyUsageArgs, format: ReportFormat) -> Result<(), CliError> {
    let max_callers = match format {
        ReportFormat::Csv => usize::MAX,
        ReportFormat::Table | ReportFormat::Json => MAX_CALLERS,
    };
    let service = open_service(&usage.store, false)?;
    let found = service.legacy_usage(&call(), usage.days, max_callers, None).await?;
    match format {
        ReportFormat::Json => output::print_json(&LegacyUsageReport::from(&found)),
        ReportFormat::Csv => output::print_bytes(format_callers(&found.report).as_bytes()),
        ReportFormat::Table => print(&found),
    }
}

fn print(usage: &LegacyUsage) -> Result<(), CliError> {
    let report = &usage.report;
    if !report.callers.is_empty() {
        let header = [
            "LAST SEEN",
            "COUNT",
            "ACTOR",
            "CLIENT",
            "METHOD",
            "PREFIX",
            "USER AGENT",
        ]
        .map(str::to_owned);
        let rows = [header].into_iter().chain(report.callers.iter().map(row));
        output::print_table(&rows.collect::<Vec<_>>())?;
    }
    if report.more_callers > 0 {
        output::print_line(&format!("and {} more", report.more_callers))?;
    }
    output::print_line(&match report.without_value {
        0 => "Every token has a value.".to_owned(),
        1 => "1 token has no value yet; rotate it to give it one.".to_owned(),
        count => format!("{count} tokens have no value yet; rotate them to give them one."),
    })?;
    output::print_line(&report.message)
}

fn row(usage: &CallerUsage) -> [String; 7] {
    let caller = &usage.caller;
    let actor = caller.actor.as_ref();
    [
        usage.last_seen.to_string(),
        usage.total.to_string(),
        actor.map_or_else(|| "-".to_owned(), |actor| format!("{} {}", actor.kind.name(), actor.id)),
        caller.client.to_string(),
        caller.method.clone(),
        caller.prefix.clone(),
        caller.user_agent.clone(),
    ]
}
