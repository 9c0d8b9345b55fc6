//! What the service counts and measures, for those who watch it. No label has a value that a client chooses.

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

/// The tokens are counted at most so often,
const COUNT_INTERVAL: Duration = Duration::from_secs(15);
/// and after a count that took long, not before so many times that long has passed.
const COUNT_PAUSE_FACTOR: u32 = 50;
/// How long a scrape waits for the store; a count that takes longer is shown the next time.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

/// What is counted and measured.
pub struct ServiceMetrics {
    registry: Registry,
    /// By kind, then by outcome.
    authentications: [[IntCounter; OUTCOMES.len()]; KINDS.len()],
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
    /// How long it took; it is under way where this is missing.
    took: Option<Duration>,
}

/// The labels of [`CredentialKind`], in its order.
const KINDS: [&str; 3] = ["value", "legacy-uuid", "password"];
/// The labels of the outcomes.
const OUTCOMES: [&str; 5] = ["accepted", "wrong", "expired", "address", "throttled"];

/// What somebody tried to authenticate with.
#[derive(Clone, Copy)]
pub enum CredentialKind {
    /// A token's value.
    Value,
    /// The uuid of a legacy token, at the gate.
    LegacyUuid,
    /// An admin's name and password.
    Password,
}

/// How that ended.
#[derive(Clone, Copy)]
pub enum AuthenticationOutcome {
    /// It was right.
    Accepted,
    /// It was refused.
    Refused(Refusal),
    /// It was not looked at, after too many that were wrong.
    Throttled,
}

impl ServiceMetrics {
    /// Metrics that start at zero; `store` is what kind of store there is.
    ///
    /// # Errors
    /// When two of them have one name.
    pub fn new(store: &str) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let build_info = Opts::new(
            "tokenbridge_build_info",
            "1, with the version and the kind of the store",
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
            "Credentials that were looked at, by kind and outcome",
            &["kind", "outcome"],
        )?;
        let lookups = counters(
            "tokenbridge_cache_lookups_total",
            "Well-formed values and uuids of tokens, by whether they were remembered (hit) or asked of the store (miss)",
            &["outcome"],
        )?;
        // What has not happened yet is there as zero, or the first time would not be seen as an increase.
        let metrics = Self {
            authentications: KINDS
                .map(|kind| OUTCOMES.map(|outcome| authentications.with_label_values(&[kind, outcome]))),
            hits: lookups.with_label_values(&["hit"]),
            misses: lookups.with_label_values(&["miss"]),
            cache_entries: gauge("tokenbridge_cache_entries", "Credentials of tokens that are remembered")?,
            tokens: gauges("tokenbridge_tokens", "Tokens by state; a token can be in more than one")?,
            revision: register(
                &registry,
                Gauge::new(
                    "tokenbridge_revision",
                    "The number of the last change that this server has heard of; not a number before the first",
                )?,
            )?,
            revision_age: register(
                &registry,
                Gauge::new(
                    "tokenbridge_revision_age_seconds",
                    "How long ago this server was last sure to have heard of every change",
                )?,
            )?,
            store_up: gauge(
                "tokenbridge_store_up",
                "1 if the store answered within a second just now, 0 if not",
            )?,
            connections: gauges(
                "tokenbridge_store_connections",
                "Connections to the store, busy or idle",
            )?,
            max_connections: gauge(
                "tokenbridge_store_connections_max",
                "The most connections to the store there can be",
            )?,
            waiting: gauge(
                "tokenbridge_store_waiting",
                "Calls that wait for a connection to the store, or for their turn to write",
            )?,
            legacy_last_request: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "tokenbridge_legacy_last_request_timestamp_seconds",
                        "When a legacy endpoint was last used, by prefix; absent for one that is not known to have been used",
                    ),
                    &["prefix"],
                )?,
            )?,
            legacy_watched_seconds: gauge(
                "tokenbridge_legacy_watched_seconds",
                "Time in the last 30 days on which a server watched the legacy API, in whole days",
            )?,
            legacy_verdict: register(
                &registry,
                IntGaugeVec::new(
                    Opts::new(
                        "tokenbridge_legacy_verdict",
                        "1 for the verdict of the legacy report on the last 30 days, 0 for the others; absent while it is not known",
                    ),
                    &["verdict"],
                )?,
            )?,
            last_count: Mutex::new(None),
            registry,
        };
        Ok(metrics)
    }

    /// Counts an attempt to authenticate.
    pub fn count_authentication(&self, kind: CredentialKind, outcome: AuthenticationOutcome) {
        let outcome = match outcome {
            AuthenticationOutcome::Accepted => 0,
            AuthenticationOutcome::Refused(
                Refusal::Missing
                | Refusal::Malformed
                | Refusal::DifferentKeys
                | Refusal::DifferentAuthorizations
                | Refusal::Password
                | Refusal::Value,
            ) => 1,
            AuthenticationOutcome::Refused(Refusal::Expired) => 2,
            AuthenticationOutcome::Refused(Refusal::Address) => 3,
            AuthenticationOutcome::Throttled => 4,
        };
        let of_kind = self.authentications.get(kind as usize);
        if let Some(counter) = of_kind.and_then(|outcomes| outcomes.get(outcome)) {
            counter.inc();
        }
    }

    /// Remembers that a legacy endpoint was used.
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

    /// Counts a credential that was remembered or not.
    pub fn count_lookup(&self, is_hit: bool) {
        if is_hit { &self.hits } else { &self.misses }.inc();
    }

    /// Whether the tokens are to be counted again now; if so, the caller does it.
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
            // One that failed has not cost the store anything that it should rest from.
            last.took = Some(counts.as_ref().map_or(Duration::ZERO, |_| last.began.elapsed()));
        }
        // What is not known any more is not shown.
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
    /// What the service counts and measures, as it is now; the tokens as they were counted last, which can be a while ago where there are many.
    pub async fn gather_metrics(&self) -> Vec<MetricFamily> {
        let metrics = &self.metrics;
        if metrics.try_begin_count() {
            let counting = tokio::spawn(count(Arc::clone(metrics), self.store.clone(), self.clock.now()));
            // Whether it has ended or not is seen in the metrics.
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

/// Counts the tokens, and looks when the legacy endpoints were used last, perhaps through another server.
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

/// `metric`, which the registry knows from now on.
fn register<M: Collector + Clone + 'static>(registry: &Registry, metric: M) -> Result<M, prometheus::Error> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
