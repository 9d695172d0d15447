//! Cuts in a cluster that does little: then no other sync brings along what one left out.
//!
//! One after the other, each with a power cut after it: a new cluster; a topic that was made and
//! written to; one that was deleted; a restart in order; another leader of the quorum.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rustix::process::Signal;

use super::platter::{Kept, Platter};
use super::promised::{Partition, Promised, data_of};
use super::{Wrong, on_a_platter};
use crate::cluster::{Cluster, Shape};
use crate::producers::{Acked, produce_some};
use crate::{Outcome, admin, check, faults, until};

const PATIENCE: Duration = Duration::from_secs(30);
/// Written to, and kept.
const KEPT: &str = "kept";
/// Made and deleted.
const DELETED: &str = "deleted";

/// As many cuts, perhaps without an fsync.
///
/// # Errors
/// What was wrong, and after which cut.
pub(super) fn run(cuts: u32, seed: u64, skipped: Option<&str>) -> Result<(), Wrong> {
    // No checkpoint comes by itself in the time that this takes.
    let interval = "replica.high.watermark.checkpoint.interval.ms".to_owned();
    let config = vec![(interval, "600000".to_owned())];
    let shape = Shape { config, ..Shape::default() };
    on_a_platter(skipped, &shape, |cluster, platter| {
        let mut random = StdRng::seed_from_u64(seed);
        let mut acked = Vec::new();
        for cut in 1..=cuts {
            let step = step(cluster, platter, cut, &mut acked).and_then(|()| {
                let promised = Promised::of(cluster, &partitions(&acked))?;
                platter.cut(cluster, &mut random, Kept::Nothing)?;
                promised.still_holds(cluster)?;
                after(cluster, &acked)
            });
            step.map_err(|what| Wrong { cut, what })?;
        }
        Ok(())
    })
}

fn partitions(acked: &[Acked]) -> Vec<Partition> {
    let mut all: Vec<Partition> = acked.iter().map(|it| (KEPT.to_owned(), it.partition)).collect();
    all.dedup();
    all
}

fn step(cluster: &Cluster, platter: &Platter, cut: u32, acked: &mut Vec<Acked>) -> Outcome {
    match cut {
        // What was promised is who the nodes are.
        1 => Ok(()),
        2 => {
            make(cluster, KEPT)?;
            acked.extend(produce_some(&cluster.bootstrap(), KEPT, cut, 0, 20, "all")?);
            Ok(())
        }
        3 => {
            make(cluster, DELETED)?;
            produce_some(&cluster.bootstrap(), DELETED, cut, 0, 20, "all")?;
            cluster.vltava(&["topic", "delete", DELETED])?;
            until("the end of a deleted topic's folders", PATIENCE, || {
                match folders(cluster, |name| name.starts_with(DELETED))?.first() {
                    None => Ok(()),
                    Some(folder) => Err(format!("{folder} is there")),
                }
            })
        }
        4 => {
            cluster.vltava(&["down"])?;
            // Long after, the mark of the clean shutdown is on the disk.
            platter.rest()?;
            cluster.start_all()?;
            check::isr_whole(cluster, 3, PATIENCE)?;
            acked.extend(produce_some(&cluster.bootstrap(), KEPT, cut, 0, 20, "all")?);
            Ok(())
        }
        _ => another_leader(cluster),
    }
}

fn make(cluster: &Cluster, topic: &str) -> Outcome {
    let arguments = ["topic", "create", topic, "--partitions", "1", "--replication-factor", "3"];
    cluster.vltava(&arguments)?;
    check::isr_whole(cluster, 3, PATIENCE)
}

/// The quorum's leader dies; the power goes as soon as another one leads.
fn another_leader(cluster: &Cluster) -> Outcome {
    let active = cluster.active_coordinator()?;
    let epochs = |cluster: &Cluster| -> Outcome<BTreeMap<String, i64>> {
        let nodes = cluster.nodes()?.into_iter();
        let others = nodes.filter(|it| it.role == "coordinator" && it.name != active);
        others.map(|node| Ok((node.name.clone(), admin::quorum_epoch(&node)?))).collect()
    };
    let before = epochs(cluster)?;
    faults::signal_node(cluster, &active, Signal::KILL)?;
    until("another leader of the quorum", PATIENCE, || {
        let now = epochs(cluster)?;
        let is_later = |(name, epoch): (&String, &i64)| *epoch > before[name];
        if now.iter().all(is_later) { Ok(()) } else { Err(format!("{before:?}, {now:?}")) }
    })
}

fn after(cluster: &Cluster, acked: &[Acked]) -> Outcome {
    super::round::start_again(cluster)?;
    if acked.is_empty() {
        return Ok(());
    }
    let read = check::read_back(&cluster.bootstrap(), KEPT)?;
    check::nothing_lost(acked, &read)?;
    match folders(cluster, |name| name.ends_with("-stray"))?.first() {
        None => Ok(()),
        Some(folder) => Err(format!("{folder}: the records of a deleted topic are back")),
    }
}

/// The folders of all brokers whose names are meant.
fn folders(cluster: &Cluster, is_meant: impl Fn(&str) -> bool) -> Outcome<Vec<String>> {
    let mut found = Vec::new();
    for node in cluster.nodes()?.iter().filter(|node| node.role == "broker") {
        let data = data_of(node);
        let entries = std::fs::read_dir(&data).map_err(|error| error.to_string())?;
        for entry in entries.flatten() {
            if is_meant(&entry.file_name().to_string_lossy()) {
                found.push(entry.path().display().to_string());
            }
        }
    }
    Ok(found)
}
