//! The page with the report on the use of the legacy API.

mod callers;
mod timeline;

use std::collections::HashMap;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CONTENT_DISPOSITION, HeaderValue},
};
use askama::Template;

use super::{
    chart::{Chart, ChartTexts},
    layout::Layout,
    render_page,
    session::ConsoleSession,
    text::{fill, number, plural_form},
    texts::{
        Texts,
        legacy::{self, LegacyTexts},
    },
};
use crate::{
    domain::{
        legacy_phase::LegacyState,
        legacy_report::{Contact, LegacyReport, ReportDays, Verdict},
        name::TokenName,
        token::{Token, TokenId},
    },
    http::{error::ApiError, extract::state},
    view::{csv, legacy_callers::format_callers, legacy_usage::MAX_CALLERS},
};
use callers::{CallerRow, address_text, caller_name};
use timeline::Timeline;

/// Maximum number of tokens without a value on the page.
const MAX_TOKENS: usize = 10;

#[derive(Template)]
#[template(path = "legacy.html")]
struct LegacyPage {
    layout: Layout,
    texts: &'static LegacyTexts,
    is_good: bool,
    heading: &'static str,
    verdict: String,
    watched: String,
    contacts: Vec<String>,
    timeline: Timeline,
    has_sunset: bool,
    chart: Chart,
    rows: Vec<CallerRow>,
    more_callers: u64,
    without_value: u64,
    tokens: Vec<TokenLink>,
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
    let (service, phase) = (&state.service, &state.config.legacy);
    let days = ReportDays::default();
    let texts = layout.language.choose(&legacy::ENGLISH, &legacy::KOREAN);
    let now = phase.state(service.now());
    let usage = service.legacy_usage(&call, days, MAX_CALLERS, Some(now)).await?;
    let report = &usage.report;
    let names = service
        .find_token_names(&call, callers::tokens(&report.callers))
        .await?;
    let (rows, left_out) = callers::rows(&report.callers, &names, &layout);
    let chart_texts = ChartTexts {
        unit: layout.texts.chart_calls,
        summary: layout.texts.chart_summary,
        none: layout.texts.chart_none,
    };
    render_page(&LegacyPage {
        texts,
        is_good: report.is_safe_to_switch_off(),
        heading: heading(report, now, layout.texts),
        watched: match report.watched_since {
            Some(since) => fill(texts.watched_since, [&since, &report.watched_days, &days.get()]),
            None => texts.never_watched.to_owned(),
        },
        verdict: verdict(report, &layout),
        contacts: report
            .contacts
            .iter()
            .map(|one| contact(one, &names, &layout))
            .collect(),
        timeline: Timeline::new(phase, now, &layout, texts),
        has_sunset: phase.sunset.is_some(),
        chart: Chart::new(&report.calls, layout.now.day(), days.get(), chart_texts),
        rows,
        more_callers: (left_out + report.more_callers) as u64,
        without_value: report.without_value.unsigned_abs(),
        tokens: usage
            .tokens_without_value
            .iter()
            .take(MAX_TOKENS)
            .map(TokenLink::from)
            .collect(),
        layout,
    })
}

/// `GET /console/legacy/callers.csv`: downloads all callers.
pub async fn download(
    request: HttpRequest,
    ConsoleSession { call, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let service = &state(&request)?.service;
    let usage = service
        .legacy_usage(&call, ReportDays::default(), usize::MAX, None)
        .await?;
    let disposition = HeaderValue::from_static("attachment; filename=\"legacy-callers.csv\"");
    Ok(HttpResponse::Ok()
        .content_type(csv::CONTENT_TYPE)
        .insert_header((CONTENT_DISPOSITION, disposition))
        .body(format_callers(&usage.report)))
}

/// Returns the verdict as a heading.
pub fn heading(report: &LegacyReport, state: LegacyState, texts: &Texts) -> &'static str {
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
        Verdict::InUse => {
            let calls = report.calls.values().sum();
            fill(plural_form(texts.verdict_talk, calls), [&number(calls), &last])
        }
    }
}

fn contact(contact: &Contact, names: &HashMap<TokenId, TokenName>, layout: &Layout) -> String {
    let texts = layout.texts;
    let last = layout.display_time(contact.last_seen).relative;
    let who = caller_name(contact.actor.as_ref(), names, texts);
    let client = address_text(contact.client, texts);
    let form = plural_form(texts.contact, contact.count);
    fill(form, [&who, &client, &number(contact.count), &last])
}

impl From<&Token> for TokenLink {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.as_str().to_owned(),
        }
    }
}
