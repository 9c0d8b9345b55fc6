//! The OAuth endpoints: introspection (RFC 7662), revocation (RFC 7009), and the metadata that names both (RFC 8414).

pub mod introspect;
pub mod metadata;
pub mod revoke;

use actix_web::{
    Error,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};
use serde_json::json;

use super::error::{ApiError, map_error_body};

/// Middleware that converts error responses to OAuth's format: `{"message", "error", "error_description"}`.
pub async fn wrap_errors(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    Ok(finish_response(next.call(request).await?))
}

/// Converts an error response to OAuth's format.
pub fn finish_response(response: ServiceResponse<impl MessageBody + 'static>) -> ServiceResponse<BoxBody> {
    map_error_body(response, error_body)
}

fn error_body(failure: &ApiError) -> String {
    json!({
        "message": failure.message(),
        "error": failure.oauth_error(),
        "error_description": description(failure.message()),
    })
    .to_string()
}

/// Replaces the characters that RFC 6749, section 5.2, does not allow in a description.
pub fn description(message: &str) -> String {
    let letters = message.chars().map(|letter| match letter {
        '"' => '\'',
        '\\' => '/',
        ' '..='~' => letter,
        _ => '?',
    });
    letters.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn descriptions_have_only_allowed_characters(message in "\\PC{0,40}|[\\x00-\\x7f]{0,40}") {
            let allowed = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            prop_assert!(description(&message).bytes().all(allowed));
        }
    }
}
