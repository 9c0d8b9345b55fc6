//! The OpenAPI document, generated from the endpoints.

mod error_responses;
pub mod swagger_ui;

use actix_web::{HttpResponse, web::Data};
use utoipa::{
    OpenApi,
    openapi::{
        Components, Deprecated, OpenApi as Document, PathItem, Paths, RefOr, Required, Schema, Server,
        path::{Operation, ParameterIn},
        request_body::RequestBody,
        schema::AdditionalProperties,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    State,
    endpoints::{ApiOperation, ENDPOINTS, EndpointGroup, ErrorFormat, METRICS},
    error::ErrorKind,
    request::LEGACY_PREFIXES,
};

/// The document without its operations.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "tokenbridge",
        description = "A token server with the token API of \"Agent Apis for Bamboo\" and the /api-tokens API on one \
            store.",
        contact(name = "The operators of this server"),
        license(name = "MIT", identifier = "MIT"),
    ),
    tags(
        (
            name = "API tokens",
            description = "The /api-tokens API, for tokens with X-API-Key (or Authorization: Bearer) and for admins \
                with HTTP Basic",
        ),
        (
            name = "Legacy",
            description = "The token API of Agent Apis for Bamboo, for admins. Every path has an alias with the \
                suffix .json. Deprecated",
        ),
        (
            name = "Legacy, by other prefixes",
            description = "The same API with the prefix of versions before 1.5, and with the alias latest",
        ),
        (name = "GraphQL", description = "The operations that Panther's own clients use; GET shows a playground"),
        (
            name = "For other services",
            description = "Authorization of requests to other services, and token introspection",
        ),
        (name = "Audit", description = "The audit log, for admins with HTTP Basic"),
        (name = "Operations", description = "Health, metrics and reports for operators"),
    ),
    security(("ApiKeyAuth" = []), ("BasicAuth" = [])),
)]
struct Frame;

/// `GET /openapi.json`: returns the document of this server.
pub async fn json(state: Data<State>) -> HttpResponse {
    let text = state.openapi.get_or_init(|| {
        let document = document(&state.config.base_path);
        // Serialization cannot fail: all keys of maps in a document are strings.
        serde_json::to_vec(&document).unwrap_or_default().into()
    });
    HttpResponse::Ok().content_type("application/json").body(text.clone())
}

/// Returns the document of a server with this context path.
pub fn document(base_path: &str) -> Document {
    let mut document = Frame::openapi();
    let root = if base_path.is_empty() { "/" } else { base_path };
    document.servers = Some(vec![Server::new(root)]);
    let mut components = document.components.take().unwrap_or_default();
    for group in ENDPOINTS.iter().chain([&*METRICS]) {
        for operation in &group.operations {
            add_operation(&mut document.paths, &mut components, group, operation);
        }
    }
    add_security_schemes(&mut components);
    error_responses::add_schemas(&mut components);
    forbid_unknown_fields(&mut components);
    document.components = Some(components);
    document
}

/// Adds an operation, and the same one on `self` if its path names a token.
fn add_operation(paths: &mut Paths, components: &mut Components, group: &EndpointGroup, operation: &ApiOperation) {
    let document = operation.document.clone();
    components
        .schemas
        .extend(document.components.unwrap_or_default().schemas);
    for (path, mut item) in document.paths.paths {
        let path = if path.starts_with(group.prefix) {
            path
        } else {
            format!("{}{path}", group.prefix)
        };
        name_by_method(&mut item);
        for (_, operation) in operations(&mut item) {
            if let Some(RefOr::T(body)) = &mut operation.request_body {
                flatten_optional(body);
            }
        }
        if group.error_format == ErrorFormat::Legacy {
            mark_as_legacy(&mut item, group.prefix);
        }
        if path.contains("{id}") {
            let mut item = item.clone();
            refer_to_self(&mut item);
            let errors = operation.errors.iter().copied().filter(|error| concerns_self(*error));
            error_responses::add(&mut item, components, group.error_format, errors);
            add_path(paths, path.replace("{id}", "self"), item);
        }
        let errors = operation.errors.iter().copied();
        error_responses::add(&mut item, components, group.error_format, errors);
        add_path(paths, path, item);
    }
}

fn add_path(paths: &mut Paths, path: String, item: PathItem) {
    match paths.paths.get_mut(&path) {
        Some(existing) => existing.merge_operations(item),
        None => {
            paths.paths.insert(path, item);
        }
    }
}

