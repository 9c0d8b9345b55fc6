//! The common parts of all responses of the legacy API: deprecation headers, the spelling of header
//! names, and the error format.

use actix_web::{
    Error, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{self, HeaderName, HeaderValue},
    },
    middleware::Next,
    web::Data,
};
use serde_json::json;

use crate::{
    domain::{clock::Timestamp, legacy_phase::LegacyMode},
    http::{
        Config, State,
        error::{ApiError, map_error_body},
    },
};

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// Middleware that refuses requests that the current phase does not allow, and converts responses
/// to the legacy API's format.
pub async fn enforce_phase(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let Some(state) = request.app_data::<Data<State>>().cloned() else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let config = &state.config;
    let response = match check_phase(config, request.method(), state.service.now()) {
        Ok(()) => next.call(request).await?.map_into_boxed_body(),
        Err(failure) => request.error_response(failure),
    };
    Ok(finish_response(response, &state))
}

/// Converts a response to the legacy API's format.
pub fn finish_response(response: ServiceResponse<BoxBody>, state: &State) -> ServiceResponse<BoxBody> {
    let mut response = map_error_body(response, error_body);
    let deprecation_headers = state
        .legacy_deprecation_headers
        .get_or_init(|| deprecation_headers(&state.config));
    for (name, value) in deprecation_headers {
        response.headers_mut().insert(name.clone(), value.clone());
    }
    // Scripts search for header names in the spelling of the old server.
    response.response_mut().head_mut().set_camel_case_headers(true);
    response
}

fn check_phase(config: &Config, method: &Method, now: Timestamp) -> Result<(), ApiError> {
    if let Some(end) = config.legacy.brownout_end(now) {
        let message = format!(
            "this API is closed until {end} for a scheduled brownout, and will be switched off permanently; use \
                {}/api-tokens",
            config.base_path
        );
        return Err(ApiError::unavailable(message, end.since(now)));
    }
    let writes = [Method::POST, Method::PUT, Method::DELETE].contains(method);
    match config.legacy.mode {
        LegacyMode::Off => Err(ApiError::gone(format!(
            "this API is switched off; use {}/api-tokens",
            config.base_path
        ))),
        LegacyMode::ReadOnly if writes => Err(ApiError::forbidden(format!(
            "this API is read-only; use {}/api-tokens",
            config.base_path
        ))),
        LegacyMode::ReadOnly | LegacyMode::On => Ok(()),
    }
}

/// Formats an error as `{"message": …, "status-code": …}`. The message is on one line, without
/// characters that a shell interprets: some scripts execute the response.
fn error_body(failure: &ApiError) -> String {
    let message: String = failure
        .message()
        .chars()
        .map(|letter| match letter {
            '"' | '`' => '\'',
            ';' => ',',
            '$' | '|' | '&' | '<' | '>' | '(' | ')' | '\\' => ' ',
            control if control.is_control() => ' ',
            other => other,
        })
        .collect();
    json!({ "message": message, "status-code": failure.status_code().as_u16() }).to_string()
}

/// Returns the headers that announce the end of the legacy API.
fn deprecation_headers(config: &Config) -> Vec<(HeaderName, HeaderValue)> {
    let phase = &config.legacy;
    let link = format!("<{}/api-tokens>; rel=\"successor-version\"", config.base_path);
    let deprecation_headers = [
        (DEPRECATION, Some(format!("@{}", phase.deprecation.seconds()))),
        (SUNSET, phase.sunset.map(Timestamp::http_date)),
        (header::LINK, Some(link)),
    ];
    let headers = deprecation_headers
        .into_iter()
        .filter_map(|(name, value)| Some((name, HeaderValue::from_str(&value?).ok()?)));
    headers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn messages_are_safe_in_a_shell(message in "\\PC{0,80}|[\\x00-\\x7f]{0,80}") {
            let body: serde_json::Value = serde_json::from_str(&error_body(&ApiError::bad_request(message))).unwrap();
            let shown = body["message"].as_str().unwrap();
            prop_assert!(!shown.contains(['$', '`', ';', '|', '&', '<', '>', '(', ')', '\\', '\n', '\r', '"']));
            prop_assert_eq!(&body["status-code"], 400);
        }
    }
}
