//! Metrics of the service. No label takes a value that a client chooses, so the number of series is
//! bounded.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus::{
    Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector, proto::MetricFamily,
};

use super::{Error, Refusal, Service, legacy_usage::watched_days};
use crate::{
    domain::{
        clock::{DAY_SECONDS, Timestamp},
        legacy_report::{ReportDays, Verdict},
        page::{TokenFilter, TokenState},
    },
    store::{Store, legacy_usage, tokens},
};

/// Minimum interval between counts of the tokens.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);
/// Minimum interval after a count, as a multiple of its duration, so that slow counts take at most
/// 2% of the time.
const COUNT_PAUSE_FACTOR: u32 = 50;
/// Time that a scrape waits for the store. The next scrape reports a count that takes longer.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

/// The metrics of the service.
pub struct ServiceMetrics {
    registry: Registry,
    value_authentications: AuthenticationCounters,
    legacy_uuid_authentications: AuthenticationCounters,
    password_authentications: AuthenticationCounters,
    hits: IntCounter,
    misses: IntCounter,
    tokens: IntGaugeVec,
    cache_entries: IntGauge,
    revision: Gauge,
    revision_age: Gauge,
    store_up: IntGauge,
    connections: IntGaugeVec,
    max_connections: IntGauge,
    waiting: IntGauge,
    legacy_last_request: IntGaugeVec,
    legacy_watched_seconds: IntGauge,
    legacy_verdict: IntGaugeVec,
    last_count: Mutex<Option<LastCount>>,
}

struct LastCount {
    began: Instant,
    /// The duration; `None` while the count is running.
    took: Option<Duration>,
}

/// The counters of authentication attempts with one kind of credential, by outcome.
struct AuthenticationCounters {
    accepted: IntCounter,
    wrong: IntCounter,
    disabled: IntCounter,
    expired: IntCounter,
    address: IntCounter,
    throttled: IntCounter,
}

impl AuthenticationCounters {
    fn new(counters: &IntCounterVec, kind: &str) -> Self {
        let counter = |outcome| counters.with_label_values(&[kind, outcome]);
        Self {
            accepted: counter("accepted"),
            wrong: counter("wrong"),
            disabled: counter("disabled"),
            expired: counter("expired"),
            address: counter("address"),
            throttled: counter("throttled"),
        }
    }

    const fn of(&self, outcome: AuthenticationOutcome) -> &IntCounter {
        match outcome {
            AuthenticationOutcome::Accepted => &self.accepted,
            AuthenticationOutcome::Refused(
                Refusal::Missing
                | Refusal::Malformed
                | Refusal::DifferentKeys
                | Refusal::DifferentAuthorizations
                | Refusal::Password
                | Refusal::Value,
            ) => &self.wrong,
            AuthenticationOutcome::Refused(Refusal::Disabled) => &self.disabled,
            AuthenticationOutcome::Refused(Refusal::Expired) => &self.expired,
            AuthenticationOutcome::Refused(Refusal::Address) => &self.address,
            AuthenticationOutcome::Throttled => &self.throttled,
        }
    }
}

/// The kind of credential in an authentication attempt.
#[derive(Clone, Copy)]
pub enum CredentialKind {
    /// A token's value.
    Value,
    /// The UUID of a legacy token, at the gate.
    LegacyUuid,
    /// An admin's name and password.
    Password,
}

/// The outcome of an authentication attempt.
#[derive(Clone, Copy)]
pub enum AuthenticationOutcome {
    /// The credential was accepted.
    Accepted,
    /// The credential was refused.
    Refused(Refusal),
    /// The credential was not verified because of too many failures.
    Throttled,
}

