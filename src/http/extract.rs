//! Extractors: a handler's signature states who may call it, and what it reads from the request.

pub mod accept;
mod body;
pub mod client_address;
pub mod conditions;
pub mod credentials;
mod explain;
pub mod form;
pub mod idempotency_key;
mod input;
pub mod json;
pub mod oauth_client;
pub mod path;
pub mod query;
pub mod site;

use std::marker::PhantomData;

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header::HeaderMap, web::Data};
use futures_util::future::LocalBoxFuture;

use super::{
    State,
    error::{ApiError, Challenge, DeclaresErrors, ErrorKind},
    request::CallerIdentity,
};
use crate::{
    domain::{
        actor::{Channel, Origin},
        caller::Call,
    },
    service::{Error, Refusal},
};
use client_address::ClientAddress;
use credentials::Credentials;
pub use input::Input;

/// An authenticated call. Its input is read only after authentication.
pub struct Authenticated<S, I = ()> {
    /// The caller and the origin.
    pub call: Call,
    /// The parts of the request that the handler reads.
    pub input: I,
    scheme: PhantomData<S>,
}

/// The credentials that an endpoint accepts.
pub trait AuthScheme {
    /// Returns the accepted credentials of a request, if there are any.
    ///
    /// # Errors
    /// 401 if they are malformed.
    fn credentials(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError>;

    /// The challenge in the response to a request without credentials.
    const CHALLENGE: Challenge;

    /// The errors that the credentials can cause.
    const ERRORS: &[ErrorKind];
}

/// Only admins, with HTTP Basic.
pub struct AdminOnly;

impl AuthScheme for AdminOnly {
    fn credentials(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError> {
        credentials::parse_basic(headers)
    }

    const CHALLENGE: Challenge = Challenge::Basic;

    // An admin may read everything. Operations that change something add 403: for another site's request.
    const ERRORS: &[ErrorKind] = &[ErrorKind::Unauthorized, ErrorKind::TooManyRequests];
}

/// Only tokens, with their value.
pub struct TokenOnly;

impl AuthScheme for TokenOnly {
    fn credentials(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError> {
        Ok(credentials::parse_token(headers)?.map(Credentials::Value))
    }

    const CHALLENGE: Challenge = Challenge::ApiKey;

    const ERRORS: &[ErrorKind] = &[ErrorKind::Unauthorized];
}

/// Tokens with their value, and admins with HTTP Basic.
pub struct TokenOrAdmin;

impl AuthScheme for TokenOrAdmin {
    fn credentials(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError> {
        credentials::parse_any(headers)
    }

    const CHALLENGE: Challenge = Challenge::Either;

    const ERRORS: &[ErrorKind] = &[
        ErrorKind::Unauthorized,
        ErrorKind::Forbidden,
        ErrorKind::TooManyRequests,
    ];
}

impl<S: AuthScheme + 'static, I: Input + 'static> FromRequest for Authenticated<S, I> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let call = authenticate::<S>(&request).await?;
            let input = I::read(&request, &mut payload).await?;
            Ok(Self {
                call,
                input,
                scheme: PhantomData,
            })
        })
    }
}

impl<S: AuthScheme, I: DeclaresErrors> DeclaresErrors for Authenticated<S, I> {
    fn errors() -> Vec<ErrorKind> {
        let of_service = &[ErrorKind::InternalServerError, ErrorKind::ServiceUnavailable];
        [S::ERRORS, of_service, &I::errors()].concat()
    }
}

/// Every worker has the state, so extracting it causes no error.
impl DeclaresErrors for Data<State> {
    fn errors() -> Vec<ErrorKind> {
        Vec::new()
    }
}

/// Extracting the request causes no error. The handler reads it.
impl DeclaresErrors for HttpRequest {
    fn errors() -> Vec<ErrorKind> {
        Vec::new()
    }
}

async fn authenticate<S: AuthScheme>(request: &HttpRequest) -> Result<Call, ApiError> {
    let call = authenticate_if_present::<S>(request).await?;
    call.ok_or_else(|| unauthorized::<S>(Refusal::Missing, request.headers()))
}

/// Authenticates the caller of a request, if the request carries credentials.
async fn authenticate_if_present<S: AuthScheme>(request: &HttpRequest) -> Result<Option<Call>, ApiError> {
    let Some(credentials) = S::credentials(request.headers())? else {
        return Ok(None);
    };
    let refuse: fn(Refusal) -> ApiError = match &credentials {
        Credentials::Value(_) => |refusal| Error::Unauthenticated(refusal).into(),
        Credentials::Password { .. } => {
            site::refuse_cross_site(request)?;
            |refusal| Error::Unauthenticated(refusal).into()
        }
        Credentials::Client { .. } => {
            site::refuse_cross_site(request)?;
            // The challenge names the scheme that the client used (RFC 6749, section 5.2).
            |refusal| ApiError::unauthorized(refusal, Challenge::Basic)
        }
    };
    authenticate_by(request, credentials, refuse).await.map(Some)
}

/// Authenticates a caller by `credentials`, and records the caller for the access log. `refuse` returns the response to
/// invalid credentials.
async fn authenticate_by(
    request: &HttpRequest,
    credentials: Credentials<'_>,
    refuse: impl FnOnce(Refusal) -> ApiError,
) -> Result<Call, ApiError> {
    let service = &state(request)?.service;
    let origin = origin(request)?;
    let caller = match credentials {
        Credentials::Value(value) => service.authenticate_value(value, origin).await,
        Credentials::Password { name, password } => service.authenticate_admin(&name, password, origin).await,
        Credentials::Client { id, secret } => service.authenticate_client(&id, &secret, origin).await,
    };
    let caller = caller.map_err(|error| match error {
        Error::Unauthenticated(refusal) => refuse(refusal),
        other => other.into(),
    })?;
    request.extensions_mut().insert(CallerIdentity::of(&caller));
    Ok(Call { caller, origin })
}

/// Returns a 401 with the challenge for a request without credentials in its headers. A script in a browser is offered
/// Basic only where nothing else is accepted.
fn unauthorized<S: AuthScheme>(refusal: Refusal, headers: &HeaderMap) -> ApiError {
    let challenge = match S::CHALLENGE {
        Challenge::Either if site::is_from_script(headers) => Challenge::ApiKey,
        other => other,
    };
    ApiError::unauthorized(refusal, challenge)
}

/// Returns the origin of a request.
pub fn origin(request: &HttpRequest) -> Result<Origin, ApiError> {
    let client = request.extensions().get::<ClientAddress>().copied();
    Ok(Origin {
        channel: *request
            .app_data::<Channel>()
            .ok_or_else(|| misconfigured("a channel"))?,
        client: client.ok_or_else(|| misconfigured("the client's address"))?.0,
    })
}

/// Returns the state that all handlers share.
pub fn state(request: &HttpRequest) -> Result<&Data<State>, ApiError> {
    request.app_data().ok_or_else(|| misconfigured("the state"))
}

/// Returns the error for a route that lacks some of its configuration.
pub fn misconfigured(missing: &str) -> ApiError {
    Error::Internal(format!("the route lacks {missing}").into()).into()
}
