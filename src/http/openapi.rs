//! The OpenAPI document: generated from the handlers and their types, with the failures that every operation of a kind shares.

mod error_responses;
pub mod schemas;
pub mod swagger_ui;

use actix_web::{HttpResponse, web::Data};
use utoipa::{
    OpenApi,
    openapi::{
        Components, Deprecated, OpenApi as Document, PathItem, Paths, RefOr, Schema, Server,
        path::Operation,
        schema::AdditionalProperties,
        security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme},
    },
};

use super::{
    LEGACY_PREFIXES, State, api_tokens, audit_events, graphql, introspect, legacy, legacy_usage, metrics, ops, verify,
};

/// Everything but the legacy API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "tokenbridge",
        description = "A token server that speaks the tokens API of \"Agent Apis for Bamboo\" and the /api-tokens API over one store.",
        license(name = "MIT", identifier = "MIT"),
    ),
    tags(
        (name = "API tokens", description = "The /api-tokens API, for tokens by X-API-Key (or Authorization: Bearer) and for admins by HTTP Basic"),
        (name = "Legacy", description = "The tokens API of Agent Apis for Bamboo, for admins: deprecated"),
        (name = "Legacy, by other prefixes", description = "The same by the prefix of versions before 1.5, and by the alias latest"),
        (name = "GraphQL", description = "What Panther's own clients ask for; GET shows a playground"),
        (name = "For other services", description = "Whether somebody else's request may pass, and what a value is worth"),
        (name = "Audit", description = "What has been done, for admins by HTTP Basic"),
        (name = "Operations", description = "For those who watch the server"),
    ),
    paths(
        api_tokens::list, api_tokens::create, api_tokens::get, api_tokens::update, api_tokens::delete, api_tokens::rotate,
        api_tokens::delete_matching, audit_events::list,
        graphql::execute, graphql::playground::page, verify::verify, introspect::introspect, legacy_usage::legacy_usage,
        ops::healthz, ops::readyz, metrics::metrics,
    ),
    security(("ApiKeyAuth" = []), ("BasicAuth" = [])),
)]
struct CurrentApi;

/// The legacy API, below one of its prefixes.
#[derive(OpenApi)]
#[openapi(paths(legacy::list::list, legacy::create, legacy::get, legacy::update, legacy::delete))]
struct LegacyApi;

/// `GET /openapi.json`: the document of this server.
pub async fn json(state: Data<State>) -> HttpResponse {
    let text = state.openapi.get_or_init(|| {
        let document = document(&state.config.base_path);
        // A document has no map with other keys than texts, and nothing else that JSON has not.
        serde_json::to_vec(&document).unwrap_or_default().into()
    });
    HttpResponse::Ok().content_type("application/json").body(text.clone())
}

/// The document of a server with that context path.
pub fn document(base_path: &str) -> Document {
    let mut document = CurrentApi::openapi();
    let root = if base_path.is_empty() { "/" } else { base_path };
    document.servers = Some(vec![Server::new(root)]);
    let mut components = document.components.take().unwrap_or_default();
    name_by_method(&mut document.paths, "/verify");
    add_self_paths(&mut document.paths);
    add_legacy(&mut document.paths, &mut components);
    add_security_schemes(&mut components);
    error_responses::add(&mut document.paths, &mut components);
    forbid_unknown_fields(&mut components);
    document.components = Some(components);
    document
}

/// Gives the operations of a path that takes every method alike a name each.
fn name_by_method(paths: &mut Paths, path: &str) {
    for (method, operation) in paths.paths.get_mut(path).into_iter().flat_map(operations) {
        operation.operation_id = operation.operation_id.take().map(|id| id + method);
    }
}

/// Adds the operations on `self`, the token that a call is made with: the same as those on an id, but for tokens alone.
fn add_self_paths(paths: &mut Paths) {
    let on_id = paths.paths.iter().filter(|(path, _)| path.contains("{id}"));
    let on_self: Vec<_> = on_id
        .map(|(path, item)| {
            let mut item = item.clone();
            for (_, operation) in operations(&mut item) {
                operation.parameters = None;
                operation.security = Some(vec![SecurityRequirement::new("ApiKeyAuth", Vec::<String>::new())]);
                operation.operation_id = operation.operation_id.take().map(|id| id + "Self");
                operation.summary = operation
                    .summary
                    .take()
                    .map(|summary| summary + ": the one of the call itself");
            }
            (path.replace("{id}", "self"), item)
        })
        .collect();
    paths.paths.extend(on_self);
}

/// Adds the legacy API by each of its prefixes.
fn add_legacy(paths: &mut Paths, components: &mut Components) {
    let legacy = LegacyApi::openapi();
    components.schemas.extend(legacy.components.unwrap_or_default().schemas);
    for (number, (prefix, _)) in LEGACY_PREFIXES.into_iter().enumerate() {
        let (tag, suffix) = match number {
            0 => ("Legacy", String::new()),
            _ => ("Legacy, by other prefixes", (number + 1).to_string()),
        };
        for (path, item) in &legacy.paths.paths {
            let mut item = item.clone();
            for (_, operation) in operations(&mut item) {
                operation.tags = Some(vec![tag.to_owned()]);
                operation.deprecated = Some(Deprecated::True);
                operation.operation_id = operation.operation_id.take().map(|id| id + &suffix);
            }
            paths.paths.insert(format!("{prefix}{path}"), item);
        }
    }
}

fn add_security_schemes(components: &mut Components) {
    let key = ApiKey::Header(ApiKeyValue::with_description(
        "X-API-Key",
        "The value of a token; Authorization: Bearer takes it, too",
    ));
    components.add_security_scheme("ApiKeyAuth", SecurityScheme::ApiKey(key));
    components.add_security_scheme("BasicAuth", SecurityScheme::Http(Http::new(HttpAuthScheme::Basic)));
}

/// Fields that are refused are refused here, too; and an update names at least one.
fn forbid_unknown_fields(components: &mut Components) {
    for (name, min) in [("APITokenAPI.ModifyAPIToken", 1), ("APITokenAPI.RotateAPIToken", 0)] {
        if let Some(RefOr::T(Schema::Object(body))) = components.schemas.get_mut(name) {
            body.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
            body.min_properties = Some(min);
        }
    }
}

/// The operations of a path, each with its method.
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
