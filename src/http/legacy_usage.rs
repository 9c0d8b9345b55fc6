//! The report on the use of the legacy API, for admins who want to switch it off.

use actix_web::{
    HttpResponse,
    http::header::{self, HeaderValue},
    web::Data,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    State,
    error::ApiError,
    extract::{
        AdminOnly, Authenticated,
        accept::{Accepted, ResponseFormat},
        query::{Query, QueryParameters},
    },
};
use crate::{
    domain::legacy_report::ReportDays,
    view::{
        csv,
        legacy_callers::format_callers,
        legacy_usage::{LegacyUsageReport, MAX_CALLERS},
    },
};

/// The query parameters of `GET /legacy-usage`.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// The length of the report's window in days, including today
    #[param(value_type = u16, required = false, minimum = 1, maximum = 400)]
    days: Option<String>,
}

impl QueryParameters for ReportQuery {}

/// The formats of the report.
#[derive(Clone, Copy)]
pub enum ReportFormat {
    /// The complete report.
    Json,
    /// The callers.
    Csv,
}

impl ResponseFormat for ReportFormat {
    const OFFERED: &'static [(&'static str, Self)] = &[("application/json", Self::Json), ("text/csv", Self::Csv)];
}

/// `GET /legacy-usage`: reports whether the legacy API can be switched off, and its callers.
#[utoipa::path(
    get, path = "/legacy-usage", tag = "Operations", operation_id = "legacyUsage",
    summary = "Report the use of the legacy API",
    description = "Reports whether the legacy API can be switched off, and who still calls it.",
    params(ReportQuery),
    responses((status = 200, description = "The report; as CSV, one line per caller", content(
        (LegacyUsageReport = "application/json"),
        (String = "text/csv"),
    ))),
    security(("BasicAuth" = [])),
)]
pub async fn legacy_usage(
    state: Data<State>,
    Authenticated {
        call,
        input: (Query(query), Accepted(format)),
        ..
    }: Authenticated<AdminOnly, (Query<ReportQuery>, Accepted<ReportFormat>)>,
) -> Result<HttpResponse, ApiError> {
    let days = query.days.map(|days| days.parse::<ReportDays>()).transpose()?;
    let days = days.unwrap_or_default();
    let service = &state.service;
    let phase = state.config.legacy.state(service.now());
    let mut response = HttpResponse::Ok();
    response.insert_header((header::VARY, HeaderValue::from_static("accept")));
    Ok(match format {
        ReportFormat::Csv => {
            let usage = service.legacy_usage(&call, days, usize::MAX, Some(phase)).await?;
            response
                .content_type(csv::CONTENT_TYPE)
                .body(format_callers(&usage.report))
        }
        ReportFormat::Json => {
            let usage = service.legacy_usage(&call, days, MAX_CALLERS, Some(phase)).await?;
            response.json(LegacyUsageReport::from(&usage))
        }
    })
}
