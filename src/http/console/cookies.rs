//! The cookies of the console.

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, CookieBuilder, SameSite, time::Duration},
    http::header,
};

use crate::{domain::session::SessionKey, http::extract::site::is_secure};

/// The cookie with the key of the session.
pub const SESSION: &str = "tokenbridge_session";
/// The cookie with the key of the sign-in form. It is separate from the session cookie: a browser
/// that follows another site's link does not send that one, and must not lose it.
pub const SIGN_IN_FORM: &str = "tokenbridge_sign_in";
/// The cookie with the language that the user chose.
pub const LANGUAGE: &str = "tokenbridge_language";

/// The cookie with the theme that the user chose.
pub const THEME: &str = "tokenbridge_theme";

const PREFERENCE_MAX_AGE: Duration = Duration::days(365);

/// Returns the values of all cookies with this name, the one with the most specific path first.
/// Malformed cookies, which other programs on this host may have set, are skipped.
pub fn values<'r>(request: &'r HttpRequest, name: &'r str) -> impl Iterator<Item = &'r str> {
    let lines = request.headers().get_all(header::COOKIE);
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='));
    pairs.filter(move |(known, _)| *known == name).map(|(_, value)| value)
}

/// Returns the key in the cookie with this name.
pub fn read_key(request: &HttpRequest, name: &str) -> Option<SessionKey> {
    values(request, name).find_map(|value| value.parse().ok())
}

/// Adds a cookie with a key to a response.
pub fn add_key(response: &mut HttpResponse, request: &HttpRequest, name: &'static str, path: &str, key: &SessionKey) {
    add(response, build(name, key.expose(), path).secure(is_secure(request)));
}

/// Adds a cookie with a preference of the user to a response.
pub fn add_preference(
    response: &mut HttpResponse,
    request: &HttpRequest,
    name: &'static str,
    path: &str,
    value: &'static str,
) {
    let cookie = build(name, value, path).max_age(PREFERENCE_MAX_AGE);
    add(response, cookie.secure(is_secure(request)));
}

/// Removes the session cookie from the browser.
pub fn remove_session(response: &mut HttpResponse, path: &str) {
    add(response, build(SESSION, "", path).max_age(Duration::ZERO));
}

/// Builds a cookie that scripts cannot read (`HttpOnly`) and that requests from other sites do not
/// include (`SameSite`).
fn build<'c>(name: &'static str, value: &'c str, path: &'c str) -> CookieBuilder<'c> {
    Cookie::build(name, value)
        .path(path)
        .http_only(true)
        .same_site(SameSite::Strict)
}

fn add(response: &mut HttpResponse, cookie: CookieBuilder<'_>) {
    // Adding a cookie fails only if its text is not a valid header value.
    let _ = response.add_cookie(&cookie.finish());
}
