//! What is impossible about a manifest, each with its place and what to do about it.

use std::collections::BTreeMap;
use std::fmt;

use vltava_config::{Values, keys, topic};

use crate::FIRST_COORDINATOR_ID;
use crate::config::{MANAGED, topic_defaults};
use crate::resource::{KafkaCluster, KafkaClusterSpec, PULL_POLICIES, Topic};

mod bounds;
mod listeners;

/// Where a cluster is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// On this machine, as processes.
    Local,
    /// On Kubernetes, as pods.
    Kubernetes,
}

/// The most brokers a cluster may have; their ids stay well below the coordinators'.
const MAX_BROKERS: i32 = FIRST_COORDINATOR_ID - 1001;
/// The most coordinators a cluster may have: each more makes every change wait for more disks.
const MAX_COORDINATORS: i32 = 9;
/// The most partitions a declared topic may have.
const MAX_PARTITIONS: i32 = 100_000;
/// The longest name of a cluster: with `-coordinator-0` it must be a host's name (63 letters).
const MAX_NAME: usize = 40;

/// Something impossible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, as `spec.topics[0].partitions`.
    pub path: String,
    /// What is wrong and what to do.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.what)
    }
}

/// What was found in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// What makes it impossible; empty if nothing does.
    pub problems: Vec<Problem>,
    /// What is possible, but better known.
    pub notices: Vec<Problem>,
}

impl Findings {
    fn problem(&mut self, path: impl Into<String>, what: impl Into<String>) {
        self.problems.push(Problem { path: path.into(), what: what.into() });
    }

    fn notice(&mut self, path: impl Into<String>, what: impl Into<String>) {
        self.notices.push(Problem { path: path.into(), what: what.into() });
    }
}

/// Checks a manifest for a place to run.
pub fn validate(cluster: &KafkaCluster, target: Target) -> Findings {
    let mut findings = Findings::default();
    name(cluster, &mut findings);
    replicas(&cluster.spec, &mut findings);
    storage(&cluster.spec, &mut findings);
    move_rate(&cluster.spec, &mut findings);
    config(&cluster.spec, &mut findings);
    image(&cluster.spec, &mut findings);
    grace(&cluster.spec, &mut findings);
    listeners::check(cluster, target, &mut findings);
    topics(&cluster.spec, &mut findings);
    bounds::check(cluster, &mut findings);
    findings
}

fn name(cluster: &KafkaCluster, findings: &mut Findings) {
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() {
        findings.problem("metadata.name", "is not set; name the cluster");
    } else if !name.chars().all(plain)
        || !name.starts_with(|c: char| c.is_ascii_lowercase())
        || name.ends_with('-')
    {
        let what = format!("`{name}` may hold a to z, 0 to 9 and `-`, and starts with a letter");
        findings.problem("metadata.name", what);
    } else if name.len() > MAX_NAME {
        let what = format!("`{name}` is longer than {MAX_NAME} letters; shorten it");
        findings.problem("metadata.name", what);
    }
}

fn replicas(spec: &KafkaClusterSpec, findings: &mut Findings) {
    let brokers = spec.brokers.replicas;
    if !(1..=MAX_BROKERS).contains(&brokers) {
        let what = format!("{brokers} brokers are impossible; ask for 1 to {MAX_BROKERS}");
        findings.problem("spec.brokers.replicas", what);
    }
    let coordinators = spec.coordinators.replicas;
    let path = "spec.coordinators.replicas";
    if !(1..=MAX_COORDINATORS).contains(&coordinators) {
        let what = format!("{coordinators} are impossible; ask for 1, 3, 5, 7 or 9");
        findings.problem(path, what);
    } else if coordinators % 2 == 0 {
        let less = coordinators - 1;
        let what = format!("{coordinators} bear no more failures than {less}; ask for {less}");
        findings.problem(path, what);
    } else if coordinators == 1 {
        findings.notice(path, "if the only coordinator fails, nothing can change; ask for 3");
    }
}

/// How long pods may take to end.
fn grace(spec: &KafkaClusterSpec, findings: &mut Findings) {
    for (role, pod) in [("brokers", &spec.brokers.pod), ("coordinators", &spec.coordinators.pod)] {
        if let Some(seconds) = pod.termination_grace_period_seconds.filter(|it| *it < 0) {
            let path = format!("spec.{role}.pod.terminationGracePeriodSeconds");
            findings.problem(path, format!("{seconds} is no time; take 0 seconds or more"));
        }
    }
}

fn image(spec: &KafkaClusterSpec, findings: &mut Findings) {
    if let Some(policy) = spec.image_pull_policy.as_deref()
        && !PULL_POLICIES.contains(&policy)
    {
        let what = format!("`{policy}` is none; take {}", PULL_POLICIES.join(", "));
        findings.problem("spec.imagePullPolicy", what);
    }
    let Some(image) = &spec.image else { return };
    if spec.coordinator_image().is_none() {
        let what = format!(
            "`{image}` does not say where the coordinators' image is, which is of the same name \
             but for `broker`, and of the same tag; name that in coordinators.image"
        );
        findings.problem("spec.image", what);
    }
}

fn storage(spec: &KafkaClusterSpec, findings: &mut Findings) {
    for (path, storage) in [
        ("spec.brokers.storage.size", &spec.brokers.storage),
        ("spec.coordinators.storage.size", &spec.coordinators.storage),
    ] {
        if let Some(size) = storage.size.as_deref().filter(|size| !is_quantity(size)) {
            findings.problem(path, format!("`{size}` is no size; write it as 10Gi or 500Mi"));
        }
    }
}

/// The slowest that partitions may be told to move, in bytes a second: slower, they never arrive.
const MOVE_RATE_MIN: f64 = 65_536.0;

