//! For those who watch the server.

use actix_web::{HttpRequest, HttpResponse};
use serde_json::json;

use super::{error::Failure, extract::state};

/// `GET /healthz`: the process answers.
pub async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// `GET /readyz`: the store answers too; 503 when it does not.
pub async fn readyz(request: HttpRequest) -> Result<HttpResponse, Failure> {
    state(&request)?.service.ready().await?;
    Ok(healthz().await)
}
