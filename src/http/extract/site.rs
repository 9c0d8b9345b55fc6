//! Detects requests from pages of other sites: browsers attach remembered Basic credentials to the requests of any
//! page.

use std::net::Ipv6Addr;

use actix_web::{
    HttpRequest,
    http::{
        header::{self, HeaderMap, HeaderName},
        uri::Authority,
    },
};

use super::state;
use crate::http::{
    Config,
    connection::{self, Peer},
    error::ApiError,
};

/// The relation between the site that sends a request and this server's site (Fetch Metadata).
const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
/// The mode of a request, such as a navigation or a script's request (Fetch Metadata).
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Refuses an unsafe request from a page of another site (CSRF). Programs other than browsers send
/// neither of the checked headers.
///
/// # Errors
/// 403 if `Sec-Fetch-Site` is neither `same-origin` nor `none`, or, without it, if `Origin` is not this server's own.
pub fn refuse_cross_site(request: &HttpRequest) -> Result<(), ApiError> {
    if request.method().is_safe() {
        return Ok(());
    }
    let headers = request.headers();
    let is_trusted = if headers.contains_key(FETCH_SITE) {
        headers
            .get_all(FETCH_SITE)
            .all(|site| site == "same-origin" || site == "none")
    } else {
        headers.get_all(header::ORIGIN).all(|origin| {
            let origin = origin.to_str().unwrap_or_default();
            own_host(request).is_some_and(|host| is_own(origin, scheme(request), &host))
        })
    };
    if is_trusted {
        Ok(())
    } else {
        Err(ApiError::forbidden(
            "cross-site request: a page of another site must not use credentials that the browser has stored",
        ))
    }
}

/// Returns `true` if a page of this server sent the request, as the browser says.
pub fn is_same_origin(request: &HttpRequest) -> bool {
    request
        .headers()
        .get(FETCH_SITE)
        .is_some_and(|site| site == "same-origin")
}

/// Returns `true` if a browser sent the request.
pub fn is_from_browser(headers: &HeaderMap) -> bool {
    [FETCH_SITE, FETCH_MODE, header::ORIGIN]
        .iter()
        .any(|name| headers.contains_key(name))
}

/// Returns `true` if a script in a browser sent the request. A Basic challenge would open a login dialog for its user.
pub fn is_from_script(headers: &HeaderMap) -> bool {
    headers.get(FETCH_MODE).is_some_and(|mode| mode != "navigate")
}

/// Returns `true` if the browser uses HTTPS to connect to this server or to a trusted proxy.
pub fn is_secure(request: &HttpRequest) -> bool {
    let (Ok(state), Some(peer)) = (state(request), connection::peer(request)) else {
        return false;
    };
    let Config {
        serves_https, proxies, ..
    } = &state.config;
    let uses_tls = match peer {
        Peer::Address(_) => *serves_https,
        Peer::UnixSocket => false,
    };
    uses_tls || proxies.reports_https(peer, request.headers())
}

/// Returns the origin that the client sent the request to: its scheme, host, and port (RFC 6454), as the request or a
/// trusted proxy reports them.
///
/// # Errors
/// 400 if the host is missing or malformed. Clients use the origin in URLs.
pub fn own_origin(request: &HttpRequest) -> Result<String, ApiError> {
    let host = own_host(request).filter(|host| is_host(host)).ok_or_else(|| {
        ApiError::bad_request(
            "Host: must be a host name or an IP address, with an optional port (behind a proxy: \
            X-Forwarded-Host or Forwarded)",
        )
    })?;
    let scheme = scheme(request);
    Ok(format!("{scheme}://{}", without_default_port(scheme, &host)))
}

/// Returns `true` for a host name or an IP address, with an optional port (RFC 3986, section 3.2), and nothing else.
fn is_host(text: &str) -> bool {
    let is_number = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    if let Some((address, rest)) = text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        let is_port = rest.is_empty() || rest.strip_prefix(':').is_some_and(is_number);
        return is_port && address.parse::<Ipv6Addr>().is_ok();
    }
    let (name, port) = match text.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (text, None),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_plain);
    name.strip_suffix('.').unwrap_or(name).split('.').all(is_label) && port.is_none_or(is_number)
}

fn scheme(request: &HttpRequest) -> &'static str {
    if is_secure(request) { "https" } else { "http" }
}

/// Returns the host and port that the client requested, from a trusted proxy or else from the request. A request target
/// with a host takes precedence over the `Host` header (RFC 9112, section 3.2.2).
fn own_host(request: &HttpRequest) -> Option<String> {
    let headers = request.headers();
    let proxies = &state(request).ok()?.config.proxies;
    let by_proxy = connection::peer(request).and_then(|peer| proxies.host(peer, headers));
    let of_target = request.uri().authority().map(Authority::as_str);
    let of_header = || headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = by_proxy.or(of_target).or_else(of_header);
    host.map(ToOwned::to_owned)
}

/// Returns `true` if `origin` has this scheme and host (RFC 6454, section 5). `null` never matches.
fn is_own(origin: &str, scheme: &str, host: &str) -> bool {
    origin.split_once("://").is_some_and(|(of_origin, host_of_origin)| {
        of_origin.eq_ignore_ascii_case(scheme)
            && without_default_port(scheme, host_of_origin).eq_ignore_ascii_case(without_default_port(scheme, host))
    })
}

fn without_default_port<'h>(scheme: &str, host: &'h str) -> &'h str {
    let port = if scheme == "https" { ":443" } else { ":80" };
    host.strip_suffix(port).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_have_nothing_but_a_name_and_a_port() {
        for host in [
            "localhost",
            "tokens.example:8086",
            "[2001:db8::7]:443",
            "10.0.0.7",
            "token_bridge",
            "tokens.example.",
        ] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "", ":80", "a:", "a:b", "a:99999", "a b", "a/b", "a?b", "a#b", "user@a", "a,b", "a\"b", "a<b>", "a%41",
            "[::1", "a:1:2", "..", ".", "a..b", ".a", "[]", "[]:80", "[a]", "[::1]x", "[::1]:", "a:+1", " ", "::1",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn origins_are_compared_by_scheme_host_and_port() {
        for (origin, scheme, host) in [
            ("http://localhost:8086", "http", "localhost:8086"),
            ("http://Tokens.example", "http", "tokens.example:80"),
            ("https://tokens.example:443", "https", "tokens.example"),
            ("http://[::1]:8086", "http", "[::1]:8086"),
        ] {
            assert!(is_own(origin, scheme, host), "{origin}");
        }
        for (origin, scheme, host) in [
            ("null", "http", "null"),
            ("", "http", ""),
            ("http://tokens.example", "https", "tokens.example"),
            ("https://tokens.example:80", "https", "tokens.example"),
            ("http://tokens.example.evil.example", "http", "tokens.example"),
            ("http://localhost:8087", "http", "localhost:8086"),
        ] {
            assert!(!is_own(origin, scheme, host), "{origin}");
        }
    }
}
