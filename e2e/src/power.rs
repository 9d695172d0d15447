//! Power cuts under load, on two disks: an ext4 of its own, and one that is stricter than any.
//!
//! Only what was synced survives. On ext4 the release binaries run, but its journal brings the
//! names in folders to the disk with the next fsync of any file, so that it hides most of the syncs
//! that are missing. The [`platter`] shows those: what nobody asked for is not there after a cut,
//! or only a part of it. With [`planted`] omissions both are shown to bite.

mod ext4;
mod held;
mod planted;
mod platter;
mod promised;
mod quiet;
mod round;

use std::path::PathBuf;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rustix::process::Signal;

use crate::cluster::{Cluster, Place, Shape};
use crate::{Outcome, faults};

pub use planted::run as run_planted;

/// Cuts of a cluster that does little: one after each of the things that it does.
const QUIET_CUTS: u32 = 5;

/// How long killed nodes may take to be gone, and what they held.
const GONE: Duration = Duration::from_secs(60);

/// What a person chooses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many cuts on each disk.
    pub cuts: u32,
    /// The seed of what happens.
    pub seed: u64,
    /// Records a second of the load.
    pub rate: u32,
    /// Which disk; both if none is named.
    pub disk: Option<DiskKind>,
}

/// A disk whose power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskKind {
    /// An ext4 on a loop device, under the release binaries. Needs root.
    Ext4,
    /// What was synced, file by file and folder by folder, under binaries built for it.
    Platter,
}

/// Cuts the power so many times under load, and checks after each.
///
/// # Errors
/// An acknowledged record that is gone, or a machine that has no loop devices to give.
pub fn run(settings: &Settings) -> Outcome {
    if settings.disk != Some(DiskKind::Platter) {
        on_ext4(settings)?;
    }
    if settings.disk != Some(DiskKind::Ext4) {
        let told = |Wrong { cut, what }| format!("cut {cut}: {what}");
        on_platter(settings.cuts, settings.seed, settings.rate, None).map_err(told)?;
        quiet::run(QUIET_CUTS, settings.seed, None).map_err(told)?;
        println!("platter, {QUIET_CUTS} cuts of a cluster that does little: all is there");
    }
    Ok(())
}

fn on_ext4(settings: &Settings) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let writeback = ext4::Writeback::off()?;
    let mut disk = ext4::Disk::create(folder.path())?;
    let place = Place::new(folder.path()).with_data(disk.mountpoint.join("data"));
    let cluster = Cluster::up_at(place, &shape())?;
    let mut random = StdRng::seed_from_u64(settings.seed);
    let mut state = round::State::new(&cluster)?;
    for cut in 1..=settings.cuts {
        let load = round::before_cut(&cluster, &mut state, &mut random, settings.rate)?;
        let promised = promised::Promised::of(&cluster, &state.acknowledged())?;
        disk.cut(&cluster)?;
        promised.still_holds(&cluster)?;
        let found = round::after_cut(&cluster, &mut state, load)?;
        println!("ext4, cut {cut}: {found}");
    }
    drop(cluster);
    drop(disk);
    drop(writeback);
    Ok(())
}

/// What was wrong, and after which cut; 0 is before the first.
struct Wrong {
    cut: u32,
    what: String,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self { cut: 0, what }
    }
}

/// As many cuts on the platter; `skipped` is the fsync that is left out.
fn on_platter(cuts: u32, seed: u64, rate: u32, skipped: Option<&str>) -> Result<(), Wrong> {
    on_a_platter(skipped, &shape(), |cluster, platter| {
        let mut random = StdRng::seed_from_u64(seed);
        let mut state = round::State::new(cluster)?;
        for cut in 1..=cuts {
            let load = round::before_cut(cluster, &mut state, &mut random, rate)?;
            let kept = if cut % 2 == 1 { platter::Kept::Nothing } else { platter::Kept::Some };
            let found = promised::Promised::of(cluster, &state.acknowledged())
                .and_then(|promised| {
                    platter.cut(cluster, &mut random, kept)?;
                    promised.still_holds(cluster)
                })
                .and_then(|()| round::after_cut(cluster, &mut state, load))
                .map_err(|error| format!("({kept:?} of the rest kept) {error}"))
                .map_err(|what| Wrong { cut, what })?;
            if skipped.is_none() {
                println!("platter, cut {cut} ({kept:?} of the rest kept): {found}");
            }
        }
        Ok(())
    })
}

