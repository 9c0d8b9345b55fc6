//! The page with the report on the use of the legacy API.

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::{
    chart::Chart, display_time::DisplayTime, layout::Layout, render_page, session::ConsoleSession, text::fill,
    texts::Texts,
};
use crate::{
    domain::{
        actor::Actor,
        legacy_phase::{LegacyMode, LegacyState},
        legacy_report::{CallerUsage, Contact, LegacyReport, ReportDays, Verdict},
        legacy_usage::{CallerAddress, LegacyCaller},
        token::Token,
    },
    http::{error::ApiError, extract::state},
};

/// Maximum number of callers on the page.
const MAX_CALLERS: usize = 100;

#[derive(Template)]
#[template(path = "legacy.html")]
struct LegacyPage {
    layout: Layout,
    is_safe: bool,
    heading: &'static str,
    verdict: String,
    watched: String,
    contacts: Vec<String>,
    mode: String,
    sunset: Option<String>,
    chart: Chart,
    rows: Vec<CallerRow>,
    more_callers: usize,
    without_value: i64,
    tokens: Vec<TokenLink>,
}

struct CallerRow {
    who: String,
    path: String,
    client: String,
    program: String,
    last_seen: DisplayTime,
    recent: u64,
}

struct TokenLink {
    id: String,
    name: String,
}

/// `GET /console/legacy`: shows the report.
pub async fn page(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let state = state(&request)?;
    let days = ReportDays::default();
    let (texts, phase) = (layout.texts, &state.config.legacy);
    let now = phase.state(state.service.now());
    let usage = state.service.legacy_usage(&call, days, MAX_CALLERS, Some(now)).await?;
    let report = &usage.report;
    render_page(&LegacyPage {
        is_safe: report.is_safe_to_switch_off(),
        heading: heading(report, now, texts),
        watched: fill(texts.watched, [&report.watched_days, &days.get()]),
        verdict: verdict(report, &layout),
        contacts: report.contacts.iter().map(|one| contact(one, &layout)).collect(),
        mode: match now {
            LegacyState::Mode(LegacyMode::On) => texts.mode_on.to_owned(),
            LegacyState::Mode(LegacyMode::ReadOnly) => texts.mode_read_only.to_owned(),
            LegacyState::Mode(LegacyMode::Off) => texts.mode_off.to_owned(),
            LegacyState::Brownout(end) => fill(texts.mode_brownout, [&super::display_time::exact(end)]),
        },
        sunset: phase
            .sunset
            .map(|time| fill(texts.sunset, [&super::display_time::exact(time)])),
        chart: Chart::new(&report.calls, layout.now.day(), days.get(), texts),
        rows: report
            .callers
            .iter()
            .map(|caller| CallerRow::new(caller, &layout))
            .collect(),
        more_callers: report.more_callers,
        without_value: report.without_value,
        tokens: usage.tokens_without_value.iter().map(TokenLink::from).collect(),
        layout,
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

fn verdict(report: &LegacyReport, layout: &Layout) -> String {
    let texts = layout.texts;
    let Some(last) = report
        .callers
        .first()
        .map(|caller| layout.display_time(caller.last_seen).relative)
    else {
        return texts.verdict_never.to_owned();
    };
    match report.verdict {
        Verdict::NeverUsed => texts.verdict_never.to_owned(),
        Verdict::Quiet | Verdict::NotObservedYet => fill(texts.verdict_quiet, [&last]),
        Verdict::InUse => fill(texts.verdict_talk, [&report.calls.values().sum::<u64>(), &last]),
    }
}

fn contact(contact: &Contact, layout: &Layout) -> String {
    let texts = layout.texts;
    let last = layout.display_time(contact.last_seen).relative;
    let (who, client) = (
        caller_name(contact.actor.as_ref(), texts),
        address_text(contact.client, texts),
    );
    fill(texts.contact, [&who, &client, &contact.count, &last])
}

fn caller_name(actor: Option<&Actor>, texts: &Texts) -> String {
    actor.map_or_else(|| texts.unknown_caller.to_owned(), |actor| actor.id.clone())
}

fn address_text(client: CallerAddress, texts: &Texts) -> String {
    match client {
        CallerAddress::Known(address) => address.to_string(),
        CallerAddress::Unknown => texts.unknown_address.to_owned(),
        CallerAddress::Other => texts.others.to_owned(),
    }
}

impl CallerRow {
    fn new(usage: &CallerUsage, layout: &Layout) -> Self {
        let LegacyCaller {
            prefix,
            method,
            actor,
            client,
            user_agent,
        } = &usage.caller;
        Self {
            who: caller_name(actor.as_ref(), layout.texts),
            path: format!("{method} {prefix}"),
            client: address_text(*client, layout.texts),
            program: user_agent.clone(),
            last_seen: layout.display_time(usage.last_seen),
            recent: usage.recent,
        }
    }
}

impl From<&Token> for TokenLink {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.as_str().to_owned(),
        }
    }
}
