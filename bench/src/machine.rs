//! The machine that is measured on, so that figures can be told apart later.

use std::fs;
use std::io::Write;
use std::process::Command;
use std::time::Instant;

use vltava_e2e::Outcome;

use crate::figure::median;

/// How many syncs say how fast the disk is.
const SYNCS: usize = 100;

/// The machine.
pub struct Machine {
    cpu: String,
    cores: usize,
    memory_gib: f64,
    kernel: String,
    sync_ms: f64,
    load: String,
    date: String,
    version: String,
}

impl Machine {
    /// Looks at this one.
    ///
    /// # Errors
    /// If the disk cannot be tried.
    pub fn look() -> Outcome<Self> {
        let field = |path: &str, name: &str| -> Option<String> {
            let text = fs::read_to_string(path).ok()?;
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let kib = field("/proc/meminfo", "MemTotal");
        let kib = kib.and_then(|it| it.split(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0);
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Ok(Self {
            cpu: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
            cores: cores(),
            memory_gib: kib / f64::from(1 << 20),
            kernel: version_of(&said("uname", &["-r"])),
            sync_ms: sync_ms()?,
            load: load.split(' ').next().unwrap_or("?").to_owned(),
            date: said("date", &["-u", "+%Y-%m-%d"]),
            version: said("git", &["rev-parse", "--short", "HEAD"]),
        })
    }

    /// One line that says it all.
    pub fn text(&self) -> String {
        format!(
            "{}, {} cores, {:.0} GiB, Linux {}; fdatasync of 4 KiB {:.2} ms; load before {}; \
             {}; Vltava {} ({}), Apache Kafka 4.2.1",
            self.cpu,
            self.cores,
            self.memory_gib,
            self.kernel,
            self.sync_ms,
            self.load,
            self.date,
            env!("CARGO_PKG_VERSION"),
            self.version,
        )
    }
}

/// How many cores there are.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A kernel's version without what its builder added.
fn version_of(release: &str) -> String {
    release.split('-').next().unwrap_or_default().to_owned()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|it| String::from_utf8_lossy(&it.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "unknown".to_owned())
}

/// The median time of an fdatasync of 4 KiB that were appended.
fn sync_ms() -> Outcome<f64> {
    let failed = |error: std::io::Error| format!("the disk cannot be tried: {error}");
    let mut file = tempfile::tempfile().map_err(failed)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&[7; 4096]).map_err(failed)?;
        let start = Instant::now();
        file.sync_data().map_err(failed)?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(median(&times))
}
