//! Kinds of error responses.

use actix_web::http::StatusCode;

/// Declares the kinds: name, status, and for the OpenAPI document a description and an example message.
macro_rules! error_kinds {
    ($($kind:ident($status:ident): $description:literal, $example:literal;)+) => {
        /// A kind of error response.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorKind {
            $(#[doc = $description] $kind,)+
        }

        impl ErrorKind {
            /// Returns the status of the response.
            pub const fn status(self) -> StatusCode {
                match self {
                    $(Self::$kind => StatusCode::$status,)+
                }
            }

            /// Returns the name of the response in the OpenAPI document.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => stringify!($kind),)+
                }
            }

            /// Returns the description in the OpenAPI document.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$kind => $description,)+
                }
            }

            /// Returns the example message in the OpenAPI document.
            pub const fn example(self) -> &'static str {
                match self {
                    $(Self::$kind => $example,)+
                }
            }
        }
    };
}

impl ErrorKind {
    /// Returns the error code of OAuth endpoints (RFC 6749, sections 4.1.2.1 and 5.2).
    pub const fn oauth_error(self) -> &'static str {
        match self {
            Self::BadRequest
            | Self::NotFound
            | Self::MethodNotAllowed
            | Self::NotAcceptable
            | Self::RequestTimeout
            | Self::Conflict
            | Self::PreconditionFailed
            | Self::Gone
            | Self::ContentTooLarge
            | Self::UnsupportedMediaType
            | Self::UnprocessableContent
            | Self::HeadersTooLarge => "invalid_request",
            Self::Unauthorized => "invalid_client",
            Self::Forbidden => "unauthorized_client",
            Self::TooManyRequests | Self::ServiceUnavailable => "temporarily_unavailable",
            Self::InternalServerError => "server_error",
        }
    }
}

error_kinds! {
    BadRequest(BAD_REQUEST):
        "The request is invalid; the message names the field",
        "name: is required";
    Unauthorized(UNAUTHORIZED):
        "The credentials are missing or invalid",
        "the API key is not valid";
    Forbidden(FORBIDDEN):
        "The caller is not authorized",
        "this request requires the permission OrganizationAPITokenModify (Manage API Tokens)";
    NotFound(NOT_FOUND):
        "The token does not exist",
        "there is no such token";
    MethodNotAllowed(METHOD_NOT_ALLOWED):
        "The path does not support this method",
        "this path supports GET, HEAD";
    NotAcceptable(NOT_ACCEPTABLE):
        "No available format matches the Accept header",
        "the Accept header matches none of the available formats: application/json, text/csv";
    RequestTimeout(REQUEST_TIMEOUT):
        "The request did not arrive in time",
        "the request did not arrive in time";
    Conflict(CONFLICT):
        "The request conflicts with the current state",
        "10 earlier values of this token are still in their grace period; rotate without a grace period to revoke them \
        all, or wait";
    PreconditionFailed(PRECONDITION_FAILED):
        "The token has changed: If-Match does not name its current state",
        "the token has changed since it was read; read it again and retry";
    Gone(GONE):
        "The legacy API is switched off",
        "this API is switched off; use /api-tokens";
    ContentTooLarge(PAYLOAD_TOO_LARGE):
        "The body is too large",
        "the body has more than 65536 bytes";
    UnsupportedMediaType(UNSUPPORTED_MEDIA_TYPE):
        "The content type is not supported, or the body is compressed",
        "the body must be uncompressed application/json; send Content-Type: application/json";
    UnprocessableContent(UNPROCESSABLE_ENTITY):
        "The Idempotency-Key belongs to a request with another payload",
        "Idempotency-Key: an earlier request with this key had another payload; use a new key";
    TooManyRequests(TOO_MANY_REQUESTS):
        "Too many failed logins",
        "too many failed logins; try again later";
    HeadersTooLarge(REQUEST_HEADER_FIELDS_TOO_LARGE):
        "The headers are too large",
        "the request line and headers have more than 16384 bytes";
    InternalServerError(INTERNAL_SERVER_ERROR):
        "Internal error; see the server log",
        "internal error; see the server log for request 51dd1b12f0a0c2c6-7";
    ServiceUnavailable(SERVICE_UNAVAILABLE):
        "The store is unavailable, or the legacy API is in a brownout",
        "the store is unavailable; try again later";
}

/// Declares the errors that a type can cause as an argument of a handler. The OpenAPI document lists those of an
/// operation's handler.
pub trait DeclaresErrors {
    /// Returns the kinds of errors.
    fn errors() -> Vec<ErrorKind>;
}

impl DeclaresErrors for () {
    fn errors() -> Vec<ErrorKind> {
        Vec::new()
    }
}

impl<A: DeclaresErrors> DeclaresErrors for (A,) {
    fn errors() -> Vec<ErrorKind> {
        A::errors()
    }
}

impl<A: DeclaresErrors, B: DeclaresErrors> DeclaresErrors for (A, B) {
    fn errors() -> Vec<ErrorKind> {
        [A::errors(), B::errors()].concat()
    }
}

impl<A: DeclaresErrors, B: DeclaresErrors, C: DeclaresErrors> DeclaresErrors for (A, B, C) {
    fn errors() -> Vec<ErrorKind> {
        [A::errors(), B::errors(), C::errors()].concat()
    }
}
