//! The overview: what needs attention, with links to it.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use serde_json::Value;

use super::{
    audit::labels::refusal_reason,
    display_time::DisplayTime,
    layout::Layout,
    legacy::heading,
    paths::build_query,
    render_page,
    session::ConsoleSession,
    text::{count, fill, number},
    texts::{
        audit,
        overview::{self, OverviewTexts},
    },
    token_label::TokenLabel,
    tokens::filters,
};
use crate::{
    domain::{
        audit::{Action, AuditEvent, EventFilter, EventOrder, RecordedEvent},
        legacy_report::{LegacyReport, ReportDays},
        page::PageSize,
        token_group::TokenGroup,
    },
    http::{error::ApiError, extract::state},
    service::TokenCounts,
};

/// The age from which a count is shown with its time.
const RECENT: Duration = Duration::from_mins(1);
/// The period of the refused sign-ins.
const REFUSALS_WITHIN: Duration = Duration::from_hours(7 * 24);

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    layout: Layout,
    texts: &'static OverviewTexts,
    /// The groups of tokens; empty until they have been counted.
    states: Vec<GroupCount>,
    attention: Vec<GroupCount>,
    /// The time of the count, unless the tokens were counted just now.
    counted: Option<DisplayTime>,
    is_empty: bool,
    legacy: LegacyProgress,
    refusals: Vec<RefusalRow>,
}

/// The number of tokens in a group, and the link to them.
struct GroupCount {
    title: &'static str,
    number: String,
    link: String,
    /// `true` if there are such tokens.
    is_some: bool,
}

struct LegacyProgress {
    heading: &'static str,
    is_good: bool,
    /// The tokens with a value, and all tokens.
    with_value: u64,
    tokens: u64,
    progress: String,
    calls: String,
}

struct RefusalRow {
    at: DisplayTime,
    token: Option<TokenLabel>,
    /// The subject, if it is not a token.
    subject: String,
    reason: String,
    times: String,
    client: String,
}

/// `GET /console`: shows the overview.
pub async fn page(
    request: HttpRequest,
    ConsoleSession { call, layout, .. }: ConsoleSession,
) -> Result<HttpResponse, ApiError> {
    let state = state(&request)?;
    let (service, config) = (&state.service, &state.config);
    let texts = layout.language.choose(&overview::ENGLISH, &overview::KOREAN);
    let counts = service.token_counts(&call, config.legacy_uuid_auth).await?;
    let phase = config.legacy.state(service.now());
    let usage = service
        .legacy_usage(&call, ReportDays::default(), 0, Some(phase))
        .await?;
    let filter = EventFilter {
        action: Some(Action::LoginRefused),
        since: Some(layout.now.saturating_sub(REFUSALS_WITHIN)),
        ..EventFilter::default()
    };
    let size = PageSize::OF_OVERVIEW;
    let refused = service
        .list_events(&call, filter, EventOrder::NewestFirst, None, size)
        .await?;
    let group = |group| GroupCount::new(group, counts.as_ref(), &layout);
    let (states, attention) = if counts.is_some() {
        use TokenGroup as G;
        let states = [G::All, G::Active, G::Disabled, G::Expired].map(group);
        let attention = [G::Expiring, G::RotationDue, G::Unused, G::NeverUsed, G::Legacy].map(group);
        (Vec::from(states), Vec::from(attention))
    } else {
        (Vec::new(), Vec::new())
    };
    let tokens = counts.as_ref().map(|counts| counts.of(TokenGroup::All));
    render_page(&OverviewPage {
        texts,
        states,
        attention,
        counted: counts
            .as_ref()
            .filter(|counts| layout.now.since(counts.at) >= RECENT)
            .map(|counts| layout.display_time(counts.at)),
        is_empty: tokens == Some(0),
        legacy: LegacyProgress {
            heading: heading(&usage.report, phase, layout.texts),
            ..LegacyProgress::new(&usage.report, tokens, texts)
        },
        refusals: refused
            .events
            .iter()
            .map(|event| RefusalRow::new(event, &layout, texts))
            .collect(),
        layout,
    })
}

impl GroupCount {
    fn new(group: TokenGroup, counts: Option<&TokenCounts>, layout: &Layout) -> Self {
        let counted = counts.map(|counts| counts.of(group)).unwrap_or_default();
        Self {
            title: filters::title(group, layout.texts),
            number: number(counted),
            link: format!("{}/tokens{}", layout.base, build_query(&[("show", group.name())])),
            is_some: counted > 0,
        }
    }
}

impl LegacyProgress {
    fn new(report: &LegacyReport, tokens: Option<u64>, texts: &OverviewTexts) -> Self {
        let without_value = report.without_value.unsigned_abs();
        let tokens = tokens.unwrap_or(without_value).max(without_value);
        let with_value = tokens - without_value;
        let calls: u64 = report.calls.values().sum();
        Self {
            heading: "",
            is_good: report.is_safe_to_switch_off(),
            with_value,
            tokens,
            progress: fill(texts.have_value, [&number(with_value), &number(tokens)]),
            calls: if calls == 0 {
                texts.no_calls.to_owned()
            } else {
                count(texts.calls, calls)
            },
        }
    }
}

impl RefusalRow {
    fn new(RecordedEvent { event, .. }: &RecordedEvent, layout: &Layout, texts: &OverviewTexts) -> Self {
        let AuditEvent {
            at,
            actor: _,
            origin,
            action: _,
            token_id,
            token_name,
            details,
        } = event;
        let detail = |field| details.get(field).and_then(Value::as_str);
        let reason = detail("reason").unwrap_or_default();
        let audit_texts = layout.language.choose(&audit::ENGLISH, &audit::KOREAN);
        let counted = details.get("count").and_then(Value::as_u64).unwrap_or(1);
        Self {
            at: layout.display_time(*at),
            token: token_id.map(|id| TokenLabel::new(id, token_name.as_ref())),
            subject: match detail("admin") {
                Some(name) => fill(texts.admin_named, [&name]),
                None => texts.unknown_credentials.to_owned(),
            },
            reason: refusal_reason(reason, audit_texts).unwrap_or(reason).to_owned(),
            times: count(texts.times, counted),
            client: origin.client.map(|client| client.to_string()).unwrap_or_default(),
        }
    }
}
