//! The typed parts of a request that a handler reads once the caller is authenticated.

use actix_web::{HttpRequest, dev::Payload};
use futures_util::future::LocalBoxFuture;

use crate::http::error::ApiError;

/// A part of a request: its body, its query, its path, or several of them as a tuple.
///
/// actix-web polls the extractors of a handler concurrently, so a malformed query would be reported
/// to callers that are not authenticated. Therefore inputs are read after authentication, and those
/// of a tuple one after the other.
pub trait Input: Sized {
    /// Reads this part of a request.
    fn read<'r>(request: &'r HttpRequest, payload: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>>;
}

/// No input. A body is not read.
impl Input for () {
    fn read<'r>(_: &'r HttpRequest, _: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>> {
        Box::pin(async { Ok(()) })
    }
}

impl<A: Input, B: Input, C: Input> Input for (A, B, C) {
    fn read<'r>(request: &'r HttpRequest, payload: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>> {
        Box::pin(async move {
            Ok((
                A::read(request, payload).await?,
                B::read(request, payload).await?,
                C::read(request, payload).await?,
            ))
        })
    }
}

impl<A: Input, B: Input> Input for (A, B) {
    fn read<'r>(request: &'r HttpRequest, payload: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>> {
        Box::pin(async move { Ok((A::read(request, payload).await?, B::read(request, payload).await?)) })
    }
}
