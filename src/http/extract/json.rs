//! Bodies of JSON.

use actix_web::{HttpMessage, HttpRequest, dev::Payload, http::header};
use futures_util::future::LocalBoxFuture;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};

use super::{
    body::{Body, collect, is_encoded},
    site::is_from_browser,
};
use crate::{domain::invalid::find_closest, http::error::ApiError};

/// The fields of a JSON object.
pub trait JsonBody: DeserializeOwned {
    /// What is done with fields of other names.
    const UNKNOWN_FIELDS: UnknownFields;

    /// What an empty body, or null, stands for, if it stands for anything.
    fn absent() -> Option<Self> {
        None
    }
}

/// What is done with fields that an operation does not know.
#[derive(Clone, Copy)]
pub enum UnknownFields {
    /// They are ignored.
    Ignored,
    /// They are refused, so that nobody's slip makes a token with fewer limits than they meant; but what a client has read and sends
    /// back is ignored.
    Rejected {
        /// The fields that the operation knows.
        known: &'static [&'static str],
        /// The fields of an answer that nobody can set.
        read_only: &'static [&'static str],
    },
}

/// A JSON object.
pub struct Json<T>(pub T);

impl<T: JsonBody> Body for Json<T> {
    fn read(request: &HttpRequest, payload: Payload) -> LocalBoxFuture<'_, Result<Self, ApiError>> {
        Box::pin(async move {
            let body = collect(request, payload).await?;
            if !body.is_empty() && (!is_json(request) || is_encoded(request)) {
                return Err(ApiError::unsupported_media_type("application/json"));
            }
            if [&b""[..], b"null"].contains(&body.trim_ascii())
                && let Some(absent) = T::absent()
            {
                return Ok(Self(absent));
            }
            parse(&body).map(Self)
        })
    }
}

/// Returns `true` if the content type is JSON, or is absent and the request is not from a browser: pages of other sites can send a body
/// without a type.
fn is_json(request: &HttpRequest) -> bool {
    let content_type = request.content_type();
    let subtype = content_type
        .split_once('/')
        .map(|(_, subtype)| subtype.to_ascii_lowercase());
    let headers = request.headers();
    (!headers.contains_key(header::CONTENT_TYPE) && !is_from_browser(headers))
        || content_type.eq_ignore_ascii_case("application/json")
        || subtype.is_some_and(|subtype| subtype.ends_with("+json"))
}

/// What serde calls the things that JSON has.
const WORDS: &[(&str, &str)] = &[
    ("expected a sequence", "expected a list"),
    ("expected f64", "expected a number"),
    ("invalid type: sequence", "invalid type: list"),
    ("invalid type: map", "invalid type: object"),
    ("EOF while", "it ends while"),
];

fn parse<T: JsonBody>(body: &[u8]) -> Result<T, ApiError> {
    // Without this, serde would take an array as the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::bad_request("the body must be a JSON object"));
    }
    let mut unknown = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let parsed = serde_ignored::deserialize(tracked, |path| unknown.push(path.to_string()));
    let parsed = parsed.and_then(|fields| deserializer.end().map(|()| fields));
    let fields = parsed.map_err(|error| {
        let message = error.to_string();
        let message = WORDS
            .iter()
            .fold(message, |text, (word, plain)| text.replace(word, plain));
        // The path is "." for the object itself, and "?" where it breaks off.
        match track.path().to_string().as_str() {
            "." | "?" => ApiError::bad_request(message),
            field => ApiError::bad_request(format!("{field}: {message}")),
        }
    })?;
    if let UnknownFields::Rejected { known, read_only } = T::UNKNOWN_FIELDS
        && let Some(other) = unknown.iter().find(|other| !read_only.contains(&other.as_str()))
    {
        let meant = find_closest(other, known.iter().copied());
        let right = meant.map_or_else(
            || format!("the fields are {}", known.join(", ")),
            |meant| format!("did you mean {meant:?}?"),
        );
        return Err(ApiError::bad_request(format!(
            "{other:?} is not a field of this; {right}"
        )));
    }
    Ok(fields)
}

/// Reads a field that can be absent or there, and not null.
///
/// # Errors
/// When it is null, or of another type.
pub fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