/// Does something with a new cluster on a platter.
fn on_a_platter(
    skipped: Option<&str>,
    shape: &Shape,
    run: impl FnOnce(&Cluster, &platter::Platter) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let folder_path = folder.path().canonicalize().map_err(|error| error.to_string())?;
    let data = folder_path.join("data");
    let platter = platter::Platter::create(&folder_path, &data)?;
    let mut environment = platter.environment();
    environment.extend(skipped.map(|kind| ("VLTAVA_SKIP_SYNC".to_owned(), kind.to_owned())));
    let place = Place::new(&folder_path).with_binary(power_cut_binary()?, environment);
    let cluster = Cluster::up_at(place, shape)?;
    run(&cluster, &platter)
}

/// A cluster that does often what others do seldom: new segments, snapshots, checkpoints,
/// retention.
fn shape() -> Shape {
    let of = |keys: &[(&str, &str)]| {
        keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    };
    Shape {
        topics: round::TOPICS.iter().map(|name| ((*name).to_owned(), 3, 3)).collect(),
        config: of(&[
            ("log.roll.ms", "300"),
            ("log.roll.jitter.ms", "0"),
            // Each batch has an entry in the indexes, so that one that is lost matters.
            ("log.index.interval.bytes", "0"),
            ("log.retention.check.interval.ms", "500"),
            ("replica.high.watermark.checkpoint.interval.ms", "300"),
            ("offsets.topic.num.partitions", "3"),
        ]),
        coordinator_config: of(&[
            ("metadata.log.max.record.bytes.between.snapshots", "4000"),
            ("metadata.log.segment.ms", "1000"),
        ]),
        ..Shape::default()
    }
}

/// The program that keeps apart what was synced, beside this one.
fn power_cut_binary() -> Outcome<PathBuf> {
    if let Some(path) = std::env::var_os("VLTAVA_POWER_CUT_BIN") {
        return Ok(path.into());
    }
    let here = std::env::current_exe().map_err(|error| error.to_string())?;
    let path = here.with_file_name("vltava-power-cut");
    if path.is_file() {
        return Ok(path);
    }
    Err(format!("{} is not built; cargo xtask chaos --power builds it", path.display()))
}

/// Stops every node where it is; returns their processes.
fn stop(cluster: &Cluster) -> Outcome<Vec<i32>> {
    let pids: Vec<i32> = cluster.nodes()?.iter().filter_map(|node| node.pid).collect();
    for pid in &pids {
        faults::signal(*pid, Signal::STOP)?;
    }
    Ok(pids)
}

/// Kills stopped nodes and waits until they are gone.
fn end(pids: &[i32]) -> Outcome {
    for pid in pids {
        faults::signal(*pid, Signal::KILL)?;
    }
    for pid in pids {
        crate::until("the end of a killed node", GONE, || {
            if has_ended(*pid) { Ok(()) } else { Err(format!("{pid} lives")) }
        })?;
    }
    Ok(())
}

/// Whether a process holds nothing any more: its first thread may end before others, which still
/// have its files.
fn has_ended(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    // The second field is a name in parentheses, which may hold anything (proc(5)).
    let state = stat.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().next());
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    matches!(state, Some("Z" | "X") | None) && threads <= 1
}

#[cfg(test)]
mod tests {
    use super::has_ended;

    #[test]
    fn a_process_that_nobody_has_waited_for_has_ended_once_it_holds_nothing() {
        let sleeps = std::process::Command::new("sleep").arg("600").spawn();
        let mut child = sleeps.expect("a process");
        let pid = i32::try_from(child.id()).expect("pids are small");
        assert!(!has_ended(pid));
        child.kill().expect("it runs");
        let limit = super::GONE;
        let gone = crate::until("its end", limit, || match has_ended(pid) {
            true => Ok(()),
            false => Err(String::new()),
        });
        gone.expect("it ends while nobody waits for it");
        child.wait().expect("it has ended");
        assert!(has_ended(pid));
    }
}
