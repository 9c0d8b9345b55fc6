//! Gathers the metrics for a scrape.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus::proto::MetricFamily;

use super::{CountPolicy, ServiceMetrics, TokenCounts};
use crate::{
    domain::{
        authorization::Operation,
        caller::Call,
        clock::{DAY_SECONDS, Timestamp},
        legacy_report::{ReportDays, Verdict},
        token_group::TokenGroup,
    },
    service::{Error, Service, legacy_usage::watched_days},
    store::{Store, legacy_usage, tokens},
};

/// Time that a scrape waits for the store. The next scrape reports a count that takes longer.
const STORE_TIMEOUT: Duration = Duration::from_secs(1);

impl Service {
    /// Gathers the current metrics. Token counts are those of the last count, which can be old if
    /// there are many tokens.
    pub async fn gather_metrics(&self, legacy_uuid_auth: bool) -> Vec<MetricFamily> {
        self.count_tokens(CountPolicy::SCRAPE, legacy_uuid_auth).await;
        let metrics = &self.metrics;
        let stats = self.token_cache.stats(Instant::now());
        metrics
            .cache
            .entries
            .set(i64::try_from(stats.credentials).unwrap_or(i64::MAX));
        #[expect(clippy::cast_precision_loss, reason = "a metric is a float; it is exact up to 2^53")]
        metrics
            .cache
            .revision
            .set(stats.revision.map_or(f64::NAN, |number| number as f64));
        metrics
            .cache
            .revision_age
            .set(stats.age.map_or(f64::INFINITY, |age| age.as_secs_f64()));
        let answered = tokio::time::timeout(STORE_TIMEOUT, self.ready()).await;
        metrics.store.up.set(matches!(answered, Ok(Ok(()))).into());
        self.store.update_replica_metrics();
        let store = self.store.state();
        metrics.store.max_connections.set(store.max_connections.into());
        metrics
            .store
            .waiting
            .set(i64::try_from(store.waiting).unwrap_or(i64::MAX));
        for (state, connections) in [("busy", store.busy), ("idle", store.idle)] {
            metrics
                .store
                .connections
                .with_label_values(&[state])
                .set(connections.into());
        }
        metrics.registry.gather()
    }

    /// Returns the number of tokens in each group. In a large store, it can be old. Returns `None` until
    /// the first count has ended.
    ///
    /// # Errors
    /// [`Error::Forbidden`] if the caller may not read tokens.
    pub async fn token_counts(&self, call: &Call, legacy_uuid_auth: bool) -> Result<Option<TokenCounts>, Error> {
        let check_caller = self.caller_check(call, Operation::Read);
        self.store.read(move |conn| check_caller(conn)).await?;
        self.count_tokens(CountPolicy::PAGE, legacy_uuid_auth).await;
        Ok(self.metrics.counts())
    }

    async fn count_tokens(&self, policy: CountPolicy, legacy_uuid_auth: bool) {
        let metrics = &self.metrics;
        if !metrics.try_begin_count(policy) {
            return;
        }
        let counting = tokio::spawn(count(
            Arc::clone(metrics),
            self.store.clone(),
            self.clock.now(),
            legacy_uuid_auth,
        ));
        // A count that takes longer continues in the background.
        let _ = tokio::time::timeout(STORE_TIMEOUT, counting).await;
    }
}

/// Counts the tokens, and reads the last calls of the legacy endpoints, including those to other
/// servers.
async fn count(metrics: Arc<ServiceMetrics>, store: Store, now: Timestamp, legacy_uuid_auth: bool) {
    let days = ReportDays::default();
    let known = store
        .read(move |conn| {
            let watched = watched_days(conn, days, now)?;
            Ok::<_, Error>((legacy_usage::find_last_calls(conn)?, watched))
        })
        .await;
    metrics.legacy.verdict.reset();
    if let Ok((calls, watched)) = known {
        for (prefix, at) in &calls {
            metrics.restore_last_legacy_call(prefix, at.bounded_by(now));
        }
        let last = calls.into_iter().map(|(_, at)| at.bounded_by(now)).max();
        metrics.legacy.watched_seconds.set(i64::from(watched) * DAY_SECONDS);
        let verdict = Verdict::new(last, days.since(now.day()), days, watched);
        for candidate in Verdict::ALL {
            let gauge = metrics.legacy.verdict.with_label_values(&[candidate.name()]);
            gauge.set((candidate == verdict).into());
        }
    }
    let counts = store
        .list(move |conn| {
            let count = |group: TokenGroup| {
                let count = tokens::count(conn, &group.filter(now, legacy_uuid_auth), now)?;
                Ok((group, count.unsigned_abs()))
            };
            let groups = TokenGroup::ALL
                .into_iter()
                .map(count)
                .collect::<Result<Vec<_>, Error>>()?;
            Ok::<_, Error>(TokenCounts { at: now, groups })
        })
        .await;
    metrics.finish_count(counts.ok());
}
