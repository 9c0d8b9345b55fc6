//! Health checks.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::{State, error::ApiError};

/// The state of the server.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "status": "ok" }))]
pub struct Health {
    /// ok
    status: &'static str,
}

/// `GET /healthz`: responds while the process runs.
#[utoipa::path(
    get, path = "/healthz", tag = "Operations", operation_id = "healthz", summary = "Check that the process is running",
    description = "Responds while the process runs, even if the store does not.",
    responses((status = 200, description = "The check passed", body = Health)), security(()),
)]
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "ok" })
}

/// `GET /readyz`: also checks the store. Responds with 503 if the database does not respond, or if
/// writes fail because of a fault in its file.
#[utoipa::path(
    get, path = "/readyz", tag = "Operations", operation_id = "readyz", summary = "Check that the server is ready",
    description = "Also checks the store. Responds with 503 if the database does not respond, or if writes fail \
        because of its file.",
    responses((status = 200, description = "The check passed", body = Health)), security(()),
)]
pub async fn readyz(state: Data<State>) -> Result<HttpResponse, ApiError> {
    state.service.ready().await?;
    Ok(healthz().await)
}
