//! The gate for other services: a proxy asks it to authorize each request (nginx's `auth_request`,
//! Caddy's `forward_auth`, Traefik's `ForwardAuth`, Envoy's `ext_authz`).

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    time::{Duration, Instant},
};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::{
        Method,
        header::{HeaderName, HeaderValue, InvalidHeaderValue},
    },
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use utoipa::IntoResponses;

use super::{
    error::{ApiError, Challenge},
    extract::{credentials, misconfigured, origin, query, state},
    request::{CallerIdentity, LegacyPrefix, TrailingSlash},
};
use crate::{
    domain::{
        name::TokenName,
        permission::{Permission, PermissionSet},
        token::{Token, TokenId},
    },
    service::{Refusal, authentication::PresentedCredential},
    view::schemas::PermissionName,
};

/// The headers in which proxies send the method of the original request, and its path and query:
/// `X-Original-URL` from ingress-nginx, the other `X-Original-*` by convention with nginx,
/// `X-Forwarded-*` always with Caddy and Traefik.
static METHOD_HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("x-original-method"),
    HeaderName::from_static("x-forwarded-method"),
];
static URI_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("x-original-uri"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-forwarded-uri"),
];

const TOKEN_ID: HeaderName = HeaderName::from_static("x-token-id");
const TOKEN_NAME: HeaderName = HeaderName::from_static("x-token-name");
const TOKEN_PERMISSIONS: HeaderName = HeaderName::from_static("x-token-permissions");

/// Maximum number of tokens whose response headers a worker caches.
const MAX_CACHED_HEADERS: usize = 4096;

/// Minimum interval between log lines of a worker about a misconfigured gate.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// The characters of a token name that are percent-encoded in the header: all but the unreserved
/// ones of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The response to an authorized request.
#[derive(IntoResponses)]
#[response(
    status = 200, description = "The request is authorized",
    headers(
        ("X-Token-Id", description = "The ID of the token"),
        ("X-Token-Name", description = "The name of the token, percent-encoded"),
        ("X-Token-Permissions", description = "The permissions of the token, separated by commas"),
    ),
)]
struct Authorized;

/// `/verify`, with any method: 200 with headers about the token if the original request is
/// authorized; otherwise 401 or 403.
#[utoipa::path(
    method(get, put, post, delete, patch, options, head), path = "/verify", tag = "For other services",
    operation_id = "verify", summary = "Authorize a request to another service",
    description = "For a proxy that authorizes each request before it forwards it. Accepts every method; the response \
        has no body.",
    params(
        ("require" = Option<Vec<PermissionName>>, Query, explode, nullable = false,
            description = "The permissions that the token must have, instead of those that the original method \
                requires"),
        ("X-Original-Method" = Option<String>, Header, nullable = false,
            description = "The method of the original request"),
        ("X-Original-URI" = Option<String>, Header, nullable = false,
            description = "The path and query of the original request"),
        ("X-Original-URL" = Option<String>, Header, nullable = false, description = "The URL of the original request"),
    ),
    responses(Authorized),
    security(("ApiKeyAuth" = [])),
)]
pub async fn verify(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    // The response has no body, because a script behind the proxy may execute its response.
    authorize(&request).await.map_err(ApiError::without_body)
}

/// `/verify/{path}`, for proxies that send the original request's own method, path and query below a
/// prefix, as Envoy's `ext_authz` does.
#[utoipa::path(
    method(get, put, post, delete, patch, options, head), path = "/verify/{path}", tag = "For other services",
    operation_id = "verifyPath", summary = "Authorize a request to another service by its own method and path",
    description = "For a proxy that passes on the method, path and query of the request. Answers without a body.",
    params(
        ("path" = String, Path,
            description = "The path of the original request; its query is that of the original request, too"),
    ),
    responses(Authorized),
    security(("ApiKeyAuth" = [])),
)]
pub async fn verify_path(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    verify(request).await
}

