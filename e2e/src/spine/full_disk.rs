//! A disk that fills up: a small tmpfs, mounted for the check.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::cluster::{Cluster, Shape};
use crate::producers::{Load, Options};
use crate::{Outcome, check, until};

const TOPIC: &str = "full";
/// How large the disk is, in MiB.
const SIZE_MIB: u32 = 192;

pub(super) fn run() -> Outcome<String> {
    let folder = super::folder()?;
    let mount = Mount::tmpfs(folder.path())?;
    let shape = Shape {
        brokers: 1,
        coordinators: 1,
        topics: vec![(TOPIC.to_owned(), 1, 1)],
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
    let read = check::read_back(&cluster.bootstrap(), TOPIC)
        .map_err(|error| format!("reads while the disk is full: {error}"))?;
    let count = check::nothing_lost(&refused.acked, &read)?;
    std::fs::remove_file(&ballast).map_err(|error| error.to_string())?;
    let second = load(1)?;
    until("acknowledgements once there is room", Duration::from_secs(30), || {
        if second.acked() >= 100 { Ok(()) } else { Err(format!("{}", second.acked())) }
    })?;
    let mut acked = second.finish()?.acked;
    acked.extend_from_slice(&refused.acked);
    check::nothing_lost(&acked, &check::read_back(&cluster.bootstrap(), TOPIC)?)?;
    drop(cluster);
    drop(mount);
    Ok(format!(
        "{} refused and {count} read while it was full, {} acknowledged in all",
        refused.failed.len(),
        acked.len()
    ))
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
