//! The playground: a page to try the API with, which asks nobody but this server.

use actix_web::{HttpRequest, HttpResponse};

use crate::http::{
    error::Failure,
    extract::state,
    page::{Asset, SCRIPTS_OF_OUR_OWN, fixed_html},
};

const PAGE: &str = include_str!("playground.html");
const FILES: [Asset; 2] = [
    Asset::new("playground.css", include_bytes!("playground.css")),
    Asset::new("playground.js", include_bytes!("playground.js")),
];

/// `GET /public/graphql`.
#[utoipa::path(
    get, path = "/public/graphql", tag = "GraphQL", operation_id = "playground", summary = "Show a playground, for browsers",
    responses((status = 200, description = "The page", content_type = "text/html", body = String)),
    security(()),
)]
pub async fn page(request: HttpRequest) -> Result<HttpResponse, Failure> {
    Ok(fixed_html(PAGE, &state(&request)?.config.base_path, SCRIPTS_OF_OUR_OWN))
}

/// `GET /public/graphql/{file}`.
pub async fn file(request: HttpRequest) -> Result<HttpResponse, Failure> {
    Asset::find(&FILES, &request)
}
