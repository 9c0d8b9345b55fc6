//! The token that a path names.

use actix_web::{HttpRequest, dev::Payload};
use futures_util::future::LocalBoxFuture;
use utoipa::IntoParams;

use super::input::Input;
use crate::{
    domain::token::TokenId,
    http::error::{ApiError, DeclaresErrors, ErrorKind},
    service::{Error, tokens::TokenRef},
};

/// The `{id}` of a path: the ID of a token, or `self` for the token that the request is authenticated with.
pub struct Id(pub TokenRef);

/// The `{id}` in the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only the document uses it")]
pub struct IdParameter {
    /// The ID of a token
    #[param(format = "uuid")]
    id: String,
}

impl DeclaresErrors for Id {
    fn errors() -> Vec<ErrorKind> {
        vec![ErrorKind::NotFound]
    }
}

impl Input for Id {
    fn read<'r>(request: &'r HttpRequest, _: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>> {
        let token = match request.match_info().get("id") {
            Some("self") => Ok(TokenRef::Itself),
            id => parse(id).map(TokenRef::Id),
        };
        Box::pin(async move { Ok(Self(token?)) })
    }
}

/// The `{uuid}` of a path of the legacy API.
pub struct Uuid(pub TokenId);

/// The `{uuid}` in the OpenAPI document.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "only the document uses it")]
pub struct UuidParameter {
    /// The UUID of a token
    #[param(format = "uuid")]
    uuid: String,
}

impl DeclaresErrors for Uuid {
    fn errors() -> Vec<ErrorKind> {
        vec![ErrorKind::NotFound]
    }
}

impl Input for Uuid {
    fn read<'r>(request: &'r HttpRequest, _: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>> {
        let token = parse(request.match_info().get("uuid"));
        Box::pin(async move { Ok(Self(token?)) })
    }
}

/// Parses an ID. A malformed one is treated like an unknown one.
fn parse(id: Option<&str>) -> Result<TokenId, Error> {
    id.and_then(|id| id.parse().ok()).ok_or(Error::NotFound("token"))
}
