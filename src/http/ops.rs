//! For those who watch the server.

use actix_web::{HttpResponse, web::Data};
use serde::Serialize;
use utoipa::ToSchema;

use super::{State, error::ApiError};

/// That all is well.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({ "status": "ok" }))]
pub struct Health {
    /// ok
    status: &'static str,
}

/// `GET /healthz`: the process answers.
#[utoipa::path(
    get, path = "/healthz", tag = "Operations", operation_id = "healthz", summary = "Say that the process answers",
    responses((status = 200, description = "It does", body = Health)), security(()),
)]
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "ok" })
}

/// `GET /readyz`: also checks the store; 503 if it does not answer, or if writes fail because of a fault in its file.
#[utoipa::path(
    get, path = "/readyz", tag = "Operations", operation_id = "readyz", summary = "Say whether the store answers",
    responses((status = 200, description = "It does", body = Health)), security(()),
)]
pub async fn readyz(state: Data<State>) -> Result<HttpResponse, ApiError> {
    state.service.ready().await?;
    Ok(healthz().await)
}
