//! What a load cost: CPU time and memory, of the nodes and of the client, from /proc.

use std::time::{Duration, Instant};

use vltava_e2e::{Outcome, admin};

use crate::figure::{CLIENT, CPU_PER_GB, CPU_PER_RECORD, RESIDENT, Sample};

/// Ticks of the kernel's clock in a second, as /proc counts.
const TICKS_PER_S: f64 = 100.0;

/// A measurement under way.
pub struct Meter {
    pids: Vec<i32>,
    ticks: u64,
    own_ticks: u64,
    started: Instant,
}

/// What it cost.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// Time on the wall.
    pub wall: Duration,
    /// CPU of all nodes, in seconds.
    pub nodes_s: f64,
    /// CPU of this process, which holds the clients, in seconds.
    pub client_s: f64,
    /// Resident memory of all nodes at the end, in MiB.
    pub resident_mib: f64,
}

impl Meter {
    /// Begins to measure.
    ///
    /// # Errors
    /// If a node is gone.
    pub fn start(pids: Vec<i32>) -> Outcome<Self> {
        let (ticks, own_ticks) = (ticks(&pids)?, own_ticks()?);
        Ok(Self { pids, ticks, own_ticks, started: Instant::now() })
    }

    /// Ends it.
    ///
    /// # Errors
    /// If a node is gone.
    pub fn stop(self) -> Outcome<Spent> {
        let wall = self.started.elapsed();
        Ok(Spent {
            wall,
            nodes_s: (ticks(&self.pids)? - self.ticks) as f64 / TICKS_PER_S,
            client_s: (own_ticks()? - self.own_ticks) as f64 / TICKS_PER_S,
            resident_mib: resident_mib(&self.pids)?,
        })
    }
}

impl Spent {
    /// What it cost for so many bytes.
    pub fn per_gb(&self, bytes: f64) -> Sample {
        Sample::of([(CPU_PER_GB, self.nodes_s / (bytes / 1e9))]).and(self.shares())
    }

    /// What it cost for so many records.
    pub fn per_record(&self, records: f64) -> Sample {
        Sample::of([(CPU_PER_RECORD, self.nodes_s * 1e6 / records)]).and(self.shares())
    }

    fn shares(&self) -> Sample {
        let share = 100.0 * self.client_s / (self.client_s + self.nodes_s).max(f64::MIN_POSITIVE);
        Sample::of([(CLIENT, share), (RESIDENT, self.resident_mib)])
    }
}

fn ticks(pids: &[i32]) -> Outcome<u64> {
    pids.iter().map(|pid| admin::cpu_ticks(*pid)).sum()
}

fn own_ticks() -> Outcome<u64> {
    admin::cpu_ticks(rustix::process::getpid().as_raw_nonzero().get())
}

/// Resident memory of processes, in MiB.
///
/// # Errors
/// If one is gone.
pub fn resident_mib(pids: &[i32]) -> Outcome<f64> {
    let kib: u64 = pids.iter().map(|pid| admin::resident_kib(*pid)).sum::<Outcome<u64>>()?;
    Ok(kib as f64 / 1024.0)
}

/// CPU that processes use while nothing is asked of them, in percent of a core.
///
/// # Errors
/// If one is gone.
pub fn idle_percent(pids: &[i32], window: Duration) -> Outcome<f64> {
    let before = ticks(pids)?;
    std::thread::sleep(window);
    Ok((ticks(pids)? - before) as f64 / TICKS_PER_S / window.as_secs_f64() * 100.0)
}
