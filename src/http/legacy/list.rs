//! The list of all tokens, streamed so that memory does not grow with their number.

use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse, dev::Payload, web::Data};
use futures_util::future::LocalBoxFuture;

use super::LegacyToken;
use crate::{
    domain::{
        caller::Call,
        page::{Cursor, PageSize, SummaryPage},
        token::TokenSummary,
    },
    http::{
        State,
        error::{ApiError, Challenge, DeclaresErrors, ErrorKind},
        extract::{
            AdminOnly, Authenticated,
            credentials::{self, Credentials::Password},
            origin, state,
        },
        paged_body::{PageText, stream_pages},
        request::CallerIdentity,
    },
    service::{Error, Refusal},
};

/// `GET …/tokens`: returns all tokens, oldest first, as a bare array.
#[utoipa::path(
    get, path = "/tokens", operation_id = "listLegacyTokens", summary = "List all tokens",
    description = "Returns all tokens, oldest first, as a bare array.",
    responses((status = 200, description = "All tokens, oldest first", body = Vec<LegacyToken>)),
    security(("BasicAuth" = [])),
)]
pub async fn list(state: Data<State>, Listing { call, mut first }: Listing) -> Result<HttpResponse, ApiError> {
    let mut response = HttpResponse::Ok();
    response.content_type("application/json");
    open_array(&mut first);
    Ok(stream_pages(response, to_page_text(first), move |after| {
        let (state, call) = (state.clone(), call.clone());
        async move {
            let page = state
                .service
                .list_summaries(&call, after, PageSize::OF_STREAM, write_element);
            Ok(to_page_text(page.await?))
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
            let listed = service.authenticate_and_list(&name, password, origin, PageSize::OF_STREAM, write_element);
            let (call, first) = listed.await?;
            request.extensions_mut().insert(CallerIdentity::of(&call.caller));
            Ok(Self { call, first })
        })
    }
}

/// Appends a token, after a comma: the list that the client receives is an array in several parts.
fn write_element(text: &mut Vec<u8>, token: &TokenSummary) -> Result<(), Error> {
    text.push(b',');
    LegacyToken::from(token)
        .write_json(text)
        .map_err(|error| Error::Internal(error.into()))
}

/// Opens the array on its first page.
fn open_array(page: &mut SummaryPage) {
    match page.text.first_mut() {
        Some(comma) => *comma = b'[',
        None => page.text.push(b'['),
    }
}

/// Ends the array after its last page.
fn to_page_text(mut page: SummaryPage) -> PageText<Cursor> {
    if page.next.is_none() {
        page.text.push(b']');
    }
    (page.text.into(), page.next)
}
