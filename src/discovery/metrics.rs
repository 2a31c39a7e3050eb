//! The hot path's counters: handles taken once, so that counting is one atomic addition.
use prometheus::{Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use super::{hit::Outcome, query::Asked};

pub struct Metrics {
    requests: [[IntCounter; Asked::ALL.len()]; Outcome::ALL.len()],
    pub latency: Histogram,
    pub refused: IntCounter,
    /// Decisions that left out patterns, see [`super::matching::STEP_LIMIT`].
    pub policy_step_limit: IntCounter,
}

impl Metrics {
    /// Registers the metrics of discovery. An error means that a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let opts = Opts::new(
            "signpost_discovery_requests_total",
            "Discovery requests answered, by outcome and model family.",
        );
        let requests = IntCounterVec::new(opts, &["outcome", "model_family"])?;
        registry.register(Box::new(requests.clone()))?;
        let opts = HistogramOpts::new(
            "signpost_discovery_seconds",
            "Time from a parsed discovery request to its answer.",
        );
        let latency =
            Histogram::with_opts(opts.buckets(vec![2e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 5e-4, 1e-3, 1e-2, 1e-1]))?;
        registry.register(Box::new(latency.clone()))?;
        let refused = IntCounter::new(
            "signpost_refused_requests_total",
            "Requests refused before a domain was looked up (400, 405, 421).",
        )?;
        registry.register(Box::new(refused.clone()))?;
        let policy_step_limit = IntCounter::new(
            "signpost_policy_step_limit_total",
            "Discovery requests for which some patterns of a policy that exceeds the limits were not compared.",
        )?;
        registry.register(Box::new(policy_step_limit.clone()))?;
        let requests = Outcome::ALL
            .map(|outcome| Asked::ALL.map(|asked| requests.with_label_values(&[outcome.as_str(), asked.as_str()])));
        Ok(Self {
            requests,
            latency,
            refused,
            policy_step_limit,
        })
    }

    pub fn count(&self, outcome: Outcome, asked: Asked) {
        self.requests[outcome as usize][asked.index()].inc();
    }
}
