//! What happens before a power cut, so that each kind of fsync matters, and what must hold after.

use std::collections::BTreeSet;
use std::time::Duration;

use rand::Rng;
use rand::rngs::StdRng;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::Signal;

use super::held;
use super::promised::Partition;
use crate::cluster::Cluster;
use crate::producers::{Acked, Load, Options, produce_some};
use crate::{Outcome, check, faults, until};

/// Written by a steady load.
pub(super) const STEADY: &str = "steady";
/// Whose leaders die with records that nobody else has.
pub(super) const TORN: &str = "torn";
/// Whose first records are deleted.
pub(super) const PURGED: &str = "purged";
/// Whose segments are soon given up.
pub(super) const BRIEF: &str = "brief";
/// What the manifest declares; [`BRIEF`] is made by hand.
pub(super) const TOPICS: [&str; 3] = [STEADY, TORN, PURGED];

/// How long a cluster may take until it is whole again.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take until another replica leads.
const TAKE_OVER: Duration = Duration::from_secs(10);

/// What was promised so far.
pub(super) struct State {
    round: u32,
    steady: Vec<Acked>,
    torn: Vec<Acked>,
    /// Topics that were made, with what was acknowledged of each.
    made: Vec<(String, Vec<Acked>)>,
    /// Below this offset of [`PURGED`] 0 nothing may be read.
    purged_to: i64,
    purged: i64,
}

impl State {
    pub(super) fn new(cluster: &Cluster) -> Outcome<Self> {
        create(cluster, BRIEF, &["--config", "retention.ms=700"])?;
        let made = Vec::new();
        let (steady, torn) = (Vec::new(), Vec::new());
        Ok(Self { round: 0, steady, torn, made, purged_to: 0, purged: 0 })
    }
}

impl State {
    /// Partitions of which all replicas have acknowledged records.
    pub(super) fn acknowledged(&self) -> Vec<Partition> {
        let made = self.made.iter().flat_map(|(name, acked)| {
            acked.iter().map(move |record| (name.clone(), record.partition))
        });
        let all: BTreeSet<Partition> = made.collect();
        all.into_iter().collect()
    }
}

fn create(cluster: &Cluster, name: &str, more: &[&str]) -> Outcome {
    let arguments = ["topic", "create", name, "--partitions", "2", "--replication-factor", "3"];
    cluster.vltava(&[&arguments, more].concat()).map(|_| ())
}

/// Works on the cluster until the power is to be cut; returns the load that goes on.
pub(super) fn before_cut(
    cluster: &Cluster,
    state: &mut State,
    random: &mut StdRng,
    rate: u32,
) -> Outcome<Load> {
    state.round += 1;
    let round = state.round;
    if round > 1 && random.random_bool(0.4) {
        cluster.vltava(&["down"])?;
        cluster.start_all()?;
    }
    let load = Load::start(Options {
        bootstrap: cluster.bootstrap(),
        topic: STEADY.to_owned(),
        id: round,
        rate,
        partition: None,
        settings: vec![("message.timeout.ms".to_owned(), "60000".to_owned())],
        log: None,
    })?;
    until("an acknowledgement", PATIENCE, || {
        if load.acked() > 0 { Ok(()) } else { Err("none".to_owned()) }
    })?;
    for _ in 0..4 {
        produce_some(&cluster.bootstrap(), BRIEF, 0, 0, 5, "all")?;
        std::thread::sleep(Duration::from_millis(random.random_range(100..400)));
    }
    purge(cluster, state)?;
    if round.is_multiple_of(2) {
        tear(cluster, state)?;
    }
    let name = format!("made-{round}");
    create(cluster, &name, &[])?;
    if random.random() {
        let again = state.made.pop().map(|(name, _)| name);
        if let Some(name) = again {
            cluster.vltava(&["topic", "delete", &name])?;
        }
    }
    let acked = produce_some(&cluster.bootstrap(), &name, 7, 1, 20, "all")?;
    state.made.push((name, acked));
    std::thread::sleep(Duration::from_millis(random.random_range(0..800)));
    Ok(load)
}

