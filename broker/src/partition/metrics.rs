//! What is counted of partitions, in Prometheus' terms.

use std::sync::{Arc, Weak};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::registry::Partitions;
use super::replica::Partition;

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
        self.register_cleaner(registry);
        registry.register_collector(Box::new(Census(Arc::downgrade(self))));
    }
}

impl Partitions {
    fn register_cleaner(&self, registry: &mut Registry) {
        let own = &self.cleaner.metrics;
        let mut counter = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        counter("vltava_compaction_rounds", "Rounds over compacted logs", &own.rounds);
        let read = "Bytes that compaction read to copy what is kept of them";
        counter("vltava_compaction_read_bytes", read, &own.bytes_read);
        let written = "Bytes that compaction kept of what it read";
        counter("vltava_compaction_written_bytes", written, &own.bytes_written);
        let failures = "Logs that turned out not to be cleanable";
        counter("vltava_compaction_failures", failures, &own.failures);
        let dirtiest = "The share of dirty bytes of the dirtiest compacted log, 0 to 1";
        registry.register("vltava_compaction_dirty_ratio_max", dirtiest, own.dirtiest.clone());
    }
}

impl Collector for Census {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let Some(partitions) = self.0.upgrade() else { return Ok(()) };
        let all = partitions.all();
        let offline = all.iter().filter(|partition| partition.offline_reason().is_some()).count();
        let is_uncleanable = |it: &&Arc<Partition>| it.uncleanable_reason().is_some();
        let uncleanable = all.iter().filter(is_uncleanable).count();
        let gauges = [
            ("vltava_partitions", "Partitions that have a replica here", all.len()),
            ("vltava_partitions_offline", "Partitions whose log cannot be used", offline),
            (
                "vltava_partitions_uncleanable",
                "Partitions whose log cannot be compacted, and grows",
                uncleanable,
            ),
        ];
        for (name, help, value) in gauges {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        Ok(())
    }
}
