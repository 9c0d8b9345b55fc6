//! Swagger UI, embedded in the binary. It shows this server's document and loads nothing from other
//! servers.

use std::sync::LazyLock;

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Bytes, Data},
};

use crate::http::{
    State,
    asset::{Asset, Assets},
    error::ApiError,
    page::static_html,
};

const PAGE: &str = include_str!("swagger_ui.html");
/// The library, compressed, from the build script.
const LIBRARY_CSS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css.gz"));
const LIBRARY_JS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js.gz"));
static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let library = [("swagger-ui.css", LIBRARY_CSS), ("swagger-ui-bundle.js", LIBRARY_JS)]
        .into_iter()
        .filter_map(|(name, compressed)| Asset::decompress(name, Bytes::from_static(compressed)).ok());
    let own = [
        Asset::new("swagger_ui.css", include_bytes!("swagger_ui.css")),
        Asset::new("swagger_ui.js", include_bytes!("swagger_ui.js")),
    ];
    Assets::new(library.chain(own).collect())
});
/// The content security policy. Swagger UI needs inline styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// `GET /docs`: the page.
pub async fn page(state: Data<State>) -> HttpResponse {
    static_html(PAGE, &state.config.base_path, &ASSETS, POLICY)
}

/// `GET /docs/{file}`: a file of the page.
pub async fn file(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    ASSETS.find(&request)
}
