//! Swagger UI, embedded in the binary. It shows this server's document and loads nothing from other
//! servers.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header,
    web::{Bytes, Data},
};
use utoipa_swagger_ui::Config;

use crate::http::{
    State,
    error::ApiError,
    page::{Asset, static_html},
};

const PAGE: &str = include_str!("swagger_ui.html");
const START: [Asset; 1] = [Asset::new("swagger_ui.js", include_bytes!("swagger_ui.js"))];
/// The library files for the page, shared by all responses.
static LIBRARY: LazyLock<Vec<LibraryFile>> = LazyLock::new(|| {
    let names = ["swagger-ui.css", "swagger-ui-bundle.js"];
    names.into_iter().filter_map(LibraryFile::open).collect()
});
/// The content security policy. Swagger UI needs inline styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// `GET /docs`: the page.
pub async fn page(state: Data<State>) -> HttpResponse {
    static_html(PAGE, &state.config.base_path, POLICY)
}

/// `GET /docs/{file}`: a file of the page.
pub async fn file(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let wanted = request.match_info().get("file");
    match LIBRARY.iter().find(|file| wanted == Some(file.name)) {
        Some(file) => {
            let mut response = HttpResponse::Ok();
            if file.is_compressed {
                response.insert_header((header::CONTENT_ENCODING, "gzip"));
            }
            Ok(response
                .content_type(file.content_type.as_str())
                .body(file.content.clone()))
        }
        None => Asset::find(&START, &request),
    }
}

/// A file of the Swagger UI library.
struct LibraryFile {
    name: &'static str,
    content_type: String,
    is_compressed: bool,
    content: Bytes,
}

impl LibraryFile {
    fn open(name: &'static str) -> Option<Self> {
        let file = utoipa_swagger_ui::serve(name, Arc::new(Config::default())).ok()??;
        Some(Self {
            name,
            content_type: file.content_type,
            is_compressed: file.gzpipped,
            content: match file.bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            },
        })
    }
}
