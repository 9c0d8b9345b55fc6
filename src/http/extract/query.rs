//! Parses query strings and URL-encoded forms, which have the same format.

use actix_web::{HttpRequest, error::QueryPayloadError, web::Query};
use serde::de::DeserializeOwned;

use crate::{
    domain::{Invalid, clock::Timestamp, invalid::find_closest},
    http::error::ApiError,
};

/// Parses URL-encoded fields.
///
/// # Errors
/// The reason why the text is not such fields.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    Query::from_query(text)
        .map(Query::into_inner)
        .map_err(|error| match error {
            QueryPayloadError::Deserialize(reason) => reason.to_string(),
            other => other.to_string(),
        })
}

/// Parses the query parameters of a request. Each must be one of the `known` names, which are given
/// in groups, and occur at most once.
///
/// # Errors
/// 400 for an unknown or repeated parameter, so that a typo does not find or delete more than
/// intended.
pub fn read_query<T: DeserializeOwned>(request: &HttpRequest, known: &[&[&str]]) -> Result<T, ApiError> {
    let unreadable = |reason| ApiError::bad_request(format!("the query cannot be read: {reason}"));
    let text = request.query_string();
    let pairs: Vec<(String, String)> = parse(text).map_err(unreadable)?;
    let known: Vec<&str> = known.concat();
    if let Some((other, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        let right = find_closest(other, known.iter().copied()).map_or_else(
            || format!("the parameters are {}", known.join(", ")),
            |meant| format!("did you mean {meant:?}?"),
        );
        return Err(ApiError::bad_request(format!(
            "{other:?} is not a parameter of this; {right}"
        )));
    }
    parse(text).map_err(unreadable)
}

/// Parses an optional time in a query.
///
/// # Errors
/// [`Invalid`] for `field` if the text is not an RFC 3339 time.
pub fn read_time(field: &'static str, text: Option<String>) -> Result<Option<Timestamp>, Invalid> {
    text.map(|text| Timestamp::parse(field, &text)).transpose()
}
