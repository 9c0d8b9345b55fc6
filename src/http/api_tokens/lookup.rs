//! `POST /api-tokens/lookup`: finds the token of a value.

use actix_web::{HttpResponse, web::Data};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    Authenticated, AuthenticatedCall,
    response::{TokenResponse, respond},
};
use crate::{
    domain::Invalid,
    http::{
        State,
        error::ApiError,
        extract::json::{Json, JsonBody, UnknownFields, not_null},
    },
    view::api_token::ApiToken,
};

/// The body of a lookup.
#[derive(Deserialize, ToSchema)]
#[schema(
    as = APITokenAPI::LookupAPIToken,
    example = json!({ "value": "tbk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAADCtZhg" })
)]
pub struct LookupApiToken {
    /// The value of a token: its current one, or one in its grace period
    #[serde(default, deserialize_with = "not_null")]
    #[schema(required, nullable = false, pattern = "^tbk_[A-Za-z0-9_-]{49}$")]
    value: Option<String>,
}

impl JsonBody for LookupApiToken {
    const UNKNOWN_FIELDS: UnknownFields = UnknownFields::Rejected { read_only: &[] };
}

/// `POST /api-tokens/lookup`: returns the token of a value. The value is in the body, because URLs are logged.
#[utoipa::path(
    post, path = "/api-tokens/lookup", tag = "API tokens", operation_id = "lookupApiToken",
    summary = "Find the token of a value",
    description = "Does not count as a use of the token. Reading suffices: it needs the permission \
                   OrganizationAPITokenRead. Finds disabled and expired tokens, and values in their grace period.",
    request_body = LookupApiToken,
    responses(TokenResponse),
)]
pub async fn lookup(
    state: Data<State>,
    Authenticated {
        call,
        input: Json(body),
        ..
    }: AuthenticatedCall<Json<LookupApiToken>>,
) -> Result<HttpResponse, ApiError> {
    let value = body.value.ok_or_else(|| Invalid::new("value", "is required"))?;
    let token = state.service.lookup(&call, &value).await?;
    Ok(respond(&token, &ApiToken::from(&token)))
}
