//! `cargo xtask chaos`: kills and pauses nodes under load, then checks every record.
//!
//! Faults come at random from a seed: a broker or a coordinator killed (SIGKILL) or paused
//! (SIGSTOP), two at once, or the whole cluster killed. What was acknowledged must be there once
//! and in order, what is committed must have been processed, and all must become whole again.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command that reports to a person")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vltava_e2e::cluster::{Cluster, Shape};
use vltava_e2e::consumers::Group;
use vltava_e2e::faults::Fault;
use vltava_e2e::power::{self, DiskKind, Settings};
use vltava_e2e::producers::{Load, Options, Report};
use vltava_e2e::{Outcome, check, faults, seconds, until};

#[derive(Parser)]
#[command(bin_name = "cargo xtask chaos", about = "Kills and pauses nodes under load")]
struct Cli {
    /// How many faults.
    #[arg(long, default_value_t = 30)]
    rounds: u32,
    /// The seed of the faults; random if none is named.
    #[arg(long)]
    seed: Option<u64>,
    /// Records a second of each of the two producers.
    #[arg(long, default_value_t = 500)]
    rate: u32,
    /// How many seconds may pass without an acknowledgement when one broker, one coordinator, or
    /// one of each dies.
    #[arg(long, default_value = "2", value_parser = seconds)]
    gap_max: Duration,
    /// Cut the power instead: what was not synced is lost.
    #[arg(long)]
    power: bool,
    /// Cut it on this disk alone: an ext4 of its own, or what was synced and nothing else.
    #[arg(long, requires = "power", value_name = "ext4|platter")]
    disk: Option<String>,
    /// Leave out an fsync (its name, or all in turn), which must be missed.
    #[arg(long, requires = "power", value_name = "FSYNC", num_args = 0..=1)]
    #[arg(default_missing_value = "all")]
    planted: Option<String>,
    /// Write into this folder what librdkafka says of the producers' connections and retries.
    #[arg(long)]
    client_logs: Option<PathBuf>,
    /// Keep the data folder here instead of a temporary one.
    #[arg(long)]
    folder: Option<PathBuf>,
}

const TOPIC: &str = "chaos";
/// Of so many records that producers gave up the reason is shown.
const GIVEN_UP_SHOWN: usize = 5;
const PARTITIONS: i32 = 6;
const BROKERS: usize = 3;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let seed = cli.seed.unwrap_or_else(rand::random);
    println!("chaos: seed {seed}");
    let outcome = if cli.power { cut_power(&cli, seed) } else { run(&cli, seed) };
    match outcome {
        Ok(()) => {
            println!("chaos: nothing was lost");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("chaos: {error}");
            let power = if cli.power { " --power" } else { "" };
            let rounds = cli.rounds;
            eprintln!("again: cargo xtask chaos{power} --rounds {rounds} --seed {seed}");
            ExitCode::FAILURE
        }
    }
}

fn cut_power(cli: &Cli, seed: u64) -> Outcome {
    let disk = match cli.disk.as_deref() {
        None => None,
        Some("ext4") => Some(DiskKind::Ext4),
        Some("platter") => Some(DiskKind::Platter),
        Some(other) => return Err(format!("there is no disk {other}; ext4 or platter")),
    };
    let settings = Settings { cuts: cli.rounds, seed, rate: cli.rate, disk };
    match &cli.planted {
        Some(name) => power::run_planted(name, &settings),
        None => power::run(&settings),
    }
}

fn run(cli: &Cli, seed: u64) -> Outcome {
    let temporary = tempfile::tempdir().map_err(|error| error.to_string())?;
    let folder = cli.folder.clone().unwrap_or_else(|| temporary.path().to_path_buf());
    let shape = Shape { topics: vec![(TOPIC.to_owned(), PARTITIONS, 3)], ..Shape::default() };
    let cluster = Cluster::up(&folder, &shape)?;
    let mut loads = Vec::new();
    for id in 0..2 {
        loads.push(Load::start(Options {
            bootstrap: cluster.bootstrap(),
            topic: TOPIC.to_owned(),
            id,
            rate: cli.rate,
            partition: None,
            settings: Vec::new(),
            log: cli.client_logs.as_ref().map(|folder| folder.join(format!("producer-{id}.log"))),
        })?);
    }
    let group = Group::start(&cluster.bootstrap(), TOPIC, "chaos-group", 2)?;
    let mut random = StdRng::seed_from_u64(seed);
    let mut gaps = Gaps { limit: cli.gap_max, seen: Vec::new() };
    let rounds = rounds(&cluster, &mut random, cli.rounds, &loads, &mut gaps);
    gaps.print();
    let verdict =
        rounds.and_then(|()| finish(&cluster, loads, group)).and_then(|()| gaps.verdict());
    if verdict.is_err() {
        eprintln!("chaos: {}", cluster.keep_logs(&format!("vltava-chaos-{seed}")));
    }
    verdict
}

