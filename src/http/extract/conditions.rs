//! Conditional requests on tokens (RFC 9110, section 13).

use actix_web::{
    HttpRequest,
    dev::Payload,
    http::header::{self, Header, HeaderName, IF_MATCH, IfMatch, IfNoneMatch},
};
use futures_util::future::LocalBoxFuture;
use utoipa::IntoParams;

use super::input::Input;
use crate::{
    domain::{
        precondition::{Precondition, TokenTag},
        token::Token,
    },
    http::error::{ApiError, DeclaresErrors, ErrorKind},
};

/// The `If-Match` header. A tag that is weak, malformed, or not one of a token matches nothing.
pub struct Expected(pub Precondition);

/// The `If-Match` header in the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only the document uses it")]
pub struct IfMatchHeader {
    /// The entity tags of the states that the token may be changed from
    #[param(rename = "If-Match", required = false, nullable = false)]
    tags: Option<String>,
}

impl DeclaresErrors for Expected {
    fn errors() -> Vec<ErrorKind> {
        vec![ErrorKind::PreconditionFailed]
    }
}

impl Input for Expected {
    fn read<'r>(request: &'r HttpRequest, _: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>> {
        let precondition = if request.headers().contains_key(IF_MATCH) {
            match IfMatch::parse(request) {
                // A token that does not exist is a 404 already.
                Ok(IfMatch::Any) => Precondition::None,
                Ok(IfMatch::Items(tags)) => {
                    let strong = tags.iter().filter(|tag| !tag.weak);
                    Precondition::OneOf(strong.filter_map(|tag| tag.tag().parse().ok()).collect())
                }
                Err(_) => Precondition::OneOf(Vec::new()),
            }
        } else {
            Precondition::None
        };
        Box::pin(async { Ok(Self(precondition)) })
    }
}

/// The `If-None-Match` header; `None` if it is absent or malformed.
pub struct Known(Option<IfNoneMatch>);

/// The `If-None-Match` header in the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only the document uses it")]
pub struct IfNoneMatchHeader {
    /// The entity tags of known states of the token. If one of them is current, the response is a 304
    #[param(rename = "If-None-Match", required = false, nullable = false)]
    tags: Option<String>,
}

impl DeclaresErrors for Known {
    fn errors() -> Vec<ErrorKind> {
        Vec::new()
    }
}

impl Input for Known {
    fn read<'r>(request: &'r HttpRequest, _: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>> {
        let known = IfNoneMatch::parse(request).ok();
        Box::pin(async { Ok(Self(known)) })
    }
}

impl Known {
    /// Returns `true` if the client has the current state of `token`.
    pub fn includes(&self, token: &Token) -> bool {
        match &self.0 {
            None => false,
            Some(IfNoneMatch::Any) => true,
            // The comparison is weak (RFC 9110, section 13.1.2).
            Some(IfNoneMatch::Items(tags)) => {
                let current = TokenTag::of(token);
                tags.iter().any(|tag| tag.tag().parse() == Ok(current))
            }
        }
    }
}

/// Returns the header with the entity tag of a token, which changes with every change, but not with
/// a use.
pub fn etag(token: &Token) -> (HeaderName, String) {
    (header::ETAG, format!("\"{}\"", TokenTag::of(token)))
}
