//! Health checks.

use std::{sync::atomic::Ordering, time::Duration};

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

/// `GET /readyz`: also checks the store. Responds with 503 if the database does not respond, if
/// writes fail because of a fault in its file, or while the server drains.
#[utoipa::path(
    get, path = "/readyz", tag = "Operations", operation_id = "readyz", summary = "Check that the server is ready",
    description = "Also checks the store. Responds with 503 if the database does not respond, if writes fail \
        because of its file, or if the server is about to stop.",
    responses((status = 200, description = "The check passed", body = Health)), security(()),
)]
pub async fn readyz(state: Data<State>) -> Result<HttpResponse, ApiError> {
    if state.is_draining.load(Ordering::Relaxed) {
        return Err(ApiError::unavailable(
            "the server is shutting down; use another one",
            Duration::from_secs(1),
        ));
    }
    state.service.ready().await?;
    Ok(healthz().await)
}