fn rounds(
    cluster: &Cluster,
    random: &mut StdRng,
    count: u32,
    loads: &[Load],
    gaps: &mut Gaps,
) -> Outcome {
    let start = Instant::now();
    let mut is_whole = true;
    for round in 1..=count {
        loads.iter().for_each(Load::reset_gap);
        let (fault, nodes) = faults::choose(cluster, random)?;
        let at = start.elapsed().as_secs_f64();
        println!("{at:7.1} s  round {round}: {fault:?} {}", nodes.join(" "));
        let begun = Instant::now();
        faults::begin(cluster, fault, &nodes)?;
        std::thread::sleep(Duration::from_millis(random.random_range(500..4000)));
        faults::end(cluster, fault, &nodes)?;
        let away = begun.elapsed();
        let allowed = gaps.allowed(fault, is_whole, away);
        // Sometimes the next fault comes while the cluster still heals.
        is_whole = random.random_bool(0.7);
        if is_whole {
            check::isr_whole(cluster, BROKERS, Duration::from_secs(60))?;
            // A gap counts where its fault is, and not with the next one.
            loads.iter().try_for_each(flows)?;
        }
        let of_each: Vec<Duration> = loads.iter().map(Load::longest_gap).collect();
        let gap = of_each.iter().copied().max().unwrap_or_default();
        gaps.seen.push(Gap { round, fault, gap, allowed });
        let acked: usize = loads.iter().map(Load::acked).sum();
        let at = start.elapsed().as_secs_f64();
        println!("{at:7.1} s    longest gaps {of_each:.1?} of {allowed:.1?}, {acked} acknowledged");
    }
    Ok(())
}

/// Waits for another acknowledgement.
fn flows(load: &Load) -> Outcome {
    let before = load.acked();
    until("an acknowledgement", RECONNECT_MAX * 3, || match load.acked() {
        now if now > before => Ok(()),
        now => Err(format!("{now} so far")),
    })
}

/// How long a stock librdkafka waits at most before it connects again to a broker that has refused
/// it again and again (`reconnect.backoff.max.ms`). Where no broker could take records, the gap
/// grows by that, whatever the cluster does.
const RECONNECT_MAX: Duration = Duration::from_secs(10);

/// The longest time without an acknowledgement in a round.
struct Gap {
    round: u32,
    fault: Fault,
    gap: Duration,
    allowed: Duration,
}

struct Gaps {
    /// Of the death of one broker, one coordinator, or one of each.
    limit: Duration,
    seen: Vec<Gap>,
}

impl Gaps {
    /// How long the gap may be when `fault` came to a cluster that was whole, or was not, and
    /// its nodes were away so long.
    fn allowed(&self, fault: Fault, was_whole: bool, away: Duration) -> Duration {
        match fault {
            Fault::Kill | Fault::KillBoth if was_whole => self.limit,
            // Who has asked a paused leader waits for it.
            Fault::Pause if was_whole => away + self.limit,
            _ => away + RECONNECT_MAX + self.limit,
        }
    }

    fn print(&self) {
        println!("chaos: gaps between two acknowledgements");
        for fault in [Fault::Kill, Fault::KillBoth, Fault::Pause, Fault::KillTwo, Fault::KillAll] {
            let mut gaps: Vec<Duration> =
                self.seen.iter().filter(|gap| gap.fault == fault).map(|gap| gap.gap).collect();
            gaps.sort();
            if let (Some(longest), middle) = (gaps.last(), gaps.len() / 2) {
                let (count, median) = (gaps.len(), gaps[middle]);
                println!("  {fault:?}: {count} times, median {median:.1?}, longest {longest:.1?}");
            }
        }
    }

    fn verdict(&self) -> Outcome {
        let over = self.seen.iter().filter(|gap| gap.gap > gap.allowed);
        let told: Vec<String> = over
            .map(|Gap { round, fault, gap, allowed }| {
                format!("round {round} ({fault:?}): {gap:.1?} without one, {allowed:.1?} allowed")
            })
            .collect();
        if told.is_empty() { Ok(()) } else { Err(told.join("; ")) }
    }
}

fn finish(cluster: &Cluster, loads: Vec<Load>, group: Group) -> Outcome {
    check::isr_whole(cluster, BROKERS, Duration::from_secs(60))?;
    let mut report = Report::default();
    for load in loads {
        let mut one = load.finish()?;
        report.acked.append(&mut one.acked);
        report.failed.append(&mut one.failed);
        report.fatal.append(&mut one.fatal);
    }
    let read = check::read_back(&cluster.bootstrap(), TOPIC)?;
    let count = check::nothing_lost(&report.acked, &read)?;
    println!(
        "chaos: {} acknowledged, {count} read back, {} given up",
        report.acked.len(),
        report.failed.len()
    );
    for (sequence, reason) in report.failed.iter().take(GIVEN_UP_SHOWN) {
        println!("chaos: record {sequence} was given up: {reason}");
    }
    if let Some(reason) = report.fatal.first() {
        return Err(format!("an idempotent producer ended: {reason}"));
    }
    group.drain(&check::ends(&cluster.bootstrap(), TOPIC)?, Duration::from_secs(120))?;
    let processed = group.finish()?;
    println!("chaos: the group processed {processed} records, none committed ahead");
    check::metadata_equal(cluster, Duration::from_secs(30))
}
