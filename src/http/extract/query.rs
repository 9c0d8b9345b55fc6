//! What stands in a query, or in a form, which has the same shape.

use actix_web::{HttpRequest, error::QueryPayloadError, web::Query};
use serde::de::DeserializeOwned;

use crate::{
    domain::{Invalid, clock::Timestamp, invalid::find_closest},
    http::error::ApiError,
};

/// Reads fields.
///
/// # Errors
/// Says what is wrong with them.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    Query::from_query(text)
        .map(Query::into_inner)
        .map_err(|error| match error {
            QueryPayloadError::Deserialize(reason) => reason.to_string(),
            other => other.to_string(),
        })
}

/// The parameters of a request's query, each at most once and by one of the `known` names, which come in groups.
///
/// # Errors
/// 400 for any other, so that nobody's slip finds or removes more than they meant.
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

/// A time in a query, if there is one.
///
/// # Errors
/// When it is none; the message names `field`.
pub fn read_time(field: &'static str, text: Option<String>) -> Result<Option<Timestamp>, Invalid> {
    text.map(|text| Timestamp::parse(field, &text)).transpose()
}
