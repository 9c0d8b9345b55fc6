//! Metrics in Prometheus' text format. No label has a value that a client chooses.

use std::{sync::OnceLock, time::Duration};

use actix_web::{
    HttpRequest, HttpResponse,
    dev::ServiceResponse,
    http::{Method, header},
};
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::{LEGACY_PREFIXES, error::ApiError, extract::state, legacy::LegacyPrefix};
use crate::{
    domain::{
        actor::Channel,
        legacy_phase::{LegacyMode, LegacyPhase},
    },
    service::Error,
};

/// The upper bounds of the buckets of durations, in seconds.
const BUCKETS: [f64; 16] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The methods that have a label of their own.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The statuses whose counters are looked up once, the commonest first.
const STATUSES: [u16; 12] = [200, 401, 204, 403, 404, 400, 429, 405, 410, 413, 415, 503];

/// What is counted of the requests.
pub struct HttpMetrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    channels: [ChannelCounters; Channel::ALL.len() + 1],
    legacy: IntCounterVec,
    brownout: IntGauge,
}

/// The counters of one channel that have been looked up already.
#[derive(Default)]
struct ChannelCounters {
    duration: OnceLock<Histogram>,
    /// By method, then by status.
    requests: [[OnceLock<IntCounter>; STATUSES.len()]; METHODS.len() + 1],
}

impl HttpMetrics {
    /// Counters that begin at zero, and how far the legacy API is on its way out.
    ///
    /// # Errors
    /// When two of them have one name.
    pub fn new(phase: &LegacyPhase) -> Result<Self, prometheus::Error> {
        let http_metrics = Self {
            registry: Registry::new(),
            requests: IntCounterVec::new(
                Opts::new(
                    "tokenbridge_http_requests_total",
                    "Requests that were answered, by channel, method and status",
                ),
                &["channel", "method", "status"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "tokenbridge_http_request_duration_seconds",
                    "How long it took to begin the answers of requests, by channel",
                )
                .buckets(BUCKETS.to_vec()),
                &["channel"],
            )?,
            channels: Default::default(),
            legacy: IntCounterVec::new(
                Opts::new(
                    "tokenbridge_legacy_requests_total",
                    "Requests on legacy paths, by prefix and method",
                ),
                &["prefix", "method"],
            )?,
            brownout: IntGauge::new(
                "tokenbridge_legacy_brownout",
                "1 during a brown-out of the legacy API, else 0",
            )?,
        };
        http_metrics
            .registry
            .register(Box::new(http_metrics.requests.clone()))?;
        http_metrics
            .registry
            .register(Box::new(http_metrics.durations.clone()))?;
        http_metrics.registry.register(Box::new(http_metrics.legacy.clone()))?;
        http_metrics
            .registry
            .register(Box::new(http_metrics.brownout.clone()))?;
        register_phase(&http_metrics.registry, phase)?;
        // What has not been called yet is there as zero, or the first call would not be seen as an increase.
        for (prefix, _) in LEGACY_PREFIXES {
            for method in METHODS {
                http_metrics.legacy.with_label_values(&[prefix, method]);
            }
        }
        Ok(http_metrics)
    }

    /// Counts a request that has been answered, after so long.
    pub fn record<B>(&self, response: &ServiceResponse<B>, took: Duration) {
        let request = response.request();
        let channel = request.app_data::<Channel>();
        let name = channel.map_or("other", |channel| channel.name());
        let method = method_label(request.method());
        let counter = || {
            self.requests
                .with_label_values(&[name, method, response.status().as_str()])
        };
        let [channels @ .., other] = &self.channels;
        let counters = channel
            .and_then(|channel| channels.get(*channel as usize))
            .unwrap_or(other);
        let duration = counters
            .duration
            .get_or_init(|| self.durations.with_label_values(&[name]));
        duration.observe(took.as_secs_f64());
        match counters.cached_counter(method, response.status().as_u16()) {
            Some(cached_counter) => cached_counter.get_or_init(counter).inc(),
            None => counter().inc(),
        }
        if let Some(LegacyPrefix(prefix)) = request.app_data() {
            self.legacy.with_label_values(&[*prefix, method]).inc();
        }
    }
}

impl ChannelCounters {
    /// Where the counter of that method and status is kept, if it is.
    fn cached_counter(&self, method: &str, status: u16) -> Option<&OnceLock<IntCounter>> {
        let method = METHODS.iter().position(|known| *known == method);
        let status = STATUSES.iter().position(|known| *known == status)?;
        self.requests.get(method.unwrap_or(METHODS.len()))?.get(status)
    }
}

/// Shows what of a phase stays as it is until the server is started again.
fn register_phase(registry: &Registry, phase: &LegacyPhase) -> Result<(), prometheus::Error> {
    let modes = IntGaugeVec::new(
        Opts::new(
            "tokenbridge_legacy_mode",
            "1 for what the legacy API still does, 0 for the other modes",
        ),
        &["mode"],
    )?;
    for mode in LegacyMode::ALL {
        modes.with_label_values(&[mode.name()]).set((mode == phase.mode).into());
    }
    registry.register(Box::new(modes))?;
    if let Some(sunset) = phase.sunset {
        let gauge = IntGauge::new(
            "tokenbridge_legacy_sunset_timestamp_seconds",
            "When the legacy API is to be switched off",
        )?;
        gauge.set(sunset.seconds());
        registry.register(Box::new(gauge))?;
    }
    Ok(())
}

/// `GET /metrics`: all figures, of this process, of its requests and of the service.
#[utoipa::path(
    get, path = "/metrics", tag = "Operations", operation_id = "metrics", summary = "Show metrics for Prometheus",
    responses((status = 200, description = "All metrics, unless they have a listener of their own", content_type = "text/plain", body = String)),
    security(()),
)]
pub async fn metrics(request: HttpRequest) -> Result<HttpResponse, ApiError> {
    let state = state(&request)?;
    let brownout = state.config.legacy.brownout_end(state.service.now());
    state.http_metrics.brownout.set(brownout.is_some().into());
    let families = [
        state.http_metrics.registry.gather(),
        state.service.gather_metrics().await,
        prometheus::gather(),
    ]
    .concat();
    let mut text = Vec::new();
    let encoder = TextEncoder::new();
    encoder
        .encode(&families, &mut text)
        .map_err(|error| Error::Internal(error.into()))?;
    let format = encoder.format_type().to_owned();
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, format))
        .body(text))
}

/// A method's own name, if it is one of those that everybody knows.
pub fn method_label(method: &Method) -> &'static str {
    METHODS
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}
