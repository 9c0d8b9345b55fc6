//! The page on whether the legacy API can be switched off.

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::{
    chart::Chart,
    frame::Frame,
    page as answer_page,
    session::SignedIn,
    text::{Texts, fill},
    when::When,
};
use crate::{
    domain::{
        actor::Actor,
        legacy_phase::{LegacyMode, LegacyState},
        legacy_report::{CallerUsage, Contact, LegacyReport, ReportDays, Verdict},
        legacy_usage::{CallerAddress, LegacyCaller},
        token::Token,
    },
    http::{error::Failure, extract::state},
};

/// How many callers are shown.
const MOST_CALLERS: usize = 100;

#[derive(Template)]
#[template(path = "legacy.html")]
struct LegacyPage {
    frame: Frame,
    safe: bool,
    heading: &'static str,
    verdict: String,
    watched: String,
    contacts: Vec<String>,
    mode: String,
    sunset: Option<String>,
    chart: Chart,
    rows: Vec<Row>,
    more_callers: usize,
    without_value: i64,
    tokens: Vec<TokenRow>,
}

struct Row {
    who: String,
    path: String,
    client: String,
    program: String,
    last_seen: When,
    recent: u64,
}

struct TokenRow {
    id: String,
    name: String,
}

/// `GET /console/legacy`.
pub async fn page(request: HttpRequest, SignedIn { call, frame, .. }: SignedIn) -> Result<HttpResponse, Failure> {
    let state = state(&request)?;
    let days = ReportDays::default();
    let (texts, phase) = (frame.texts, &state.config.legacy);
    let now = phase.state(state.service.now());
    let usage = state.service.legacy_usage(&call, days, MOST_CALLERS, Some(now)).await?;
    let report = &usage.report;
    answer_page(&LegacyPage {
        safe: report.is_safe_to_switch_off(),
        heading: heading(report, now, texts),
        watched: fill(texts.watched, [&report.watched_days, &days.get()]),
        verdict: verdict(report, &frame),
        contacts: report.talk_to.iter().map(|one| contact(one, &frame)).collect(),
        mode: match now {
            LegacyState::Mode(LegacyMode::On) => texts.mode_on.to_owned(),
            LegacyState::Mode(LegacyMode::ReadOnly) => texts.mode_read_only.to_owned(),
            LegacyState::Mode(LegacyMode::Off) => texts.mode_off.to_owned(),
            LegacyState::Brownout(end) => fill(texts.mode_brownout, [&super::when::exact(end)]),
        },
        sunset: phase.sunset.map(|time| fill(texts.sunset, [&super::when::exact(time)])),
        chart: Chart::new(&report.calls, frame.now.day(), days.get(), texts),
        rows: report.callers.iter().map(|caller| Row::new(caller, &frame)).collect(),
        more_callers: report.more_callers,
        without_value: report.without_value,
        tokens: usage.tokens_without_value.iter().map(TokenRow::from).collect(),
        frame,
    })
}

fn heading(report: &LegacyReport, state: LegacyState, texts: &Texts) -> &'static str {
    match report.verdict {
        Verdict::InUse => texts.verdict_in_use,
        Verdict::NotObservedYet => texts.verdict_unobserved,
        Verdict::Quiet | Verdict::NeverUsed if report.without_value > 0 => texts.verdict_not_ready,
        Verdict::Quiet | Verdict::NeverUsed if state.is_off() => texts.verdict_off,
        Verdict::Quiet | Verdict::NeverUsed => texts.verdict_safe,
    }
}

fn verdict(report: &LegacyReport, frame: &Frame) -> String {
    let texts = frame.texts;
    let Some(last) = report
        .callers
        .first()
        .map(|caller| frame.when(caller.last_seen).relative)
    else {
        return texts.verdict_never.to_owned();
    };
    match report.verdict {
        Verdict::NeverUsed => texts.verdict_never.to_owned(),
        Verdict::Quiet | Verdict::NotObservedYet => fill(texts.verdict_quiet, [&last]),
        Verdict::InUse => fill(texts.verdict_talk, [&report.calls.values().sum::<u64>(), &last]),
    }
}

fn contact(contact: &Contact, frame: &Frame) -> String {
    let texts = frame.texts;
    let last = frame.when(contact.last_seen).relative;
    let (who, client) = (who(contact.actor.as_ref(), texts), from(contact.client, texts));
    fill(texts.contact, [&who, &client, &contact.count, &last])
}

fn who(actor: Option<&Actor>, texts: &Texts) -> String {
    actor.map_or_else(|| texts.unknown_caller.to_owned(), |actor| actor.id.clone())
}

fn from(client: CallerAddress, texts: &Texts) -> String {
    match client {
        CallerAddress::Known(address) => address.to_string(),
        CallerAddress::Unknown => texts.unknown_address.to_owned(),
        CallerAddress::Any => texts.others.to_owned(),
    }
}

impl Row {
    fn new(usage: &CallerUsage, frame: &Frame) -> Self {
        let LegacyCaller {
            prefix,
            method,
            actor,
            client,
            user_agent,
        } = &usage.caller;
        Self {
            who: who(actor.as_ref(), frame.texts),
            path: format!("{method} {prefix}"),
            client: from(*client, frame.texts),
            program: user_agent.clone(),
            last_seen: frame.when(usage.last_seen),
            recent: usage.recent,
        }
    }
}

impl From<&Token> for TokenRow {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.as_str().to_owned(),
        }
    }
}
