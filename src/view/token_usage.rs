//! The JSON representation of the use of a token.

use std::net::IpAddr;

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    domain::{
        actor::Channel,
        clock::{Day, Timestamp},
        usage::TokenUsage,
    },
    view::schemas::{channel, refusal_reason},
};

/// The use of a token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(
    as = APITokenAPI::TokenUsage,
    example = json!({
        "days": [{ "day": "2027-01-30", "uses": 3 }, { "day": "2027-01-31", "uses": 12 }],
        "lastUsedAt": "2027-01-31T12:00:00.000001Z", "lastUsedFrom": "10.0.0.7", "lastUsedVia": "verify",
        "refused": [{ "reason": "expired", "count": 3, "lastAt": "2027-01-29T08:00:00Z", "lastFrom": "10.0.0.7" }],
    })
)]
pub struct TokenUsageView {
    /// The days of the last 90 on which the token was used, in UTC, the first day first
    days: Vec<DayUsesView>,
    /// When the token was last used; absent before the first use
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, format = DateTime)]
    last_used_at: Option<Timestamp>,
    /// The address of the client that used it, if it is known
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, nullable = false)]
    last_used_from: Option<IpAddr>,
    /// The API or gate that it was used for, if it is known
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, schema_with = channel)]
    last_used_via: Option<&'static str>,
    /// The refused uses of the last 90 days, by reason
    refused: Vec<RefusedUsesView>,
}

/// The uses of a token on a day.
#[derive(Serialize, ToSchema)]
#[schema(as = APITokenAPI::DayUses)]
pub struct DayUsesView {
    /// The day in UTC
    #[schema(value_type = String, format = Date)]
    day: Day,
    /// Number of uses
    uses: u64,
}

/// Refused uses of a token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = APITokenAPI::RefusedUses)]
pub struct RefusedUsesView {
    /// The reason: the token was disabled or had expired, or its CIDR blocks do not contain the client's address
    #[schema(schema_with = refusal_reason)]
    reason: &'static str,
    /// Number of uses
    count: u64,
    /// When the last of them was refused
    #[schema(value_type = String, format = DateTime)]
    last_at: Timestamp,
    /// The address of that client, if it is known
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = String, required = false, nullable = false)]
    last_from: Option<IpAddr>,
}

impl From<&TokenUsage> for TokenUsageView {
    fn from(usage: &TokenUsage) -> Self {
        let TokenUsage {
            days,
            last_used_at,
            last_used_via,
            last_used_from,
            refused,
        } = usage;
        let days = days.iter().map(|(day, uses)| DayUsesView { day: *day, uses: *uses });
        let refused = refused.iter().map(|(reason, refused)| RefusedUsesView {
            reason: reason.name(),
            count: refused.count,
            last_at: refused.last.at,
            last_from: refused.last.origin.client,
        });
        Self {
            days: days.collect(),
            last_used_at: *last_used_at,
            last_used_from: *last_used_from,
            last_used_via: last_used_via.map(Channel::name),
            refused: refused.collect(),
        }
    }
}
