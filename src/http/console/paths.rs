//! Paths and queries of the console's pages.

use actix_web::HttpRequest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::http::extract::query;

/// The path of the sign-in page below the console.
pub const SIGN_IN: &str = "/sign-in";
/// The path of the overview, the default page, below the console.
pub const FIRST_PAGE: &str = "";
/// The path of the list of tokens below the console.
pub const TOKENS: &str = "/tokens";

const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Builds a query string with a leading question mark. Leaves out empty parameters; returns an
/// empty text if none is left.
pub fn build_query(parameters: &[(&str, &str)]) -> String {
    let query = encode_pairs(parameters.iter().copied().filter(|(_, value)| !value.is_empty()));
    if query.is_empty() { query } else { format!("?{query}") }
}

/// URL-encodes names and values.
pub fn encode_pairs<'p>(pairs: impl Iterator<Item = (&'p str, &'p str)>) -> String {
    let encode = |text| utf8_percent_encode(text, QUERY);
    let pairs = pairs.map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
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

/// The list that an action returns to, with its filter, order, and position, as a path below the console. Pages pass it
/// on in links and in a hidden field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Back(String);

impl Back {
    /// The name of the parameter and of the hidden field.
    pub const PARAMETER: &str = "back";
    /// The parameter with the name of a notice that the list shows.
    pub const NOTICE: &str = "done";
    /// The parameter with the number that the notice names.
    pub const COUNT: &str = "count";

    /// Reads the parameter or the field. Anything but a path below the console is the list of all tokens.
    pub fn parse(text: &str) -> Self {
        let text = text.split('#').next().unwrap_or_default();
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        if !is_console_path(path) {
            return Self(TOKENS.to_owned());
        }
        // A notice is shown once, and nests no further list.
        let is_kept = |pair: &&str| {
            let name = pair.split('=').next().unwrap_or_default();
            !name.is_empty() && ![Self::PARAMETER, Self::NOTICE, Self::COUNT].contains(&name)
        };
        let query: Vec<_> = query
            .split('&')
            .filter(is_kept)
            .filter(|pair| pair.bytes().all(|byte| byte.is_ascii_graphic()))
            .collect();
        let mark = if query.is_empty() { "" } else { "?" };
        Self(format!("{path}{mark}{}", query.join("&")))
    }

    /// Returns the list that a request names in its query.
    pub fn of(request: &HttpRequest) -> Self {
        let pairs: Vec<(String, String)> = query::parse(request.query_string()).unwrap_or_default();
        let named = pairs.iter().find(|(name, _)| name == Self::PARAMETER);
        Self::parse(named.map_or("", |(_, back)| back))
    }

    /// Returns the path below the console, for the hidden field [`Back::PARAMETER`].
    pub fn path(&self) -> &str {
        &self.0
    }

    /// Returns the query of the list.
    pub fn query(&self) -> &str {
        self.0.split_once('?').map_or("", |(_, query)| query)
    }

    /// Returns the link to the list, for "Cancel".
    pub fn link(&self, base: &str) -> String {
        format!("{base}{}", self.0)
    }

    /// Returns the link to another page that comes back to the list.
    pub fn link_from(&self, path: &str) -> String {
        let back = if self.0 == TOKENS { "" } else { &self.0 };
        format!("{path}{}", build_query(&[(Self::PARAMETER, back)]))
    }

    /// Returns the link to the list with a notice that names a number.
    pub fn with_counted_notice(&self, base: &str, notice: &str, count: u64) -> String {
        format!("{}&{}={count}", self.with_notice(base, notice), Self::COUNT)
    }

    /// Returns the link to the list with a notice.
    pub fn with_notice(&self, base: &str, notice: &str) -> String {
        let mark = if self.query().is_empty() { '?' } else { '&' };
        format!("{base}{}{mark}{}={notice}", self.0, Self::NOTICE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_return_to_the_list_as_it_was() {
        for (text, path) in [
            ("/tokens?show=unused&after=x", "/tokens?show=unused&after=x"),
            ("/tokens?done=deleted&show=unused&count=3", "/tokens?show=unused"),
            ("/tokens?back=/tokens?back=x", "/tokens"),
            ("/tokens?search=a%26b#main", "/tokens?search=a%26b"),
            ("/tokens?a b\r\nx: y&show=legacy", "/tokens?show=legacy"),
            ("https://evil.example", "/tokens"),
            ("/../docs?show=unused", "/tokens"),
            ("", "/tokens"),
        ] {
            let back = Back::parse(text);
            assert_eq!(back.path(), path, "{text}");
            assert_eq!(Back::parse(back.path()), back);
        }
        let all = Back::parse("");
        assert_eq!(all.with_notice("/console", "deleted"), "/console/tokens?done=deleted");
        assert_eq!(all.link_from("/console/tokens/1"), "/console/tokens/1");
        let filtered = Back::parse("/tokens?show=unused");
        assert_eq!(
            filtered.with_notice("/console", "deleted"),
            "/console/tokens?show=unused&done=deleted"
        );
        assert_eq!(
            filtered.link_from("/console/tokens/1"),
            "/console/tokens/1?back=%2Ftokens%3Fshow%3Dunused"
        );
    }

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
            assert_eq!(resolve_next("/console", next), "/console", "{next:?}");
        }
    }
}