/// The source of the original request's method, path and query.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OriginalRequest {
    /// The headers of the request to `/verify`. Its query belongs to the gate's configuration.
    Headers,
    /// The request to `/verify/…` itself, besides the headers. Its query is the client's.
    Path,
}

impl OriginalRequest {
    /// Returns the source for a request. `/verify/` is the path `/` of an original request.
    fn of(request: &HttpRequest) -> Self {
        if request.match_info().get("path").is_some() || request.extensions().contains::<TrailingSlash>() {
            Self::Path
        } else {
            Self::Headers
        }
    }
}

async fn authorize(request: &HttpRequest) -> Result<HttpResponse, ApiError> {
    let state = state(request)?;
    let origin = origin(request)?;
    let gate: &Gate = request.app_data().ok_or_else(|| misconfigured("the gate"))?;
    let original = OriginalRequest::of(request);
    let required = required(request, original, gate)?;
    let value = credentials::parse_token(request.headers())?;
    let uuid = if value.is_none() && state.config.legacy_uuid_auth {
        original_uuid(request, original)?
    } else {
        None
    };
    let shown = match (value, &uuid) {
        (Some(value), _) => PresentedCredential::Value(value),
        (None, Some(uuid)) => {
            request.extensions_mut().insert(LegacyPrefix("/verify"));
            PresentedCredential::LegacyUuid(uuid)
        }
        (None, None) => return Err(ApiError::unauthorized(Refusal::Missing, Challenge::ApiKey)),
    };
    let known = state.service.verify(shown, required, origin).await?;
    request.extensions_mut().insert(CallerIdentity::Token(known.token.id));
    let mut response = HttpResponse::Ok();
    let GateHeaders { id, name, permissions } = gate.headers(&known.token)?;
    response
        .insert_header((TOKEN_ID, id))
        .insert_header((TOKEN_NAME, name))
        .insert_header((TOKEN_PERMISSIONS, permissions));
    Ok(response.finish())
}

/// The state of the gate in one worker thread.
#[derive(Default)]
pub struct Gate {
    headers: RefCell<HashMap<TokenId, CachedHeaders>>,
    last_warning: Cell<Option<Instant>>,
}

/// Response headers, with the properties of the token from which they were built.
struct CachedHeaders {
    name: TokenName,
    permissions: PermissionSet,
    headers: GateHeaders,
}

/// The response headers about a token. A clone shares the texts.
#[derive(Clone)]
struct GateHeaders {
    id: HeaderValue,
    name: HeaderValue,
    permissions: HeaderValue,
}

impl GateHeaders {
    fn new(token: &Token) -> Result<Self, InvalidHeaderValue> {
        let name = utf8_percent_encode(token.name.as_str(), ENCODED).to_string();
        Ok(Self {
            id: token.id.to_string().try_into()?,
            name: name.try_into()?,
            permissions: token.permissions.to_string().replace(' ', ",").try_into()?,
        })
    }
}

impl Gate {
    /// Returns the response headers about this token. They are cached, so that a request with a
    /// known token encodes nothing.
    fn headers(&self, token: &Token) -> Result<GateHeaders, InvalidHeaderValue> {
        let mut cache = self.headers.borrow_mut();
        if let Some(cached) = cache.get(&token.id)
            && cached.name == token.name
            && cached.permissions == token.permissions
        {
            return Ok(cached.headers.clone());
        }
        if cache.len() >= MAX_CACHED_HEADERS {
            cache.clear();
        }
        let headers = GateHeaders::new(token)?;
        let cached = CachedHeaders {
            name: token.name.clone(),
            permissions: token.permissions,
            headers: headers.clone(),
        };
        cache.insert(token.id, cached);
        Ok(headers)
    }

