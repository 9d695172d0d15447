//! A disk that fills up: a small tmpfs, mounted for the check.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::cluster::{Cluster, Shape};
use crate::producers::{Load, Options};
use crate::{Outcome, admin, check, until};

const TOPIC: &str = "full";
/// How large the disk is, in MiB.
const SIZE_MIB: u32 = 192;

/// A cluster on one disk that something else fills: brokers refuse and go on to serve reads, and
/// the coordinators stand still where they must write. With room, all goes on by itself.
pub(super) fn run() -> Outcome<String> {
    let folder = super::folder()?;
    let mount = Mount::tmpfs(folder.path())?;
    let shape = Shape {
        topics: vec![(TOPIC.to_owned(), 1, 3)],
        config: vec![("vltava.disk.headroom.bytes".to_owned(), "16777216".to_owned())],
        ..Shape::default()
    };
    let cluster = Cluster::up(folder.path(), &shape)?;
    let load = |id| {
        Load::start(Options {
            bootstrap: cluster.bootstrap(),
            topic: TOPIC.to_owned(),
            id,
            rate: 200,
            partition: Some(0),
            settings: vec![("message.timeout.ms".to_owned(), "5000".to_owned())],
            log: None,
        })
    };
    let first = load(0)?;
    until("100 acknowledged records", Duration::from_secs(20), || {
        if first.acked() >= 100 { Ok(()) } else { Err(format!("{}", first.acked())) }
    })?;
    let ballast = folder.path().join("ballast");
    fill(&ballast)?;
    until("a producer that gives up", Duration::from_secs(30), || {
        let gap = first.longest_gap();
        if gap > Duration::from_secs(3) { Ok(()) } else { Err(format!("gap {gap:?}")) }
    })?;
    let refused = first.finish()?;
    let follower = lose_a_follower(&cluster)?;
    let read = check::read_back(&cluster.bootstrap(), TOPIC)
        .map_err(|error| format!("reads while the disk is full: {error}"))?;
    let count = check::nothing_lost(&refused.acked, &read)?;
    std::fs::remove_file(&ballast).map_err(|error| error.to_string())?;
    let second = load(1)?;
    until("acknowledgements once there is room", Duration::from_secs(30), || {
        if second.acked() >= 100 { Ok(()) } else { Err(format!("{}", second.acked())) }
    })?;
    cluster.vltava(&["start", &follower])?;
    check::isr_whole(&cluster, shape.brokers, Duration::from_secs(30))?;
    let mut acked = second.finish()?.acked;
    acked.extend_from_slice(&refused.acked);
    check::nothing_lost(&acked, &check::read_back(&cluster.bootstrap(), TOPIC)?)?;
    check::metadata_equal(&cluster, Duration::from_secs(30))?;
    drop(cluster);
    drop(mount);
    Ok(format!(
        "{} refused and {count} read while it was full, {} acknowledged in all",
        refused.failed.len(),
        acked.len()
    ))
}

/// Kills a broker that does not lead, which the coordinators want to write down, and waits until
/// one of them says that it cannot. Returns the broker's name.
fn lose_a_follower(cluster: &Cluster) -> Outcome<String> {
    let leader = check::leader_of(&cluster.bootstrap(), TOPIC)?;
    let follower = format!("broker-{}", leader % 3 + 1);
    cluster.vltava(&["kill", &follower])?;
    until("a coordinator that finds the disk full", Duration::from_secs(60), || {
        let nodes = cluster.nodes()?;
        let mut said = Vec::new();
        for node in nodes.iter().filter(|node| node.role == "coordinator") {
            if node.state != "running" {
                return Err(format!("{} is {}", node.name, node.state));
            }
            said.push(admin::get(node.admin.as_deref().unwrap_or_default(), "/readyz")?);
        }
        match said.iter().any(|(status, body)| *status == 503 && body.contains("disk is full")) {
            true => Ok(()),
            false => Err(format!("{said:?}")),
        }
    })?;
    Ok(follower)
}

/// Writes until nothing more fits.
fn fill(path: &Path) -> Outcome {
    use std::io::Write;
    let mut file = std::fs::File::create(path).map_err(|error| error.to_string())?;
    let block = vec![0u8; 64 * 1024];
    loop {
        match file.write(&block) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(format!("filling the disk: {error}")),
        }
    }
}

/// A mounted file system.
struct Mount<'a> {
    at: &'a Path,
}

impl<'a> Mount<'a> {
    fn tmpfs(at: &'a Path) -> Outcome<Self> {
        let size = format!("size={SIZE_MIB}m");
        let status = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(at)
            .status()
            .map_err(|error| format!("mount: {error}"))?;
        if status.success() { Ok(Self { at }) } else { Err("mount: this needs root".to_owned()) }
    }
}

impl Drop for Mount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.at).status();
    }
}
