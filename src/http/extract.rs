//! Extractors for the caller, the client's address, and the request body. A handler declares them
//! in its type, so they run before it.

pub mod accept;
mod body;
pub mod client_address;
pub mod credentials;
pub mod form;
pub mod json;
pub mod query;
pub mod site;

use std::marker::PhantomData;

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header::HeaderMap, web::Data};
use futures_util::future::LocalBoxFuture;

use super::{
    State,
    error::{ApiError, Challenge},
    observe::CallerIdentity,
};
use crate::{
    domain::{
        actor::{Channel, Origin},
        caller::Call,
    },
    service::{Error, Refusal},
};
pub use body::Body;
use client_address::ClientAddress;
use credentials::Credentials;

/// An authenticated call. The body is read only after authentication.
pub struct Authenticated<S, B = ()> {
    /// The caller and the origin.
    pub call: Call,
    /// The body.
    pub body: B,
    scheme: PhantomData<S>,
}

/// The credentials that an endpoint accepts.
pub trait AuthScheme {
    /// Returns the accepted credentials of a request, if there are any.
    ///
    /// # Errors
    /// 401 if they are malformed.
    fn credentials(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError>;

    /// The challenges in the response to a request without credentials.
    const CHALLENGES: &[Challenge];
}

/// Only admins, with HTTP Basic.
pub struct AdminOnly;

impl AuthScheme for AdminOnly {
    fn credentials(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError> {
        credentials::parse_basic(headers)
    }

    const CHALLENGES: &[Challenge] = &[Challenge::Basic];
}

/// Only tokens, with their value.
pub struct TokenOnly;

impl AuthScheme for TokenOnly {
    fn credentials(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError> {
        Ok(credentials::parse_token(headers)?.map(Credentials::Value))
    }

    const CHALLENGES: &[Challenge] = &[Challenge::ApiKey];
}

/// Tokens with their value, and admins with HTTP Basic.
pub struct TokenOrAdmin;

impl AuthScheme for TokenOrAdmin {
    fn credentials(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError> {
        credentials::parse_any(headers)
    }

    const CHALLENGES: &[Challenge] = &[Challenge::Basic, Challenge::ApiKey];
}

impl<W: AuthScheme + 'static, B: Body + 'static> FromRequest for Authenticated<W, B> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let call = authenticate::<W>(&request).await?;
            let body = B::read(&request, payload).await?;
            Ok(Self {
                call,
                body,
                scheme: PhantomData,
            })
        })
    }
}

async fn authenticate<W: AuthScheme>(request: &HttpRequest) -> Result<Call, ApiError> {
    let service = &state(request)?.service;
    let origin = origin(request)?;
    let credentials = W::credentials(request.headers())?.ok_or_else(|| missing::<W>(request.headers()))?;
    let caller = match credentials {
        Credentials::Value(value) => service.authenticate_value(value, origin).await,
        Credentials::Password { name, password } => {
            site::refuse_cross_site(request)?;
            service.authenticate_admin(&name, password, origin).await
        }
    }?;
    request.extensions_mut().insert(CallerIdentity::of(&caller));
    Ok(Call { caller, origin })
}

fn missing<W: AuthScheme>(headers: &HeaderMap) -> ApiError {
    let challenges = match W::CHALLENGES {
        [Challenge::Basic, others @ ..] if !others.is_empty() && site::is_from_script(headers) => others,
        all => all,
    };
    ApiError::missing_credentials(Refusal::Missing, challenges)
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

fn misconfigured(missing: &str) -> ApiError {
    Error::Internal(format!("the route lacks {missing}").into()).into()
}
