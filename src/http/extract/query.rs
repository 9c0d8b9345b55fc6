//! Parses query strings and URL-encoded forms, which have the same format.

use actix_web::{HttpRequest, dev::Payload, error::QueryPayloadError, web};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::{explain::explain, input::Input, json::field_names};
use crate::{
    domain::{
        Invalid,
        clock::Timestamp,
        invalid::{find_closest, parse_field},
    },
    http::error::{ApiError, DeclaresErrors, ErrorKind},
};

/// The query parameters of an operation.
pub trait QueryParameters: DeserializeOwned {
    /// Returns the names of the parameters, in groups.
    fn names() -> Vec<&'static [&'static str]> {
        vec![field_names::<Self>()]
    }
}

/// The query of a request.
pub struct Query<T>(pub T);

impl<T> DeclaresErrors for Query<T> {
    fn errors() -> Vec<ErrorKind> {
        vec![ErrorKind::BadRequest]
    }
}

impl<T: QueryParameters + 'static> Input for Query<T> {
    fn read<'r>(request: &'r HttpRequest, _: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>> {
        let parsed = read_query(request.query_string(), &T::names());
        Box::pin(async move { parsed.map(Self) })
    }
}

/// Parameters that are ignored everywhere, because programs add them to any URL: the cache buster of jQuery, and the
/// authentication method of Atlassian's servers.
const IGNORED: [&str; 2] = ["_", "os_authType"];

/// Parses URL-encoded fields.
///
/// # Errors
/// The reason why the text is not such fields.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    web::Query::from_query(text)
        .map(web::Query::into_inner)
        .map_err(|error| match error {
            QueryPayloadError::Deserialize(reason) => explain("the parameters", &reason.to_string()),
            other => other.to_string(),
        })
}

/// Parses a query. Each parameter must have one of the `known` names, which are given in groups, and
/// occur at most once.
///
/// # Errors
/// 400 for an unknown or repeated parameter, so that a typo does not find or delete more than
/// intended.
pub fn read_query<T: DeserializeOwned>(text: &str, known: &[&[&str]]) -> Result<T, ApiError> {
    let pairs: Vec<(String, String)> = parse(text).map_err(ApiError::bad_request)?;
    let known: Vec<&str> = known.concat();
    let is_known = |name: &str| known.contains(&name) || IGNORED.contains(&name);
    if let Some((other, _)) = pairs.iter().find(|(name, _)| !is_known(name)) {
        let fix = find_closest(other, known.iter().copied()).map_or_else(
            || format!("the parameters are {}", known.join(", ")),
            |meant| format!("did you mean {meant:?}?"),
        );
        return Err(ApiError::bad_request(format!("unknown parameter {other:?}; {fix}")));
    }
    parse(text).map_err(ApiError::bad_request)
}

/// Parses an optional time in a query.
///
/// # Errors
/// [`Invalid`] for `field` if the text is not an RFC 3339 time.
pub fn read_time(field: &'static str, text: Option<String>) -> Result<Option<Timestamp>, Invalid> {
    let parse = |text: String| {
        parse_field(field, &text).map_err(|error| {
            // In a query, "+" is a blank, also in an offset such as +02:00.
            let meant = text.replace(' ', "+");
            if meant != text && meant.parse::<Timestamp>().is_ok() {
                let right = meant.replace('+', "%2B");
                Invalid::new(field, format!("in a query, \"+\" means a blank; write {right}"))
            } else {
                error
            }
        })
    };
    text.map(parse).transpose()
}
