//! Changes that restart pods, and those that must not.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::kube::manifest::Manifest;
use crate::kube::outside;
use crate::kube::pods::Watch;
use crate::kube::world::{PORTS, namespace_of};
use crate::kube::{Cluster, SETTLES, Steady, World};
use crate::{Outcome, until};

/// A setting that only a restart brings into force.
const READ_ONLY: &str = "log.retention.check.interval.ms";
/// A setting that needs none.
const DYNAMIC: &str = "log.retention.ms";
/// How long a roll that has stopped is watched, to see that it has.
const STOPPED: Duration = Duration::from_secs(20);
/// How often it is looked whether another coordinator was elected.
const LOOK: Duration = Duration::from_millis(200);
/// How long a change at run time may take.
const AT_RUN_TIME: Duration = Duration::from_secs(60);

/// A setting, a limit, an image: one pod after the other.
pub(super) fn good(world: &World) -> Outcome<String> {
    let namespace = namespace_of("roll");
    // Two topics that bear no loss of a broker must not block the roll for ever.
    let manifest = Manifest::new("prague")
        .outside(&PORTS)
        .topic("{name: single, partitions: 3, replicationFactor: 1}")
        .topic("{name: anotherTopic, partitions: 2, replicationFactor: 2}");
    let cluster = world.cluster(&namespace, &manifest)?;
    let load = Steady::start(&outside())?;
    let watch = cluster.watch()?;
    let by_setting = whole_roll(&cluster, &watch, &manifest.clone().set(READ_ONLY, "240000"))?;
    cluster.event("min.insync.replicas", Duration::from_secs(10))?;
    nothing_rolls(&cluster, &manifest.clone().set(READ_ONLY, "240000").set(DYNAMIC, "86400000"))?;
    let next = world.images.also_as(&world.shell, "e2e-next")?;
    let image = Manifest {
        image: Some(next.broker),
        ..manifest.set(READ_ONLY, "240000").set(DYNAMIC, "86400000")
    };
    watch.restart();
    let by_image = whole_roll(&cluster, &watch, &image)?;
    cluster.whole(&outside(), SETTLES)?;
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("by setting in {by_setting:.1?}, by image in {by_image:.1?}; {found}"))
}

/// Applies a change that restarts every broker, and holds the roll against its promises.
fn whole_roll(cluster: &Cluster, watch: &Watch, manifest: &Manifest) -> Outcome<Duration> {
    let before = cluster.uids("broker")?;
    let coordinators = cluster.uids("coordinator")?;
    let active = cluster.active_coordinator()?;
    let epoch = until("the quorum's epoch", AT_RUN_TIME, || cluster.quorum_epoch(1))?;
    let start = Instant::now();
    let elected = elected_during(cluster, epoch, || {
        cluster.apply(manifest)?;
        cluster.settled().map(drop)
    })?;
    let took = start.elapsed();
    let after = cluster.uids("broker")?;
    if let Some((name, _)) = before.iter().find(|pod| after.contains(pod)) {
        return Err(format!("{name} was not restarted"));
    }
    for component in ["broker", "coordinator"] {
        let down = watch.most_down(component);
        if down > 1 {
            return Err(format!("{down} {component}s were down at once"));
        }
    }
    let order = watch.replaced();
    if cluster.uids("coordinator")? != coordinators {
        let last = order.iter().rfind(|name| name.contains("-coordinator-"));
        let expected = format!("{}-coordinator-{}", cluster.name, active - 3000);
        // One that another was elected for meanwhile goes in its turn.
        let told = watch.leaves(&expected, start);
        let replaced = elected.zip(told).is_some_and(|(elected, told)| elected < told);
        if last != Some(&expected) && !replaced {
            return Err(format!("{expected} led when the roll began; the order was {order:?}"));
        }
    }
    if order.len() > 6 {
        return Err(format!("pods went more than once: {order:?}"));
    }
    Ok(took)
}

