//! The callers of the legacy doors as CSV (RFC 4180), for a spreadsheet.

use super::view::client;
use crate::domain::{
    legacy_report::{CallerUsage, LegacyReport},
    legacy_usage::LegacyCaller,
};

const HEADER: &str = "actorType,actorId,prefix,method,client,userAgent,firstSeen,lastSeen,count\r\n";

/// A line for each caller, those seen last first.
pub fn callers(report: &LegacyReport) -> String {
    let mut text = HEADER.to_owned();
    for usage in &report.callers {
        let cells = row(usage).map(|cell| quoted(&cell));
        text.push_str(&cells.join(","));
        text.push_str("\r\n");
    }
    text
}

fn row(usage: &CallerUsage) -> [String; 9] {
    let LegacyCaller {
        prefix,
        method,
        actor,
        client: address,
        user_agent,
    } = &usage.caller;
    let actor = actor.as_ref();
    [
        actor.map_or("", |actor| actor.kind.name()).to_owned(),
        actor.map(|actor| actor.id.clone()).unwrap_or_default(),
        prefix.clone(),
        method.clone(),
        client(*address),
        user_agent.clone(),
        usage.first_seen.to_string(),
        usage.last_seen.to_string(),
        usage.total.to_string(),
    ]
}

/// A cell. What a spreadsheet would take for a formula, for clients choose their user agents, gets an apostrophe in front.
fn quoted(cell: &str) -> String {
    let cell = if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{cell}")
    } else {
        cell.to_owned()
    };
    if cell.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_are_no_formulas() {
        for (cell, written) in [
            ("curl/8", "curl/8"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\tx", "'\tx"),
            ("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\""),
            ("a=1", "a=1"),
        ] {
            assert_eq!(quoted(cell), written);
        }
    }
}
