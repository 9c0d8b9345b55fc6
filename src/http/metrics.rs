//! Metrics in the Prometheus text format. No label takes a value that a client chooses, so the
//! number of series is bounded.

use std::{sync::OnceLock, time::Duration};

use actix_web::{
    HttpResponse,
    dev::ServiceResponse,
    http::{Method, header},
    web::Data,
};
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};

use super::{
    State,
    error::ApiError,
    request::{LEGACY_PREFIXES, LegacyPrefix},
};
use crate::{
    domain::{
        actor::Channel,
        legacy_phase::{LegacyMode, LegacyPhase},
    },
    service::Error,
};

/// Upper bounds of the duration buckets, in seconds.
const BUCKETS: [f64; 16] = [
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The methods with their own label value.
const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The statuses whose counters are cached, the most common first.
const STATUSES: [u16; 12] = [200, 401, 204, 403, 404, 400, 429, 405, 410, 413, 415, 503];

/// The metrics of HTTP requests.
pub struct HttpMetrics {
    registry: Registry,
    requests: IntCounterVec,
    durations: HistogramVec,
    channels: [ChannelCounters; Channel::ALL.len() + 1],
    legacy: IntCounterVec,
    brownout: IntGauge,
}

/// The cached counters of one channel.
#[derive(Default)]
struct ChannelCounters {
    duration: OnceLock<Histogram>,
    /// By method, then by status.
    requests: [[OnceLock<IntCounter>; STATUSES.len()]; METHODS.len() + 1],
}

impl HttpMetrics {
    /// Creates the metrics, including those of the legacy API's phase.
    ///
    /// # Errors
    /// [`prometheus::Error`] if two metrics have the same name.
    pub fn new(phase: &LegacyPhase) -> Result<Self, prometheus::Error> {
        let http_metrics = Self {
            registry: Registry::new(),
            requests: IntCounterVec::new(
                Opts::new(
                    "tokenbridge_http_requests_total",
                    "Number of responses, by channel, method and status",
                ),
                &["channel", "method", "status"],
            )?,
            durations: HistogramVec::new(
                HistogramOpts::new(
                    "tokenbridge_http_request_duration_seconds",
                    "Time from the request head to the response head, by channel",
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
                "1 during a brownout of the legacy API, otherwise 0",
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
        // All series start at zero. Otherwise Prometheus would not see the first call as an
        // increase.
        for (prefix, _) in LEGACY_PREFIXES {
            for method in METHODS {
                http_metrics.legacy.with_label_values(&[prefix, method]);
            }
        }
        Ok(http_metrics)
    }

    /// Adds a metric of another part of the server.
    ///
    /// # Errors
    /// [`prometheus::Error`] if there is a metric of the same name.
    pub fn register(&self, metric: Box<dyn Collector>) -> Result<(), prometheus::Error> {
        self.registry.register(metric)
    }

    /// Counts a response and its duration.
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
    /// Returns the cache slot for this method and status; `None` for uncommon statuses.
    fn cached_counter(&self, method: &str, status: u16) -> Option<&OnceLock<IntCounter>> {
        let method = METHODS.iter().position(|known| *known == method);
        let status = STATUSES.iter().position(|known| *known == status)?;
        self.requests.get(method.unwrap_or(METHODS.len()))?.get(status)
    }
}

/// Registers the metrics of the phase that change only on restart.
fn register_phase(registry: &Registry, phase: &LegacyPhase) -> Result<(), prometheus::Error> {
    let modes = IntGaugeVec::new(
        Opts::new(
            "tokenbridge_legacy_mode",
            "1 for the configured mode of the legacy API, 0 for the other modes",
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
            "Time at which the legacy API will be switched off",
        )?;
        gauge.set(sunset.seconds());
        registry.register(Box::new(gauge))?;
    }
    Ok(())
}

/// `GET /metrics`: all metrics of the process, the HTTP requests and the service.
#[utoipa::path(
    get, path = "/metrics", tag = "Operations", operation_id = "metrics", summary = "Show metrics for Prometheus",
    description = "Returns all metrics in the text format of Prometheus. With `--metrics-listen`, this path is on \
        that listener instead.",
    responses((
        status = 200, description = "All metrics, unless they have their own listener",
        content_type = "text/plain", body = String,
    )),
    security(()),
)]
pub async fn metrics(state: Data<State>) -> Result<HttpResponse, ApiError> {
    let brownout = state.config.legacy.brownout_end(state.service.now());
    state.http_metrics.brownout.set(brownout.is_some().into());
    let families = [
        state.http_metrics.registry.gather(),
        state.service.gather_metrics(state.config.legacy_uuid_auth).await,
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

/// Returns the label value for a method: its name, or `other` for an uncommon one.
pub fn method_label(method: &Method) -> &'static str {
    METHODS
        .into_iter()
        .find(|known| *known == method.as_str())
        .unwrap_or("other")
}
