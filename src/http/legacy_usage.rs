//! Who still uses the legacy doors, for admins who want to close them.

pub mod csv;
pub mod view;

use actix_web::{
    HttpRequest, HttpResponse,
    error::QueryPayloadError,
    http::header::{self, Accept, Header, HeaderValue},
    mime,
    web::Query,
};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{
    error::Failure,
    extract::{AdminOnly, Authenticated, state},
};
use crate::domain::legacy_report::ReportDays;
use view::LegacyUsageReport;

/// How many callers a report in JSON shows.
pub const MOST_CALLERS: usize = 1000;

/// What `GET /legacy-usage` takes in its query.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ReportQuery {
    /// How many days to look back, today included
    #[param(value_type = u16, required = false, minimum = 1, maximum = 400, example = 30)]
    days: Option<String>,
}

/// `GET /legacy-usage`: whether the legacy doors can be closed, and who uses them.
#[utoipa::path(
    get, path = "/legacy-usage", tag = "Operations", operation_id = "legacyUsage", summary = "Say who still uses the legacy doors",
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
) -> Result<HttpResponse, Failure> {
    let Query(query) = Query::<ReportQuery>::from_query(request.query_string()).map_err(|error| {
        let QueryPayloadError::Deserialize(reason) = error else {
            return Failure::bad_request("the query cannot be read");
        };
        Failure::bad_request(format!("the query cannot be read: {reason}"))
    })?;
    let days = query.days.map(|days| ReportDays::parse(&days)).transpose()?;
    let days = days.unwrap_or_default();
    let service = &state(&request)?.service;
    let mut response = HttpResponse::Ok();
    response.insert_header((header::VARY, HeaderValue::from_static("accept")));
    if wants_csv(&request) {
        let usage = service.legacy_usage(&call, days, usize::MAX).await?;
        return Ok(response
            .content_type(mime::TEXT_CSV_UTF_8)
            .body(csv::callers(&usage.report)));
    }
    let usage = service.legacy_usage(&call, days, MOST_CALLERS).await?;
    Ok(response.json(LegacyUsageReport::from(&usage)))
}

/// Whether the client would rather have CSV than JSON.
fn wants_csv(request: &HttpRequest) -> bool {
    let accepted = Accept::parse(request).map(|accept| accept.ranked()).unwrap_or_default();
    let first = accepted
        .iter()
        .find(|kind| [mime::CSV, mime::JSON, mime::STAR].contains(&kind.subtype()));
    first.is_some_and(|kind| kind.essence_str() == mime::TEXT_CSV.essence_str())
}
