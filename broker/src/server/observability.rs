//! What the broker shows of itself: gauges, and whether it lives and serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use vltava_config::{Values, keys};
use vltava_metadata::Image;
use vltava_net::admin::{Health, Probe};

use crate::lifecycle::{HandOver, Life};

/// Gauges of the metadata that the broker acts upon.
#[derive(Clone, Debug, Default)]
pub(super) struct MetadataGauges {
    offset: Gauge<i64, AtomicI64>,
    digest: Gauge<i64, AtomicI64>,
    led: Gauge<i64, AtomicI64>,
    under_replicated: Gauge<i64, AtomicI64>,
    brokers: Gauge<f64, AtomicU64>,
}

impl MetadataGauges {
    /// Gauges that are shown in `registry`.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let gauges = Self::default();
        let registry = registry.sub_registry_with_prefix("vltava");
        let Self { offset, digest, led, under_replicated, brokers } = &gauges;
        registry.register(
            "metadata_offset",
            "Offset of the last metadata record that is acted upon",
            offset.clone(),
        );
        registry.register(
            "metadata_digest",
            "Fingerprint of the metadata; equal on nodes that know the same",
            digest.clone(),
        );
        registry.register("leader_partitions", "Partitions led here", led.clone());
        registry.register(
            "under_replicated_partitions",
            "Partitions led here of which a replica is not in sync",
            under_replicated.clone(),
        );
        registry.register("brokers_alive", "Brokers that are not fenced", brokers.clone());
        gauges
    }

    /// Shows an image.
    pub(super) fn show(&self, image: &Image, me: vltava_wire::NodeId) {
        self.offset.set(image.provenance().offset.get());
        self.digest.set(image.digest().cast_signed());
        let (mut led, mut under) = (0, 0);
        for topic in image.topics() {
            for partition in topic.partitions.values() {
                if partition.leader == me {
                    led += 1;
                    under += i64::from(partition.isr.len() < partition.replicas.len());
                }
            }
        }
        self.led.set(led);
        self.under_replicated.set(under);
        self.brokers.set(image.brokers().filter(|broker| !broker.fenced).count() as f64);
    }
}

/// The process lives as long as it can answer.
pub(super) fn live() -> Probe {
    Box::new(|| Health::Good("the process answers".to_owned()))
}

/// Has the broker hand over what it leads, where the configuration wants that before an end.
pub(super) fn hand_over(life: &Arc<Life>, config: &Values) -> Probe {
    let life = Arc::clone(life);
    let is_wanted = config.get(keys::CONTROLLED_SHUTDOWN_ENABLE);
    Box::new(move || {
        let said = match is_wanted && life.epoch().get() >= 0 {
            false => Ok("there is nothing to hand over"),
            true => match life.hand_over() {
                HandOver::Done => Ok("all that was led is handed over"),
                // Nobody else will lead it either.
                HandOver::Unanswered => Ok("no coordinator is there to hand over by"),
                HandOver::UnderWay => Err("the coordinators move leadership away"),
            },
        };
        match said {
            Ok(done) => Health::Good(done.to_owned()),
            Err(why) => Health::Bad(why.to_owned()),
        }
    })
}

/// A broker serves once it is registered and unfenced.
pub(super) fn ready(life: &Arc<Life>) -> Probe {
    let life = Arc::clone(life);
    Box::new(move || {
        let status = *life.status().borrow();
        match (life.epoch().get(), status.fenced) {
            (-1, _) => Health::Bad("not registered with the coordinators yet".to_owned()),
            (epoch, true) => Health::Bad(format!("fenced, in broker epoch {epoch}")),
            (epoch, false) => Health::Good(format!("serving, in broker epoch {epoch}")),
        }
    })
}
