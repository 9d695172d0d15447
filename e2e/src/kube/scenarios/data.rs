//! What stays when pods and resources go, and what does not.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};

use crate::kube::manifest::{LOAD, Manifest};
use crate::kube::outside;
use crate::kube::world::{PORTS, namespace_of};
use crate::kube::{Cluster, SETTLES, Steady, World};
use crate::{Outcome, check, until};

/// How long what belongs to a cluster may outlive it.
const GONE: Duration = Duration::from_secs(120);
/// The group whose offsets must stay.
const GROUP: &str = "e2e-kept";

/// When the parts of a scenario were done.
struct Phases(Vec<String>, Instant);

impl Phases {
    fn start() -> Self {
        Self(Vec::new(), Instant::now())
    }

    fn done(&mut self, what: &str) {
        self.0.push(format!("{what} {:.1?}", self.1.elapsed()));
    }
}

/// Every pod at once; then the resource itself, its volumes kept.
pub(super) fn all_pods(world: &World) -> Outcome<String> {
    let namespace = namespace_of("all-pods");
    let manifest = Manifest::new("prague").outside(&PORTS);
    let cluster = world.cluster(&namespace, &manifest)?;
    let id = cluster_id(&cluster)?;
    let load = Steady::start(&outside())?;
    load.more(500)?;
    let committed = commit(&outside())?;
    let pods = ["delete", "pods", "-l", "app.kubernetes.io/instance=prague"];
    cluster.kubectl(&[pods.as_slice(), &["--grace-period=0", "--force"]].concat())?;
    let mut pods = Phases::start();
    cluster.settled()?;
    pods.done("ready");
    load.more(500)?;
    pods.done("500 records more");
    same(&cluster, &id, &committed)?;
    pods.done("offsets of the group");
    let found = load.finish()?;
    pods.done("all read");
    let mut anew = Phases::start();
    cluster.kubectl(&["delete", "kafkacluster", "prague", "--wait"])?;
    none_left(&cluster, "pods,statefulsets,services", GONE)?;
    anew.done("gone");
    cluster.apply(&manifest)?;
    cluster.settled()?;
    anew.done("ready");
    same(&cluster, &id, &committed)?;
    anew.done("offsets of the group");
    found.still_there(&outside())?;
    anew.done("all read");
    // What comes back must be a cluster that works, and not only data that can be read.
    let again = Steady::start(&outside())?;
    again.more(100)?;
    anew.done("100 records more");
    again.finish_without_errors()?;
    world.remove_namespace(&namespace)?;
    Ok(format!(
        "cluster {id} both times; pods deleted: {}; resource deleted: {}; {found}",
        pods.0.join(", "),
        anew.0.join(", ")
    ))
}

/// Everything goes with the resource, where the manifest says so; and a namespace at any moment.
pub(super) fn nothing_left(world: &World) -> Outcome<String> {
    let namespace = namespace_of("nothing-left");
    let mut manifest = Manifest::new("prague").outside(&PORTS);
    let deleted = vec!["storage: {size: 1Gi, reclaimPolicy: Delete}".to_owned()];
    (manifest.broker_fields, manifest.coordinator_fields) = (deleted.clone(), deleted);
    let cluster = world.cluster(&namespace, &manifest)?;
    cluster.kubectl(&["delete", "kafkacluster", "prague", "--wait", "--timeout=180s"])?;
    let kinds = "pods,statefulsets,services,persistentvolumeclaims,configmaps,secrets,\
                 poddisruptionbudgets,networkpolicies";
    none_left(&cluster, kinds, GONE)?;
    let mut moments = Vec::new();
    for half_way in [0, 2, 8] {
        world.namespace(&namespace)?;
        cluster.apply(&manifest)?;
        std::thread::sleep(Duration::from_secs(half_way));
        let start = Instant::now();
        world.remove_namespace(&namespace)?;
        moments.push(start.elapsed());
    }
    let founded = half_founded(world, &namespace)?;
    Ok(format!("namespaces gone in {moments:.1?}, half-way founded; founded anew in {founded:.1?}"))
}

/// The resource is deleted while its quorum is being founded, and applied again on the volumes that
/// stayed: the founding goes on, whatever part of it was done.
fn half_founded(world: &World, namespace: &str) -> Outcome<Vec<Duration>> {
    let manifest = Manifest::new("prague").outside(&PORTS);
    let mut took = Vec::new();
    for half_way in [2, 4] {
        world.namespace(namespace)?;
        let cluster = world.named(namespace, "prague");
        cluster.apply(&manifest)?;
        std::thread::sleep(Duration::from_secs(half_way));
        cluster.kubectl(&["delete", "kafkacluster", "prague", "--wait"])?;
        none_left(&cluster, "pods,statefulsets,services", GONE)?;
        let start = Instant::now();
        cluster.apply(&manifest)?;
        cluster.settled()?;
        took.push(start.elapsed());
        let load = Steady::start(&outside())?;
        load.more(100)?;
        load.finish_without_errors()?;
        world.remove_namespace(namespace)?;
    }
    Ok(took)
}

fn cluster_id(cluster: &Cluster) -> Outcome<String> {
    let resource = cluster.resource()?;
    let id = resource["status"]["clusterId"].as_str();
    id.map(str::to_owned).ok_or_else(|| "status has no clusterId".to_owned())
}

fn same(cluster: &Cluster, id: &str, committed: &BTreeMap<i32, i64>) -> Outcome {
    let now = cluster_id(cluster)?;
    if now != id {
        return Err(format!("the cluster was {id} and is {now}"));
    }
    until("the group's offsets", SETTLES, || {
        let now = offsets(&outside())?;
        if now == *committed { Ok(()) } else { Err(format!("{now:?} instead of {committed:?}")) }
    })
}

/// Waits until no object of these kinds carries the cluster's label.
fn none_left(cluster: &Cluster, kinds: &str, limit: Duration) -> Outcome {
    let selector = format!("app.kubernetes.io/instance={}", cluster.name);
    until("the end of what belongs to the cluster", limit, || {
        let names = cluster.kubectl(&["get", kinds, "-l", &selector, "-o", "name"])?;
        if names.trim().is_empty() { Ok(()) } else { Err(names.replace('\n', " ")) }
    })
}

fn member(bootstrap: &str) -> Outcome<BaseConsumer> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", GROUP)
        .create()
        .map_err(|error| error.to_string())
}

/// Commits the present end of every partition.
fn commit(bootstrap: &str) -> Outcome<BTreeMap<i32, i64>> {
    let ends = check::ends(bootstrap, LOAD)?;
    let mut list = TopicPartitionList::new();
    for (partition, end) in &ends {
        list.add_partition_offset(LOAD, *partition, Offset::Offset(*end))
            .map_err(|error| error.to_string())?;
    }
    let consumer = member(bootstrap)?;
    until("a commit", Duration::from_secs(30), || {
        consumer.commit(&list, CommitMode::Sync).map_err(|error| error.to_string())
    })?;
    Ok(ends)
}

fn offsets(bootstrap: &str) -> Outcome<BTreeMap<i32, i64>> {
    let mut list = TopicPartitionList::new();
    check::ends(bootstrap, LOAD)?.keys().for_each(|partition| {
        list.add_partition(LOAD, *partition);
    });
    let found = member(bootstrap)?
        .committed_offsets(list, Duration::from_secs(30))
        .map_err(|error| format!("committed offsets: {error}"))?;
    let pair = |element: &rdkafka::topic_partition_list::TopicPartitionListElem<'_>| {
        (element.partition(), element.offset().to_raw().unwrap_or(-1))
    };
    Ok(found.elements().iter().map(pair).collect())
}
