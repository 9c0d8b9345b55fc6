//! The playground: a page to try out the API. It loads nothing from other servers.

use std::sync::LazyLock;

use actix_web::{HttpRequest, HttpResponse, web::Data};

use crate::http::{
    State,
    asset::{Asset, Assets},
    error::ApiError,
    page::{OWN_SCRIPTS_POLICY, static_html},
};

const PAGE: &str = include_str!("playground.html");
static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    Assets::new(vec![
        Asset::new("playground.css", include_bytes!("playground.css")),
        Asset::new("playground.js", include_bytes!("playground.js")),
    ])
});

/// `GET /public/graphql`: the page.
#[utoipa::path(
    get, path = "/public/graphql", tag = "GraphQL", operation_id = "playground",
    summary = "Show the GraphQL playground",
    description = "Returns a page on which to write and send GraphQL requests.",
    responses((status = 200, description = "The page", content_type = "text/html", body = String)),
    security(()),
)]
pub async fn page(state: Data<State>) -> HttpResponse {
    static_html(PAGE, &state.config.base_path, &ASSETS, OWN_SCRIPTS_POLICY)
}

/// `GET /public/graphql/{file}`: the page's style sheet and script.
pub async fn file(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    ASSETS.find(&request)
}
