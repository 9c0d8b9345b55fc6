//! The credentials that a request carries.

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use actix_web_httpauth::headers::authorization::{Basic, Bearer, Scheme};
use secrecy::SecretString;

use crate::{
    http::error::{Challenge, Failure},
    service::Refusal,
};

const API_KEY: &str = "x-api-key";

/// The credentials that a request carries.
pub enum Credentials {
    /// What is claimed to be a token's value: `X-API-Key`, or `Authorization: Bearer` (RFC 6750).
    Value(SecretString),
    /// An admin's name and password: `Authorization: Basic` (RFC 7617).
    Password {
        /// The user name, as it was sent.
        name: String,
        /// The password, as it was sent.
        password: SecretString,
    },
}

/// A token's value or an admin's name and password, if the request carries either. An API key goes before an Authorization header.
///
/// # Errors
/// 401 when they cannot be read.
pub fn of_anyone(headers: &HeaderMap) -> Result<Option<Credentials>, Failure> {
    if let Some(value) = of_token(headers)? {
        return Ok(Some(Credentials::Value(value)));
    }
    if !headers.contains_key(AUTHORIZATION) {
        return Ok(None);
    }
    of_admin(headers)?.map(Some).ok_or_else(malformed)
}

/// What is claimed to be a token's value, if the request carries such a thing; an Authorization header of another scheme is not looked at.
///
/// # Errors
/// 401 when it cannot be read.
pub fn of_token(headers: &HeaderMap) -> Result<Option<SecretString>, Failure> {
    if let Some(value) = headers.get(API_KEY) {
        let value = value.to_str().map_err(|_| malformed())?;
        return Ok(Some(value.trim().into()));
    }
    let Some(token) = headers
        .get(AUTHORIZATION)
        .and_then(|header| of_scheme("bearer", header))
    else {
        return Ok(None);
    };
    let bearer: Bearer = parse("Bearer", token).ok_or_else(malformed)?;
    Ok(Some(bearer.token().into()))
}

fn malformed() -> Failure {
    Failure::unauthorized(Refusal::Malformed, Challenge::ApiKey)
}

/// An admin's name and password, if the request carries them; nothing else that it carries is looked at.
///
/// # Errors
/// 401 when they cannot be read.
pub fn of_admin(headers: &HeaderMap) -> Result<Option<Credentials>, Failure> {
    let Some(pair) = headers.get(AUTHORIZATION).and_then(|header| of_scheme("basic", header)) else {
        return Ok(None);
    };
    let basic: Basic =
        parse("Basic", pair).ok_or_else(|| Failure::unauthorized(Refusal::Malformed, Challenge::Basic))?;
    Ok(Some(Credentials::Password {
        name: basic.user_id().to_owned(),
        password: basic.password().unwrap_or_default().into(),
    }))
}

/// What follows the scheme, if it is this one: schemes are written in any case (RFC 9110, section 11.1), and the parsers know one.
fn of_scheme<'a>(scheme: &str, header: &'a HeaderValue) -> Option<&'a str> {
    let text = header.to_str().ok()?.trim();
    let (given, rest) = text.split_once(' ').unwrap_or((text, ""));
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim())
}

fn parse<S: Scheme>(scheme: &str, credentials: &str) -> Option<S> {
    S::parse(&HeaderValue::from_str(&format!("{scheme} {credentials}")).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, prelude::BASE64_STANDARD};
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    fn authorization(text: &str) -> Option<Credentials> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_str(text).ok()?);
        of_anyone(&headers).ok()?
    }

    #[test]
    fn an_api_key_goes_first() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer b"));
        assert!(matches!(of_anyone(&headers), Ok(Some(Credentials::Value(value))) if value.expose_secret() == "b"));
        headers.insert(API_KEY.parse().unwrap(), HeaderValue::from_static("k"));
        assert!(matches!(of_anyone(&headers), Ok(Some(Credentials::Value(value))) if value.expose_secret() == "k"));
    }

    #[test]
    fn what_is_no_credential_is_malformed() {
        for text in [
            "Basic",
            "Basic ",
            "Basic !!!",
            "Basic YQ==",
            "Digest a=b",
            "Bearer",
            "Basic /w==",
        ] {
            assert!(authorization(text).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn names_and_passwords_of_any_text_arrive(scheme in "(Basic|basic|BASIC)", name in "[^:]{0,40}", password in ".{0,40}") {
            let text = format!("{scheme} {}", BASE64_STANDARD.encode(format!("{name}:{password}")));
            let Some(Credentials::Password { name: got_name, password: got }) = authorization(&text) else {
                return Err(TestCaseError::fail("no password"));
            };
            prop_assert_eq!(got_name, name);
            prop_assert_eq!(got.expose_secret(), password);
        }

        #[test]
        fn no_header_makes_it_fall_over(text in ".{0,80}") {
            let _ = authorization(&text);
        }
    }
}
