//! The pages and files for browsers that belong to no API. The OpenAPI document does not list them.

use actix_web::{
    HttpResponse, Resource,
    http::header::{ALLOW, HeaderValue},
    web,
};

use super::{
    console,
    endpoints::Page,
    openapi,
    routing::{get, options, resource},
};

/// The pages, besides the console's own and the root.
pub const PAGES: [Page; 3] = [
    Page {
        path: "/openapi.json",
        route: || web::to(openapi::json),
    },
    Page {
        path: "/docs",
        route: || web::to(openapi::swagger_ui::page),
    },
    Page {
        path: "/docs/{file}",
        route: || web::to(openapi::swagger_ui::file),
    },
];

/// Creates the resource of the root, which leads to the console. It handles OPTIONS because `HAProxy` checks servers
/// with `OPTIONS /` by default.
pub fn root(path: &str) -> Resource {
    resource(path, [get(console::redirect_to_console), options(allow_root)])
}

/// `OPTIONS /`: names the methods of the root.
async fn allow_root() -> HttpResponse {
    HttpResponse::NoContent()
        .insert_header((ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS")))
        .finish()
}
