//! The answers that say no: which an operation can give follows from what it takes.

use serde_json::{Value, json};
use utoipa::openapi::{
    Components, ContentBuilder, Header, Object, ObjectBuilder, Paths, Ref, RefOr, Response, ResponseBuilder, Type,
    path::{Operation, ParameterIn},
    security::SecurityRequirement,
};

use super::operations;

/// A status, its name among the shared responses, when it is given, and a message of it.
const ERROR_RESPONSES: [(u16, &str, &str, &str); 15] = [
    (
        400,
        "BadRequest",
        "Something that was sent is wrong; the message names it",
        "name: it is required",
    ),
    (
        401,
        "Unauthorized",
        "There are no good credentials",
        "the API key is not valid",
    ),
    (
        403,
        "Forbidden",
        "The caller is known, and may not",
        "this needs the permission OrganizationAPITokenModify (Manage API Tokens)",
    ),
    (404, "NotFound", "There is no such token", "there is no such token"),
    (
        406,
        "NotAcceptable",
        "The Accept header takes nothing that this can answer",
        "this path answers application/json, text/csv, application/x-ndjson and application/jsonl",
    ),
    (
        408,
        "RequestTimeout",
        "The request did not arrive in time",
        "the request did not arrive in time",
    ),
    (
        409,
        "Conflict",
        "It cannot be done as things stand",
        "10 earlier values of this token are still in their grace period",
    ),
    (
        410,
        "Gone",
        "The legacy API is switched off",
        "this API is switched off, use /api-tokens",
    ),
    (
        413,
        "ContentTooLarge",
        "The body is too large",
        "the body has more than 65536 bytes",
    ),
    (
        415,
        "UnsupportedMediaType",
        "The body is of another type, or compressed",
        "the body must be application/json, not compressed",
    ),
    (
        429,
        "TooManyRequests",
        "There were too many failed logins",
        "too many failed logins, try again later",
    ),
    (
        431,
        "HeadersTooLarge",
        "The headers are too large",
        "the request line and headers have more than 16384 bytes",
    ),
    (
        500,
        "InternalServerError",
        "A defect; the log tells more",
        "internal error, the log tells more of request 51dd1b12f0a0c2c6-7",
    ),
    (
        503,
        "ServiceUnavailable",
        "The store is not available, or the legacy API is closed for a while",
        "the store is not available",
    ),
    (
        405,
        "MethodNotAllowed",
        "The path takes other methods",
        "this path takes GET, HEAD",
    ),
];

/// How an answer that says no is written.
#[derive(Clone, Copy, Debug)]
enum ErrorFormat {
    Message,
    Legacy,
    Graphql,
    Empty,
}

/// Adds to each operation the failures that it can give.
pub fn add(paths: &mut Paths, components: &mut Components) {
    let message = || ObjectBuilder::new().property("message", text()).required("message");
    let legacy = message()
        .property("status-code", Object::with_type(Type::Integer))
        .required("status-code");
    components.schemas.insert("Error".to_owned(), message().into());
    components.schemas.insert("LegacyError".to_owned(), legacy.into());
    for (path, item) in &mut paths.paths {
        let format = error_format(path);
        for (_, operation) in operations(item) {
            for status in statuses(path, format, operation) {
                let Some((_, name, ..)) = ERROR_RESPONSES.iter().find(|entry| entry.0 == status) else {
                    continue;
                };
                let name = match format {
                    ErrorFormat::Message => (*name).to_owned(),
                    other => format!("{other:?}{name}"),
                };
                operation
                    .responses
                    .responses
                    .insert(status.to_string(), Ref::from_response_name(&name).into());
                components
                    .responses
                    .entry(name)
                    .or_insert_with(|| response(format, status).into());
            }
        }
    }
}

fn error_format(path: &str) -> ErrorFormat {
    match path {
        "/public/graphql" => ErrorFormat::Graphql,
        "/verify" => ErrorFormat::Empty,
        _ if path.starts_with("/rest/") => ErrorFormat::Legacy,
        _ => ErrorFormat::Message,
    }
}

/// The failures that an operation can give.
fn statuses(path: &str, format: ErrorFormat, operation: &Operation) -> Vec<u16> {
    let schemes = operation.security.as_deref();
    if schemes.is_some_and(|schemes| schemes.iter().all(|scheme| *scheme == SecurityRequirement::default())) {
        return match path {
            "/readyz" => vec![405, 503],
            "/metrics" => vec![404, 405, 500],
            _ => vec![405],
        };
    }
    let parameters = || {
        operation
            .parameters
            .iter()
            .flatten()
            .filter_map(|parameter| match parameter {
                RefOr::T(parameter) => Some(parameter),
                RefOr::Ref(_) => None,
            })
    };
    let mut statuses = vec![401, 431, 500, 503];
    if !matches!(format, ErrorFormat::Graphql) {
        statuses.push(403);
    }
    let by_password =
        |scheme: &SecurityRequirement| *scheme == SecurityRequirement::new("BasicAuth", Vec::<String>::new());
    if schemes.is_none_or(|schemes| schemes.iter().any(by_password)) {
        statuses.push(429);
    }
    if matches!(format, ErrorFormat::Legacy) {
        statuses.push(410);
    }
    if operation.request_body.is_some() {
        statuses.extend([400, 408, 413, 415]);
    }
    for parameter in parameters() {
        match (&parameter.parameter_in, parameter.name.as_str()) {
            (ParameterIn::Path, "id") => statuses.extend([400, 404]),
            (ParameterIn::Path, _) => statuses.push(404),
            (ParameterIn::Query, "expected") => statuses.extend([400, 409]),
            (ParameterIn::Query, _) if matches!(format, ErrorFormat::Message) => statuses.push(400),
            _ => {}
        }
    }
    if path.starts_with("/api-tokens/self") {
        statuses.push(404);
    }
    if path == "/audit-events" {
        statuses.push(406);
    }
    if path.ends_with("/rotate") {
        statuses.push(409);
    }
    statuses
}

fn response(format: ErrorFormat, status: u16) -> Response {
    let (_, _, when, message) = ERROR_RESPONSES
        .iter()
        .find(|entry| entry.0 == status)
        .copied()
        .unwrap_or_default();
    let mut response = ResponseBuilder::new().description(when);
    let shared: [(&str, &str, &[u16]); 2] = [
        ("WWW-Authenticate", "What credentials are asked for", &[401]),
        ("Retry-After", "How many seconds to wait", &[429, 503]),
    ];
    for (name, what, statuses) in shared {
        if statuses.contains(&status) {
            let mut header = Header::new(Object::with_type(Type::String));
            header.description = Some(what.to_owned());
            response = response.header(name, header);
        }
    }
    let (schema, example) = match format {
        ErrorFormat::Empty => return response.build(),
        ErrorFormat::Message => ("Error", json!({ "message": message })),
        ErrorFormat::Legacy => ("LegacyError", json!({ "message": message, "status-code": status })),
        ErrorFormat::Graphql => ("GraphqlResponse", graphql(message)),
    };
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(schema)))
        .example(Some(example));
    response.content("application/json", content.build()).build()
}

fn graphql(message: &str) -> Value {
    json!({ "errors": [{ "message": message }] })
}

fn text() -> Object {
    Object::with_type(Type::String)
}
