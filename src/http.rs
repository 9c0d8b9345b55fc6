//! HTTP: translates requests to calls of the service, and its answers back.

pub(crate) mod api_tokens;
pub(crate) mod audit_events;
pub(crate) mod connection;
mod console;
pub(crate) mod csv;
mod error;
mod extract;
#[doc(hidden)]
pub mod fuzz;
mod graphql;
mod introspect;
mod legacy;
pub(crate) mod legacy_usage;
mod metrics;
pub(crate) mod observe;
pub(crate) mod openapi;
mod ops;
mod page;
mod path;
pub(crate) mod request_id;
mod verify;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use actix_web::{
    HttpResponse, Resource, Route, guard,
    http::header::{HeaderName, HeaderValue},
    middleware::from_fn,
    web::{self, Bytes, ServiceConfig},
};

use crate::{
    domain::{actor::Channel, legacy_phase::LegacyPhase},
    service::Service,
};
use error::ApiError;
pub use extract::client_address::{Proxies, ProxyHeader};
pub use metrics::HttpMetrics;
use observe::RoutePattern;

/// What the handlers share.
pub struct State {
    /// The use cases.
    pub service: Arc<Service>,
    /// What is counted of the requests.
    pub http_metrics: HttpMetrics,
    /// How requests are to be read and answered.
    pub config: Config,
    /// The headers that announce the end of the legacy API, once it has answered.
    pub legacy_deprecation_headers: OnceLock<Vec<(HeaderName, HeaderValue)>>,
    /// The text of the OpenAPI document, once somebody has asked for it.
    pub openapi: OnceLock<Bytes>,
}

/// How requests are to be read and answered.
#[derive(Clone, Debug)]
pub struct Config {
    /// The context path of every route: empty, or `/` and a path with no slash at its end.
    pub base_path: String,
    /// Serves HTTPS directly, without a TLS proxy.
    pub serves_https: bool,
    /// Whose word on the client's address is taken.
    pub proxies: Proxies,
    /// How the legacy API is to be phased out.
    pub legacy: LegacyPhase,
    /// Whether the gate takes a uuid from those who have never had anything else.
    pub legacy_uuid_auth: bool,
    /// What a client may cost.
    pub limits: Limits,
}

impl Config {
    /// How far the legacy API is on its way out, as the audit log says it.
    pub fn legacy_phase(&self) -> serde_json::Value {
        self.legacy.details(self.legacy_uuid_auth)
    }
}

/// What a client may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most bytes of a request's body.
    pub body_bytes: usize,
    /// The most bytes of a request's line and headers.
    pub header_bytes: usize,
    /// Timeout for a request's headers, then for its body, and for a response that the client does not read.
    pub request_timeout: Duration,
}

/// The prefixes of the legacy API, which are all equal.
pub const LEGACY_PREFIXES: [(&str, Channel); 4] = [
    ("/rest/agent-config/1.0", Channel::Legacy10),
    ("/rest/agent-config/latest", Channel::Legacy10),
    ("/rest/agent/1.0", Channel::LegacyPre15),
    ("/rest/agent/latest", Channel::LegacyPre15),
];

/// All routes; that of the metrics only if they have no listener of their own.
pub fn routes(config: &mut ServiceConfig, base_path: &str, with_metrics: bool) {
    let add = |config: &mut ServiceConfig| {
        add_routes(config);
        if with_metrics {
            config.service(metrics_resource());
        }
    };
    if base_path.is_empty() {
        add(config);
    } else {
        config.service(web::scope(base_path).configure(add));
    }
    config.default_service(web::to(not_found));
}

