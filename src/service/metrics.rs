//! Metrics of the service. No label takes a value that a client chooses, so the number of series is
//! bounded.

mod authentications;
mod gathering;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, core::Collector};

use crate::{
    domain::{admin::LegacyLoginOutcome, clock::Timestamp, token_group::TokenGroup},
    store::replica::ReplicaMetrics,
};
use authentications::Authentications;
pub use authentications::{AuthenticationOutcome, CredentialKind};

/// Minimum interval between counts of the tokens.
const COUNT_INTERVAL: Duration = Duration::from_secs(15);
/// Minimum interval after a count, as a multiple of its duration, so that slow counts take at most
/// 2% of the time.
const COUNT_PAUSE_FACTOR: u32 = 50;

/// The metrics of the service.
pub struct ServiceMetrics {
    registry: Registry,
    authentications: Authentications,
    cache: CacheMetrics,
    store: StoreMetrics,
    /// The metrics of the read replica, which the store updates.
    pub replica: Arc<ReplicaMetrics>,
    legacy: LegacyMetrics,
    legacy_logins: IntCounterVec,
    tokens: IntGaugeVec,
    last_count: Mutex<Option<LastCount>>,
    /// The result of the last count that succeeded.
    counts: Mutex<Option<TokenCounts>>,
}

/// The metrics of the token cache and its feed.
struct CacheMetrics {
    hits: IntCounter,
    misses: IntCounter,
    entries: IntGauge,
    revision: Gauge,
    revision_age: Gauge,
}

/// The metrics of the store.
struct StoreMetrics {
    up: IntGauge,
    connections: IntGaugeVec,
    max_connections: IntGauge,
    waiting: IntGauge,
}

/// The metrics of the legacy API.
struct LegacyMetrics {
    last_request: IntGaugeVec,
    watched_seconds: IntGauge,
    verdict: IntGaugeVec,
}

/// When the tokens may be counted again. A count that took longer than `free` is followed by a pause of 50 times its
/// duration, and of at least `min_pause`.
#[derive(Clone, Copy)]
struct CountPolicy {
    free: Duration,
    min_pause: Duration,
}

impl CountPolicy {
    /// For scrapes, which come all the time.
    const SCRAPE: Self = Self {
        free: Duration::ZERO,
        min_pause: COUNT_INTERVAL,
    };
    /// For pages. A small store is counted for each of them.
    const PAGE: Self = Self {
        free: Duration::from_millis(250),
        min_pause: Duration::ZERO,
    };

    fn is_due(self, last: &LastCount) -> bool {
        let pause = |took: Duration| self.min_pause.max(took * COUNT_PAUSE_FACTOR);
        last.took
            .is_some_and(|took| took < self.free || last.began.elapsed() >= pause(took))
    }
}

/// The number of tokens in each group.
#[derive(Clone, Debug)]
pub struct TokenCounts {
    /// The time of the count.
    pub at: Timestamp,
    /// The numbers.
    pub groups: Vec<(TokenGroup, u64)>,
}

impl TokenCounts {
    /// Returns the number of tokens in a group.
    #[must_use]
    pub fn of(&self, group: TokenGroup) -> u64 {
        let found = self.groups.iter().find(|(known, _)| *known == group);
        found.map(|(_, count)| *count).unwrap_or_default()
    }
}

struct LastCount {
    began: Instant,
    /// The duration; `None` while the count is running.
    took: Option<Duration>,
}

impl CacheMetrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let lookups = counters(
            registry,
            "tokenbridge_cache_lookups_total",
            "Number of lookups of token values and UUIDs, by outcome: in the cache (hit) or in the store (miss)",
            &["outcome"],
        )?;
        Ok(Self {
            hits: lookups.with_label_values(&["hit"]),
            misses: lookups.with_label_values(&["miss"]),
            entries: gauge(
                registry,
                "tokenbridge_cache_entries",
                "Number of cached token credentials",
            )?,
            revision: register(
                registry,
                Gauge::new(
                    "tokenbridge_revision",
                    "Revision up to which this server has applied changes; NaN before the first poll",
                )?,
            )?,
            revision_age: register(
                registry,
                Gauge::new(
                    "tokenbridge_revision_age_seconds",
                    "Time since this server was last certain to have applied all changes",
                )?,
            )?,
        })
    }
}

impl StoreMetrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            up: gauge(
                registry,
                "tokenbridge_store_up",
                "1 if the store responded within a second, otherwise 0",
            )?,
            connections: gauges(
                registry,
                "tokenbridge_store_connections",
                "Number of connections to the store, by state: busy or idle",
                "state",
            )?,
            max_connections: gauge(
                registry,
                "tokenbridge_store_connections_max",
                "Maximum number of connections to the store",
            )?,
            waiting: gauge(
                registry,
                "tokenbridge_store_waiting",
                "Number of calls that wait for a connection to the store or for the writer",
            )?,
        })
    }
}

