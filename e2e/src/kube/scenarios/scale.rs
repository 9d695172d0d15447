//! More nodes and fewer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;

use crate::kube::cluster::partitions;
use crate::kube::manifest::{LOAD, Manifest};
use crate::kube::world::namespace_of;
use crate::kube::{Cluster, SETTLES, Steady, World, operator};
use crate::{Outcome, until};

/// How far the brokers' numbers of replicas may lie apart once they are balanced.
const APART_MAX: usize = 3;
/// How long the operator works on the way down before it is killed.
const HALF_WAY: Duration = Duration::from_secs(3);
/// Between two topics that are made on the way down.
const BETWEEN: Duration = Duration::from_millis(200);
/// How long a refusal may take.
const REFUSED: Duration = Duration::from_secs(30);

/// Three brokers, four, three.
pub(super) fn run(world: &World) -> Outcome<String> {
    let namespace = namespace_of("scale");
    let mut manifest = Manifest::new("prague").at_nodes();
    manifest.broker_fields =
        vec!["storage: {size: 1Gi, reclaimPolicy: Delete}".to_owned(), "moveRate: 8Mi".to_owned()];
    let manifest = manifest.topic("{name: orders, partitions: 9, replicationFactor: 3}");
    let cluster = world.cluster(&namespace, &manifest)?;
    let bootstrap = cluster.bootstrap("external")?;
    let load = Steady::start(&bootstrap)?;
    let start = Instant::now();
    scale(&cluster, 4)?;
    cluster.settled()?;
    balanced(&bootstrap, 4)?;
    let up = start.elapsed();
    cluster.event("at 8Mi a second", REFUSED)?;
    not_throttled(&cluster)?;
    load.more(200)?;

    let start = Instant::now();
    let topics = Newcomers::start(&bootstrap)?;
    scale(&cluster, 3)?;
    std::thread::sleep(HALF_WAY);
    operator::kill(&world.shell)?;
    drained_first(&cluster, &bootstrap)?;
    let created = topics.finish()?;
    cluster.settled()?;
    let down = start.elapsed();
    cluster.event("nothing new is placed on broker 4", REFUSED)?;
    not_throttled(&cluster)?;
    newcomers_are_served(&bootstrap, created)?;
    balanced(&bootstrap, 3)?;
    let claims = cluster.kubectl(&["get", "pvc", "-o", "name"])?;
    if claims.contains("broker-4") {
        return Err(format!("the fourth broker's volume was to be deleted: {claims}"));
    }
    until("the end of broker 4's registration", REFUSED, || {
        let known = cluster.vltava(1, &["quorum", "status"])?;
        if known.contains("broker-4") { Err(known) } else { Ok(()) }
    })?;

    // Two brokers cannot hold three replicas.
    scale(&cluster, 2)?;
    cluster.says("replication", REFUSED)?;
    cluster.pods_up("broker", 3, REFUSED)?;
    scale(&cluster, 3)?;
    cluster.settled()?;
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("3 → 4 in {up:.1?}, 4 → 3 in {down:.1?} while {created} topics were made; {found}"))
}

/// What throttled the moves was taken back.
fn not_throttled(cluster: &Cluster) -> Outcome {
    until("the end of the throttles", REFUSED, || {
        let mut shown = cluster.vltava(1, &["config", "describe", "broker", "1"])?;
        for topic in [LOAD, "orders"] {
            shown.push_str(&cluster.vltava(1, &["config", "describe", "topic", topic])?);
        }
        match shown.lines().find(|line| line.contains("replication.throttled")) {
            None => Ok(()),
            Some(line) => Err(line.to_owned()),
        }
    })
}

/// Topics of one replica, made one after the other: wherever one is placed, it must stay.
struct Newcomers {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Outcome<usize>>,
}

