//! Decisions about a running cluster, pure: what is seen of it goes in, what may be done next
//! comes out. `vltava up` and the operator decide by the same functions.
//!
//! A plan is made anew from what is seen each time, so it does not matter whether the steps of the
//! last one were carried out, or by whom.

pub mod moves;
pub mod settings;
pub mod topics;
pub mod view;
pub mod voters;

pub use topics::{Alter, Create, Grow, PresentTopic, Reassign, Refused, TopicPlan, topics};
pub use view::{
    BrokerView, ClusterView, ConfigValue, PartitionId, PartitionView, QuorumView, ReplicaView,
    TopicView,
};
