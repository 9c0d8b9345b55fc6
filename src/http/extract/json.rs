//! JSON request bodies.

use actix_web::{HttpMessage, HttpRequest, dev::Payload, http::header};
use futures_util::future::LocalBoxFuture;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error as _, Visitor},
};
use serde_json::error::Category;

use super::{
    body::{body_errors, collect, is_encoded},
    explain::explain,
    input::Input,
    site::is_from_browser,
};
use crate::{
    domain::invalid::find_closest,
    http::error::{ApiError, DeclaresErrors, ErrorKind},
};

/// The fields of a JSON object.
pub trait JsonBody: DeserializeOwned {
    /// The treatment of unknown fields.
    const UNKNOWN_FIELDS: UnknownFields;

    /// Returns the meaning of an empty body or `null`; `None` if the body is required.
    fn absent() -> Option<Self> {
        None
    }
}

/// The treatment of fields that an operation does not know.
#[derive(Clone, Copy)]
pub enum UnknownFields {
    /// Unknown fields are ignored.
    Ignored,
    /// Unknown fields are refused, so that a typo does not create a token with fewer limits than
    /// intended. Read-only fields are ignored, so that a client can send back a token that it has
    /// read.
    Rejected {
        /// The fields of a response that cannot be set.
        read_only: &'static [&'static str],
    },
}

/// A JSON object.
pub struct Json<T>(pub T);

impl<T> DeclaresErrors for Json<T> {
    fn errors() -> Vec<ErrorKind> {
        body_errors()
    }
}

impl<T: JsonBody> Input for Json<T> {
    fn read<'r>(request: &'r HttpRequest, payload: &'r mut Payload) -> LocalBoxFuture<'r, Result<Self, ApiError>> {
        Box::pin(async move {
            let body = collect(request, payload.take()).await?;
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

/// Returns `true` if the content type is JSON, or is absent and the request is not from a browser:
/// pages of other sites can send a body without a type.
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

fn parse<T: JsonBody>(body: &[u8]) -> Result<T, ApiError> {
    // Without this check, serde would accept an array as the fields in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::bad_request("the body must be a JSON object"));
    }
    let mut unknown = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let mut track = serde_path_to_error::Track::new();
    let tracked = serde_path_to_error::Deserializer::new(&mut deserializer, &mut track);
    let parsed = serde_ignored::deserialize(tracked, |path| unknown.push(path.to_string()));
    let parsed = parsed.and_then(|fields| deserializer.end().map(|()| fields));
    let fields = parsed.map_err(|error| ApiError::bad_request(explain_json(&error, &track.path().to_string())))?;
    if let UnknownFields::Rejected { read_only } = T::UNKNOWN_FIELDS
        && let Some(other) = unknown.iter().find(|other| !read_only.contains(&other.as_str()))
    {
        let known = field_names::<T>();
        let meant = find_closest(other, known.iter().copied());
        let fix = meant.map_or_else(
            || format!("the fields are {}", known.join(", ")),
            |meant| format!("did you mean {meant:?}?"),
        );
        return Err(ApiError::bad_request(format!("unknown field {other:?}; {fix}")));
    }
    Ok(fields)
}

/// Returns a message for an error in the JSON at `path`, or in the object's fields.
fn explain_json(error: &serde_json::Error, path: &str) -> String {
    let text = error.to_string();
    match error.classify() {
        Category::Data => {
            let message = text
                .rsplit_once(" at line ")
                .map_or(text.as_str(), |(message, _)| message);
            explain(path, message)
        }
        Category::Syntax | Category::Eof | Category::Io => {
            let text = text.replace("EOF while parsing", "it ends within");
            format!("the body is not valid JSON: {text}")
        }
    }
}

/// Deserializes an optional field that must not be null.
///
/// # Errors
/// The deserializer's error if the field is null or has another type.
pub fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Returns the names of a struct's fields in JSON, from its derived `Deserialize`; none for another type, or with
/// flattened fields.
pub fn field_names<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // The deserializer always fails: it has no data.
    let _ = T::deserialize(FieldNames(&mut names));
    names
}

/// A deserializer that only keeps the field names that a struct asks it for.
struct FieldNames<'n>(&'n mut &'static [&'static str]);

impl<'de> Deserializer<'de> for FieldNames<'_> {
    type Error = serde::de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(Self::Error::custom("there is no data"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        *self.0 = fields;
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