impl ServiceMetrics {
    /// Creates the metrics. `store` is the name of the database system.
    ///
    /// # Errors
    /// [`prometheus::Error`] if two metrics have the same name.
    pub fn new(store: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build_info = Opts::new(
            "tokenbridge_build_info",
            "Always 1, with the version and the database system as labels",
        )
        .const_label("version", env!("CARGO_PKG_VERSION"))
        .const_label("store", store);
        register(&registry, IntGauge::with_opts(build_info)?)?.set(1);
        let counters =
            |name, help, labels: &[&str]| register(&registry, IntCounterVec::new(Opts::new(name, help), labels)?);
        let gauge = |name, help| register(&registry, IntGauge::new(name, help)?);
        let gauges = |name, help| register(&registry, IntGaugeVec::new(Opts::new(name, help), &["state"])?);
        let authentications = counters(
            "tokenbridge_authentications_total",
            "Number of authentication attempts, by kind of credential and outcome",
            &["kind", "outcome"],
        )?;
        let lookups = counters(
            "tokenbridge_cache_lookups_total",
            "Number of lookups of token values and UUIDs, by outcome: in the cache (hit) or in the store (miss)",
            &["outcome"],
        )?;
        // The series of counters start at zero, before the first event. Otherwise Prometheus would
        // not see that event as an increase.
        let metrics = Self {
            value_authentications: AuthenticationCounters::new(&authentications, "value"),
            legacy_uuid_authentications: AuthenticationCounters::new(&authentications, "legacy-uuid"),
            password_authentications: AuthenticationCounters::new(&authentications, "password"),
            hits: lookups.with_label_values(&["hit"]),
            misses: lookups.with_label_values(&["miss"]),
            cache_entries: gauge("tokenbridge_cache_entries", "Number of cached token credentials")?,
            tokens: gauges(
                "tokenbridge_tokens",
                "Number of tokens, by state; a token can be in more than one",
            )?,
            revision: register(
                &registry,
                Gauge::new(
                    "tokenbridge_revision",
                    "Revision up to which this server has applied changes; NaN before the first poll",
                )?,
            )?,
            revision_age: register(
                &registry,
                Gauge::new(
                    "tokenbridge_revision_age_seconds",
                    "Time since this server was last certain to have applied all changes",
                )?,
            )?,
            store_up: gauge(
                "tokenbridge_store_up",
                "1 if the store responded within a second, otherwise 0",
            )?,
            connections: gauges(
                "tokenbridge_store_connections",
                "Number of connections to the store, by state: busy or idle",
            )?,
            max_connections: gauge(
                "tokenbridge_store_connections_max",
                "Maximum number of connections to the store",
            )?,
            waiting: gauge(
                "tokenbridge_store_waiting",
                "Number of calls that wait for a connection to the store or for the writer",
            )?,
            legacy_last_request: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "tokenbridge_legacy_last_request_timestamp_seconds",
                        "Time of the last request to a legacy endpoint, by prefix; absent if no request is known",
                    ),
                    &["prefix"],
                )?,
            )?,
            legacy_watched_seconds: gauge(
                "tokenbridge_legacy_watched_seconds",
                "Time within the last 30 days during which a server watched the legacy API, in whole days",
            )?,
            legacy_verdict: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "tokenbridge_legacy_verdict",
                        "1 for the verdict of the legacy report on the last 30 days, 0 for the others; absent while the verdict is unknown",
                    ),
                    &["verdict"],
                )?,
            )?,
            last_count: Mutex::new(None),
            registry,
        };
        Ok(metrics)
    }

    /// Counts an authentication attempt.
    pub fn count_authentication(&self, kind: CredentialKind, outcome: AuthenticationOutcome) {
        let counters = match kind {
            CredentialKind::Value => &self.value_authentications,
            CredentialKind::LegacyUuid => &self.legacy_uuid_authentications,
            CredentialKind::Password => &self.password_authentications,
        };
        counters.of(outcome).inc();
    }

    /// Records a call of a legacy endpoint.
    pub fn record_legacy_call(&self, prefix: &str, at: Timestamp) {
        let last = self.legacy_last_request.with_label_values(&[prefix]);
        let known = Timestamp::from_micros(last.get().saturating_mul(1_000_000));
        last.set(known.map_or(at, |known| known.advanced_to(at)).seconds());
    }

    /// Records an earlier call of a legacy endpoint, possibly to another server.
    fn restore_last_legacy_call(&self, prefix: &str, at: Timestamp) {
        let last = self.legacy_last_request.with_label_values(&[prefix]);
        last.set(last.get().max(at.seconds()));
    }

    /// Counts a lookup in the token cache.
    pub fn count_lookup(&self, is_hit: bool) {
        if is_hit { &self.hits } else { &self.misses }.inc();
    }

    /// Returns `true` if the tokens are due to be counted. The caller must count them then.
    fn try_begin_count(&self) -> bool {
        let mut last = self.last_count();
        let due = last.as_ref().is_none_or(|last| {
            let rest = last.took.map(|took| COUNT_INTERVAL.max(took * COUNT_PAUSE_FACTOR));
            rest.is_some_and(|rest| last.began.elapsed() >= rest)
        });
        if due {
            *last = Some(LastCount {
                began: Instant::now(),
                took: None,
            });
        }
        due
    }

    fn finish_count(&self, counts: Option<Vec<(TokenState, i64)>>) {
        if let Some(last) = self.last_count().as_mut() {
            // A failed count cost the store little, so it needs no pause.
            last.took = Some(counts.as_ref().map_or(Duration::ZERO, |_| last.began.elapsed()));
        }
        // Outdated counts are not reported.
        self.tokens.reset();
        for (state, count) in counts.into_iter().flatten() {
            self.tokens.with_label_values(&[state.name()]).set(count);
        }
    }

    fn last_count(&self) -> std::sync::MutexGuard<'_, Option<LastCount>> {
        self.last_count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Service {
    /// Gathers the current metrics. Token counts are those of the last count, which can be old if
    /// there are many tokens.
    pub async fn gather_metrics(&self) -> Vec<MetricFamily> {
        let metrics = &self.metrics;
        if metrics.try_begin_count() {
            let counting = tokio::spawn(count(Arc::clone(metrics), self.store.clone(), self.clock.now()));
            // A count that takes longer continues in the background.
            let _ = tokio::time::timeout(STORE_TIMEOUT, counting).await;
        }
        let stats = self.token_cache.stats(Instant::now());
        metrics
            .cache_entries
            .set(i64::try_from(stats.credentials).unwrap_or(i64::MAX));
        #[expect(clippy::cast_precision_loss, reason = "a metric is a float; it is exact up to 2^53")]
        metrics
            .revision
            .set(stats.revision.map_or(f64::NAN, |number| number as f64));
        metrics
            .revision_age
            .set(stats.age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
        let answered = tokio::time::timeout(STORE_TIMEOUT, self.ready()).await;
        metrics.store_up.set(matches!(answered, Ok(Ok(()))).into());
        let store = self.store.state();
        metrics.max_connections.set(store.max_connections.into());
        metrics.waiting.set(i64::try_from(store.waiting).unwrap_or(i64::MAX));
        for (state, connections) in [("busy", store.busy), ("idle", store.idle)] {
            metrics.connections.with_label_values(&[state]).set(connections.into());
        }
        metrics.registry.gather()
    }
}

/// Counts the tokens, and reads the last calls of the legacy endpoints, including those to other
/// servers.
async fn count(metrics: Arc<ServiceMetrics>, store: Store, now: Timestamp) {
    let days = ReportDays::default();
    let known = store
        .read(move |conn| {
            let watched = watched_days(conn, days, now)?;
            Ok::<_, Error>((legacy_usage::find_last_calls(conn)?, watched))
        })
        .await;
    metrics.legacy_verdict.reset();
    if let Ok((calls, watched)) = known {
        for (prefix, at) in &calls {
            metrics.restore_last_legacy_call(prefix, at.bounded_by(now));
        }
        let last = calls.into_iter().map(|(_, at)| at.bounded_by(now)).max();
        metrics.legacy_watched_seconds.set(i64::from(watched) * DAY_SECONDS);
        let verdict = Verdict::new(last, days.since(now.day()), days, watched);
        for candidate in Verdict::ALL {
            let gauge = metrics.legacy_verdict.with_label_values(&[candidate.name()]);
            gauge.set((candidate == verdict).into());
        }
    }
    let counts = store
        .read(move |conn| {
            let in_state = |state| TokenFilter {
                state: Some(state),
                ..TokenFilter::default()
            };
            TokenState::ALL
                .into_iter()
                .map(|state| Ok((state, tokens::count(conn, &in_state(state), now)?)))
                .collect::<Result<Vec<_>, Error>>()
        })
        .await;
    metrics.finish_count(counts.ok());
}

/// Registers a metric and returns it.
fn register<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> Result<M, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
