//! Responses with one token and its entity tag.

use actix_web::HttpResponse;
use utoipa::IntoResponses;

use crate::{domain::token::Token, http::extract::conditions::etag, view::api_token::ApiToken};

/// Returns a token with its entity tag.
pub fn respond(token: &Token, body: &ApiToken<'_>) -> HttpResponse {
    HttpResponse::Ok().insert_header(etag(token)).json(body)
}

/// A token, in the OpenAPI document.
#[derive(IntoResponses)]
#[response(
    status = 200, description = "The token",
    headers(("ETag", description = "The state of the token")),
)]
#[expect(dead_code, reason = "only the document uses it")]
pub struct TokenResponse(ApiToken<'static>);

/// A token with its value, in the OpenAPI document.
#[derive(IntoResponses)]
#[response(
    status = 200, description = "The token, with its value",
    headers(("ETag", description = "The state of the token")),
)]
#[expect(dead_code, reason = "only the document uses it")]
pub struct ValueResponse(ApiToken<'static>);

/// The response to a conditional request, in the OpenAPI document.
#[derive(IntoResponses)]
#[response(
    status = 304, description = "The client knows the current state of the token",
    headers(("ETag", description = "The state of the token")),
)]
pub struct NotModifiedResponse;