fn move_rate(spec: &KafkaClusterSpec, findings: &mut Findings) {
    let rate = spec.brokers.move_rate.as_deref();
    if let Some(rate) = rate.filter(|rate| amount(rate).is_none_or(|it| it < MOVE_RATE_MIN)) {
        let what = format!("`{rate}` is no rate to move at; write it as 20Mi, 64Ki at least");
        findings.problem("spec.brokers.moveRate", what);
    }
}

/// Whether a text is a positive size as Kubernetes writes it.
fn is_quantity(text: &str) -> bool {
    amount(text).is_some_and(|size| size > 0.0)
}

/// A size as Kubernetes writes it, in bytes.
pub fn amount(text: &str) -> Option<f64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024f64.powi(2),
        "Gi" => 1024f64.powi(3),
        "Ti" => 1024f64.powi(4),
        "Pi" => 1024f64.powi(5),
        "Ei" => 1024f64.powi(6),
        _ => return None,
    };
    Some(digits.parse::<f64>().ok()? * unit)
}

fn config(spec: &KafkaClusterSpec, findings: &mut Findings) {
    for (path, settings) in [
        ("spec.brokers.config", &spec.brokers.config),
        ("spec.coordinators.config", &spec.coordinators.config),
    ] {
        for (key, value) in settings {
            let place = format!("{path}.{key}");
            if MANAGED.contains(&key.as_str()) {
                let what = "follows from the rest of the manifest; take it out";
                findings.problem(place, what);
            } else if let Err(error) = Values::from_pairs([(key.as_str(), value.as_str())]) {
                for problem in error.problems() {
                    findings.problem(place.clone(), problem.what.clone());
                }
            }
        }
    }
    let brokers = spec.brokers.replicas;
    let number = |key: &str| -> Option<i32> { spec.brokers.config.get(key)?.trim().parse().ok() };
    for key in [
        keys::DEFAULT_REPLICATION_FACTOR.name(),
        keys::MIN_INSYNC_REPLICAS.name(),
        keys::OFFSETS_TOPIC_REPLICATION_FACTOR.name(),
        keys::TRANSACTION_STATE_LOG_REPLICATION_FACTOR.name(),
        keys::SHARE_COORDINATOR_STATE_TOPIC_REPLICATION_FACTOR.name(),
    ] {
        if let Some(wanted) = number(key).filter(|wanted| *wanted > brokers) {
            let what = format!(
                "{wanted} is more than there are brokers; lower it or set brokers.replicas to \
                 {wanted}"
            );
            findings.problem(format!("spec.brokers.config.{key}"), what);
        }
    }
    let (_, replicas) = topic_defaults(spec);
    if let Some(least) = number(keys::MIN_INSYNC_REPLICAS.name()).filter(|least| *least > replicas)
    {
        let what = format!(
            "{least} is more than the {replicas} that a topic gets by default; such a topic needs \
             all of its replicas"
        );
        findings.notice("spec.brokers.config.min.insync.replicas", what);
    }
}

fn topics(spec: &KafkaClusterSpec, findings: &mut Findings) {
    // Metrics cannot tell `.` from `_`, so Kafka lets no two topics differ by them alone.
    let mut seen: BTreeMap<String, &str> = BTreeMap::new();
    for (index, topic) in spec.topics.iter().enumerate() {
        let path = format!("spec.topics[{index}]");
        if let Err(what) = topic::check_name(&topic.name) {
            findings.problem(format!("{path}.name"), what);
        } else if topic.name.starts_with("__") {
            let what = format!("`{}` is a name of Kafka's own topics; rename it", topic.name);
            findings.problem(format!("{path}.name"), what);
        } else {
            match seen.insert(topic.name.replace('.', "_"), &topic.name) {
                Some(other) if other == topic.name => {
                    let what = format!("`{other}` is declared twice; take one out");
                    findings.problem(format!("{path}.name"), what);
                }
                Some(other) => {
                    let what = format!(
                        "`{}` and `{other}` differ by `.` and `_` alone; rename one",
                        topic.name
                    );
                    findings.problem(format!("{path}.name"), what);
                }
                None => {}
            }
        }
        one_topic(&path, topic, spec, findings);
    }
}

fn one_topic(path: &str, topic: &Topic, spec: &KafkaClusterSpec, findings: &mut Findings) {
    let name = &topic.name;
    if let Some(partitions) = topic.partitions.filter(|n| !(1..=MAX_PARTITIONS).contains(n)) {
        let what = format!("{name}: {partitions} are impossible; ask for 1 to {MAX_PARTITIONS}");
        findings.problem(format!("{path}.partitions"), what);
    }
    let (_, default) = topic_defaults(spec);
    let (replicas, brokers) = (topic.replication_factor.unwrap_or(default), spec.brokers.replicas);
    if replicas < 1 {
        let what = format!("{name}: {replicas} replicas are impossible; ask for 1 or more");
        findings.problem(format!("{path}.replicationFactor"), what);
    } else if replicas > brokers {
        let what = format!(
            "{name}: {replicas} replicas need as many brokers, and there are {brokers}; lower it \
             or set brokers.replicas to {replicas}"
        );
        findings.problem(format!("{path}.replicationFactor"), what);
    }
    for (key, value) in &topic.config {
        if let Err(error) = topic::validate([(key, value)]) {
            findings.problem(format!("{path}.config.{key}"), format!("{name}: {}", error.what));
        }
    }
    let key = keys::MIN_INSYNC_REPLICAS.name();
    let least = topic.config.get(key).and_then(|text| text.trim().parse::<i32>().ok());
    if let Some(least) = least.filter(|least| *least > replicas) {
        let what = format!("{name}: {least} is more than its {replicas} replicas; lower it");
        findings.problem(format!("{path}.config.{key}"), what);
    }
}