    /// Refuses all requests to a misconfigured gate. The log does not contain the query, which may
    /// contain a credential.
    fn reject_misconfiguration(&self, reason: &'static str) -> ApiError {
        let last_warning = self.last_warning.get();
        // Limited because unauthenticated clients can trigger it.
        if last_warning.is_none_or(|warned| warned.elapsed() >= LOG_INTERVAL) {
            self.last_warning.set(Some(Instant::now()));
            log::warn!("/verify refuses all requests with the configured query: {reason}");
        }
        ApiError::forbidden(reason)
    }
}

/// Returns the permissions that the token must have: those that the gate's query requires, or by
/// default those that the legacy add-on demanded.
fn required(request: &HttpRequest, original: OriginalRequest, gate: &Gate) -> Result<PermissionSet, ApiError> {
    let by_method = || {
        PermissionSet::token_management().with(Permission::OrganizationAPITokenModify, !is_read_only(request, original))
    };
    if original == OriginalRequest::Path || request.query_string().is_empty() {
        return Ok(by_method());
    }
    let named: Vec<(String, String)> =
        query::parse(request.query_string()).map_err(|_| gate.reject_misconfiguration("the query is malformed"))?;
    if named.is_empty() {
        return Ok(by_method());
    }
    if named.iter().any(|(name, _)| name != "require") {
        return Err(gate.reject_misconfiguration("\"require\" is the only supported parameter"));
    }
    PermissionSet::parse(named.into_iter().map(|(_, permission)| permission))
        .map_err(|_| gate.reject_misconfiguration("\"require\" must be the name of a permission"))
}

/// Returns `true` if the original request only reads. All sources of its method must agree, because
/// a client can send a header itself beside the proxy's.
fn is_read_only(request: &HttpRequest, original: OriginalRequest) -> bool {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS];
    let mut methods = METHOD_HEADERS
        .iter()
        .flat_map(|name| request.headers().get_all(name))
        .peekable();
    if (original == OriginalRequest::Path || methods.peek().is_none()) && !safe.contains(request.method()) {
        return false;
    }
    methods.all(|method| safe.iter().any(|safe| safe.as_str().as_bytes() == method.as_bytes()))
}

/// Returns the UUID in the query of the original request. All sources of its URI must have the same
/// one, because the service behind the gate could use another one than the gate.
fn original_uuid(request: &HttpRequest, original: OriginalRequest) -> Result<Option<String>, Ambiguous> {
    let own = (original == OriginalRequest::Path).then(|| Ok(request.query_string()));
    let sent = URI_HEADERS.iter().flat_map(|name| request.headers().get_all(name));
    let queries = own.into_iter().chain(sent.map(query_of));
    let mut uuids = queries.map(|query| query.and_then(uuid_in));
    let first = uuids.next().transpose()?.flatten();
    if uuids.any(|uuid| uuid.as_ref() != Ok(&first)) {
        return Err(Ambiguous);
    }
    Ok(first)
}

/// An original request that is malformed, or has several UUIDs.
#[derive(PartialEq, Eq)]
struct Ambiguous;

impl From<Ambiguous> for ApiError {
    fn from(Ambiguous: Ambiguous) -> Self {
        Self::unauthorized(Refusal::Malformed, Challenge::ApiKey)
    }
}

/// Returns the query of a URI in a header.
fn query_of(uri: &HeaderValue) -> Result<&str, Ambiguous> {
    let uri = uri.to_str().map_err(|_| Ambiguous)?;
    Ok(uri.split_once('?').map_or("", |(_, query)| query))
}

/// Returns the UUID in a query.
fn uuid_in(query: &str) -> Result<Option<String>, Ambiguous> {
    let parameters: Vec<(String, String)> = query::parse(query).map_err(|_| Ambiguous)?;
    let mut uuids = parameters
        .into_iter()
        .filter_map(|(name, uuid)| (name == "uuid").then_some(uuid));
    let first = uuids.next();
    if uuids.any(|uuid| Some(uuid) != first) {
        return Err(Ambiguous);
    }
    Ok(first)
}
