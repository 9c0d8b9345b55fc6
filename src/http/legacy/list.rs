//! The list of all tokens, streamed so that memory does not grow with their number.

use actix_web::{
    FromRequest, HttpMessage, HttpRequest, HttpResponse,
    dev::Payload,
    web::{Bytes, Data},
};
use futures_util::{future::LocalBoxFuture, stream};

use super::LegacyToken;
use crate::{
    domain::{
        caller::Call,
        page::{Cursor, PageSize, SummaryPage},
    },
    http::{
        State,
        error::{ApiError, Challenge, DeclaresErrors, ErrorKind},
        extract::{
            AdminOnly, Authenticated,
            credentials::{self, Credentials::Password},
            origin, state,
        },
        request::CallerIdentity,
    },
    service::Refusal,
};

/// Estimated length of a token in JSON, in bytes.
const TYPICAL_LENGTH: usize = 128;

/// `GET …/tokens`: returns all tokens, oldest first, as a bare array.
///
/// A page is read once the client has taken the previous one, and no connection to the store is
/// held in between. So a slow client does not block others.
#[utoipa::path(
    get, path = "/tokens", operation_id = "listLegacyTokens", summary = "List all tokens", description = "All tokens, oldest first, as a bare array",
    responses((status = 200, description = "All tokens, oldest first", body = Vec<LegacyToken>)),
    security(("BasicAuth" = [])),
)]
pub async fn list(state: Data<State>, Listing { call, first }: Listing) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::Ok();
    response.content_type("application/json");
    let (text, next) = (json(b"[", &first)?, first.next);
    if next.is_none() {
        return Ok(response.body(text));
    }
    let rest = stream::try_unfold(next, move |next| {
        let (state, call) = (state.clone(), call.clone());
        async move {
            let Some(after) = next else { return Ok(None) };
            let page = page(&state, &call, after).await?;
            Ok::<_, ApiError>(Some((json(b",", &page)?, page.next)))
        }
    });
    let first = stream::once(async { Ok(text) });
    Ok(response.streaming(futures_util::StreamExt::chain(first, rest)))
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

async fn page(state: &Data<State>, call: &Call, after: Cursor) -> Result<SummaryPage, ApiError> {
    Ok(state.service.list_summaries(call, after, PageSize::MAX).await?)
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
