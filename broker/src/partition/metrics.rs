//! What is counted of partitions, in Prometheus' terms.

use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::registry::Partitions;

/// Counters of what went in and out.
#[derive(Clone, Debug, Default)]
pub struct PartitionMetrics {
    /// Batches that producers appended.
    pub batches_in: Counter,
    /// Their bytes.
    pub bytes_in: Counter,
    /// Bytes that consumers fetched.
    pub bytes_out: Counter,
    /// Bytes that followers fetched.
    pub replicated_bytes_out: Counter,
    /// Appends that were refused.
    pub failed_appends: Counter,
}

/// How long syncs take, in seconds: from 0.1 ms (a disk with a safe cache) to 3 s (one in trouble).
pub fn sync_times() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 2.0, 16))
}

/// Counts the partitions when it is asked.
#[derive(Debug)]
struct Census(Weak<Partitions>);

impl std::fmt::Debug for Partitions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partitions").field("me", &self.me).finish_non_exhaustive()
    }
}

impl Partitions {
    /// Adds what is counted to a registry.
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        let own = &self.metrics;
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("vltava_produce_batches", "Batches that producers appended", &own.batches_in);
        counter("vltava_produce_bytes", "Bytes that producers appended", &own.bytes_in);
        counter("vltava_fetch_bytes", "Bytes that consumers fetched", &own.bytes_out);
        let replicated = &own.replicated_bytes_out;
        counter("vltava_replication_bytes", "Bytes that followers fetched", replicated);
        counter("vltava_produce_failures", "Batches that were refused", &own.failed_appends);
        let help = "How long it takes to sync what was appended to a log";
        registry.register("vltava_log_sync_seconds", help, self.around.syncs.clone());
        registry.register_collector(Box::new(Census(Arc::downgrade(self))));
    }
}

impl Collector for Census {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(partitions) = self.0.upgrade() else { return Ok(()) };
        let all = partitions.all();
        let offline = all.iter().filter(|partition| partition.offline_reason().is_some()).count();
        let gauges = [
            ("vltava_partitions", "Partitions that have a replica here", all.len()),
            ("vltava_partitions_offline", "Partitions whose log cannot be used", offline),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
