//! Pages for browsers, and their assets.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, ContentType},
};

use super::error::ApiError;

/// A content security policy that allows only scripts, styles, images and connections of this
/// server (CSP 3).
pub const OWN_SCRIPTS_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'";

/// Creates a page with a content security policy.
pub fn html(text: String, policy: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::html())
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .body(text)
}

/// Creates a static page with a content security policy. Replaces `{{base_path}}` with the context
/// path.
pub fn static_html(text: &str, base_path: &str, policy: &'static str) -> HttpResponse {
    html(text.replace("{{base_path}}", base_path), policy)
}

/// A file that a page loads.
pub struct Asset {
    name: &'static str,
    content: &'static [u8],
}

impl Asset {
    /// Creates an asset with this name.
    pub const fn new(name: &'static str, content: &'static [u8]) -> Self {
        Self { name, content }
    }

    /// Returns the file that the `{file}` segment of a request's path names.
    pub fn find(files: &'static [Self], request: &HttpRequest) -> Result<HttpResponse, ApiError> {
        let wanted = request.match_info().get("file");
        let file = files
            .iter()
            .find(|file| Some(file.name) == wanted)
            .ok_or_else(|| ApiError::not_found("this path does not exist"))?;
        let content_type = match file.name.rsplit_once('.') {
            Some((_, "css")) => "text/css; charset=utf-8",
            Some((_, "js")) => "text/javascript; charset=utf-8",
            _ => "application/octet-stream",
        };
        Ok(HttpResponse::Ok().content_type(content_type).body(file.content))
    }
}
