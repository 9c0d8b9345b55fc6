//! Error responses.

mod kind;

use std::time::Duration;

use actix_web::{
    HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::ServiceResponse,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue, InvalidHeaderValue},
    },
};
use serde_json::json;

use super::request_id;
use crate::{
    domain::authorization::Denied,
    service::{Error, Refusal},
};
pub use kind::{DeclaresErrors, ErrorKind};

/// `Retry-After` if the store is unavailable, in seconds.
const STORE_RETRY_AFTER: u64 = 1;

/// The authentication schemes that a 401 offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// HTTP Basic in UTF-8 (RFC 7617).
    Basic,
    /// An API key. Browsers show no login dialog for it.
    ApiKey,
    /// Either of them.
    Either,
}

impl Challenge {
    const fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Basic => "Basic realm=\"tokenbridge\", charset=\"UTF-8\"",
            Self::ApiKey => "ApiKey",
            // One header, because wget crashes if a header with an unknown scheme follows that of Basic. Basic comes
            // first, because Python's urllib reads only the first scheme when it tries Digest.
            Self::Either => "Basic realm=\"tokenbridge\", charset=\"UTF-8\", ApiKey",
        })
    }
}

/// An error response with a message for the client. Its body is `{"message": …}`, which the legacy
/// API and GraphQL replace with their own formats.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    status: StatusCode,
    message: String,
    /// The error code of OAuth endpoints.
    oauth_error: &'static str,
    headers: Vec<(HeaderName, HeaderValue)>,
    has_body: bool,
    /// The reason why credentials could not be parsed, and their scheme.
    unreadable: Option<(Refusal, Challenge)>,
    /// The cause of a server error, for the log, or of a denied operation.
    #[source]
    source: Option<Box<Error>>,
}

impl ApiError {
    fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            status: kind.status(),
            message: message.into(),
            oauth_error: kind.oauth_error(),
            headers: Vec::new(),
            has_body: true,
            unreadable: None,
            source: None,
        }
    }

    fn with_header(mut self, name: HeaderName, value: impl Into<HeaderValue>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Returns the same response without a body.
    pub fn without_body(self) -> Self {
        Self {
            has_body: false,
            ..self
        }
    }

    /// Creates a 303 that redirects to another resource (RFC 9110, section 15.4.4).
    pub fn see_other(location: HeaderValue) -> Self {
        let redirect = Self {
            status: StatusCode::SEE_OTHER,
            ..Self::bad_request("see the Location header")
        };
        redirect.with_header(header::LOCATION, location).without_body()
    }

    /// Creates a 400.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadRequest, message)
    }

    /// Creates a 401 with this challenge.
    pub fn unauthorized(refusal: Refusal, challenge: Challenge) -> Self {
        let failure = Self {
            unreadable: match refusal {
                Refusal::Malformed
                | Refusal::DifferentKeys
                | Refusal::DifferentAuthorizations
                | Refusal::DifferentClients => Some((refusal, challenge)),
                Refusal::Missing
                | Refusal::Password
                | Refusal::Value
                | Refusal::Disabled
                | Refusal::Expired
                | Refusal::Address => None,
            },
            ..Self::new(ErrorKind::Unauthorized, refusal.to_string())
        };
        failure.with_header(header::WWW_AUTHENTICATE, challenge.header())
    }

    /// Creates a 403.
    pub fn forbidden(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Forbidden, message)
    }

    /// Creates a 404.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, message)
    }

    /// Creates a 405 with the allowed methods.
    pub fn method_not_allowed(allowed: &str) -> Self {
        let refusal = Self::new(ErrorKind::MethodNotAllowed, format!("this path supports {allowed}"));
        match HeaderValue::from_str(allowed) {
            Ok(value) => refusal.with_header(header::ALLOW, value),
            Err(_) => refusal,
        }
    }

    /// Creates a 406 with the available media types.
    pub fn not_acceptable(offered: &str) -> Self {
        Self::new(
            ErrorKind::NotAcceptable,
            format!("the Accept header matches none of the available formats: {offered}"),
        )
    }

    /// Creates a 408.
    pub fn request_timeout() -> Self {
        Self::new(ErrorKind::RequestTimeout, "the request did not arrive in time")
    }

    /// Creates a 410.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Gone, message)
    }

    /// Creates a 413 with the maximum size.
    pub fn body_too_large(max: usize) -> Self {
        Self::new(
            ErrorKind::ContentTooLarge,
            format!("the body has more than {max} bytes"),
        )
    }

    /// Creates a 415 with the supported media type.
    pub fn unsupported_media_type(right: &str) -> Self {
        Self::new(
            ErrorKind::UnsupportedMediaType,
            format!("the body must be uncompressed {right}; send Content-Type: {right}"),
        )
    }

    /// Creates a 431 (RFC 6585) with the maximum size.
    pub fn headers_too_large(max: usize) -> Self {
        Self::new(
            ErrorKind::HeadersTooLarge,
            format!("the request line and headers have more than {max} bytes"),
        )
    }

    /// Creates a 503 with `Retry-After`.
    pub fn unavailable(message: impl Into<String>, retry_after: Duration) -> Self {
        Self::new(ErrorKind::ServiceUnavailable, message).with_header(header::RETRY_AFTER, ceil_seconds(retry_after))
    }

    /// Returns the message for the client.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Returns the error code of OAuth endpoints.
    pub fn oauth_error(&self) -> &'static str {
        self.oauth_error
    }

    /// Returns a code for programs: the reason phrase of the status in the spelling of GraphQL
    /// error codes, such as `NOT_FOUND`.
    pub fn code(&self) -> String {
        let reason = self.status.canonical_reason().unwrap_or("error");
        reason.to_ascii_uppercase().replace([' ', '-'], "_")
    }

    /// Returns the reason and the scheme if the request was refused because its credentials could not be parsed.
    pub fn unreadable(&self) -> Option<(Refusal, Challenge)> {
        self.unreadable
    }

    /// Returns the reason why the caller is not authorized for the operation, if that is the error.
    pub fn denied(&self) -> Option<&Denied> {
        match self.source.as_deref() {
            Some(Error::Forbidden(denied)) => Some(denied),
            _ => None,
        }
    }

    /// Returns the cause, if this is a server error.
    pub fn cause(&self) -> Option<&Error> {
        self.source.as_deref().filter(|_| self.status.is_server_error())
    }
}

