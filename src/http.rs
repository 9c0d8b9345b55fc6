//! The HTTP layer: translates requests to calls of the service, and results to responses.

pub(crate) mod api_tokens;
mod asset;
pub(crate) mod audit_events;
pub(crate) mod connection;
mod console;
mod endpoints;
mod error;
mod extract;
#[doc(hidden)]
pub mod fuzz;
mod graphql;
mod legacy;
pub(crate) mod legacy_usage;
mod metrics;
mod oauth;
pub(crate) mod observe;
pub(crate) mod openapi;
mod ops;
mod page;
mod paged_body;
mod pages;
mod path;
mod request;
pub(crate) mod request_id;
mod routing;
mod verify;

use std::{
    sync::{Arc, OnceLock, atomic::AtomicBool},
    time::Duration,
};

use actix_web::{
    Resource, Scope,
    guard::{Guard, fn_guard},
    http::header::{HeaderName, HeaderValue},
    middleware::from_fn,
    web::{self, Bytes, ServiceConfig},
};

use crate::{
    domain::{actor::Channel, legacy_phase::LegacyPhase},
    service::Service,
};
pub use connection::Peer;
use endpoints::{ApiOperation, ENDPOINTS, EndpointGroup, ErrorFormat, METRICS};
pub use extract::client_address::{Proxies, ProxyHeader, TrustedProxy};
pub use metrics::HttpMetrics;
pub use observe::AccessLog;
use pages::PAGES;
use request::{LegacyPrefix, RoutePattern};
pub(crate) use routing::not_found;
use routing::resource;

/// The state that all handlers share.
pub struct State {
    /// The use cases.
    pub service: Arc<Service>,
    /// The metrics of HTTP requests.
    pub http_metrics: HttpMetrics,
    /// The configuration.
    pub config: Config,
    /// The headers that announce the end of the legacy API, cached on first use.
    pub legacy_deprecation_headers: OnceLock<Vec<(HeaderName, HeaderValue)>>,
    /// The OpenAPI document as JSON, cached on first use.
    pub openapi: OnceLock<Bytes>,
    /// `true` once the server shuts down: `/readyz` says so, and each response closes its connection.
    pub is_draining: AtomicBool,
}

/// The configuration of the HTTP layer.
#[derive(Clone, Debug)]
pub struct Config {
    /// The context path of all routes: empty, or a path with a leading slash and no trailing one.
    pub base_path: String,
    /// `true` if the server serves HTTPS itself, without a TLS proxy.
    pub serves_https: bool,
    /// The trusted proxies.
    pub proxies: Proxies,
    /// The phase of the legacy API's retirement.
    pub legacy: LegacyPhase,
    /// `true` if the gate accepts the UUID of a token that has never had a value.
    pub legacy_uuid_auth: bool,
    /// The limits on requests.
    pub limits: Limits,
    /// The requests that the access log shows.
    pub access_log: AccessLog,
}

impl Config {
    /// Returns the phase of the legacy API's retirement as details of an audit event.
    pub fn legacy_phase(&self) -> serde_json::Value {
        self.legacy.details(self.legacy_uuid_auth)
    }
}

/// Limits on requests.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum size of a request body in bytes.
    pub body_bytes: usize,
    /// Maximum size of a request line and its headers in bytes.
    pub header_bytes: usize,
    /// Timeout for a request's headers, then for its body, and for a response that the client does not read.
    pub request_timeout: Duration,
}

/// Adds all routes below the context path. The metrics are left out if they have their own listener.
pub fn routes(config: &mut ServiceConfig, base_path: &str, with_metrics: bool) {
    let add = |config: &mut ServiceConfig| {
        for group in &*ENDPOINTS {
            add_group(config, group);
        }
        for page in &PAGES {
            config.service(resource(page.path, [page.route()]));
        }
        for path in ["", "/"] {
            config.service(pages::root(path));
        }
        config.service(console::routes());
        if with_metrics {
            add_resources(config, &METRICS);
        }
    };
    if base_path.is_empty() {
        add(config);
    } else {
        config.service(web::scope(base_path).configure(add));
    }
    config.default_service(web::to(not_found));
}

fn add_group(config: &mut ServiceConfig, group: &EndpointGroup) {
    match group.error_format {
        ErrorFormat::Empty => add_gate(config, group),
        ErrorFormat::Message if group.prefix.is_empty() => add_resources(config, group),
        ErrorFormat::Message => {
            config.service(scope(group));
        }
        ErrorFormat::Graphql => {
            config.service(scope(group).wrap(from_fn(graphql::wrap_errors)));
        }
        ErrorFormat::Oauth => {
            config.service(scope(group).wrap(from_fn(oauth::wrap_errors)));
        }
        ErrorFormat::Legacy => {
            let scope = scope(group)
                .app_data(LegacyPrefix(group.prefix))
                .default_service(web::to(not_found));
            config.service(scope.wrap(from_fn(legacy::enforce_phase)));
        }
    }
}

/// Adds the gate, which takes every method.
fn add_gate(config: &mut ServiceConfig, group: &EndpointGroup) {
    for operation in &group.operations {
        // The path of an original request may contain slashes.
        let path = operation.path.replace("{path}", "{path}*");
        let resource = web::resource(path)
            .app_data(verify::Gate::default())
            .app_data(RoutePattern::default());
        config.service(with_channel(resource, group.channel).route(operation.route_of_any_method()));
    }
}

fn add_resources(config: &mut ServiceConfig, group: &EndpointGroup) {
    for resource in resources(group) {
        config.service(with_channel(resource, group.channel));
    }
}

fn scope(group: &EndpointGroup) -> Scope {
    let mut scope = web::scope(group.prefix);
    if let Some(channel) = group.channel {
        scope = scope.app_data(channel);
    }
    resources(group).fold(scope, Scope::service)
}

/// Returns the resources of a group, below its prefix.
fn resources(group: &EndpointGroup) -> impl Iterator<Item = Resource> {
    let operations = group.by_path().into_iter().flat_map(|(path, operations)| {
        let resource = |path: &str| resource(path, operations.iter().map(|operation| operation.route()));
        // The alias comes first: `{uuid}` would match its suffix, too.
        let alias = group
            .alias_suffix
            .map(|suffix| resource(&format!("{path}{suffix}")).guard(is_written_with(suffix)));
        alias.into_iter().chain([resource(path)])
    });
    let pages = group.pages.iter().map(|page| resource(page.path, [page.route()]));
    operations.chain(pages)
}

/// Requires that a path ends with `suffix` as it is written, not only after percent-decoding.
fn is_written_with(suffix: &'static str) -> impl Guard {
    fn_guard(move |context| context.head().uri.path().ends_with(suffix))
}

fn with_channel(resource: Resource, channel: Option<Channel>) -> Resource {
    match channel {
        Some(channel) => resource.app_data(channel),
        None => resource,
    }
}

/// Creates the resource of the metrics.
pub fn metrics_resource() -> Resource {
    let metrics = &*METRICS;
    resource("/metrics", metrics.operations.iter().map(ApiOperation::route))
}