impl Newcomers {
    fn start(bootstrap: &str) -> Outcome<Self> {
        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap)
            .create()
            .map_err(|error| error.to_string())?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let options = AdminOptions::new().operation_timeout(Some(BETWEEN * 100));
            let mut made = 0;
            while !told.load(Ordering::Acquire) {
                let name = format!("newcomer-{made}");
                let topic = NewTopic::new(&name, 1, TopicReplication::Fixed(1));
                let outcome = crate::wait_for(admin.create_topics([&topic], &options));
                let outcome = outcome.map_err(|error| error.to_string())?;
                if let Some(Err((name, code))) = outcome.into_iter().next() {
                    return Err(format!("{name} cannot be made: {code}"));
                }
                made += 1;
                std::thread::sleep(BETWEEN);
            }
            Ok(made)
        });
        Ok(Self { stop, thread })
    }

    /// Makes no more; says how many were made.
    fn finish(self) -> Outcome<usize> {
        self.stop.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "a thread that makes topics has panicked".to_owned())?
    }
}

/// Every topic that was made during the way down is led by a broker that stayed.
fn newcomers_are_served(bootstrap: &str, made: usize) -> Outcome {
    let all = partitions(bootstrap)?;
    let new: Vec<_> = all.iter().filter(|it| it.topic.starts_with("newcomer-")).collect();
    match new.iter().find(|it| !(1..=3).contains(&it.leader)) {
        Some(lost) => Err(format!("it went with the fourth broker: {lost:?}")),
        None if new.len() != made => Err(format!("{} of {made} topics are there", new.len())),
        None => Ok(()),
    }
}

fn scale(cluster: &Cluster, brokers: i32) -> Outcome {
    let replicas = format!("--replicas={brokers}");
    cluster.kubectl(&["scale", &format!("kc/{}", cluster.name), &replicas]).map(|_| ())
}

/// The fourth broker's pod is there as long as it holds a replica.
fn drained_first(cluster: &Cluster, bootstrap: &str) -> Outcome {
    until("the fourth broker's end", SETTLES, || {
        // In this order: what was held while the pod was gone cannot be what was held before.
        let pods = cluster.pods("broker")?;
        let gone = pods.len() == 3;
        let held = partitions(bootstrap)?.iter().filter(|it| it.replicas.contains(&4)).count();
        match (gone, held) {
            (true, 0) => Ok(Ok(())),
            (true, held) => Ok(Err(format!("the broker went while it held {held} replicas"))),
            (false, held) => Err(format!("it holds {held} replicas")),
        }
    })?
}

/// Every broker has its share of the replicas.
fn balanced(bootstrap: &str, brokers: i32) -> Outcome {
    until("balanced replicas", SETTLES, || {
        let mut held: BTreeMap<i32, usize> = (1..=brokers).map(|broker| (broker, 0)).collect();
        for partition in partitions(bootstrap)? {
            if partition.topic.starts_with("__") {
                continue;
            }
            for replica in partition.replicas {
                *held.entry(replica).or_default() += 1;
            }
        }
        let (least, most) = (held.values().min(), held.values().max());
        let apart = most.zip(least).map_or(0, |(most, least)| most - least);
        let fine = apart <= APART_MAX && held.len() == brokers as usize;
        if fine { Ok(()) } else { Err(format!("replicas of each: {held:?}")) }
    })
}

/// One coordinator, three, five, three.
pub(super) fn coordinators(world: &World) -> Outcome<String> {
    let namespace = namespace_of("coordinators");
    let mut manifest = Manifest::new("prague").at_nodes();
    manifest.coordinators = 1;
    let cluster = world.cluster(&namespace, &manifest)?;
    let bootstrap = cluster.bootstrap("external")?;
    let load = Steady::start(&bootstrap)?;
    let mut took = Vec::new();
    for count in [3, 5, 3] {
        let start = Instant::now();
        manifest.coordinators = count;
        cluster.apply(&manifest)?;
        cluster.settled()?;
        voters(&cluster, count as usize)?;
        took.push(start.elapsed());
        load.more(200)?;
    }
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("1 → 3 → 5 → 3 in {took:.1?}; {found}"))
}

/// Waits until so many coordinators vote.
pub(super) fn voters(cluster: &Cluster, count: usize) -> Outcome {
    until(&format!("{count} voters"), SETTLES, || {
        let status = cluster.vltava(1, &["quorum", "status"])?;
        let voters = status
            .lines()
            .filter(|line| line.contains("Mode: leader") || line.contains("Mode: follower"))
            .count();
        if voters == count { Ok(()) } else { Err(status) }
    })
}
