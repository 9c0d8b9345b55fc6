//! The JSON representation of the legacy usage report.

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
    view::schemas::{ActorSchema, legacy_state, verdict},
};

/// Maximum number of callers in a JSON report.
pub const MAX_CALLERS: usize = 1000;

/// The use of the legacy API, and whether it can be switched off
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LegacyUsage, example = json!({
    "verdict": "in-use", "days": 30, "watchedDays": 30, "watchedSince": "2026-10-01",
    "phase": { "state": "read-only" },
    "message": "The legacy API is read-only. It is in use: 5 calls in the last 30 days, the last at \
        2026-11-20T12:00:00Z by admin ops from 10.0.0.7. Contact admin ops from 10.0.0.7 first.",
    "talkTo": [{
        "actor": { "id": "ops", "type": "user" }, "client": "10.0.0.7", "count": 5, "lastSeen": "2026-11-20T12:00:00Z",
    }],
    "callers": [{
        "actor": { "id": "ops", "type": "user" }, "prefix": "/rest/agent-config/1.0", "method": "GET",
        "client": "10.0.0.7", "userAgent": "curl/8.14.1", "firstSeen": "2026-11-01T12:00:00Z",
        "lastSeen": "2026-11-20T12:00:00Z", "count": 5, "days": { "2026-11-01": 1, "2026-11-20": 4 },
    }],
    "moreCallers": 0, "calls": { "2026-11-01": 1, "2026-11-20": 4 }, "tokensWithoutValue": { "count": 0, "tokens": [] },
}))]
pub struct LegacyUsageReport<'a> {
    /// in-use if there was a call within the window; quiet if calls are known only before it;
    /// never-used if no call is known; not-observed-yet if no call within the window is known and
    /// servers have not watched for the whole window
    #[schema(schema_with = verdict)]
    verdict: Verdict,
    /// The length of the window in days, including today
    days: u16,
    /// Number of days in the window on which a server watched for at least 20 hours
    watched_days: u16,
    /// The first day (UTC) on which a server watched; absent if none has yet
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = Date, required = false)]
    watched_since: Option<Day>,
    /// The current state of the legacy API; absent on the command line if no server has run on this store yet
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    phase: Option<PhaseView>,
    /// The verdict in sentences
    message: &'a str,
    /// The callers within the window, the busiest first, at most 10
    talk_to: Vec<ContactView<'a>>,
    /// All known callers, the most recently seen first, at most 1,000
    callers: Vec<CallerView<'a>>,
    /// Number of further callers
    #[schema(value_type = u64)]
    more_callers: usize,
    /// Number of calls within the window, by day (UTC)
    #[schema(value_type = BTreeMap<String, u64>)]
    calls: &'a BTreeMap<Day, u64>,
    /// The tokens that have never had a value. They need one before the legacy API is switched off
    tokens_without_value: TokensWithoutValue<'a>,
}

/// The current state of the legacy API
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

/// A caller to contact
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LegacyContact)]
struct ContactView<'a> {
    /// The authenticated actor; absent for calls without valid credentials
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ActorSchema, required = false)]
    actor: Option<&'a Actor>,
    /// The client's address; unknown if no trusted proxy reported it, other for all callers beyond the limit
    client: String,
    /// Number of calls within the window
    count: u64,
    /// The time of the last call
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
}

/// A caller of the legacy API
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LegacyCaller)]
struct CallerView<'a> {
    /// The authenticated actor; absent for calls without valid credentials
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ActorSchema, required = false)]
    actor: Option<&'a Actor>,
    /// The endpoint: the prefix of the path, or /verify for a UUID at the gate
    prefix: &'a str,
    /// The HTTP method; other for an uncommon one
    method: &'a str,
    /// The client's address; unknown if no trusted proxy reported it, other for all callers beyond the limit
    client: String,
    /// The user agent, truncated to 200 characters; absent if the client sent none
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    user_agent: Option<&'a str>,
    /// The time of the first call
    #[schema(value_type = String, format = DateTime)]
    first_seen: Timestamp,
    /// The time of the last call
    #[schema(value_type = String, format = DateTime)]
    last_seen: Timestamp,
    /// Number of calls since the first one
    count: u64,
    /// Number of calls within the window, by day (UTC)
    #[schema(value_type = BTreeMap<String, u64>)]
    days: &'a BTreeMap<Day, u64>,
}

/// The tokens that have never had a value
#[derive(Serialize, ToSchema)]
#[schema(as = LegacyTokens)]
struct TokensWithoutValue<'a> {
    /// Number of such tokens
    count: i64,
    /// The 100 oldest such tokens
    tokens: Vec<TokenView<'a>>,
}

/// A token that has never had a value
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LegacyTokenUse)]
struct TokenView<'a> {
    /// The ID of the token
    #[schema(format = "uuid")]
    id: String,
    /// The name of the token
    name: &'a str,
    /// When its UUID was last accepted by the gate
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
            watched_since: report.watched_since,
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
