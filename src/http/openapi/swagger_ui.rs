//! Swagger UI, from the binary: it shows this server's document, and asks nobody else.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use actix_web::{HttpRequest, HttpResponse, http::header, web::Bytes};
use utoipa_swagger_ui::{Config, SwaggerFile};

use crate::http::{
    error::Failure,
    extract::state,
    page::{Asset, fixed_html},
};

const PAGE: &str = include_str!("swagger_ui.html");
const START: [Asset; 1] = [Asset::new("swagger_ui.js", include_bytes!("swagger_ui.js"))];
/// The files of the library that the page uses.
const OF_LIBRARY: [&str; 2] = ["swagger-ui.css", "swagger-ui-bundle.js"];
/// Swagger UI styles its elements one by one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// `GET /docs`.
pub async fn page(request: HttpRequest) -> Result<HttpResponse, Failure> {
    Ok(fixed_html(PAGE, &state(&request)?.config.base_path, POLICY))
}

/// `GET /docs/{file}`.
pub async fn file(request: HttpRequest) -> Result<HttpResponse, Failure> {
    let wanted = request.match_info().get("file");
    let of_library = OF_LIBRARY.into_iter().find(|name| wanted == Some(*name));
    match of_library.and_then(from_library) {
        Some(file) => {
            let mut response = HttpResponse::Ok();
            if file.gzpipped {
                response.insert_header((header::CONTENT_ENCODING, "gzip"));
            }
            Ok(response.content_type(file.content_type).body(match file.bytes {
                Cow::Borrowed(bytes) => Bytes::from_static(bytes),
                Cow::Owned(bytes) => bytes.into(),
            }))
        }
        None => Asset::find(&START, &request),
    }
}

fn from_library(name: &str) -> Option<SwaggerFile<'static>> {
    static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(Arc::default);
    utoipa_swagger_ui::serve(name, Arc::clone(&CONFIG)).ok().flatten()
}
