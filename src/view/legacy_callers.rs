//! The callers of the legacy API as CSV (RFC 4180), for spreadsheets.

use crate::{
    domain::{
        legacy_report::{CallerUsage, LegacyReport},
        legacy_usage::LegacyCaller,
    },
    view::csv,
};

/// Formats one line per caller, the most recently seen first.
pub fn format_callers(report: &LegacyReport) -> String {
    let header = csv::format_row([
        "actorType",
        "actorId",
        "prefix",
        "method",
        "client",
        "userAgent",
        "firstSeen",
        "lastSeen",
        "count",
    ]);
    report.callers.iter().map(line).fold(header, |text, line| text + &line)
}

fn line(usage: &CallerUsage) -> String {
    let LegacyCaller {
        prefix,
        method,
        actor,
        client: address,
        user_agent,
    } = &usage.caller;
    let actor = actor.as_ref();
    csv::format_row([
        actor.map_or("", |actor| actor.kind.name()),
        actor.map_or("", |actor| actor.id.as_str()),
        prefix,
        method,
        &address.to_string(),
        user_agent,
        &usage.first_seen.to_string(),
        &usage.last_seen.to_string(),
        &usage.total.to_string(),
    ])
}
