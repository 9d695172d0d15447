//! The scenarios of `cargo xtask e2e`: each a promise, tried on a real Kubernetes under a load of
//! acknowledged records.

mod bad_manifests;
mod data;
mod failover;
mod install;
mod listeners;
mod neighbours;
mod operator_killed;
mod placement;
mod roll;
mod scale;
mod storage;
mod topics;

use super::World;
use crate::Outcome;

/// A promise and what tries it.
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// What it tries.
    pub promise: &'static str,
    /// Whether it runs where none is named: those that prove most in little time.
    pub always: bool,
    /// Tries it; returns what was found and measured.
    pub run: fn(&World) -> Outcome<String>,
}

/// Every scenario.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "install",
        promise: "helm install, one manifest, and the first record soon after; kcat from outside",
        always: true,
        run: install::by_helm,
    },
    Scenario {
        name: "kubectl-alone",
        promise: "the same by one file and kubectl",
        always: false,
        run: install::by_kubectl,
    },
    Scenario {
        name: "topics",
        promise: "topics follow the manifest, replication factors up and down under load",
        always: true,
        run: topics::run,
    },
    Scenario {
        name: "all-pods",
        promise: "all pods deleted at once; the resource deleted and applied again: the same data",
        always: true,
        run: data::all_pods,
    },
    Scenario {
        name: "nothing-left",
        promise: "with reclaimPolicy Delete nothing is left; a namespace goes at any moment",
        always: true,
        run: data::nothing_left,
    },
    Scenario {
        name: "leader",
        promise: "a leader's pod is killed: 3 s without an ack at most, then all in sync again",
        always: true,
        run: failover::leader,
    },
    Scenario {
        name: "node",
        promise: "a machine dies and comes back; the cluster goes on, and heals",
        always: false,
        run: failover::node,
    },
    Scenario {
        name: "drain",
        promise: "two machines drained back to back: evictions wait until nothing is short",
        always: false,
        run: failover::drain,
    },
    Scenario {
        name: "roll",
        promise: "a change rolls one pod at a time, settled between, without an error in a client",
        always: true,
        run: roll::good,
    },
    Scenario {
        name: "bad-roll",
        promise: "a roll that breaks a broker stops at the first, and takes itself back",
        always: true,
        run: roll::bad,
    },
    Scenario {
        name: "stale-readiness",
        promise: "after pod A is deleted its stale readiness does not let pod B go too",
        always: false,
        run: roll::stale_readiness,
    },
    Scenario {
        name: "scale",
        promise: "3 → 4 → 3 brokers by kubectl scale: moved onto the new one, drained off it",
        always: true,
        run: scale::run,
    },
    Scenario {
        name: "coordinators",
        promise: "1 → 3 → 5 → 3 coordinators under load",
        always: false,
        run: scale::coordinators,
    },
    Scenario {
        name: "listeners",
        promise: "a listener added, changed, removed, and no client on the others notices",
        always: true,
        run: listeners::run,
    },
    Scenario {
        name: "lost-volume",
        promise: "a broker and a coordinator lose their volumes, come back empty, and refill",
        always: false,
        run: storage::lost,
    },
    Scenario {
        name: "grow",
        promise: "volumes grow where the class allows it; where not, the status says why",
        always: false,
        run: storage::grow,
    },
    Scenario {
        name: "operator-killed",
        promise: "the operator dies again and again during a roll, and rolls nobody twice",
        always: true,
        run: operator_killed::run,
    },
    Scenario {
        name: "neighbours",
        promise: "three clusters side by side; labels of others stay, our fields are put right",
        always: true,
        run: neighbours::run,
    },
    Scenario {
        name: "placement",
        promise: "a broker a node, racks from the nodes' zones",
        always: false,
        run: placement::run,
    },
    Scenario {
        name: "bad-manifests",
        promise: "what is impossible is refused with a sentence; a Service called kafka harms none",
        always: true,
        run: bad_manifests::run,
    },
];
