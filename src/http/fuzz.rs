//! Entry points into private code for the fuzz targets in `fuzz/`. Not part of the library's public API.

use std::net::IpAddr;

use actix_web::http::{
    Uri,
    header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use secrecy::ExposeSecret;

use super::{
    Peer, Proxies, ProxyHeader, api_tokens, audit_events,
    extract::{
        credentials::{self, Credentials},
        query::{QueryParameters, read_query},
    },
    graphql,
};
use crate::domain::{audit::EventFilter, page::TokenFilter};

/// Returns the client's address behind `peer`, from the values of the proxy header.
pub fn client_address(proxies: &Proxies, peer: IpAddr, lines: &[&[u8]]) -> Option<IpAddr> {
    let name = match proxies.header {
        ProxyHeader::XForwardedFor => HeaderName::from_static("x-forwarded-for"),
        ProxyHeader::Forwarded => HeaderName::from_static("forwarded"),
    };
    let values = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok());
    let headers: HeaderMap = values.map(|value| (name.clone(), value)).collect();
    proxies.client_address(Peer::Address(peer), &headers)
}

/// Parses the name and password of an `Authorization` header.
pub fn basic(header: &[u8]) -> Option<(String, String)> {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_bytes(header).ok()?);
    match credentials::parse_basic(&headers).ok()?? {
        Credentials::Value(_) | Credentials::Client { .. } => None,
        Credentials::Password { name, password } => Some((name, password.expose_secret().to_owned())),
    }
}

/// Returns the `Authorization` header for `name:password`.
pub fn basic_header(pair: &[u8]) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

/// Returns `true` if a GraphQL document would be executed.
pub fn check_graphql(document: &str) -> bool {
    let mut request = async_graphql::Request::new(document);
    !graphql::nesting::nests_too_deeply(document) && matches!(graphql::validate(&mut request), Ok(None))
}

/// Parses the query string of `GET /audit-events`.
pub fn audit_filter(query: &str) -> Option<EventFilter> {
    let query: audit_events::EventQuery = parse(query)?;
    query.filter().ok()
}

/// Parses the query string of `GET /api-tokens`.
pub fn list_filter(query: &str) -> Option<TokenFilter> {
    let query: api_tokens::query::ListQuery = parse(query)?;
    query.filters.filter(false).ok()
}

/// Parses a query string that a URI can contain.
fn parse<T: QueryParameters>(query: &str) -> Option<T> {
    let uri: Uri = format!("/?{query}").parse().ok()?;
    read_query(uri.query().unwrap_or_default(), &T::names()).ok()
}