impl LegacyMetrics {
    fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            last_request: gauges(
                registry,
                "tokenbridge_legacy_last_request_timestamp_seconds",
                "Time of the last request to a legacy endpoint, by prefix; absent if no request is known",
                "prefix",
            )?,
            watched_seconds: gauge(
                registry,
                "tokenbridge_legacy_watched_seconds",
                "Time within the last 30 days during which a server watched the legacy API, in whole days",
            )?,
            verdict: gauges(
                registry,
                "tokenbridge_legacy_verdict",
                "1 for the verdict of the legacy report on the last 30 days, 0 for the others; absent while the \
                    verdict is unknown",
                "verdict",
            )?,
        })
    }
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
        let legacy_logins = counters(
            &registry,
            "tokenbridge_legacy_logins_total",
            "Number of logins that were tried at the legacy server, by outcome",
            &["outcome"],
        )?;
        for outcome in LegacyLoginOutcome::ALL {
            // Each series starts at zero, before the first event.
            legacy_logins.with_label_values(&[outcome.name()]).inc_by(0);
        }
        Ok(Self {
            authentications: Authentications::new(&registry)?,
            cache: CacheMetrics::new(&registry)?,
            store: StoreMetrics::new(&registry)?,
            replica: Arc::new(ReplicaMetrics::new(&registry)?),
            legacy: LegacyMetrics::new(&registry)?,
            legacy_logins,
            tokens: gauges(
                &registry,
                "tokenbridge_tokens",
                "Number of tokens, by state; a token can be in more than one",
                "state",
            )?,
            last_count: Mutex::new(None),
            counts: Mutex::new(None),
            registry,
        })
    }

    /// Counts an authentication attempt.
    pub fn count_authentication(&self, kind: CredentialKind, outcome: AuthenticationOutcome) {
        self.authentications.of(kind).of(outcome).inc();
    }

    /// Counts a login that was tried at the legacy server.
    pub fn count_legacy_login(&self, outcome: LegacyLoginOutcome) {
        self.legacy_logins.with_label_values(&[outcome.name()]).inc();
    }

    /// Records a call of a legacy endpoint.
    pub fn record_legacy_call(&self, prefix: &str, at: Timestamp) {
        let last = self.legacy.last_request.with_label_values(&[prefix]);
        let known = Timestamp::from_micros(last.get().saturating_mul(1_000_000));
        last.set(known.map_or(at, |known| known.advanced_to(at)).seconds());
    }

    /// Records an earlier call of a legacy endpoint, possibly to another server.
    fn restore_last_legacy_call(&self, prefix: &str, at: Timestamp) {
        let last = self.legacy.last_request.with_label_values(&[prefix]);
        last.set(last.get().max(at.seconds()));
    }

    /// Counts a lookup in the token cache.
    pub fn count_lookup(&self, is_hit: bool) {
        if is_hit { &self.cache.hits } else { &self.cache.misses }.inc();
    }

    /// Returns `true` if the tokens are due to be counted. The caller must count them then.
    fn try_begin_count(&self, policy: CountPolicy) -> bool {
        let mut last = self.last_count();
        let due = last.as_ref().is_none_or(|last| policy.is_due(last));
        if due {
            *last = Some(LastCount {
                began: Instant::now(),
                took: None,
            });
        }
        due
    }

    fn finish_count(&self, counts: Option<TokenCounts>) {
        if let Some(last) = self.last_count().as_mut() {
            // A failed count cost the store little, so it needs no pause.
            last.took = Some(counts.as_ref().map_or(Duration::ZERO, |_| last.began.elapsed()));
        }
        // Outdated counts are not reported.
        self.tokens.reset();
        for (group, count) in counts.iter().flat_map(|counts| &counts.groups) {
            if let Some(state) = group.state() {
                let count = i64::try_from(*count).unwrap_or(i64::MAX);
                self.tokens.with_label_values(&[state.name()]).set(count);
            }
        }
        if counts.is_some() {
            *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = counts;
        }
    }

    fn counts(&self) -> Option<TokenCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn last_count(&self) -> std::sync::MutexGuard<'_, Option<LastCount>> {
        self.last_count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Registers a metric and returns it.
fn register<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> Result<M, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}

fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge, prometheus::Error> {
    register(registry, IntGauge::new(name, help)?)
}

fn gauges(registry: &Registry, name: &str, help: &str, label: &str) -> Result<IntGaugeVec, prometheus::Error> {
    register(registry, IntGaugeVec::new(Opts::new(name, help), &[label])?)
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntCounterVec, prometheus::Error> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}
