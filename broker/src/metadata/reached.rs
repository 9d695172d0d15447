//! Brokers to which connections of this one are open.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use vltava_wire::NodeId;

/// How many connections to each broker are open.
#[derive(Debug, Default)]
pub(super) struct Reached(Mutex<HashMap<NodeId, usize>>);

/// A connection to a broker that is open.
#[derive(Debug)]
pub struct Reach {
    reached: Arc<Reached>,
    broker: NodeId,
}

impl Reached {
    /// One connection more.
    pub(super) fn open(reached: &Arc<Self>, broker: NodeId) -> Reach {
        *reached.0.lock().entry(broker).or_default() += 1;
        Reach { reached: Arc::clone(reached), broker }
    }

    /// Whether a connection to that broker is open.
    pub(super) fn contains(&self, broker: NodeId) -> bool {
        self.0.lock().contains_key(&broker)
    }
}

impl Drop for Reach {
    fn drop(&mut self) {
        let mut open = self.reached.0.lock();
        if let Some(count) = open.get_mut(&self.broker) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.broker);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broker_is_reached_while_any_connection_is_open() {
        let reached = Arc::<Reached>::default();
        let (one, other) = (Reached::open(&reached, NodeId(2)), Reached::open(&reached, NodeId(2)));
        drop(one);
        assert!(reached.contains(NodeId(2)) && !reached.contains(NodeId(3)));
        drop(other);
        assert!(!reached.contains(NodeId(2)));
    }
}
