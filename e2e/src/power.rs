//! A power cut: nodes on an ext4 of their own, of which only what was synced survives.
//!
//! SIGKILL keeps the page cache, so it does not show that anything was synced. Here the data folder
//! lies on a loop device over a file, and the kernel's periodic writeback is off. At the cut every
//! node is stopped, the file below is copied, the nodes are killed, and the copy is mounted in its
//! place: its journal recovers as after a real cut, and what nobody synced is not in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use rustix::process::Signal;

use crate::cluster::{Cluster, Shape};
use crate::producers::{Load, Options};
use crate::{Outcome, check, faults};

/// How large the file system is, in MiB.
const SIZE_MIB: u32 = 1024;
const TOPIC: &str = "power";
const WRITEBACK: &str = "/proc/sys/vm/dirty_writeback_centisecs";

/// Cuts the power so many times under load, and checks after each.
///
/// # Errors
/// An acknowledged record that is gone, or a machine that has no loop devices to give.
pub fn run(rounds: u32, seed: u64, rate: u32) -> Outcome {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let writeback = Writeback::off()?;
    let mut disk = Disk::create(folder.path())?;
    let shape = Shape { topics: vec![(TOPIC.to_owned(), 3, 3)], ..Shape::default() };
    let cluster = Cluster::up_in(folder.path(), &disk.mountpoint.join("data"), &shape)?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut acked = Vec::new();
    for round in 1..=rounds {
        let load = Load::start(Options {
            bootstrap: cluster.bootstrap(),
            topic: TOPIC.to_owned(),
            id: round,
            rate,
            partition: None,
            settings: vec![("message.timeout.ms".to_owned(), "60000".to_owned())],
        })?;
        std::thread::sleep(Duration::from_millis(random.random_range(1500..4000)));
        disk.cut(&cluster)?;
        let before = load.acked();
        cluster.start_all()?;
        check::isr_whole(&cluster, 3, Duration::from_secs(60))?;
        let mut report = load.finish()?;
        acked.append(&mut report.acked);
        let read = check::read_back(&cluster.bootstrap(), TOPIC)?;
        let count = check::nothing_lost(&acked, &read)?;
        println!("cut {round}: {before} acknowledged before it, {count} records there after it");
    }
    check::metadata_equal(&cluster, Duration::from_secs(30))?;
    drop(cluster);
    drop(disk);
    drop(writeback);
    Ok(())
}

/// The kernel's periodic writeback, off while this lives.
struct Writeback {
    before: String,
}

impl Writeback {
    fn off() -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("{WRITEBACK}: {error}; this needs root");
        let before = std::fs::read_to_string(WRITEBACK).map_err(failed)?;
        std::fs::write(WRITEBACK, "0").map_err(failed)?;
        Ok(Self { before })
    }
}

impl Drop for Writeback {
    fn drop(&mut self) {
        let _ = std::fs::write(WRITEBACK, self.before.trim());
    }
}

/// A mounted file system over a file.
struct Disk {
    folder: PathBuf,
    image: PathBuf,
    device: String,
    mountpoint: PathBuf,
    cuts: u32,
}

impl Disk {
    fn create(folder: &Path) -> Outcome<Self> {
        let image = folder.join("disk-0.img");
        let mountpoint = folder.join("mnt");
        std::fs::create_dir_all(&mountpoint).map_err(|error| error.to_string())?;
        run_program("truncate", &["-s", &format!("{SIZE_MIB}M"), &text(&image)])?;
        run_program("mkfs.ext4", &["-q", "-F", &text(&image)])?;
        let device = attach(&image)?;
        let disk = Self { folder: folder.to_path_buf(), image, device, mountpoint, cuts: 0 };
        run_program("mount", &[&disk.device, &text(&disk.mountpoint)])?;
        Ok(disk)
    }

    /// Cuts the power of every node: what was not synced is gone.
    fn cut(&mut self, cluster: &Cluster) -> Outcome {
        let nodes = cluster.nodes()?;
        let pids: Vec<i32> = nodes.iter().filter_map(|node| node.pid).collect();
        for pid in &pids {
            faults::signal(*pid, Signal::STOP)?;
        }
        self.cuts += 1;
        let copy = self.folder.join(format!("disk-{}.img", self.cuts));
        // The loop device writes into the file's page cache; a copy of the file is what the device
        // has been told to keep.
        run_program("cp", &["--sparse=always", &text(&self.image), &text(&copy)])?;
        for pid in &pids {
            faults::signal(*pid, Signal::KILL)?;
        }
        for pid in &pids {
            crate::until("the end of a killed node", Duration::from_secs(10), || {
                let gone = !Path::new(&format!("/proc/{pid}/exe")).exists();
                if gone { Ok(()) } else { Err(format!("{pid} lives")) }
            })?;
        }
        run_program("umount", &[&text(&self.mountpoint)])?;
        run_program("losetup", &["-d", &self.device])?;
        let _ = std::fs::remove_file(&self.image);
        self.image = copy;
        self.device = attach(&self.image)?;
        run_program("mount", &[&self.device, &text(&self.mountpoint)]).map(|_| ())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = run_program("umount", &["-l", &text(&self.mountpoint)]);
        let _ = run_program("losetup", &["-d", &self.device]);
    }
}

fn attach(image: &Path) -> Outcome<String> {
    run_program("losetup", &["--find", "--show", &text(image)])
        .map(|device| device.trim().to_owned())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

fn run_program(program: &str, arguments: &[&str]) -> Outcome<String> {
    let line = format!("{program} {}", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("{line}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
