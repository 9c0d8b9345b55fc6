//! The credentials that a request carries.

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use actix_web_httpauth::headers::authorization::{Basic, ParseError, Scheme};
use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    domain::{token::TokenId, value::ValueHash},
    http::error::{ApiError, Challenge},
    service::Refusal,
};

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The credentials that a request carries. They have no `Debug`.
pub enum Credentials<'r> {
    /// A claimed token value: `X-API-Key`, or `Authorization: Bearer` (RFC 6750).
    Value(&'r str),
    /// An admin's name and password: `Authorization: Basic` (RFC 7617).
    Password {
        /// The user name, as it was sent.
        name: String,
        /// The password, as it was sent.
        password: SecretString,
    },
    /// The claimed ID and value of a token, as an OAuth client sends them: `Authorization: Basic` (RFC 6749, section
    /// 2.3.1).
    Client {
        /// The claimed ID.
        id: String,
        /// The claimed value.
        secret: SecretString,
    },
}

/// Returns what [`parse_any`] returns, but a token's ID and value as those of a client.
///
/// The form of the password decides: an ID with a well-formed value is never tried as an admin's name and password, and
/// vice versa. So an admin whose name is the ID of a token cannot be mistaken for the token.
///
/// # Errors
/// 401 if they are malformed.
pub fn parse_client(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError> {
    Ok(parse_any(headers)?.map(|credentials| match credentials {
        Credentials::Password { name, password }
            if name.parse::<TokenId>().is_ok() && ValueHash::from_presented(password.expose_secret()).is_some() =>
        {
            Credentials::Client {
                id: name,
                secret: password,
            }
        }
        other => other,
    }))
}

/// Returns a token's value or an admin's name and password, if the request carries either. An API
/// key takes precedence over an `Authorization` header. Empty headers are ignored, and repeated
/// equal headers count as one.
///
/// # Errors
/// 401 if they are malformed.
pub fn parse_any(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError> {
    if let Some(value) = parse_token(headers)? {
        return Ok(Some(Credentials::Value(value)));
    }
    if authorization_header(headers)?.is_none() {
        return Ok(None);
    }
    parse_basic(headers)?.map(Some).ok_or_else(malformed)
}

/// Returns the claimed token value, if the request carries one. Ignores an `Authorization` header
/// with another scheme.
///
/// # Errors
/// 401 if it is malformed.
pub fn parse_token(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    if let Some(value) = single_header(headers, API_KEY, Refusal::DifferentKeys)? {
        return Ok(Some(value.to_str().map_err(|_| malformed())?.trim()));
    }
    let bearer = authorization_header(headers)?.and_then(|header| strip_scheme("bearer", header));
    let value = bearer.map(|value| std::str::from_utf8(value).ok().filter(|value| !value.is_empty()));
    value.map(|value| value.ok_or_else(malformed)).transpose()
}

/// Returns the only nonempty value of a header. Different values are refused, because a proxy and
/// the service behind it could each use another one.
///
/// # Errors
/// 401 for the reason `differing` if there are different values.
fn single_header(headers: &HeaderMap, name: HeaderName, differing: Refusal) -> Result<Option<&HeaderValue>, ApiError> {
    let mut values = headers
        .get_all(name)
        .filter(|value| !value.as_bytes().trim_ascii().is_empty());
    let first = values.next();
    let is_first =
        |other: &HeaderValue| first.is_some_and(|first| first.as_bytes().trim_ascii() == other.as_bytes().trim_ascii());
    if values.all(is_first) {
        Ok(first)
    } else {
        Err(ApiError::unauthorized(differing, Challenge::ApiKey))
    }
}

fn authorization_header(headers: &HeaderMap) -> Result<Option<&HeaderValue>, ApiError> {
    single_header(headers, AUTHORIZATION, Refusal::DifferentAuthorizations)
}

fn malformed() -> ApiError {
    ApiError::unauthorized(Refusal::Malformed, Challenge::ApiKey)
}

/// Returns an admin's name and password, if the request carries them. Ignores other credentials.
///
/// # Errors
/// 401 if they are malformed.
pub fn parse_basic(headers: &HeaderMap) -> Result<Option<Credentials<'_>>, ApiError> {
    let Some(pair) = authorization_header(headers)?.and_then(|header| strip_scheme("basic", header)) else {
        return Ok(None);
    };
    let pair = decode(pair).filter(|(name, password)| !name.chars().chain(password.chars()).any(char::is_control));
    let (name, password) = pair.ok_or_else(|| ApiError::unauthorized(Refusal::Malformed, Challenge::Basic))?;
    Ok(Some(Credentials::Password {
        name,
        password: password.into(),
    }))
}

/// Decodes a name and a password as UTF-8, or as Latin-1 if they are not valid UTF-8: older clients send Latin-1.
fn decode(pair: &[u8]) -> Option<(String, String)> {
    let header = HeaderValue::from_bytes(&[b"Basic ", pair].concat()).ok()?;
    match Basic::parse(&header) {
        Ok(basic) => Some((
            basic.user_id().to_owned(),
            basic.password().unwrap_or_default().to_owned(),
        )),
        Err(ParseError::Utf8Error(_)) => {
            let text: String = BASE64_STANDARD.decode(pair).ok()?.into_iter().map(char::from).collect();
            let (name, password) = text.split_once(':')?;
            Some((name.to_owned(), password.to_owned()))
        }
        Err(_) => None,
    }
}

/// Returns the rest of the header after this scheme. Schemes are case-insensitive (RFC 9110, section 11.1).
fn strip_scheme<'a>(scheme: &str, header: &'a HeaderValue) -> Option<&'a [u8]> {
    let bytes = header.as_bytes().trim_ascii();
    let (given, rest) = bytes.split_at_checked(scheme.len())?;
    let is_scheme = given.eq_ignore_ascii_case(scheme.as_bytes()) && rest.first().is_none_or(|next| *next == b' ');
    is_scheme.then(|| rest.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn authorized(text: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        headers
    }

    #[test]
    fn the_api_key_header_takes_precedence() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert!(matches!(parse_any(&headers), Ok(Some(Credentials::Value("b")))));
        headers.insert(API_KEY, HeaderValue::from_static("k"));
        assert!(matches!(parse_any(&headers), Ok(Some(Credentials::Value("k")))));
    }

    #[test]
    fn unrecognized_credentials_are_malformed() {
        for text in [
            "Basic",
            "Basic ",
            "Basic !!!",
            "Basic YQ==",
            "Digest a=b",
            "Bearer",
            "Basic /w==",
            "Basic YToH",
            "Basic B2E6YQ==",
            "Basic \u{e4}",
        ] {
            assert!(parse_any(&authorized(text)).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn basic_credentials_may_be_any_text(
            scheme in "(Basic|basic|BASIC)",
            name in "[^:\\p{Cc}]{0,40}",
            password in "\\PC{0,40}",
        ) {
            let text = format!("{scheme} {}", BASE64_STANDARD.encode(format!("{name}:{password}")));
            let headers = authorized(&text);
            let Ok(Some(Credentials::Password { name: got_name, password: got })) = parse_any(&headers) else {
                return Err(TestCaseError::fail("no password"));
            };
            prop_assert_eq!(got_name, name);
            prop_assert_eq!(got.expose_secret(), password);
        }

        #[test]
        fn credentials_that_are_not_utf_8_are_read_as_latin_1(
            name in "[a-z\u{a0}-\u{ff}]{1,20}",
            password in "[ -~\u{a0}-\u{ff}]{1,20}",
        ) {
            let text = format!("{name}:{password}");
            let bytes: Vec<u8> = text.chars().map(|letter| u8::try_from(letter).unwrap()).collect();
            prop_assume!(std::str::from_utf8(&bytes).is_err());
            let headers = authorized(&format!("Basic {}", BASE64_STANDARD.encode(bytes)));
            let Ok(Some(Credentials::Password { name: got_name, password: got })) = parse_any(&headers) else {
                return Err(TestCaseError::fail("no password"));
            };
            prop_assert_eq!((got_name.as_str(), got.expose_secret()), (name.as_str(), password.as_str()));
        }

        #[test]
        fn arbitrary_headers_do_not_panic(text in "[^\\x00-\\x1f\\x7f]{0,80}") {
            let _ = parse_any(&authorized(&text));
        }
    }
}
