//! Request bodies.

use actix_web::{
    HttpRequest,
    dev::Payload,
    error::PayloadError,
    http::header,
    web::{Bytes, BytesMut},
};
use futures_util::{StreamExt, TryStreamExt};

use super::state;
use crate::domain::encoding::{is_utf_16, strip_byte_order_mark};
use crate::http::{
    connection,
    error::{ApiError, ErrorKind},
};

/// Returns the errors of an operation that reads a body.
pub fn body_errors() -> Vec<ErrorKind> {
    vec![
        ErrorKind::BadRequest,
        ErrorKind::RequestTimeout,
        ErrorKind::ContentTooLarge,
        ErrorKind::UnsupportedMediaType,
    ]
}

/// Returns the complete body without a byte order mark.
///
/// # Errors
/// 408 if it does not arrive in time; 413 if it is too large; 400 if it is truncated or in UTF-16.
pub async fn collect(request: &HttpRequest, payload: Payload) -> Result<Bytes, ApiError> {
    let limits = state(request)?.config.limits;
    tokio::time::timeout(
        limits.request_timeout,
        collect_limited(request, payload, limits.body_bytes),
    )
    .await
    .map_err(|_| ApiError::request_timeout())?
}

async fn collect_limited(request: &HttpRequest, payload: Payload, max: usize) -> Result<Bytes, ApiError> {
    let announced = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > max as u64) {
        return Err(ApiError::body_too_large(max));
    }
    connection::read_body(request);
    let mut payload = payload.map_err(|error| unreadable(&error));
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await.transpose()? {
        if body.len() + chunk.len() > max {
            return Err(ApiError::body_too_large(max));
        }
        body.extend_from_slice(&chunk);
    }
    connection::finish_body(request);
    let body = body.freeze();
    if is_utf_16(&body) {
        return Err(ApiError::bad_request("the body is in UTF-16; send it in UTF-8"));
    }
    Ok(body.slice_ref(strip_byte_order_mark(&body)))
}

fn unreadable(error: &PayloadError) -> ApiError {
    ApiError::bad_request(format!("the body cannot be read: {error}"))
}

/// Returns `true` if the body has a content encoding such as gzip, which this server does not
/// support (RFC 9110, section 8.4).
pub fn is_encoded(request: &HttpRequest) -> bool {
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    encoding.is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
