//! What every node counts about its sockets.

use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use vltava_wire::ApiKey;

use crate::budget::Budget;

/// Upper bounds of the latency buckets, in seconds: from a request that memory answers to a long
/// poll that runs out.
const LATENCY_BUCKETS: [f64; 13] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 0.5, 1.0, 5.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KeyLabel {
    key: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabel {
    listener: Arc<str>,
}

/// Counts of a server; cheap to clone, all clones count together.
#[derive(Clone, Debug)]
pub struct NetMetrics {
    requests: Family<KeyLabel, Counter>,
    latency: Family<KeyLabel, Histogram, fn() -> Histogram>,
    connections: Family<ListenerLabel, Gauge>,
    accepted: Family<ListenerLabel, Counter>,
    refused: Family<ReasonLabel, Counter>,
    rejected: Family<ReasonLabel, Counter>,
    pub(crate) bytes_in: Counter,
    pub(crate) bytes_out: Counter,
}

impl Default for NetMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            connections: Family::default(),
            accepted: Family::default(),
            refused: Family::default(),
            rejected: Family::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
        }
    }
}

impl NetMetrics {
    /// Counts that are shown in `registry`, the budget's use among them.
    pub fn register(registry: &mut Registry, budget: &Budget) -> Self {
        let metrics = Self::default();
        let Self { requests, latency, connections, accepted, refused, rejected, .. } = &metrics;
        let registry = registry.sub_registry_with_prefix("vltava");
        registry.register("requests", "Requests answered, by kind", requests.clone());
        registry.register_with_unit(
            "request_duration",
            "From a request's last byte in to its answer's last byte out",
            Unit::Seconds,
            latency.clone(),
        );
        registry.register("connections", "Open connections", connections.clone());
        registry.register("connections_accepted", "Connections accepted", accepted.clone());
        registry.register("connections_refused", "Connections closed at once", refused.clone());
        registry.register("frames_rejected", "Frames that made no sense", rejected.clone());
        registry.register("bytes_received", "Bytes of requests", metrics.bytes_in.clone());
        registry.register("bytes_sent", "Bytes of answers", metrics.bytes_out.clone());
        registry.register(
            "memory_budget_used_bytes",
            "Memory held by requests that are handled",
            budget.used_gauge(),
        );
        let limit = Gauge::<i64>::default();
        limit.set(budget.limit() as i64);
        registry.register("memory_budget_bytes", "The bound on that memory", limit);
        metrics
    }

    pub(crate) fn answered(&self, key: ApiKey, took: Duration) {
        let label = KeyLabel { key: key.name() };
        self.requests.get_or_create(&label).inc();
        self.latency.get_or_create(&label).observe(took.as_secs_f64());
    }

    pub(crate) fn rejected(&self, reason: &'static str) {
        self.rejected.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn accepted(&self, listener: &Arc<str>) -> Gauge {
        let label = ListenerLabel { listener: listener.clone() };
        self.accepted.get_or_create(&label).inc();
        self.connections.get_or_create(&label).clone()
    }
}
