//! Metrics of the read replica.

use std::time::Duration;

use prometheus::{Gauge, IntCounter, IntCounterVec, Opts, Registry};

/// The outcome of a read that the replica may answer. The primary answers all except [`Outcome::Answered`].
#[derive(Clone, Copy, Debug)]
pub enum Outcome {
    /// The replica answered.
    Answered,
    /// The replica lacked a change or a write that the answer must include.
    Behind,
    /// The replica found nothing, or refused the caller.
    Negative,
    /// The read failed or took too long.
    Failed,
    /// The replica was not asked: it lags, has just failed, or cannot have a write of this server yet.
    Skipped,
}

/// The metrics. A server without a read replica has them too, so that the rules of Prometheus find them.
pub struct ReplicaMetrics {
    up: Gauge,
    lag: Gauge,
    answered: IntCounter,
    behind: IntCounter,
    negative: IntCounter,
    failed: IntCounter,
    skipped: IntCounter,
}

impl ReplicaMetrics {
    /// Creates the metrics, and registers them.
    ///
    /// # Errors
    /// [`prometheus::Error`] if two metrics have the same name.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let up = Gauge::new(
            "tokenbridge_replica_up",
            "1 if the read replica responds and is a hot standby of this store, otherwise 0; NaN without a replica",
        )?;
        let lag = Gauge::new(
            "tokenbridge_replica_lag_seconds",
            "Time by which the read replica is behind the primary; NaN without a replica",
        )?;
        let opts = Opts::new(
            "tokenbridge_replica_reads_total",
            "Number of lookups and lists that the read replica may answer, by outcome; the primary answers all except \
                those that the replica answered",
        );
        let reads = IntCounterVec::new(opts, &["outcome"])?;
        up.set(f64::NAN);
        lag.set(f64::NAN);
        registry.register(Box::new(up.clone()))?;
        registry.register(Box::new(lag.clone()))?;
        registry.register(Box::new(reads.clone()))?;
        // Each series starts at zero, before the first event.
        let counter = |outcome| reads.with_label_values(&[outcome]);
        Ok(Self {
            up,
            lag,
            answered: counter("answered"),
            behind: counter("behind"),
            negative: counter("negative"),
            failed: counter("failed"),
            skipped: counter("skipped"),
        })
    }

    /// Counts a read.
    pub(super) fn count(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Answered => &self.answered,
            Outcome::Behind => &self.behind,
            Outcome::Negative => &self.negative,
            Outcome::Failed => &self.failed,
            Outcome::Skipped => &self.skipped,
        };
        counter.inc();
    }

    /// Sets the state of the replica, and the time by which it is behind, if it is known.
    pub(super) fn set_status(&self, is_up: bool, lag: Option<Duration>) {
        self.up.set(f64::from(u8::from(is_up)));
        self.lag.set(lag.map_or(f64::INFINITY, |lag| lag.as_secs_f64()));
    }
}
