//! Pages for browsers.

use actix_web::{
    HttpResponse,
    http::header::{self, ContentType},
};

use super::asset::Assets;

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
/// path, and the name of an asset in such braces with its path segment.
pub fn static_html(text: &str, base_path: &str, assets: &Assets, policy: &'static str) -> HttpResponse {
    html(assets.resolve(&text.replace("{{base_path}}", base_path)), policy)
}
