//! The table of configuration keys, and how a file and the environment fill it.
//!
//! [`keys`] and [`topic::keys`] are the table: each key's name, type, default, allowed values, who
//! reads it and how it may change. [`load`] reads a `.properties` file and `KAFKA_…` variables
//! against it and gives [`Values`], in which everything is known to be right:
//!
//! ```
//! use vltava_config::{Values, keys};
//! let values = Values::from_pairs([("node.id", "1"), ("min.insync.replicas", "2")])?;
//! assert_eq!(values.get(keys::MIN_INSYNC_REPLICAS), 2);
//! assert_eq!(values.get(keys::NUM_PARTITIONS), 1);
//! # Ok::<(), vltava_config::ConfigError>(())
//! ```
//!
//! [`topic::TopicConfig`] is a topic's view of it, [`describe`] the answer to DescribeConfigs, and
//! [`markdown`] the reference.

pub mod describe;
mod environment;
mod error;
mod foreign;
pub mod group;
mod key;
pub mod keys;
mod legacy;
mod listeners;
mod load;
mod markdown;
mod nearest;
pub mod properties;
mod reconfigure;
mod role;
pub mod spec;
pub mod subscription;
pub mod topic;
mod value;
mod values;

pub use error::{ConfigError, Notice, Origin, Problem};
pub use key::{FromValue, Key};
pub use listeners::{CreateTopic, HostPort, InitialController, Listener, Voter};
pub use load::{Loaded, load};
pub use markdown::markdown;
pub use nearest::nearest;
pub use reconfigure::edit_list;
pub use role::Role;
pub use topic::TopicConfig;
pub use value::Value;
pub use values::{Values, check_dynamic};
