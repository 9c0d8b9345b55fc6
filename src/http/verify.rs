//! The gate for other services: a proxy asks it to authorize each request (nginx's `auth_request`,
//! Caddy's `forward_auth`, Traefik's `ForwardAuth`).

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

use super::{
    error::{ApiError, Challenge},
    extract::{credentials, misconfigured, origin, query, state},
    request::{CallerIdentity, LegacyPrefix},
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
/// the first of each by convention with nginx, the second always with Caddy and Traefik.
static METHOD_HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("x-original-method"),
    HeaderName::from_static("x-forwarded-method"),
];
static URI_HEADERS: [HeaderName; 2] = [
    HeaderName::from_static("x-original-uri"),
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

/// `/verify`, with any method: 200 with headers about the token if the original request is
/// authorized; otherwise 401 or 403.
#[utoipa::path(
    method(get, put, post, delete, patch, options, head), path = "/verify", tag = "For other services",
    operation_id = "verify", summary = "Authorize a request to another service",
    params(
        ("require" = Option<Vec<PermissionName>>, Query, explode, nullable = false,
            description = "The permissions that the token must have, instead of those that the original method requires"),
        ("X-Original-Method" = Option<String>, Header, nullable = false, description = "The method of the original request"),
        ("X-Original-URI" = Option<String>, Header, nullable = false, description = "The path and query of the original request"),
    ),
    responses((
        status = 200, description = "The request is authorized",
        headers(
            ("X-Token-Id", description = "The ID of the token"),
            ("X-Token-Name", description = "The name of the token, percent-encoded"),
            ("X-Token-Permissions", description = "The permissions of the token, separated by commas"),
        ),
    )),
    security(("ApiKeyAuth" = [])),
)]
pub async fn verify(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    // The response has no body, because a script behind the proxy may execute its response.
    authorize(&request).await.map_err(ApiError::without_body)
}

async fn authorize(request: &HttpRequest) -> Result<HttpResponse, ApiError> {
    let state = state(request)?;
    let origin = origin(request)?;
    let gate: &Gate = request.app_data().ok_or_else(|| misconfigured("the gate"))?;
    let required = required(request, gate)?;
    let value = credentials::parse_token(request.headers())?;
    let uuid = if value.is_none() && state.config.legacy_uuid_auth {
        original_uuid(request)?
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
fn required(request: &HttpRequest, gate: &Gate) -> Result<PermissionSet, ApiError> {
    let by_method =
        || PermissionSet::token_management().with(Permission::OrganizationAPITokenModify, !is_read_only(request));
    if request.query_string().is_empty() {
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

/// Returns `true` if the original request only reads. All method headers must agree, because a
/// client can send one itself beside the proxy's.
fn is_read_only(request: &HttpRequest) -> bool {
    let safe = [Method::GET, Method::HEAD, Method::OPTIONS];
    let mut methods = METHOD_HEADERS
        .iter()
        .flat_map(|name| request.headers().get_all(name))
        .peekable();
    if methods.peek().is_none() {
        return safe.contains(request.method());
    }
    methods.all(|method| safe.iter().any(|safe| safe.as_str().as_bytes() == method.as_bytes()))
}

/// Returns the UUID in the query of the original request. Different UUIDs are refused: the service
/// behind the gate could use another one than the gate.
fn original_uuid(request: &HttpRequest) -> Result<Option<String>, ApiError> {
    let malformed = || ApiError::unauthorized(Refusal::Malformed, Challenge::ApiKey);
    let mut found: Option<String> = None;
    for uri in URI_HEADERS.iter().flat_map(|name| request.headers().get_all(name)) {
        let Some((_, query)) = uri.to_str().map_err(|_| malformed())?.split_once('?') else {
            continue;
        };
        let parameters: Vec<(String, String)> = query::parse(query).map_err(|_| malformed())?;
        for (_, uuid) in parameters.into_iter().filter(|(name, _)| name == "uuid") {
            if found.as_ref().is_some_and(|other| *other != uuid) {
                return Err(malformed());
            }
            found = Some(uuid);
        }
    }
    Ok(found)
}
