//! Who still uses the legacy endpoints, for admins who want to close them.

pub mod csv;
pub mod view;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    error::ApiError,
    extract::{AdminOnly, Authenticated, accept::negotiate_media_type, query::read_query, state},
};
use crate::{domain::legacy_report::ReportDays, http};
use view::LegacyUsageReport;

const CSV: &str = "text/csv";
/// How many callers a report in JSON shows.
pub const MAX_CALLERS: usize = 1000;

/// What `GET /legacy-usage` takes in its query.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// How many days to look back, today included
    #[param(value_type = u16, required = false, minimum = 1, maximum = 400)]
    days: Option<String>,
}

/// `GET /legacy-usage`: whether the legacy endpoints can be closed, and who uses them.
#[utoipa::path(
    get, path = "/legacy-usage", tag = "Operations", operation_id = "legacyUsage", summary = "Report who still uses the legacy API",
    params(ReportQuery),
    responses((status = 200, description = "Who uses them; as CSV, one line for each caller", content(
        (LegacyUsageReport = "application/json"),
        (String = "text/csv"),
    ))),
    security(("BasicAuth" = [])),
)]
pub async fn legacy_usage(
    request: HttpRequest,
    Authenticated { call, .. }: Authenticated<AdminOnly>,
) -> Result<HttpResponse, ApiError> {
    let query: ReportQuery = read_query(&request, &[&["days"]])?;
    let media_type = negotiate_media_type(&request, &["application/json", CSV])?;
    let days = query.days.map(|days| ReportDays::parse(&days)).transpose()?;
    let days = days.unwrap_or_default();
    let state = state(&request)?;
    let service = &state.service;
    let phase = state.config.legacy.state(service.now());
    let mut response = HttpResponse::Ok();
    response.insert_header((header::VARY, HeaderValue::from_static("accept")));
    if media_type == CSV {
        let usage = service.legacy_usage(&call, days, usize::MAX, Some(phase)).await?;
        return Ok(response
            .content_type(http::csv::CONTENT_TYPE)
            .body(csv::format_callers(&usage.report)));
    }
    let usage = service.legacy_usage(&call, days, MAX_CALLERS, Some(phase)).await?;
    Ok(response.json(LegacyUsageReport::from(&usage)))
}
