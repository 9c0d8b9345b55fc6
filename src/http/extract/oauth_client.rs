//! The clients of the OAuth endpoints (RFC 6749, section 2.3.1).

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::header::HeaderMap};
use futures_util::future::LocalBoxFuture;
use secrecy::SecretString;
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    AuthScheme, TokenOrAdmin, authenticate_by, authenticate_if_present,
    credentials::{self, Credentials},
    form::{Form, is_form},
    input::Input,
    unauthorized,
};
use crate::{
    domain::{
        caller::{Call, Caller},
        text::to_nfc,
    },
    http::error::{ApiError, Challenge, DeclaresErrors, ErrorKind},
    service::Refusal,
};

/// A form from an OAuth client, which may authenticate by its headers or by the form itself.
pub struct OauthRequest<C, F> {
    /// The call of the client.
    pub client: C,
    /// The form.
    pub form: F,
}

/// The authentication of a client that an endpoint requires.
pub trait ClientCall: Sized + 'static {
    /// Returns the call, or `None` if the client has to authenticate.
    fn from_authenticated(call: Option<Call>) -> Option<Self>;
}

/// Clients have to authenticate.
impl ClientCall for Call {
    fn from_authenticated(call: Option<Call>) -> Option<Self> {
        call
    }
}

/// Clients may authenticate.
impl ClientCall for Option<Call> {
    fn from_authenticated(call: Option<Call>) -> Option<Self> {
        Some(call)
    }
}

/// A form, with the credentials of a client (`client_secret_post`) beside its own fields.
#[derive(Deserialize)]
struct ClientForm<F> {
    client_id: Option<String>,
    client_secret: Option<String>,
    #[serde(flatten)]
    form: F,
}

/// The credentials that [`TokenOrAdmin`] accepts, and a token's ID and value with Basic.
struct OauthClient;

impl AuthScheme for OauthClient {
    fn credentials(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError> {
        credentials::parse_client(headers)
    }

    const CHALLENGE: Challenge = TokenOrAdmin::CHALLENGE;

    const ERRORS: &[ErrorKind] = TokenOrAdmin::ERRORS;
}

impl<C: ClientCall, F: DeserializeOwned + 'static> FromRequest for OauthRequest<C, F> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, mut payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let missing = || unauthorized::<OauthClient>(Refusal::Missing, request.headers());
            let by_header = authenticate_if_present::<OauthClient>(&request).await?;
            if by_header.is_none() && !is_form(&request) {
                C::from_authenticated(None).ok_or_else(missing)?;
            }
            let Form(ClientForm {
                client_id,
                client_secret,
                form,
            }) = Form::<ClientForm<F>>::read(&request, &mut payload).await?;
            // A parameter without a value counts as absent (RFC 6749, section 3.1).
            let [client_id, client_secret] =
                [client_id, client_secret].map(|parameter| parameter.filter(|value| !value.is_empty()));
            let call = match (by_header, client_secret) {
                (Some(_), Some(_)) => {
                    let message = "client_secret: must be absent, because the headers have credentials; send either";
                    return Err(ApiError::bad_request(message));
                }
                (Some(call), None) if client_id.as_deref().is_some_and(|id| !is_client(&call.caller, id)) => {
                    return Err(unauthorized::<OauthClient>(
                        Refusal::DifferentClients,
                        request.headers(),
                    ));
                }
                (None, Some(secret)) => Some(authenticate_by_form(&request, client_id, secret.into()).await?),
                (by_header, None) => by_header,
            };
            let client = C::from_authenticated(call).ok_or_else(missing)?;
            Ok(Self { client, form })
        })
    }
}

/// Returns `true` if a client ID is that of the caller: the ID of the token, or the name of the admin.
fn is_client(caller: &Caller, id: &str) -> bool {
    match caller {
        Caller::Token(token, _) => id.parse().ok() == Some(token.id),
        Caller::Admin(_) | Caller::Holder(..) | Caller::CommandLine | Caller::LegacyLogin => {
            caller.actor().id == to_nfc(id)
        }
    }
}

async fn authenticate_by_form(
    request: &HttpRequest,
    client_id: Option<String>,
    secret: SecretString,
) -> Result<Call, ApiError> {
    let missing_id = "client_id: is required with client_secret; send the ID of the token";
    let id = client_id.ok_or_else(|| ApiError::bad_request(missing_id))?;
    let refuse = |refusal| unauthorized::<OauthClient>(refusal, request.headers());
    authenticate_by(request, Credentials::Client { id, secret }, refuse).await
}

impl<C, F> DeclaresErrors for OauthRequest<C, F> {
    fn errors() -> Vec<ErrorKind> {
        let of_service = &[ErrorKind::InternalServerError, ErrorKind::ServiceUnavailable];
        [OauthClient::ERRORS, of_service, &Form::<F>::errors()].concat()
    }
}
