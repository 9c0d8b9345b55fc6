//! `POST /revoke`: token revocation (RFC 7009), for any client that presents a value.

use actix_web::{HttpRequest, HttpResponse, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::{
    domain::{Invalid, caller::Call},
    http::{
        State,
        error::ApiError,
        extract::{oauth_client::OauthRequest, origin},
    },
};

/// The parameters of `POST /revoke`. Other parameters are ignored.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({ "token": "tbk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADCtZhg" }))]
pub struct RevocationRequest {
    /// The value to revoke; blanks around it are ignored
    #[schema(required, nullable = false)]
    token: Option<String>,
    /// Ignored: values are the only type of token
    #[serde(rename = "token_type_hint")]
    #[schema(required = false, nullable = false, value_type = String)]
    _token_type_hint: Option<String>,
}

/// `POST /revoke`: revokes a value.
#[utoipa::path(
    post, path = "/revoke", tag = "For other services", operation_id = "revoke",
    summary = "Revoke a token value (RFC 7009)",
    description = "The current value deletes its token, and a value in its grace period ends alone. Presenting the \
        value is enough, but credentials that the request carries must be valid.",
    request_body(content = RevocationRequest, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, description = "The value is revoked, or was never valid")),
    security((), ("ApiKeyAuth" = []), ("BasicAuth" = [])),
)]
pub async fn revoke(
    state: Data<State>,
    request: HttpRequest,
    OauthRequest { client, form }: OauthRequest<Option<Call>, RevocationRequest>,
) -> Result<HttpResponse, ApiError> {
    let presented = form.token.ok_or_else(|| Invalid::new("token", "is required"))?;
    // The 200 must not mislead a client that sends a line of a file with its line feed.
    let presented = presented.trim();
    state.service.revoke(client, presented, origin(&request)?).await?;
    Ok(HttpResponse::Ok().finish())
}
