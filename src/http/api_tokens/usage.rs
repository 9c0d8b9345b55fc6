//! `GET /api-tokens/{id}/usage`: reports the use of a token.

use actix_web::{HttpResponse, web::Data};

use super::{Authenticated, AuthenticatedCall};
use crate::{
    http::{
        State,
        error::ApiError,
        extract::path::{Id, IdParameter},
    },
    view::token_usage::TokenUsageView,
};

/// `GET /api-tokens/{id}/usage`: returns the uses of a token by day, its last use, and its refused uses.
#[utoipa::path(
    get, path = "/api-tokens/{id}/usage", tag = "API tokens", operation_id = "getApiTokenUsage",
    summary = "Report the use of a token",
    description = "Returns the uses by day in the last 90 days, the last use, and the refused uses by reason. Days \
        without a use are left out.",
    params(IdParameter),
    responses((status = 200, description = "The use of the token in the last 90 days", body = TokenUsageView)),
)]
pub async fn usage(
    state: Data<State>,
    Authenticated {
        call, input: Id(token), ..
    }: AuthenticatedCall<Id>,
) -> Result<HttpResponse, ApiError> {
    let usage = state.service.usage(&call, token).await?;
    Ok(HttpResponse::Ok().json(TokenUsageView::from(&usage)))
}
