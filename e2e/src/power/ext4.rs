//! A power cut of an ext4: what its journal and its files have when nobody writes back but fsync.
//!
//! SIGKILL keeps the page cache, so it does not show that anything was synced. Here the data folder
//! lies on a loop device over a file, and the kernel's periodic writeback is off. At the cut every
//! node is stopped, the file below is copied, the nodes are killed, and the copy is mounted in its
//! place: its journal recovers as after a real cut, and what nobody synced is not in it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Outcome;
use crate::cluster::Cluster;

/// How large the file system is, in MiB.
const SIZE_MIB: u32 = 1024;
const WRITEBACK: &str = "/proc/sys/vm/dirty_writeback_centisecs";

/// The kernel's periodic writeback, off while this lives.
pub(super) struct Writeback {
    before: String,
}

impl Writeback {
    pub(super) fn off() -> Outcome<Self> {
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
pub(super) struct Disk {
    folder: PathBuf,
    image: PathBuf,
    device: String,
    pub(super) mountpoint: PathBuf,
    cuts: u32,
}

impl Disk {
    pub(super) fn create(folder: &Path) -> Outcome<Self> {
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
    pub(super) fn cut(&mut self, cluster: &Cluster) -> Outcome {
        let pids = super::stop(cluster)?;
        self.cuts += 1;
        let copy = self.folder.join(format!("disk-{}.img", self.cuts));
        // The loop device writes into the file's page cache; a copy of the file is what the device
        // has been told to keep.
        run_program("cp", &["--sparse=always", &text(&self.image), &text(&copy)])?;
        super::end(&pids)?;
        // What belonged to a process may be given back a moment after its end.
        crate::until("the end of all that was open", super::GONE, || {
            run_program("umount", &[&text(&self.mountpoint)])
        })?;
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
