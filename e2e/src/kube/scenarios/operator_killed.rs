//! The operator dies at whatever it does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::Outcome;
use crate::kube::manifest::Manifest;
use crate::kube::outside;
use crate::kube::world::{PORTS, namespace_of};
use crate::kube::{Cluster, SETTLES, Steady, World, conditions, operator};

/// Between two deaths: shorter than a roll's every step, at first.
const LIVES: [u64; 6] = [2, 3, 5, 7, 9, 11];
/// How long nothing is asked of the operator while its writes are counted.
const IDLE: Duration = Duration::from_secs(30);
/// The most memory of the operator, in bytes.
const MEMORY_MAX: f64 = 30.0 * 1024.0 * 1024.0;

/// The operator's counters.
const WRITES: &str = "vltava_operator_api_writes_total";
const READS: &str = "vltava_operator_api_reads_total";
/// The most reads a minute at rest: a look at one cluster every ten seconds.
const READS_MAX: f64 = 120.0;

/// Killed during a roll, upgraded, and left with nothing to do.
pub(super) fn run(world: &World) -> Outcome<String> {
    let namespace = namespace_of("operator-killed");
    let manifest = Manifest::new("prague").outside(&PORTS);
    let cluster = world.cluster(&namespace, &manifest)?;
    let load = Steady::start(&outside())?;
    let watch = cluster.watch()?;
    cluster.apply(&manifest.set("log.retention.check.interval.ms", "230000"))?;
    let start = Instant::now();
    for seconds in LIVES {
        std::thread::sleep(Duration::from_secs(seconds));
        operator::kill(&world.shell)?;
    }
    cluster.settled()?;
    let took = start.elapsed();
    let mut times: BTreeMap<String, u32> = BTreeMap::new();
    watch.replaced().into_iter().for_each(|name| *times.entry(name).or_default() += 1);
    if let Some((name, times)) = times.iter().find(|(_, times)| **times > 1) {
        return Err(format!("{name} was restarted {times} times by one roll"));
    }
    if watch.most_down("broker") > 1 {
        return Err("more than one broker was down at once".to_owned());
    }

    let before = (cluster.uids("broker")?, cluster.uids("coordinator")?);
    let next = world.images.also_as(&world.shell, "e2e-operator")?;
    operator::install(&world.shell, &world.root, &next, &[])?;
    std::thread::sleep(Duration::from_secs(10));
    cluster.settled()?;
    if (cluster.uids("broker")?, cluster.uids("coordinator")?) != before {
        return Err("an upgrade of the operator restarted pods".to_owned());
    }
    world.operator()?;
    cluster.settled()?;
    let idle = idle(world, &cluster)?;
    cluster.whole(&outside(), SETTLES)?;
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("rolled in {took:.0?} through {} deaths; {idle}; {found}", LIVES.len()))
}

/// What the operator does and needs while there is nothing to do. Something may well happen once,
/// on a machine that is busy: a node that answers late is told, and told off again.
fn idle(world: &World, cluster: &Cluster) -> Outcome<String> {
    at_rest(world, cluster).or_else(|first| {
        cluster.settled()?;
        at_rest(world, cluster).map_err(|again| format!("{first}; and once more: {again}"))
    })
}

fn at_rest(world: &World, cluster: &Cluster) -> Outcome<String> {
    // What the start and the last change brought is over when the resource no longer changes.
    std::thread::sleep(IDLE);
    let version = |value: &serde_json::Value| value["metadata"]["resourceVersion"].to_string();
    let (first, before) = (operator::metrics(&world.shell)?, cluster.resource()?);
    std::thread::sleep(IDLE);
    let (second, after) = (operator::metrics(&world.shell)?, cluster.resource()?);
    if version(&before) != version(&after) {
        return Err(format!("the status is written at rest: {}", conditions::line(&after)));
    }
    let lease = |key: &str| key.contains("resource=\"leases\"");
    let sum = |metrics: &BTreeMap<String, f64>, name: &str, leases: bool| -> f64 {
        let counted =
            metrics.iter().filter(|(key, _)| key.starts_with(name) && lease(key) == leases);
        counted.map(|(_, value)| value).sum()
    };
    let of = |name: &str, leases| {
        (sum(&second, name, leases) - sum(&first, name, leases)) * 60.0 / IDLE.as_secs_f64()
    };
    let [writes, reads] = [WRITES, READS].map(|name| of(name, false));
    if writes > 0.0 {
        return Err(format!("{writes:.0} writes a minute at rest, apart from the Lease's"));
    }
    // One that has just started may have found nothing to write, but for its Lease.
    if sum(&second, WRITES, true) == 0.0 {
        return Err("the operator does not count what it writes".to_owned());
    }
    if reads > READS_MAX || reads == 0.0 {
        return Err(format!("{reads:.0} reads a minute at rest; {READS_MAX} at most"));
    }
    let renewals = of(WRITES, true);
    let memory = sum(&second, "process_resident_memory_bytes", false);
    if memory == 0.0 {
        return Err("the operator has no metric process_resident_memory_bytes".to_owned());
    }
    if memory > MEMORY_MAX {
        return Err(format!("the operator takes {:.1} MiB", memory / 1024.0 / 1024.0));
    }
    let mib = memory / 1024.0 / 1024.0;
    Ok(format!(
        "at rest {mib:.1} MiB, {writes:.0} writes and {reads:.0} reads a minute, {renewals:.0} \
         renewals of the Lease"
    ))
}