/// Deletes the first records of a partition, once a few more are there.
fn purge(cluster: &Cluster, state: &mut State) -> Outcome {
    produce_some(&cluster.bootstrap(), PURGED, 0, 0, 10, "all")?;
    state.purged += 10;
    let to = state.purged - 5;
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap())
        .create()
        .map_err(|error| error.to_string())?;
    let mut before = TopicPartitionList::new();
    before
        .add_partition_offset(PURGED, 0, Offset::Offset(to))
        .map_err(|error| error.to_string())?;
    let deleted = admin.delete_records(&before, &AdminOptions::new());
    let deleted = crate::wait_for(deleted).map_err(|error| error.to_string())?;
    for element in deleted.elements() {
        element.error().map_err(|error| format!("deleting records of {PURGED}: {error}"))?;
    }
    state.purged_to = to;
    Ok(())
}

/// A leader dies with segments that nobody else has; it comes back and cuts them off.
fn tear(cluster: &Cluster, state: &mut State) -> Outcome {
    check::isr_whole(cluster, 3, PATIENCE)?;
    let leader = check::leader_of(&cluster.bootstrap(), TORN)?;
    let others: Vec<String> =
        (1..=3).filter(|id| *id != leader).map(|id| format!("broker-{id}")).collect();
    let leads = format!("broker-{leader}");
    for name in &others {
        faults::signal_node(cluster, name, Signal::STOP)?;
    }
    let alone = format!("127.0.0.1:{}", cluster.port(leader));
    let written = (0..4).try_for_each(|piece| {
        std::thread::sleep(Duration::from_millis(150));
        let id = 1_000_000 + state.round * 10 + piece;
        produce_some(&alone, TORN, id, 0, 50, "1").map(|_| ())
    });
    faults::signal_node(cluster, &leads, Signal::KILL)?;
    for name in &others {
        faults::signal_node(cluster, name, Signal::CONT)?;
    }
    written?;
    let rest: Vec<String> = (1..=3)
        .filter(|id| *id != leader)
        .map(|id| format!("127.0.0.1:{}", cluster.port(id)))
        .collect();
    let followed =
        until("another leader", TAKE_OVER, || match check::leader_of(&rest.join(","), TORN)? {
            id if id > 0 && id != leader => Ok(()),
            id => Err(format!("leader {id}")),
        });
    if followed.is_err() {
        // On a busy machine the others may have been away for longer than their sessions, so that
        // the leader was alone in the ISR. Nobody else may lead then.
        cluster.vltava(&["start", &leads])?;
        return check::isr_whole(cluster, 3, PATIENCE);
    }
    state.torn.extend(produce_some(&rest.join(","), TORN, state.round, 0, 20, "all")?);
    cluster.vltava(&["start", &leads])?;
    until("the old leader in the ISR", PATIENCE, || {
        let isr = held::in_sync(&rest.join(","), TORN)?;
        if isr == 3 { Ok(()) } else { Err(format!("{isr} in sync")) }
    })
}

/// Starts the nodes after a cut and waits until all is whole. What is damaged is told as such, and
/// not as something that took too long.
pub(super) fn start_again(cluster: &Cluster) -> Outcome {
    let whole = cluster.start_all().and_then(|()| check::isr_whole(cluster, 3, PATIENCE));
    whole.map_err(|error| match crate::is_timeout(&error) {
        true => held::damage(cluster).unwrap_or(error),
        false => error,
    })
}

/// Starts the nodes again and holds what is there against what was promised.
pub(super) fn after_cut(cluster: &Cluster, state: &mut State, load: Load) -> Outcome<String> {
    let before = load.acked();
    start_again(cluster)?;
    let mut report = load.finish()?;
    if let Some(reason) = report.fatal.first() {
        return Err(format!("the idempotent producer ended: {reason}"));
    }
    state.steady.append(&mut report.acked);
    let bootstrap = cluster.bootstrap();
    let read = check::read_back(&bootstrap, STEADY)?;
    let count = check::nothing_lost(&state.steady, &read)?;
    held::times_lead_to_records(&bootstrap, STEADY, &read)?;
    check::nothing_lost(&state.torn, &check::read_back(&bootstrap, TORN)?)?;
    for (name, acked) in &state.made {
        let read =
            check::read_back(&bootstrap, name).map_err(|error| format!("{name}: {error}"))?;
        check::nothing_lost(acked, &read).map_err(|error| format!("{name}: {error}"))?;
    }
    held::starts_at(&bootstrap, PURGED, state.purged_to)?;
    held::starts_at(&bootstrap, BRIEF, 0)?;
    check::metadata_equal(cluster, Duration::from_secs(30))?;
    let logs = held::replicas_equal(cluster)?;
    Ok(format!(
        "{before} acknowledged before it, {count} records there after it; {logs} logs alike"
    ))
}
