//! The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header).

use actix_web::{
    HttpRequest,
    dev::Payload,
    http::header::{HeaderMap, HeaderName},
};
use futures_util::future::LocalBoxFuture;
use utoipa::IntoParams;

use super::input::Input;
use crate::{
    domain::{Invalid, idempotency::IdempotencyKey},
    http::error::{ApiError, DeclaresErrors, ErrorKind},
};

const HEADER: HeaderName = HeaderName::from_static("idempotency-key");

/// The header in the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only the document uses it")]
pub struct IdempotencyHeader {
    /// A key of the client's choice, for example a UUID, optionally in double quotes. A repeated request with the same
    /// key within 24 hours is not done twice: it returns the same token with a fresh value, which replaces that of the
    /// lost response
    #[param(
        rename = "Idempotency-Key",
        required = false,
        nullable = false,
        min_length = 1,
        max_length = 512
    )]
    key: Option<String>,
}

/// The idempotency key of a request, if it has one.
pub struct Idempotency(pub Option<IdempotencyKey>);

impl DeclaresErrors for Idempotency {
    fn errors() -> Vec<ErrorKind> {
        vec![
            ErrorKind::BadRequest,
            ErrorKind::Conflict,
            ErrorKind::UnprocessableContent,
        ]
    }
}

impl Input for Idempotency {
    fn read<'r>(request: &'r HttpRequest, _: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>> {
        Box::pin(async move { Ok(Self(parse(request.headers())?)) })
    }
}

fn parse(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Invalid> {
    let mut values = headers.get_all(HEADER);
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Invalid::new(
            "Idempotency-Key",
            "there are several such headers; send one",
        ));
    }
    // Text that is not ASCII is not a key, either.
    value.to_str().unwrap_or_default().parse().map(Some)
}
