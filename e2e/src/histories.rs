//! Histories: what random clients, transactional and plain, did and were told while nodes were
//! killed and paused, held against what a log of partitions promises.
//!
//! The clients are librdkafka's. Each does one operation at a time and notes when it began, and how
//! it ended: done, not done, or unknown; what it sent, at which offsets that was acknowledged, and
//! what it polled. Then the whole history is [checked](checker), after Jepsen's workload for Kafka.

pub mod checker;
mod clients;
pub mod history;
pub mod planted;
mod reader;
mod sender;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::cluster::{Cluster, Shape};
use crate::{Outcome, check, faults, transactions};
use checker::{Counts, Verdict};
use clients::{Client, Role, World};
use history::{Event, Kind, Operation, Step};
use planted::{PLANTS, Plant};
use reader::Reader;

/// Brokers of the cluster.
const BROKERS: usize = 3;
/// Partitions of each topic.
const PARTITIONS: i32 = 4;
/// How long a planted fault has.
const PLANTED_FOR: Duration = Duration::from_secs(10);
/// How long it may take until everything that was acknowledged can be read, once all is well.
const READ_MAX: Duration = Duration::from_secs(60);
/// So often a poll finds nothing more before a partition counts as read to its end.
const SILENT_POLLS: u32 = 10;
/// Of so many findings each is shown.
const FINDINGS_SHOWN: usize = 20;

/// The clients of each history.
const ROLES: &[Role] = &[
    Role::Sender,
    Role::Sender,
    Role::Transactor,
    Role::Transactor,
    Role::Transactor,
    Role::Processor,
    Role::Processor,
    Role::Poller,
    Role::Poller,
    Role::Member,
    Role::Member,
];

/// What a person chooses.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The seed of the first history; each further one has the next.
    pub seed: u64,
    /// How many histories.
    pub count: u64,
    /// How long the clients of each work.
    pub lasts: Duration,
    /// Where to keep the histories.
    pub folder: Option<PathBuf>,
}

/// Makes histories and checks them.
///
/// # Errors
/// What is wrong with the first that has anomalies, or what kept it from being made.
pub fn run(settings: &Settings) -> Outcome {
    let names: Vec<String> = (1..=settings.count).map(|it| format!("history-{it}")).collect();
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let cluster = cluster(folder.path(), &names)?;
    let mut longest = Counts::default();
    for (topic, seed) in names.iter().zip(settings.seed..) {
        let history = made(&cluster, topic, seed, settings.lasts, None);
        let verdict = history.and_then(|history| {
            let kept = settings.folder.as_ref().map(|it| it.join(format!("{topic}.jsonl")));
            let verdict = checker::check(&history);
            // One with anomalies is kept in any case.
            let other = std::env::temp_dir().join(format!("vltava-{topic}-{seed}.jsonl"));
            if let Some(path) = kept.or((!verdict.findings.is_empty()).then_some(other)) {
                history::write(&path, &history)?;
                println!("{topic}: it is in {}", path.display());
            }
            told(topic, &verdict).map(|()| verdict)
        });
        match verdict {
            Ok(verdict) if verdict.counts.events > longest.events => longest = verdict.counts,
            Ok(_) => {}
            Err(error) => {
                let logs = cluster.keep_logs(&format!("vltava-{topic}-{seed}"));
                let again = format!("--seconds {} --seed {seed}", settings.lasts.as_secs());
                return Err(format!("{error}; {logs}\nagain: cargo xtask histories {again}"));
            }
        }
    }
    println!("the longest history: {longest}");
    Ok(())
}

/// Checks a history that was kept.
///
/// # Errors
/// If it cannot be read, or has anomalies.
pub fn check_kept(path: &Path) -> Outcome {
    told(&path.display().to_string(), &checker::check(&history::read(path)?))
}

/// Plants the fault of that name, or each in turn (`all`), in histories without other faults, and
/// expects that it is found.
///
/// # Errors
/// Those that were not, or a name that is none.
pub fn run_planted(name: &str, seed: u64) -> Outcome {
    let meant: Vec<_> = PLANTS.iter().filter(|it| name == "all" || name == it.0).collect();
    if meant.is_empty() {
        let all: Vec<&str> = PLANTS.iter().map(|plant| plant.0).collect();
        return Err(format!("there is no planted fault {name}; there are {}", all.join(", ")));
    }
    let of_each = |it: &&(&str, Plant, _)| [it.0.to_owned(), planted::elsewhere(it.0)];
    let topics: Vec<String> = meant.iter().flat_map(of_each).collect();
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let cluster = cluster(folder.path(), &topics)?;
    let mut unfound = Vec::new();
    println!("{:<14}{:<22}found", "planted", "to be found");
    for (name, plant, expected) in &meant {
        let history = made(&cluster, name, seed, PLANTED_FOR, Some(*plant))?;
        let verdict = checker::check(&history);
        let of_it: Vec<_> = verdict.findings.iter().filter(|it| it.anomaly == *expected).collect();
        let first = of_it.first().map_or("NOTHING", |it| it.what.as_str());
        println!("{name:<14}{:<22}{} times: {first}", expected.name(), of_it.len());
        if of_it.is_empty() {
            unfound.push(*name);
        }
    }
    match unfound.as_slice() {
        [] => Ok(()),
        names => Err(format!("planted and not found: {}", names.join(", "))),
    }
}

