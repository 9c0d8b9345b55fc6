//! GraphQL at `/public/graphql`: what Panther's own clients ask for, and a playground.

mod playground;
mod schema;

use actix_web::{
    Error, HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use async_graphql::Request;
use serde_json::json;

use super::{
    error::{Failure, with_failures_as},
    extract::{
        Authenticated, TokenOnly,
        json::{Fields, Json, Others},
        state,
    },
};
pub use playground::{file, page};
use schema::SCHEMA;

impl Fields for Request {
    const OTHERS: Others = Others::Ignored;
}

/// `POST /public/graphql`: carries out a query or a mutation. What goes wrong in it is told beside its data, with status 200.
pub async fn execute(
    request: HttpRequest,
    Authenticated {
        call, body: Json(body), ..
    }: Authenticated<TokenOnly, Json<Request>>,
) -> Result<HttpResponse, Failure> {
    let state = state(&request)?.clone();
    let answer = SCHEMA.execute(body.data(state.into_inner()).data(call)).await;
    Ok(HttpResponse::Ok().json(answer))
}

/// Makes the answers that say no GraphQL's: `{"errors": [{"message": …}]}`.
pub async fn answer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let response = next.call(request).await?;
    Ok(with_failures_as(response, |failure| {
        let extensions = json!({ "code": failure.code() });
        json!({ "errors": [{ "message": failure.message(), "extensions": extensions }] }).to_string()
    }))
}
