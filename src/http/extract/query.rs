//! What stands in a query, or in a form, which has the same shape.

use actix_web::{error::QueryPayloadError, web::Query};
use serde::de::DeserializeOwned;

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
