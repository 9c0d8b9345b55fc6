//! The error responses of operations.

use serde_json::json;
use utoipa::openapi::{
    Components, ContentBuilder, Header, KnownFormat, Object, ObjectBuilder, PathItem, Ref, Response, ResponseBuilder,
    SchemaFormat, Type,
};

use super::operations;
use crate::http::{endpoints::ErrorFormat, error::ErrorKind, oauth::description};

/// Adds the schemas of error responses.
pub fn add_schemas(components: &mut Components) {
    let message = || ObjectBuilder::new().property("message", text()).required("message");
    let status = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)));
    let legacy = message().property("status-code", status).required("status-code");
    let oauth = message()
        .property("error", text())
        .required("error")
        .property("error_description", text())
        .required("error_description");
    components.schemas.insert("OauthError".to_owned(), oauth.into());
    components.schemas.insert("Error".to_owned(), message().into());
    components.schemas.insert("LegacyError".to_owned(), legacy.into());
}

/// Adds error responses to the operations of a path: those of the handler, of the format, and of oversized headers,
/// which are refused on every path.
pub fn add(
    item: &mut PathItem,
    components: &mut Components,
    format: ErrorFormat,
    errors: impl Iterator<Item = ErrorKind>,
) {
    let of_format: &[ErrorKind] = match format {
        ErrorFormat::Legacy => &[ErrorKind::Gone],
        ErrorFormat::Message | ErrorFormat::Graphql | ErrorFormat::Oauth | ErrorFormat::Empty => &[],
    };
    for kind in errors
        .chain(of_format.iter().copied())
        .chain([ErrorKind::HeadersTooLarge])
    {
        let name = match format {
            ErrorFormat::Message => kind.name().to_owned(),
            ErrorFormat::Legacy => format!("Legacy{}", kind.name()),
            ErrorFormat::Graphql => format!("Graphql{}", kind.name()),
            ErrorFormat::Oauth => format!("Oauth{}", kind.name()),
            ErrorFormat::Empty => format!("Empty{}", kind.name()),
        };
        for (_, operation) in operations(item) {
            let reference = Ref::from_response_name(&name);
            let responses = &mut operation.responses.responses;
            responses.insert(kind.status().as_str().to_owned(), reference.into());
        }
        components
            .responses
            .entry(name)
            .or_insert_with(|| response(format, kind).into());
    }
}

fn response(format: ErrorFormat, kind: ErrorKind) -> Response {
    let mut response = ResponseBuilder::new().description(kind.description());
    let shared: [(&str, &str, &[ErrorKind]); 2] = [
        (
            "WWW-Authenticate",
            "The accepted authentication schemes",
            &[ErrorKind::Unauthorized],
        ),
        (
            "Retry-After",
            "Number of seconds to wait",
            &[ErrorKind::TooManyRequests, ErrorKind::ServiceUnavailable],
        ),
    ];
    for (name, description, kinds) in shared {
        if kinds.contains(&kind) {
            let mut header = Header::new(text());
            header.description = Some(description.to_owned());
            response = response.header(name, header);
        }
    }
    let (status, message) = (kind.status().as_u16(), kind.example());
    let (schema, example) = match format {
        ErrorFormat::Empty => return response.build(),
        ErrorFormat::Message => ("Error", json!({ "message": message })),
        ErrorFormat::Legacy => ("LegacyError", json!({ "message": message, "status-code": status })),
        ErrorFormat::Oauth => (
            "OauthError",
            json!({ "message": message, "error": kind.oauth_error(), "error_description": description(message) }),
        ),
        ErrorFormat::Graphql => ("GraphqlResponse", json!({ "errors": [{ "message": message }] })),
    };
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(schema)))
        .example(Some(example));
    response.content("application/json", content.build()).build()
}

fn text() -> Object {
    Object::with_type(Type::String)
}
