//! The connection limits as metrics. They are read when the ops listener is asked.
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry};

use super::{
    fair_limit::Refusal,
    stats::{CloseReason, ConnectionStats},
};
use crate::telemetry::catch_up;

pub struct ConnectionMetrics {
    capacity: IntGaugeVec,
    used: IntGaugeVec,
    refused: IntCounterVec,
    closed: IntCounterVec,
}

impl ConnectionMetrics {
    /// An error means that a name is registered twice.
    pub fn register(registry: &Registry) -> Result<Self, prometheus::Error> {
        let gauges = |name: &str, help: &str| {
            let gauges = IntGaugeVec::new(Opts::new(name, help), &["what"])?;
            registry.register(Box::new(gauges.clone())).map(|()| gauges)
        };
        let counters = |labels: &[&str], name: &str, help: &str| {
            let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(counters.clone())).map(|()| counters)
        };
        Ok(Self {
            capacity: gauges(
                "signpost_limit_capacity",
                "How many connections, handshakes and portal requests the node takes at once.",
            )?,
            used: gauges(
                "signpost_limit_used",
                "Open connections, handshakes that are not complete, portal requests that are being answered.",
            )?,
            refused: counters(
                &["what", "by"],
                "signpost_limit_refused_total",
                "Connections, handshakes and portal requests that were refused, by the bound that was reached.",
            )?,
            closed: counters(
                &["reason"],
                "signpost_connections_closed_total",
                "Connections that the server closed because of what the client did, by reason.",
            )?,
        })
    }

    pub fn update(&self, stats: &ConnectionStats) {
        for (what, limit) in stats.limits() {
            self.capacity
                .with_label_values(&[what])
                .set(i64::from(limit.capacity()));
            self.used.with_label_values(&[what]).set(i64::from(limit.taken()));
            for by in Refusal::ALL {
                let counter = self.refused.with_label_values(&[what, by.as_str()]);
                catch_up(&counter, limit.refused(by));
            }
        }
        for reason in CloseReason::ALL {
            let counter = self.closed.with_label_values(&[reason.as_str()]);
            catch_up(&counter, stats.closed.total(reason));
        }
    }
}