/// They are tried in this order: the busiest is the first.
fn add_routes(config: &mut ServiceConfig) {
    config
        .service(
            web::resource("/verify")
                .app_data(Channel::Verify)
                .app_data(RoutePattern::default())
                .to(verify::verify),
        )
        .service(
            web::scope("/api-tokens")
                .app_data(Channel::ApiTokens)
                .service(
                    resource("", "GET, HEAD, POST, DELETE")
                        .route(get().to(api_tokens::list))
                        .route(web::post().to(api_tokens::create))
                        .route(web::delete().to(api_tokens::delete_matching)),
                )
                .service(
                    resource("/{id}", "GET, HEAD, POST, DELETE")
                        .route(get().to(api_tokens::get))
                        .route(web::post().to(api_tokens::update))
                        .route(web::delete().to(api_tokens::delete)),
                )
                .service(resource("/{id}/rotate", "POST").route(web::post().to(api_tokens::rotate))),
        );
    for (prefix, channel) in LEGACY_PREFIXES {
        config.service(legacy_scope(prefix, channel));
    }
    config
        .service(resource("", "GET, HEAD").route(get().to(console::redirect_to_tokens)))
        .service(resource("/", "GET, HEAD").route(get().to(console::redirect_to_tokens)))
        .service(console::routes())
        .service(
            web::scope("/public/graphql")
                .app_data(Channel::Graphql)
                .wrap(from_fn(graphql::wrap_errors))
                .service(
                    resource("", "GET, HEAD, POST")
                        .route(get().to(graphql::playground::page))
                        .route(web::post().to(graphql::execute)),
                )
                .service(resource("/{file}", "GET, HEAD").route(get().to(graphql::playground::file))),
        )
        .service(
            resource("/audit-events", "GET, HEAD")
                .app_data(Channel::ApiTokens)
                .route(get().to(audit_events::list)),
        )
        .service(
            resource("/introspect", "POST")
                .app_data(Channel::ApiTokens)
                .route(web::post().to(introspect::introspect)),
        )
        .service(
            resource("/legacy-usage", "GET, HEAD")
                .app_data(Channel::ApiTokens)
                .route(get().to(legacy_usage::legacy_usage)),
        )
        .service(resource("/openapi.json", "GET, HEAD").route(get().to(openapi::json)))
        .service(resource("/docs", "GET, HEAD").route(get().to(openapi::swagger_ui::page)))
        .service(resource("/docs/{file}", "GET, HEAD").route(get().to(openapi::swagger_ui::file)))
        .service(resource("/healthz", "GET, HEAD").route(get().to(ops::healthz)))
        .service(resource("/readyz", "GET, HEAD").route(get().to(ops::readyz)));
}

/// The route of the metrics.
pub fn metrics_resource() -> Resource {
    resource("/metrics", "GET, HEAD").route(get().to(metrics::metrics))
}

fn legacy_scope(prefix: &'static str, channel: Channel) -> impl actix_web::dev::HttpServiceFactory + 'static {
    web::scope(prefix)
        .app_data(channel)
        .app_data(legacy::LegacyPrefix(prefix))
        .wrap(from_fn(legacy::enforce_phase))
        .service(
            resource("/tokens", "GET, HEAD, POST")
                .route(get().to(legacy::list::list))
                .route(web::post().to(legacy::create)),
        )
        .service(
            resource("/tokens/{uuid}", "GET, HEAD, PUT, DELETE")
                .route(get().to(legacy::get))
                .route(web::put().to(legacy::update))
                .route(web::delete().to(legacy::delete)),
        )
        .default_service(web::to(not_found))
}

fn resource(path: &str, allowed_methods: &'static str) -> Resource {
    let refuse = move || async move { Err::<HttpResponse, _>(ApiError::method_not_allowed(allowed_methods)) };
    web::resource(path)
        .app_data(RoutePattern::default())
        .default_service(web::to(refuse))
}

/// GET, and HEAD, which RFC 9110 asks for wherever there is GET.
fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Where there is nothing.
pub(crate) async fn not_found() -> Result<HttpResponse, ApiError> {
    Err(ApiError::not_found("there is nothing at this path"))
}
