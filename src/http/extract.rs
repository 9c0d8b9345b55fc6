//! Who calls, from where, and with what: what a handler's type asks for is there before the handler runs.

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

/// A call by somebody whom `AuthScheme` lets in, with a body that is read only then.
pub struct Authenticated<S, B = ()> {
    /// Who, and from where.
    pub call: Call,
    /// What they sent.
    pub body: B,
    scheme: PhantomData<S>,
}

/// Who may make a call.
pub trait AuthScheme {
    /// The credentials that are looked for in a request.
    fn credentials(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError>;

    /// What a request without them is asked for.
    const CHALLENGES: &[Challenge];
}

/// Admins alone, with HTTP Basic.
pub struct AdminOnly;

impl AuthScheme for AdminOnly {
    fn credentials(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError> {
        credentials::parse_basic(headers)
    }

    const CHALLENGES: &[Challenge] = &[Challenge::Basic];
}

/// Tokens alone, with their value.
pub struct TokenOnly;

impl AuthScheme for TokenOnly {
    fn credentials(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError> {
        Ok(credentials::parse_token(headers)?.map(Credentials::Value))
    }

    const CHALLENGES: &[Challenge] = &[Challenge::ApiKey];
}

/// Tokens, with their value; and admins, with HTTP Basic.
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

/// Where a request comes from.
pub fn origin(request: &HttpRequest) -> Result<Origin, ApiError> {
    let client = request.extensions().get::<ClientAddress>().copied();
    Ok(Origin {
        channel: *request
            .app_data::<Channel>()
            .ok_or_else(|| misconfigured("a channel"))?,
        client: client.ok_or_else(|| misconfigured("the client's address"))?.0,
    })
}

/// What the handlers share.
pub fn state(request: &HttpRequest) -> Result<&Data<State>, ApiError> {
    request.app_data().ok_or_else(|| misconfigured("the state"))
}

fn misconfigured(missing: &str) -> ApiError {
    Error::Internal(format!("the route lacks {missing}").into()).into()
}
