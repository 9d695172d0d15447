//! What the system says about this process: memory, descriptors, CPU time.

use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustix::param::{clock_ticks_per_second, page_size};

/// Reads `/proc/self` whenever the metrics are asked for; where there is none, shows nothing.
#[derive(Debug)]
pub struct ProcessMetrics;

impl ProcessMetrics {
    /// Shows the process's numbers in `registry`, under the names that Prometheus' own client
    /// libraries use.
    pub fn register(registry: &mut Registry) {
        registry.register_collector(Box::new(Self));
    }
}

/// Resident memory of this process, in bytes; `None` where the system does not tell.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * page_size() as u64)
}

/// CPU time of this process, in user and kernel mode together.
fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name may hold spaces; it ends at the last parenthesis.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_secs_f64((user + kernel) as f64 / clock_ticks_per_second() as f64))
}

fn open_descriptors() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/fd").ok()?.count())
}

impl Collector for ProcessMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        if let Some(bytes) = resident_bytes() {
            let metric = ConstGauge::new(bytes as i64);
            let help = "Resident memory size in bytes";
            metric.encode(encoder.encode_descriptor(
                "process_resident_memory_bytes",
                help,
                None,
                metric.metric_type(),
            )?)?;
        }
        if let Some(count) = open_descriptors() {
            let metric = ConstGauge::new(count as i64);
            let help = "Number of open file descriptors";
            metric.encode(encoder.encode_descriptor(
                "process_open_fds",
                help,
                None,
                metric.metric_type(),
            )?)?;
        }
        if let Some(time) = cpu_time() {
            let metric = ConstCounter::new(time.as_secs_f64());
            let help = "User and system CPU time spent in seconds";
            metric.encode(encoder.encode_descriptor(
                "process_cpu_seconds",
                help,
                None,
                metric.metric_type(),
            )?)?;
        }
        Ok(())
    }
}
