//! The list of all tokens, streamed so that memory does not grow with their number.

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
    dev::Payload,
    web::{Bytes, Data},
};
use futures_util::future::LocalBoxFuture;

use super::LegacyToken;
use crate::{
    domain::{
        caller::Call,
        page::{PageSize, SummaryPage},
    },
    http::{
        State,
        error::{ApiError, Challenge, DeclaresErrors, ErrorKind},
        extract::{
            AdminOnly, Authenticated,
            credentials::{self, Credentials::Password},
            origin, state,
        },
        paged_body::stream_pages,
        request::CallerIdentity,
    },
    service::Refusal,
};

/// Estimated length of a token in JSON, in bytes.
const TYPICAL_LENGTH: usize = 128;

/// `GET …/tokens`: returns all tokens, oldest first, as a bare array.
#[utoipa::path(
    get, path = "/tokens", operation_id = "listLegacyTokens", summary = "List all tokens",
    description = "Returns all tokens, oldest first, as a bare array.",
    responses((status = 200, description = "All tokens, oldest first", body = Vec<LegacyToken>)),
    security(("BasicAuth" = [])),
)]
pub async fn list(state: Data<State>, Listing { call, first }: Listing) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::Ok();
    response.content_type("application/json");
    let first = (json(b"[", &first)?, first.next);
    Ok(stream_pages(response, first, move |after| {
        let (state, call) = (state.clone(), call.clone());
        async move {
            let page = state.service.list_summaries(&call, after, PageSize::MAX).await?;
            Ok((json(b",", &page)?, page.next))
        }
    }))
}

/// A call by an admin, and the first page. Both come from one read, because most lists have one
/// page.
pub struct Listing {
    call: Call,
    first: SummaryPage,
}

impl DeclaresErrors for Listing {
    fn errors() -> Vec<ErrorKind> {
        Authenticated::<AdminOnly>::errors()
    }
}

impl FromRequest for Listing {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let origin = origin(&request)?;
            let Some(Password { name, password }) = credentials::parse_basic(request.headers())? else {
                return Err(ApiError::unauthorized(Refusal::Missing, Challenge::Basic));
            };
            let service = &state(&request)?.service;
            let listed = service.authenticate_and_list(&name, password, origin, PageSize::MAX);
            let (call, first) = listed.await?;
            request.extensions_mut().insert(CallerIdentity::of(&call.caller));
            Ok(Self { call, first })
        })
    }
}

/// Formats the tokens of a page, with `opening` before them, and the end of the array after the
/// last page.
fn json(opening: &[u8], page: &SummaryPage) -> Result<Bytes, ApiError> {
    let mut text = Vec::with_capacity(page.tokens.len() * TYPICAL_LENGTH + opening.len() + 1);
    if !(page.tokens.is_empty() && opening == b",") {
        text.extend_from_slice(opening);
    }
    for (index, token) in page.tokens.iter().enumerate() {
        if index > 0 {
            text.push(b',');
        }
        serde_json::to_writer(&mut text, &LegacyToken::from(token))
            .map_err(|error| crate::service::Error::Internal(error.into()))?;
    }
    if page.next.is_none() {
        text.push(b']');
    }
    Ok(text.into())
}
