//! Paths and queries of the console's pages.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// The path of the sign-in page below the console.
pub const SIGN_IN: &str = "/sign-in";
/// The path of the default page below the console.
pub const FIRST_PAGE: &str = "/tokens";

const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Builds a query string with a leading question mark. Leaves out empty parameters; returns an
/// empty text if none is left.
pub fn build_query(parameters: &[(&str, &str)]) -> String {
    let pairs = parameters.iter().filter(|(_, value)| !value.is_empty());
    let pairs = pairs.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, QUERY)));
    let query = pairs.collect::<Vec<_>>().join("&");
    if query.is_empty() { query } else { format!("?{query}") }
}

/// Returns the path of the target after the sign-in, or of the default page if `next` is not a
/// console path.
pub fn resolve_next(base: &str, next: &str) -> String {
    let next = if is_console_path(next) { next } else { FIRST_PAGE };
    format!("{base}{next}")
}

/// Returns `true` if a path stays below the path that it is appended to, as browsers parse it
/// (WHATWG URL, section 4.4): they treat backslashes as slashes, and `%2e` as a dot. This prevents
/// open redirects.
fn is_console_path(next: &str) -> bool {
    let path = next.split(['?', '#']).next().unwrap_or_default();
    let leads_up = |segment: &str| percent_decode_str(segment).eq(*b"..");
    next.starts_with('/') && next.bytes().all(|byte| byte.is_ascii_graphic()) && !path.split(['/', '\\']).any(leads_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirect_targets_stay_within_the_console() {
        for next in [
            "/tokens",
            "/audit?actor=a%20b&channel=..",
            "/tokens/..x",
            "/x/./y",
            "//evil.example",
        ] {
            assert_eq!(resolve_next("/console", next), format!("/console{next}"));
        }
        for next in [
            "",
            "tokens",
            "https://evil.example",
            "/../docs",
            "/tokens/%2e%2E/../x",
            "/..\\docs",
            "/.%2e?x",
            "/..#x",
            "/.\t./docs",
            "/a b",
            "/\r\nx: y",
            "/\u{e4}",
        ] {
            assert_eq!(resolve_next("/console", next), "/console/tokens", "{next:?}");
        }
    }
}
