//! What is counted of partitions, in Prometheus' terms.

use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
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
        counter("produce_batches", "Batches that producers appended", &own.batches_in);
        counter("produce_bytes", "Bytes that producers appended", &own.bytes_in);
        counter("fetch_bytes", "Bytes that consumers fetched", &own.bytes_out);
        counter("replication_bytes", "Bytes that followers fetched", &own.replicated_bytes_out);
        counter("produce_failures", "Batches that were refused", &own.failed_appends);
        registry.register_collector(Box::new(Census(Arc::downgrade(self))));
    }
}

impl Collector for Census {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(partitions) = self.0.upgrade() else { return Ok(()) };
        let all = partitions.all();
        let in_sync: Vec<_> = all.iter().filter_map(|partition| partition.in_sync()).collect();
        let offline = all.iter().filter(|partition| partition.offline_reason().is_some()).count();
        let under = in_sync.iter().filter(|(replicas, in_sync)| in_sync < replicas).count();
        let gauges = [
            ("partitions", "Partitions that have a replica here", all.len()),
            ("partitions_led", "Partitions that this broker leads", in_sync.len()),
            ("partitions_under_replicated", "Led partitions with replicas out of sync", under),
            ("partitions_offline", "Partitions whose log cannot be used", offline),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
