//! Swagger UI, embedded in the binary. It shows this server's document and loads nothing from other
//! servers.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use actix_web::{
    HttpRequest, HttpResponse,
    web::{Bytes, Data},
};
use utoipa_swagger_ui::Config;

use crate::http::{
    State,
    asset::{Asset, Assets},
    error::ApiError,
    page::static_html,
};

const PAGE: &str = include_str!("swagger_ui.html");
static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let library = ["swagger-ui.css", "swagger-ui-bundle.js"].into_iter();
    let own = [
        Asset::new("swagger_ui.css", include_bytes!("swagger_ui.css")),
        Asset::new("swagger_ui.js", include_bytes!("swagger_ui.js")),
    ];
    Assets::new(library.filter_map(open).chain(own).collect())
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

/// Opens a file of the Swagger UI library, which is embedded in compressed form.
fn open(name: &'static str) -> Option<Asset> {
    let file = utoipa_swagger_ui::serve(name, Arc::new(Config::default())).ok()??;
    let compressed = match file.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    Asset::decompress(name, compressed).ok()
}
