//! How the use of the legacy endpoints is shown.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{
        actor::Actor,
        clock::{Day, Timestamp},
        legacy_phase::LegacyState,
        legacy_report::{CallerUsage, Contact, Verdict},
        token::Token,
    },
    service::legacy_usage::LegacyUsage,
    view::schemas::{actor, legacy_state, verdict},
};

/// How many callers a report in JSON shows.
pub const MAX_CALLERS: usize = 1000;

/// Who uses the legacy API, and whether it can be switched off
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LegacyUsage, example = json!({
    "verdict": "in-use", "days": 30, "watchedDays": 30, "phase": { "state": "read-only" },
    "message": "The legacy API is read-only. It is in use: 5 calls in the last 30 days, the last at 2026-11-20T12:00:00Z by admin ops from \
        10.0.0.7. Contact admin ops from 10.0.0.7 first.",
    "talkTo": [{ "actor": { "id": "ops", "type": "user" }, "client": "10.0.0.7", "count": 5, "lastSeen": "2026-11-20T12:00:00Z" }],
    "callers": [{
        "actor": { "id": "ops", "type": "user" }, "prefix": "/rest/agent-config/1.0", "method": "GET", "client": "10.0.0.7",
        "userAgent": "curl/8.14.1", "firstSeen": "2026-11-01T12:00:00Z", "lastSeen": "2026-11-20T12:00:00Z", "count": 5,
        "days": { "2026-11-01": 1, "2026-11-20": 4 },
    }],
    "moreCallers": 0, "calls": { "2026-11-01": 1, "2026-11-20": 4 }, "tokensWithoutValue": { "count": 0, "tokens": [] },
}))]
pub struct LegacyUsageReport<'a> {
    /// Whether there was a call within the days of the report (in-use), only before (quiet), or none that is known (never-used); until
    /// servers have watched for that many days, and while no recent call is known, not-observed-yet
    #[schema(schema_with = verdict)]
    verdict: Verdict,
    /// How many days were looked at, today included
    days: u16,
    /// How many of these days a server has watched: for at least 20 of their 24 hours
    watched_days: u16,
    /// What the legacy API does now; absent on the command line while no server has ever run on the store
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    phase: Option<PhaseView>,
    /// The verdict in sentences
    message: &'a str,
    /// Who called within these days, the busiest first, at most 10
    talk_to: Vec<ContactView<'a>>,
    /// Who ever called, those seen last first, at most 1,000
    callers: Vec<CallerView<'a>>,
    /// How many callers there are beside those
    more_callers: usize,
    /// The calls within these days, by day (UTC)
    #[schema(value_type = BTreeMap<String, u64>)]
    calls: &'a BTreeMap<Day, u64>,
    /// The tokens that have never had a value, and need one before they can be used without the legacy endpoints
    tokens_without_value: TokensWithoutValue<'a>,
}

/// What the legacy API does now
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyPhase)]
struct PhaseView {
    /// on, read-only, off, or brownout
    #[schema(schema_with = legacy_state)]
    state: &'static str,
    /// The end of the brownout
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    until: Option<Timestamp>,
}

/// Somebody to talk to
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LegacyContact)]
struct ContactView<'a> {
    /// Who; absent where the calls had no good credentials
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = actor, required = false)]
    actor: Option<&'a Actor>,
    /// From which address; unknown where a proxy did not tell it, other for all who are too many to be told apart
    client: String,
    /// How often within the days that were looked at
    count: u64,
    /// When last
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
}

/// Somebody who called
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LegacyCaller)]
struct CallerView<'a> {
    /// Who; absent where the calls had no good credentials
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = actor, required = false)]
    actor: Option<&'a Actor>,
    /// Through which endpoint: the prefix of the path, or /verify where a uuid was shown at the gate
    prefix: &'a str,
    /// With which method; other for an unusual one
    method: &'a str,
    /// From which address; unknown where a proxy did not tell it, other for all who are too many to be told apart
    client: String,
    /// With which program, cut to 200 characters; absent if it did not say
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_agent: Option<&'a str>,
    /// When first
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    /// When last
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    /// How often since the first time
    count: u64,
    /// The calls within the days that were looked at, by day (UTC)
    #[schema(value_type = BTreeMap<String, u64>)]
    days: &'a BTreeMap<Day, u64>,
}

/// The tokens that have never had a value
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyTokens)]
struct TokensWithoutValue<'a> {
    /// How many there are
    count: i64,
    /// The oldest 100 of them
    tokens: Vec<TokenView<'a>>,
}

/// A token that has never had a value
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LegacyTokenUse)]
struct TokenView<'a> {
    /// The id of the token
    #[schema(format = "uuid")]
    id: String,
    /// The name of the token
    name: &'a str,
    /// When its uuid last passed the gate
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime, required = false)]
    last_used_at: Option<Timestamp>,
}

impl<'a> From<&'a LegacyUsage> for LegacyUsageReport<'a> {
    fn from(usage: &'a LegacyUsage) -> Self {
        let report = &usage.report;
        Self {
            verdict: report.verdict,
            days: report.days.get(),
            watched_days: report.watched_days,
            phase: report.state.map(PhaseView::from),
            message: &report.message,
            talk_to: report.contacts.iter().map(ContactView::from).collect(),
            callers: report.callers.iter().map(CallerView::from).collect(),
            more_callers: report.more_callers,
            calls: &report.calls,
            tokens_without_value: TokensWithoutValue {
                count: report.without_value,
                tokens: usage.tokens_without_value.iter().map(TokenView::from).collect(),
            },
        }
    }
}

impl From<LegacyState> for PhaseView {
    fn from(state: LegacyState) -> Self {
        Self {
            state: state.name(),
            until: state.until(),
        }
    }
}

impl<'a> From<&'a Contact> for ContactView<'a> {
    fn from(contact: &'a Contact) -> Self {
        Self {
            actor: contact.actor.as_ref(),
            client: contact.client.to_string(),
            count: contact.count,
            last_seen: contact.last_seen,
        }
    }
}

impl<'a> From<&'a CallerUsage> for CallerView<'a> {
    fn from(usage: &'a CallerUsage) -> Self {
        let caller = &usage.caller;
        Self {
            actor: caller.actor.as_ref(),
            prefix: &caller.prefix,
            method: &caller.method,
            client: caller.client.to_string(),
            user_agent: Some(caller.user_agent.as_str()).filter(|text| !text.is_empty()),
            first_seen: usage.first_seen,
            last_seen: usage.last_seen,
            count: usage.total,
            days: &usage.days,
        }
    }
}

impl<'a> From<&'a Token> for TokenView<'a> {
    fn from(token: &'a Token) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.as_str(),
            last_used_at: token.last_used_at,
        }
    }
}
