//! What Prometheus sees of a coordinator, made up when it asks.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use vltava_metadata::Image;
use vltava_wire::{NodeId, Offset};

use crate::status::News;

/// Reads the loop's latest news.
#[derive(Debug)]
pub(crate) struct StatusMetrics(pub(crate) News);

/// What is counted in an image.
#[derive(Debug, Default)]
struct Counts {
    brokers: i64,
    fenced: i64,
    partitions: i64,
    offline: i64,
    under_replicated: i64,
}

impl Counts {
    fn of(image: &Image) -> Self {
        let mut counts = Self::default();
        for broker in image.brokers() {
            counts.brokers += 1;
            counts.fenced += i64::from(broker.fenced);
        }
        for topic in image.topics() {
            for partition in topic.partitions.values() {
                counts.partitions += 1;
                counts.offline += i64::from(partition.leader().is_none());
                let lacks = partition.isr.len() < partition.replicas.len();
                counts.under_replicated += i64::from(lacks);
            }
        }
        counts
    }
}

impl Collector for StatusMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let status = self.0.latest();
        let counts = Counts::of(&status.image);
        let committed = status.high_watermark.map_or(-1, Offset::get);
        let applied = status.image.provenance().offset.get();
        let leader = status.leader.leader.unwrap_or(NodeId::NONE).get();
        let gauges = [
            (
                "quorum_is_leader",
                "Whether this is the active coordinator",
                i64::from(status.is_active),
            ),
            ("quorum_leader_id", "The leader that this node knows, or -1", i64::from(leader)),
            ("quorum_epoch", "The epoch of the quorum", i64::from(status.leader.epoch.get())),
            ("quorum_voters", "Voters of the quorum", status.voters.len() as i64),
            ("quorum_high_watermark", "The offset below which all is committed", committed),
            ("quorum_log_end_offset", "The end of this node's log", status.log_end_offset.get()),
            ("metadata_offset", "Offset of the last metadata record that is applied", applied),
            (
                "metadata_digest",
                "Fingerprint of the metadata; equal on nodes that know the same",
                status.image.digest().cast_signed(),
            ),
            ("registered_brokers", "Brokers that are registered", counts.brokers),
            ("fenced_brokers", "Registered brokers that are fenced", counts.fenced),
            ("topics", "Topics", status.image.topics_len() as i64),
            ("partitions", "Partitions", counts.partitions),
            ("offline_partitions", "Partitions without a leader", counts.offline),
            (
                "under_replicated_partitions",
                "Partitions of which a replica is not in sync",
                counts.under_replicated,
            ),
        ];
        for (name, help, value) in gauges {
            let name = format!("vltava_{name}");
            let gauge = ConstGauge::new(value);
            let described = encoder.encode_descriptor(&name, help, None, gauge.metric_type())?;
            gauge.encode(described)?;
        }
        Ok(())
    }
}