/// Does something; says when the quorum was first seen in another epoch meanwhile.
fn elected_during(
    cluster: &Cluster,
    epoch: i64,
    does: impl FnOnce() -> Outcome,
) -> Outcome<Option<Instant>> {
    let done = AtomicBool::new(false);
    let (outcome, seen) = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            // One broker after the other: each goes once, and then says nothing.
            for broker in (1..=3).cycle() {
                if done.load(Ordering::Acquire) {
                    break;
                }
                if cluster.quorum_epoch(broker).is_ok_and(|now| now != epoch) {
                    return Some(Instant::now());
                }
                std::thread::sleep(LOOK);
            }
            None
        });
        let outcome = does();
        done.store(true, Ordering::Release);
        (outcome, looking.join())
    });
    outcome?;
    seen.map_err(|_| "who looks for elections panicked".to_owned())
}

/// Applies a change at run time: it comes into force, and no pod is touched.
fn nothing_rolls(cluster: &Cluster, manifest: &Manifest) -> Outcome {
    let before = (cluster.uids("broker")?, cluster.uids("coordinator")?);
    cluster.apply(manifest)?;
    cluster.settled()?;
    let value = &manifest.config[DYNAMIC];
    until("the setting in force", AT_RUN_TIME, || {
        let shown = cluster.vltava(1, &["config", "describe", "broker", "1"])?;
        let line = shown.lines().find(|line| line.contains(DYNAMIC)).unwrap_or_default();
        if line.contains(value.as_str()) { Ok(()) } else { Err(format!("it shows {line:?}")) }
    })?;
    let after = (cluster.uids("broker")?, cluster.uids("coordinator")?);
    if before == after { Ok(()) } else { Err("a change at run time restarted pods".to_owned()) }
}

/// A change that no broker survives: it stops at the first, and goes back with the manifest.
pub(super) fn bad(world: &World) -> Outcome<String> {
    let namespace = namespace_of("bad-roll");
    let manifest = Manifest::new("prague").outside(&PORTS);
    let cluster = world.cluster(&namespace, &manifest)?;
    let load = Steady::start(&outside())?;
    let mut took = Vec::new();
    for broken in [
        // An image that is nowhere, and settings with which no broker starts: each is allowed by
        // itself, but no request would fit into this memory.
        Manifest { image: Some("vltava-broker:nowhere".to_owned()), ..manifest.clone() },
        manifest.clone().set("vltava.memory.budget.bytes", "1048576"),
    ] {
        let before = cluster.uids("broker")?;
        let watch = cluster.watch()?;
        cluster.apply(&broken)?;
        let degraded = cluster.condition("Degraded", "True", SETTLES)?;
        let start = Instant::now();
        while start.elapsed() < STOPPED {
            load.more(100)?;
        }
        if watch.most_down("broker") > 1 {
            return Err(format!("the bad roll went on: {:?}", watch.replaced()));
        }
        let back = Instant::now();
        cluster.apply(&manifest)?;
        cluster.settled()?;
        took.push(back.elapsed());
        let after = cluster.uids("broker")?;
        let kept = before.iter().filter(|pod| after.contains(pod)).count();
        if kept < 2 {
            let said = crate::kube::conditions::line(&degraded);
            return Err(format!("only {kept} brokers were left alone by the bad roll: {said}"));
        }
    }
    cluster.whole(&outside(), SETTLES)?;
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("back to good in {took:.1?}; {found}"))
}

/// A pod is deleted as the roll begins: what was known of it must not let another go.
pub(super) fn stale_readiness(world: &World) -> Outcome<String> {
    let namespace = namespace_of("stale-readiness");
    let manifest = Manifest::new("prague").outside(&PORTS);
    let cluster = world.cluster(&namespace, &manifest)?;
    let load = Steady::start(&outside())?;
    let watch = cluster.watch()?;
    cluster.kubectl(&["delete", "pod", "prague-broker-1", "--wait=false"])?;
    cluster.apply(&manifest.set(READ_ONLY, "250000"))?;
    cluster.settled()?;
    let down = watch.most_down("broker");
    if down > 1 {
        return Err(format!("{down} brokers were down at once: {:?}", watch.replaced()));
    }
    let found = load.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!("never more than {down} broker down; {found}"))
}
