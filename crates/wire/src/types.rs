//! The numbers of the protocol that must not be mixed up, each as its own type.
//!
//! Declared messages carry plain integers, as the wire does; everything that reasons about them
//! uses these.

use std::fmt;

macro_rules! number {
    ($(#[$meta:meta])* $name:ident($inner:ty)) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);

        impl $name {
            /// The plain number, as the wire carries it.
            pub const fn get(self) -> $inner {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$inner> for $name {
            fn from(value: $inner) -> Self {
                Self(value)
            }
        }

        impl From<$name> for $inner {
            fn from(value: $name) -> Self {
                value.0
            }
        }
    };
}

number! {
    /// The id of a broker or a coordinator; unique in a cluster. −1 means "none".
    NodeId(i32)
}
number! {
    /// The index of a partition within its topic, from 0.
    PartitionId(i32)
}
number! {
    /// The position of a record in a partition's log, from 0.
    Offset(i64)
}
number! {
    /// How many leaders a partition (or the metadata quorum) has had; −1 means "unknown".
    LeaderEpoch(i32)
}
number! {
    /// The offset of a broker's registration record in the metadata log (KIP-631).
    BrokerEpoch(i64)
}
number! {
    /// The id of an idempotent or transactional producer (KIP-98); −1 means "none".
    ProducerId(i64)
}
number! {
    /// How often a producer id was taken over by a newer producer (KIP-98).
    ProducerEpoch(i16)
}

impl Offset {
    /// The first offset of a log.
    pub const ZERO: Self = Self(0);

    /// The offset after this one.
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl std::ops::Add<i64> for Offset {
    type Output = Self;

    fn add(self, records: i64) -> Self {
        Self(self.0 + records)
    }
}

impl std::ops::Sub for Offset {
    type Output = i64;

    /// How many offsets lie between two.
    fn sub(self, other: Self) -> i64 {
        self.0 - other.0
    }
}

impl NodeId {
    /// No node.
    pub const NONE: Self = Self(-1);
}

impl LeaderEpoch {
    /// No epoch, or one that is not known.
    pub const UNKNOWN: Self = Self(-1);
}

impl ProducerId {
    /// The id of batches that no idempotent producer wrote.
    pub const NONE: Self = Self(-1);
}