/// Gives each operation of a handler with several methods its own ID.
fn name_by_method(item: &mut PathItem) {
    if operations(item).count() > 1 {
        for (method, operation) in operations(item) {
            operation.operation_id = operation.operation_id.take().map(|id| id + method);
        }
    }
}

/// Changes operations on an ID to operations on `self`, which only a token can call.
fn refer_to_self(item: &mut PathItem) {
    for (_, operation) in operations(item) {
        if let Some(parameters) = &mut operation.parameters {
            parameters.retain(
                |parameter| !matches!(parameter, RefOr::T(parameter) if parameter.parameter_in == ParameterIn::Path),
            );
        }
        operation.parameters = operation.parameters.take().filter(|left| !left.is_empty());
        operation.security = Some(vec![SecurityRequirement::new("ApiKeyAuth", Vec::<String>::new())]);
        operation.operation_id = operation.operation_id.take().map(|id| id + "Self");
        operation.summary = operation
            .summary
            .take()
            .map(|summary| summary + " (the one that authenticates the request)");
    }
}

/// Marks operations as deprecated. Their tag and ID depend on the prefix.
fn mark_as_legacy(item: &mut PathItem, prefix: &str) {
    let number = LEGACY_PREFIXES.iter().position(|(known, _)| *known == prefix);
    let (tag, suffix) = match number.unwrap_or_default() {
        0 => ("Legacy", String::new()),
        number => ("Legacy, by other prefixes", (number + 1).to_string()),
    };
    for (_, operation) in operations(item) {
        operation.tags = Some(vec![tag.to_owned()]);
        operation.deprecated = Some(Deprecated::True);
        operation.operation_id = operation.operation_id.take().map(|id| id + &suffix);
    }
}

/// Returns `true` if an operation on `self` can cause this error. Only passwords are throttled, and the token that
/// authenticates the request exists.
fn concerns_self(error: ErrorKind) -> bool {
    !matches!(error, ErrorKind::TooManyRequests | ErrorKind::NotFound)
}

/// Declares an optional body as such, rather than as a choice between an object and null, on which generators do not
/// agree.
fn flatten_optional(body: &mut RequestBody) {
    for content in body.content.values_mut() {
        if let RefOr::T(content) = content
            && let Some(RefOr::T(Schema::OneOf(choice))) = &content.schema
        {
            content.schema = choice.items.first().cloned();
            body.required = Some(Required::False);
        }
    }
}

fn add_security_schemes(components: &mut Components) {
    let key = ApiKey::Header(ApiKeyValue::with_description(
        "X-API-Key",
        "The value of a token; Authorization: Bearer is accepted as well",
    ));
    components.add_security_scheme("ApiKeyAuth", SecurityScheme::ApiKey(key));
    components.add_security_scheme("BasicAuth", SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)));
}

/// Declares that unknown fields are refused, and that an update needs at least one field.
fn forbid_unknown_fields(components: &mut Components) {
    for (name, min) in [
        ("NewAPIToken", None),
        ("ModifyAPIToken", Some(1)),
        ("RotateAPIToken", None),
        ("LookupAPIToken", None),
    ] {
        let body = components.schemas.get_mut(&format!("APITokenAPI.{name}"));
        if let Some(RefOr::T(Schema::Object(body))) = body {
            body.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            body.min_properties = min;
        }
    }
}

/// Returns the operations of a path, each with its method.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let all = [
        ("Get", &mut item.get),
        ("Head", &mut item.head),
        ("Post", &mut item.post),
        ("Put", &mut item.put),
        ("Patch", &mut item.patch),
        ("Delete", &mut item.delete),
        ("Options", &mut item.options),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::endpoints::methods;
    use std::collections::BTreeSet;

    #[test]
    fn the_document_lists_every_operation_and_no_other() {
        let mut routed = BTreeSet::new();
        for group in ENDPOINTS.iter().chain([&*METRICS]) {
            for (path, operations) in group.by_path() {
                for method in operations.iter().flat_map(|operation| &operation.methods) {
                    let path = format!("{}{path}", group.prefix);
                    routed.insert((path.replace("{id}", "self"), method.to_string()));
                    routed.insert((path, method.to_string()));
                }
            }
        }
        let document = document("");
        let documented = document.paths.paths.iter().flat_map(|(path, item)| {
            let methods = methods(item);
            methods.map(move |(method, _)| (path.clone(), method.to_string()))
        });
        assert_eq!(documented.collect::<BTreeSet<_>>(), routed);
    }
}
