//! What a coordinator is told about itself.

use std::time::Duration;

use vltava_config::{Values, keys};
use vltava_metadata::configuration::dynamic_values;
use vltava_metadata::{Image, founding_features};
use vltava_wire::{NodeId, Str};

/// The settings of a [`Controller`](super::Controller).
#[derive(Clone, Debug)]
pub struct Settings {
    /// This coordinator's id.
    pub node: NodeId,
    /// The cluster's id; a broker of another cluster is refused.
    pub cluster_id: Str,
    /// How long a broker may be silent before it is fenced (`broker.session.timeout.ms`).
    pub session_timeout: Duration,
    /// How long after its last heartbeat connection closed a broker may open another before it is
    /// fenced (`vltava.fence.grace.ms`).
    pub fence_grace: Duration,
    /// How often leadership goes back to preferred leaders
    /// (`leader.imbalance.check.interval.seconds`).
    pub balance_interval: Duration,
    /// Whether it does (`auto.leader.rebalance.enable`).
    pub auto_balance: bool,
    /// After how long without a record one is written that says nothing
    /// (`metadata.max.idle.interval.ms`); `None` for never.
    pub idle_interval: Option<Duration>,
    /// The features that a new cluster gets, with their levels; `metadata.version` comes first.
    pub founding_features: Vec<(Str, i16)>,
    /// The node's own configuration: defaults of topics are taken from it.
    pub values: Values,
}

impl Settings {
    /// The settings that a configuration gives.
    pub fn new(values: &Values, cluster_id: Str) -> Self {
        let millis = |ms: i32| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        let idle = values.get(keys::METADATA_MAX_IDLE_INTERVAL_MS);
        let balance = values.get(keys::LEADER_IMBALANCE_CHECK_INTERVAL_SECONDS);
        Self {
            node: NodeId(values.node_id()),
            cluster_id,
            session_timeout: millis(values.get(keys::BROKER_SESSION_TIMEOUT_MS)),
            fence_grace: millis(values.get(keys::VLTAVA_FENCE_GRACE_MS)),
            balance_interval: Duration::from_secs(u64::try_from(balance).unwrap_or(1)),
            auto_balance: values.get(keys::AUTO_LEADER_REBALANCE_ENABLE),
            idle_interval: (idle > 0).then(|| millis(idle)),
            founding_features: founding_features()
                .map(|(name, level)| (Str::from_static(name), level))
                .collect(),
            values: values.clone(),
        }
    }

    /// The configuration with what the image sets for all brokers and for this node.
    pub fn values_with(&self, image: &Image) -> Values {
        dynamic_values(&self.values, self.node, image).0
    }
}
