//! The sentences of the report.

use super::{LegacyReport, Verdict};
use crate::domain::{
    actor::{Actor, ActorKind},
    legacy_phase::LegacyState,
    legacy_usage::CallerAddress,
};

/// Composes the verdict, its reasons, and the next step.
pub(super) fn compose(report: &LegacyReport) -> String {
    let days = report.days.get();
    let window = match days {
        1 => "today".to_owned(),
        days => format!("in the last {days} days"),
    };
    let (state, subject) = match report.state {
        Some(state) => (format!("The legacy API {state}. "), "It"),
        None => (String::new(), "The legacy API"),
    };
    let watched = format!(
        "the server watched on {} of the last {}",
        report.watched_days,
        pluralize(days.into(), "day")
    );
    let last = report.callers.first().map(|last| {
        let who = describe_caller(last.caller.actor.as_ref(), last.caller.client);
        format!("at {} by {who}", last.last_seen)
    });
    let finding = match (report.verdict, last) {
        (Verdict::InUse, Some(last)) => {
            let busiest = report.contacts.first().map(|busiest| {
                let who = describe_caller(busiest.actor.as_ref(), busiest.client);
                format!(" Contact {who} first.")
            });
            let calls = pluralize(report.calls.values().sum(), "call");
            format!(
                "{state}{subject} is in use: {calls} {window}, the last {last}.{}",
                busiest.unwrap_or_default()
            )
        }
        (Verdict::NotObservedYet, last) => {
            let last = last.map(|last| format!(" The last known call was {last}."));
            format!(
                "{state}{subject} has not been observed for long enough: {watched}.{}",
                last.unwrap_or_default()
            )
        }
        (Verdict::Quiet | Verdict::NeverUsed, Some(last)) => {
            format!("{state}{subject} is quiet: no calls {window}, and {watched}. The last call was {last}.")
        }
        (Verdict::InUse | Verdict::Quiet | Verdict::NeverUsed, None) => {
            format!("{state}No calls are known, and {watched}.")
        }
    };
    let advice = if report.without_value > 0 {
        let tokens = pluralize(report.without_value.unsigned_abs(), "token");
        let (have, them) = if report.without_value == 1 {
            ("has", "it")
        } else {
            ("have", "them")
        };
        format!(" {tokens} {have} no value yet: rotate {them} before the legacy API is switched off.")
    } else if report.is_safe_to_switch_off() && !report.state.is_some_and(LegacyState::is_off) {
        " The legacy API can be switched off.".to_owned()
    } else {
        String::new()
    };
    finding + &advice
}

/// Formats a count with its noun: `1 call`, `2 calls`.
fn pluralize(number: u64, thing: &str) -> String {
    format!("{number} {thing}{}", if number == 1 { "" } else { "s" })
}

/// Describes a caller within a sentence.
fn describe_caller(actor: Option<&Actor>, client: CallerAddress) -> String {
    let name = match actor {
        None => "an unauthenticated caller".to_owned(),
        Some(Actor { id, kind }) => match kind {
            ActorKind::User => format!("admin {id}"),
            ActorKind::ApiToken => format!("token {id}"),
            ActorKind::System => id.clone(),
        },
    };
    match client {
        CallerAddress::Known(address) => format!("{name} from {address}"),
        CallerAddress::Unknown => format!("{name} from an unknown address"),
        CallerAddress::Other => "one of the callers beyond the limit, which are counted together".to_owned(),
    }
}
