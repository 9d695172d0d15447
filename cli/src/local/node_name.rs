//! Names of nodes: `broker-1`, `coordinator-3`.

use std::fmt;
use std::str::FromStr;

use vltava_config::Role;
use vltava_crd::FIRST_COORDINATOR_ID;

/// A node of the cluster on this machine. Coordinators come first, and each kind in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeName {
    role: Role,
    index: i32,
}

impl NodeName {
    /// The n-th broker, counted from 1.
    pub const fn broker(index: i32) -> Self {
        Self { role: Role::Broker, index }
    }

    /// The n-th coordinator, counted from 1.
    pub const fn coordinator(index: i32) -> Self {
        Self { role: Role::Coordinator, index }
    }

    /// What the node is.
    pub const fn role(self) -> Role {
        self.role
    }

    /// Its place among its kind, counted from 1.
    pub const fn index(self) -> i32 {
        self.index
    }

    /// Whether it is a broker.
    pub const fn is_broker(self) -> bool {
        matches!(self.role, Role::Broker)
    }

    /// Its node id: brokers count from 1, coordinators from 3001.
    pub const fn id(self) -> i32 {
        match self.role {
            Role::Broker => self.index,
            Role::Coordinator => FIRST_COORDINATOR_ID + self.index - 1,
        }
    }

    /// The name of its kind, which is also the command that runs it.
    pub const fn kind(self) -> &'static str {
        match self.role {
            Role::Broker => "broker",
            Role::Coordinator => "coordinator",
        }
    }

    fn order(self) -> (bool, i32) {
        (self.is_broker(), self.index)
    }
}

impl Ord for NodeName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for NodeName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}-{}", self.kind(), self.index))
    }
}

impl FromStr for NodeName {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (kind, index) = text.rsplit_once('-').ok_or(())?;
        let plain = index.bytes().all(|byte| byte.is_ascii_digit()) && !index.starts_with('0');
        let index = index.parse().ok().filter(|_| plain).ok_or(())?;
        match kind {
            "broker" => Ok(Self::broker(index)),
            "coordinator" => Ok(Self::coordinator(index)),
            _ => Err(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::NodeName;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [NodeName::broker(1), NodeName::coordinator(12)] {
            assert_eq!(name.to_string().parse(), Ok(name));
        }
        for bad in ["broker", "broker-", "broker-0", "broker-01", "broker-x", "zoo-1", "broker--1"]
        {
            assert_eq!(bad.parse::<NodeName>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn coordinators_count_from_3001_and_come_first() {
        assert_eq!(NodeName::coordinator(2).id(), 3002);
        assert_eq!(NodeName::broker(2).id(), 2);
        assert!(NodeName::coordinator(9) < NodeName::broker(1));
        assert!(NodeName::broker(2) < NodeName::broker(10));
    }
}