fn cluster(folder: &Path, topics: &[String]) -> Outcome<Cluster> {
    let eager = ("group.initial.rebalance.delay.ms".to_owned(), "0".to_owned());
    let shape = Shape {
        topics: topics.iter().map(|name| (name.clone(), PARTITIONS, 3)).collect(),
        config: vec![eager],
        ..Shape::default()
    };
    Cluster::up(folder, &shape)
}

fn told(name: &str, verdict: &Verdict) -> Outcome {
    println!("{name}: {}", verdict.counts);
    if verdict.findings.is_empty() {
        println!("{name}: no anomaly");
        return Ok(());
    }
    verdict.findings.iter().take(FINDINGS_SHOWN).for_each(|finding| println!("{name}: {finding}"));
    let names: Vec<&str> = checker::anomalies(verdict).iter().map(|it| it.name()).collect();
    Err(format!("{} anomalies ({})", verdict.findings.len(), names.join(", ")))
}

/// Lets clients work while nodes are killed and paused (or not, if a fault is planted); then all is
/// healed and read.
fn made(
    cluster: &Cluster,
    topic: &str,
    seed: u64,
    lasts: Duration,
    planted: Option<Plant>,
) -> Outcome<Vec<Event>> {
    let world = Arc::new(World {
        bootstrap: cluster.bootstrap(),
        topic: topic.to_owned(),
        partitions: PARTITIONS,
        seed,
        planted,
        recorder: history::Recorder::default(),
        values: 0.into(),
        stop: false.into(),
    });
    if planted.is_none() {
        println!("{topic}: seed {seed}, groups by the {} protocol", world.protocol());
    }
    let is_group = |role: &Role| matches!(role, Role::Member | Role::Processor);
    let clients: Vec<_> = (1..)
        .zip(ROLES)
        .filter(|(_, role)| planted != Some(Plant::Unread) || !is_group(role))
        .map(|(number, role)| Client::new(&world, number, *role))
        .map(|client| std::thread::spawn(move || client.run()))
        .collect();
    let harmed = match planted {
        Some(_) => {
            std::thread::sleep(lasts);
            Ok(())
        }
        None => harm(cluster, seed, lasts),
    };
    world.stop.store(true, Ordering::Release);
    let mut ended = harmed;
    for client in clients {
        let outcome = client.join().map_err(|_| "a client's thread panicked".to_owned());
        ended = ended.and(outcome.and_then(|outcome| outcome));
    }
    ended?;
    check::isr_whole(cluster, BROKERS, READ_MAX)?;
    transactions::settled(cluster)?;
    read_all(&world)?;
    Ok(world.recorder.events())
}

/// Brings faults until the time is over; at its end all nodes run.
fn harm(cluster: &Cluster, seed: u64, lasts: Duration) -> Outcome {
    let mut random = StdRng::seed_from_u64(seed);
    let start = Instant::now();
    let pause = |random: &mut StdRng, from, to| {
        std::thread::sleep(Duration::from_millis(random.random_range(from..to)));
    };
    loop {
        // Between faults, time to do something.
        pause(&mut random, 1000, 5000);
        if start.elapsed() >= lasts {
            return Ok(());
        }
        let (fault, nodes) = faults::choose(cluster, &mut random)?;
        println!("{:7.1} s  {fault:?} {}", start.elapsed().as_secs_f64(), nodes.join(" "));
        faults::begin(cluster, fault, &nodes)?;
        pause(&mut random, 500, 6000);
        faults::end(cluster, fault, &nodes)?;
        if random.random_bool(0.7) {
            check::isr_whole(cluster, BROKERS, READ_MAX)?;
        }
    }
}

/// One last client reads all partitions from their beginning, until it has seen everything that is
/// known to be committed and nothing more comes, or gives up.
fn read_all(world: &Arc<World>) -> Outcome {
    let client = ROLES.len() as u32 + 1;
    let mut wanted = committed(&world.recorder.events());
    let mut random = StdRng::seed_from_u64(world.seed);
    let mut reader = Reader::new(world, client);
    reader.assign((world.first_read()..PARTITIONS).map(|partition| (partition, 0)).collect())?;
    let (start, mut silent) = (Instant::now(), 0);
    let give_up = if world.planted.is_some() { READ_MAX / 6 } else { READ_MAX };
    while silent < SILENT_POLLS || (!wanted.is_empty() && start.elapsed() < give_up) {
        world.recorder.note(client, Kind::Invoke, Operation::Plain { steps: Vec::new() });
        let steps = reader.poll(1000, &mut random)?;
        silent = if steps.is_empty() { silent + 1 } else { 0 };
        for step in &steps {
            if let Step::Poll { records, .. } = step {
                for (_, _, value) in records {
                    wanted.remove(value);
                }
            }
        }
        world.recorder.note(client, Kind::Ok, Operation::Plain { steps });
    }
    Ok(())
}

/// The values of which clients were told that they are committed.
fn committed(history: &[Event]) -> HashSet<u64> {
    let mut values = HashSet::new();
    for event in history.iter().filter(|event| event.kind != Kind::Invoke) {
        let is_plain = matches!(event.operation, Operation::Plain { .. });
        for step in event.operation.steps() {
            if let Step::Send { value, ack, .. } = step
                && (if is_plain { ack.is_some() } else { event.kind == Kind::Ok })
            {
                values.insert(*value);
            }
        }
    }
    values
}
