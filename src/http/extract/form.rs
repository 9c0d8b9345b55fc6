//! HTML form bodies, as OAuth endpoints take them.

use actix_web::{HttpMessage, HttpRequest, dev::Payload};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::{
    body::{body_errors, collect, is_encoded},
    input::Input,
    query,
};
use crate::http::error::{ApiError, DeclaresErrors, ErrorKind};

const FORM: &str = "application/x-www-form-urlencoded";

/// The fields of a form, each at most once.
pub struct Form<T>(pub T);

impl<T> DeclaresErrors for Form<T> {
    fn errors() -> Vec<ErrorKind> {
        body_errors()
    }
}

/// Returns `true` if the content type is that of a form.
pub fn is_form(request: &HttpRequest) -> bool {
    request.content_type().eq_ignore_ascii_case(FORM)
}

impl<T: DeserializeOwned> Input for Form<T> {
    fn read<'r>(request: &'r HttpRequest, payload: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>> {
        Box::pin(async move {
            let body = collect(request, payload.take()).await?;
            if !is_form(request) || is_encoded(request) {
                return Err(ApiError::unsupported_media_type(FORM));
            }
            let text = std::str::from_utf8(&body).map_err(|_| ApiError::bad_request("the form is not in UTF-8"))?;
            query::parse(text).map(Self).map_err(ApiError::bad_request)
        })
    }
}