/// Replaces the body of a response if it is an [`ApiError`].
pub fn map_error_body(
    response: ServiceResponse<impl MessageBody + 'static>,
    body: impl FnOnce(&ApiError) -> String,
) -> ServiceResponse<BoxBody> {
    let response = response.map_into_boxed_body();
    let failure = response
        .response()
        .error()
        .and_then(|error| error.as_error::<ApiError>());
    match failure.map(body) {
        None => response,
        Some(body) => response.map_body(|_, _| BoxBody::new(body)),
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match &error {
            Error::Unauthenticated(refusal) => {
                let challenge = match refusal {
                    Refusal::Missing | Refusal::Malformed | Refusal::Password => Challenge::Basic,
                    Refusal::Value
                    | Refusal::Disabled
                    | Refusal::Expired
                    | Refusal::Address
                    | Refusal::DifferentKeys
                    | Refusal::DifferentAuthorizations
                    | Refusal::DifferentClients => Challenge::ApiKey,
                };
                Self::unauthorized(*refusal, challenge)
            }
            Error::Throttled { retry_after } | Error::TooManyLogins { retry_after } => {
                Self::new(ErrorKind::TooManyRequests, message)
                    .with_header(header::RETRY_AFTER, ceil_seconds(*retry_after))
            }
            Error::Forbidden(_) => Self {
                source: Some(Box::new(error)),
                ..Self::forbidden(message)
            },
            Error::NotFound(_) => Self::not_found(message),
            Error::Invalid(_) => Self::bad_request(message),
            Error::Conflict(_) => Self::new(ErrorKind::Conflict, message),
            Error::PreconditionFailed => Self::new(ErrorKind::PreconditionFailed, message),
            Error::KeyReused => Self::new(ErrorKind::UnprocessableContent, message),
            Error::Unavailable(_) | Error::Unready(_) => Self {
                source: Some(Box::new(error)),
                ..Self::new(ErrorKind::ServiceUnavailable, message).with_header(header::RETRY_AFTER, STORE_RETRY_AFTER)
            },
            Error::Internal(_) => {
                let message = format!("{message}; see the server log for request {}", request_id::current());
                Self {
                    source: Some(Box::new(error)),
                    ..Self::new(ErrorKind::InternalServerError, message)
                }
            }
        }
    }
}

/// Returns a duration in seconds, rounded up.
fn ceil_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl From<InvalidHeaderValue> for ApiError {
    fn from(error: InvalidHeaderValue) -> Self {
        Error::Internal(error.into()).into()
    }
}

impl From<crate::domain::Invalid> for ApiError {
    fn from(invalid: crate::domain::Invalid) -> Self {
        Self::bad_request(invalid.to_string())
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        for header in &self.headers {
            response.append_header(header.clone());
        }
        if self.has_body {
            response.json(json!({ "message": self.message }))
        } else {
            response.finish()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{authorization::Denied, permission::Permission};

    #[test]
    fn examples_in_the_document_are_real_messages() {
        for (kind, error) in [
            (
                ErrorKind::Unauthorized,
                ApiError::unauthorized(Refusal::Value, Challenge::ApiKey),
            ),
            (
                ErrorKind::Forbidden,
                Error::from(Denied::MissingPermission(Permission::OrganizationAPITokenModify)).into(),
            ),
            (ErrorKind::NotFound, Error::NotFound("token").into()),
            (ErrorKind::MethodNotAllowed, ApiError::method_not_allowed("GET, HEAD")),
            (
                ErrorKind::NotAcceptable,
                ApiError::not_acceptable("application/json, text/csv"),
            ),
            (ErrorKind::RequestTimeout, ApiError::request_timeout()),
            (ErrorKind::ContentTooLarge, ApiError::body_too_large(65_536)),
            (
                ErrorKind::UnsupportedMediaType,
                ApiError::unsupported_media_type("application/json"),
            ),
            (
                ErrorKind::TooManyRequests,
                Error::Throttled {
                    retry_after: Duration::ZERO,
                }
                .into(),
            ),
            (ErrorKind::HeadersTooLarge, ApiError::headers_too_large(16_384)),
        ] {
            assert_eq!((kind.example(), kind.status()), (error.message(), error.status));
        }
    }
}
