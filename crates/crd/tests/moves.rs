//! Replicas move and voters change, scenario by scenario and on a simulated cluster.

use std::collections::{BTreeMap, BTreeSet};

use vltava_crd::plan::moves::{
    Cordons, Input, are_leaving, cordons, gone, held_up, holds, is_forgotten, keep, moves, refused,
};
use vltava_crd::plan::voters::{self, Change};
use vltava_crd::plan::{
    BrokerView, ClusterView, ConfigValue, PartitionView, QuorumView, ReplicaView, TopicView,
};

fn cluster(brokers: i32, racks: &[&str], topics: &[(&str, &[&[i32]])]) -> ClusterView {
    let mut view = ClusterView::default();
    for id in 1..=brokers {
        let at = usize::try_from(id - 1).expect("it is small");
        let rack = racks.get(at % racks.len().max(1)).map(|rack| (*rack).to_owned());
        view.brokers.insert(id, BrokerView { rack, ..BrokerView::default() });
    }
    for (name, partitions) in topics {
        let partitions = partitions.iter().map(|replicas| PartitionView {
            leader: replicas.first().copied(),
            replicas: replicas.to_vec(),
            isr: replicas.to_vec(),
            ..PartitionView::default()
        });
        let partitions = (0..).zip(partitions).collect();
        let topic = TopicView { min_insync_replicas: 2, partitions, ..TopicView::default() };
        view.topics.insert((*name).to_owned(), topic);
    }
    view
}

/// Begins moves, as the coordinator does: what is removed stays until what is added is in sync.
fn begin(view: &mut ClusterView, input: &(i32, BTreeMap<String, usize>)) -> usize {
    let begun = moves(&Input { cluster: view, brokers: input.0, replicas: &input.1 });
    for it in &begun {
        let topic = view.topics.get_mut(&it.partition.topic).expect("it is there");
        let partition = topic.partitions.get_mut(&it.partition.index).expect("it is there");
        let settled: Vec<i32> = partition
            .replicas
            .iter()
            .copied()
            .filter(|id| !partition.adding.contains(id))
            .collect();
        let missing = |from: &[i32], other: &[i32]| -> Vec<i32> {
            from.iter().copied().filter(|id| !other.contains(id)).collect()
        };
        partition.removing = missing(&settled, &it.replicas);
        partition.adding = missing(&it.replicas, &settled);
        partition.replicas = it.replicas.iter().chain(&partition.removing).copied().collect();
        let replicas = partition.replicas.clone();
        partition.isr.retain(|id| replicas.contains(id));
    }
    begun.len()
}

/// Ends the move of a partition, if all that it adds live.
fn finish(view: &mut ClusterView, name: &str, index: i32) {
    let fenced: BTreeSet<i32> =
        view.brokers.iter().filter(|(_, it)| it.fenced).map(|(id, _)| *id).collect();
    let topic = view.topics.get_mut(name).expect("it is there");
    let partition = topic.partitions.get_mut(&index).expect("it is there");
    if partition.adding.iter().any(|id| fenced.contains(id)) {
        return;
    }
    partition.replicas = partition.target();
    let adding = std::mem::take(&mut partition.adding);
    partition.isr.extend(adding);
    partition.removing.clear();
    let replicas = partition.replicas.clone();
    partition.isr.retain(|id| replicas.contains(id));
    if !partition.leader.is_some_and(|id| replicas.contains(&id)) {
        partition.leader = partition.isr.iter().copied().find(|id| !fenced.contains(id));
    }
}

fn finish_all(view: &mut ClusterView) {
    let all: Vec<_> = view.partitions().map(|(id, _, _)| id).collect();
    all.iter().for_each(|id| finish(view, &id.topic, id.index));
}

fn settle(view: &mut ClusterView, input: &(i32, BTreeMap<String, usize>)) {
    for _ in 0..1_000 {
        let begun = begin(view, input);
        finish_all(view);
        if begun == 0 {
            return;
        }
    }
    panic!("it never settles: {view:?}");
}

fn held(view: &ClusterView, id: i32) -> usize {
    view.partitions().filter(|(_, _, it)| it.replicas.contains(&id)).count()
}

#[test]
fn a_fourth_broker_gets_its_share_and_gives_it_back() {
    let lists: &[&[i32]] =
        &[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2], &[1, 3, 2], &[2, 1, 3], &[3, 2, 1]];
    let mut view = cluster(4, &[], &[("orders", lists)]);
    settle(&mut view, &(4, BTreeMap::new()));
    assert_eq!(held(&view, 4), 4, "of 18 replicas");
    let leads = view.partitions().filter(|(_, _, it)| it.replicas[0] == 4).count();
    assert!(leads >= 1, "it leads some: {view:?}");
    settle(&mut view, &(3, BTreeMap::new()));
    assert_eq!(held(&view, 4), 0);
    assert!((1..=3).all(|id| held(&view, id) == 6));
}

#[test]
fn nothing_moves_where_shares_are_equal_or_a_broker_is_away() {
    let lists: &[&[i32]] = &[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2]];
    let none = BTreeMap::new();
    let mut view = cluster(3, &[], &[("orders", lists)]);
    assert!(moves(&Input { cluster: &view, brokers: 3, replicas: &none }).is_empty());
    view.brokers.get_mut(&3).expect("it is there").fenced = true;
    assert!(moves(&Input { cluster: &view, brokers: 3, replicas: &none }).is_empty());
}

#[test]
fn racks_stay_apart() {
    let lists: &[&[i32]] = &[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2], &[1, 2, 3]];
    let mut view = cluster(4, &["a", "b", "c", "a"], &[("orders", lists)]);
    settle(&mut view, &(4, BTreeMap::new()));
    assert!(held(&view, 4) >= 1);
    for (id, _, partition) in view.partitions() {
        assert!(
            !(partition.replicas.contains(&1) && partition.replicas.contains(&4)),
            "{id} has two replicas in one rack: {partition:?}"
        );
    }
}

#[test]
fn replicas_that_share_a_rack_are_parted_once_another_rack_has_room() {
    let lists: &[&[i32]] = &[&[1, 2], &[2, 1], &[1, 2], &[2, 1]];
    let mut view = cluster(2, &["a", "a"], &[("orders", lists)]);
    assert!(moves(&Input { cluster: &view, brokers: 2, replicas: &BTreeMap::new() }).is_empty());
    view.brokers.insert(3, BrokerView { rack: Some("b".to_owned()), ..BrokerView::default() });
    settle(&mut view, &(3, BTreeMap::new()));
    for (id, _, partition) in view.partitions() {
        assert!(partition.replicas.contains(&3), "{id} lies in one rack: {partition:?}");
    }
    let leads = |id| view.partitions().filter(|(_, _, it)| it.replicas[0] == id).count();
    assert!(leads(1) == 2 && leads(2) == 2, "preferred leaders stay: {view:?}");
}

#[test]
fn the_replication_factor_goes_up_and_down_and_the_leader_stays() {
    let mut view = cluster(3, &[], &[("single", &[&[1], &[2]])]);
    let wanted = |count| (3, BTreeMap::from([("single".to_owned(), count)]));
    settle(&mut view, &wanted(3));
    assert!(view.partitions().all(|(_, _, it)| it.replicas.len() == 3));
    settle(&mut view, &wanted(2));
    let leaders: Vec<i32> = view.partitions().filter_map(|(_, _, it)| it.leader).collect();
    assert_eq!(leaders, [1, 2]);
    assert!(view.partitions().all(|(_, _, it)| it.replicas.len() == 2 && it.isr.len() == 2));
}

#[test]
fn too_few_brokers_for_a_replication_factor_are_refused() {
    let view = cluster(3, &[], &[("orders", &[&[1, 2, 3]])]);
    let none = BTreeMap::new();
    let input = Input { cluster: &view, brokers: 2, replicas: &none };
    assert_eq!(
        refused(&input).expect("it cannot be"),
        "2 brokers cannot hold the 3 replicas of orders; lower the replication factor first, or \
         ask for 3 brokers"
    );
    assert!(moves(&input).is_empty(), "nothing is begun");
    assert!(!are_leaving(&input, 3), "nobody is on the way out");
    let lower = BTreeMap::from([("orders".to_owned(), 2)]);
    let input = Input { cluster: &view, brokers: 2, replicas: &lower };
    assert_eq!(refused(&input), None);
    assert!(are_leaving(&input, 3), "one is drained");
    assert!(are_leaving(&input, 2), "and is taken off the books");
    assert_eq!(moves(&input)[0].replicas, [1, 2]);
}

#[test]
fn who_holds_a_replica_stays_and_so_do_all_while_nobody_can_say() {
    let mut view = cluster(5, &[], &[("orders", &[&[1, 2, 4]])]);
    (4..=5).for_each(|id| cordon(&mut view, id, true));
    followed(&mut view);
    assert_eq!(keep(None, 3, 5, |_| true), 5);
    assert_eq!(keep(Some(&view), 3, 5, |_| true), 4);
    assert_eq!(keep(Some(&view), 6, 5, |_| true), 6);
    let mut fenced = view;
    fenced.brokers.values_mut().for_each(|broker| broker.fenced = true);
    assert_eq!(gone(&fenced, 3, |_| false), [5], "4 holds a replica");
    assert!(gone(&fenced, 3, |id| id == 5).is_empty(), "its pod is there");
}

/// A broker says whether new replicas are kept off it.
fn cordon(view: &mut ClusterView, id: i32, cordoned: bool) {
    let value = ConfigValue { value: cordoned.then(|| "*".to_owned()), dynamic: cordoned };
    let broker = view.brokers.get_mut(&id).expect("it is there");
    broker.config.insert("cordoned.log.dirs".to_owned(), value);
}

/// Every broker follows the metadata, and has all that is committed.
fn followed(view: &mut ClusterView) {
    let observers: Vec<(i32, &str)> = view.brokers.keys().map(|id| (*id, "")).collect();
    view.quorum = Some(quorum(&[3001], &observers));
}

#[test]
fn a_broker_goes_only_once_nothing_new_can_be_placed_on_it() {
    let none = BTreeMap::new();
    let mut view = cluster(4, &[], &[("orders", &[&[1, 2, 3]])]);
    (1..=4).for_each(|id| cordon(&mut view, id, false));
    followed(&mut view);
    assert_eq!(keep(Some(&view), 3, 4, |_| true), 4, "a topic may be placed on it at this moment");
    let seen = view.clone();
    let input = Input { cluster: &seen, brokers: 3, replicas: &none };
    assert_eq!(cordons(&input, &BTreeSet::new()), Cordons { set: vec![4], lift: vec![] });
    cordon(&mut view, 4, true);
    assert_eq!(keep(Some(&view), 3, 4, |_| true), 3);
    // Whoever was asked about the topics may have known less than the broker that goes.
    view.quorum.as_mut().expect("it is there").observers[0].log_end_offset = 9;
    assert_eq!(keep(Some(&view), 3, 4, |_| true), 4);
    view.quorum = None;
    assert_eq!(keep(Some(&view), 3, 4, |_| true), 4);
}

#[test]
fn who_cannot_say_that_it_is_cordoned_goes_only_if_it_does_not_run() {
    let mut view = cluster(4, &[], &[("orders", &[&[1, 2, 3]])]);
    (1..=4).for_each(|id| cordon(&mut view, id, false));
    followed(&mut view);
    let keeps = |view: &ClusterView| [true, false].map(|runs| keep(Some(view), 3, 4, |_| runs));
    // It is fenced for a moment: a topic may be placed on it once it is not.
    view.brokers.get_mut(&4).expect("it is there").fenced = true;
    assert_eq!(keeps(&view), [4, 3]);
    // It has just been started, and is not known yet.
    view.brokers.remove(&4);
    assert_eq!(keeps(&view), [4, 3]);
}

#[test]
fn a_volume_is_given_up_once_nobody_knows_of_its_broker() {
    let mut view = cluster(4, &[], &[("orders", &[&[1, 2, 3]])]);
    followed(&mut view);
    assert!(!is_forgotten(&view, 4), "it is on the books");
    view.brokers.remove(&4);
    assert!(is_forgotten(&view, 4));
    let topic = view.topics.get_mut("orders").expect("it is there");
    topic.partitions.get_mut(&0).expect("it is there").replicas = vec![1, 2, 4];
    assert!(!is_forgotten(&view, 4), "a hand took it away");
    let topic = view.topics.get_mut("orders").expect("it is there");
    topic.partitions.get_mut(&0).expect("it is there").replicas = vec![1, 2, 3];
    view.quorum.as_mut().expect("it is there").observers[0].log_end_offset = 9;
    assert!(!is_forgotten(&view, 4), "whoever was asked may have known less");
}

#[test]
fn a_cordon_is_lifted_by_whoever_set_it() {
    let none = BTreeMap::new();
    let mut view = cluster(4, &[], &[]);
    (1..=4).for_each(|id| cordon(&mut view, id, id != 1));
    let input = Input { cluster: &view, brokers: 4, replicas: &none };
    let lift = |ours: &[i32]| cordons(&input, &ours.iter().copied().collect()).lift;
    assert_eq!(lift(&[4]), [4], "the others are a person's");
    assert!(lift(&[]).is_empty());
    // What cannot be drained is not cordoned either.
    let view = cluster(3, &[], &[("orders", &[&[1, 2, 3]])]);
    let input = Input { cluster: &view, brokers: 2, replicas: &none };
    assert_eq!(cordons(&input, &BTreeSet::new()), Cordons::default());
}

#[test]
fn nothing_moves_to_a_broker_that_a_person_cordoned() {
    let none = BTreeMap::new();
    let ours = BTreeSet::new();
    // It holds less than its share.
    let mut view = cluster(3, &[], &[("a", &[&[1], &[2], &[1], &[2], &[1], &[2]])]);
    cordon(&mut view, 3, true);
    let input = Input { cluster: &view, brokers: 3, replicas: &none };
    assert_eq!((moves(&input), held_up(&input, &ours)), (vec![], None), "nobody waits for it");
    // More replicas: on the others as far as that goes.
    let wanted = |count| BTreeMap::from([("a".to_owned(), count)]);
    let (two, three) = (wanted(2), wanted(3));
    let input = Input { cluster: &view, brokers: 3, replicas: &two };
    assert!(moves(&input).iter().all(|it| !it.replicas.contains(&3)), "{:?}", moves(&input));
    settle(&mut view, &(3, two.clone()));
    let input = Input { cluster: &view, brokers: 3, replicas: &three };
    assert_eq!(moves(&input), []);
    let why = held_up(&input, &ours).expect("it is told");
    assert!(why.contains("as broker 3 takes no new replicas"), "{why}");
    assert_eq!(held_up(&input, &BTreeSet::from([3])), None, "we are about to lift it");
    // Off a broker that goes: to the others.
    let mut view = cluster(4, &[], &[("a", &[&[4], &[4], &[1]])]);
    cordon(&mut view, 3, true);
    settle(&mut view, &(3, none.clone()));
    assert_eq!((held(&view, 3), held(&view, 4)), (0, 0));
    let view = cluster(4, &[], &[("a", &[&[1, 2, 4]])]);
    let mut cordoned = view.clone();
    cordon(&mut cordoned, 3, true);
    let waits = |view| held_up(&Input { cluster: view, brokers: 3, replicas: &none }, &ours);
    assert!(waits(&cordoned).is_some() && waits(&view).is_none());
}

/// A small generator of numbers, so that a seed gives the same run.
struct Random(u64);

impl Random {
    fn below(&mut self, most: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// A topic of one replica is placed where nothing speaks against it.
fn newcomer(view: &mut ClusterView, random: &mut Random, name: &str) {
    let open = |(id, it): (&i32, &BrokerView)| (!it.fenced && !it.is_cordoned()).then_some(*id);
    let mut open: Vec<i32> = view.brokers.iter().filter_map(open).collect();
    if open.is_empty() {
        return;
    }
    let at = usize::try_from(random.below(open.len() as u64)).expect("it is small");
    let replicas = vec![open.swap_remove(at)];
    let partition = PartitionView {
        leader: replicas.first().copied(),
        isr: replicas.clone(),
        replicas,
        ..PartitionView::default()
    };
    let partitions = BTreeMap::from([(0, partition)]);
    view.topics.insert(name.to_owned(), TopicView { partitions, ..TopicView::default() });
}

/// What is decided about cordons is carried out, and noted.
fn cordon_and_lift(view: &mut ClusterView, wanted: i32, ours: &mut BTreeSet<i32>) {
    view.brokers.values_mut().for_each(|broker| {
        broker.config.entry("cordoned.log.dirs".to_owned()).or_default();
    });
    let none = BTreeMap::new();
    let Cordons { set, lift } =
        cordons(&Input { cluster: view, brokers: wanted, replicas: &none }, ours);
    for id in set {
        ours.insert(id);
        cordon(view, id, true);
    }
    lift.iter().for_each(|id| cordon(view, *id, false));
}

#[test]
fn whatever_happens_meanwhile_nobody_goes_with_a_replica_and_it_settles() {
    for seed in 0..200 {
        let mut random = Random(seed);
        let lists: &[&[i32]] = &[&[1, 2, 3], &[2, 3, 1], &[3, 1, 2], &[1, 3, 2]];
        let mut view = cluster(3, &["a", "b", "c"], &[("a", lists), ("b", &[&[1], &[2]])]);
        let (mut wanted, mut now) = (3, 3);
        let mut factor = 1;
        let mut ours = BTreeSet::new();
        for step in 0..60 {
            let last = step > 40;
            followed(&mut view);
            // What is decided by is older than what is so.
            let seen = view.clone();
            if !last && random.below(3) == 0 {
                newcomer(&mut view, &mut random, &format!("new-{step}"));
            }
            if !last && random.below(6) == 0 {
                wanted = 3 + i32::try_from(random.below(3)).expect("it is small");
                factor = 1 + usize::try_from(random.below(3)).expect("it is small");
            }
            // Pods follow what is to be kept.
            // Who is fenced here has died.
            let runs = |id: i32| seen.brokers.get(&id).is_some_and(|it| !it.fenced);
            let keeps = keep(Some(&seen), wanted, now, runs);
            for id in keeps + 1..=now {
                assert!(!holds(&view, id), "seed {seed}: broker {id} goes and holds replicas");
                ours.remove(&id);
                view.brokers.get_mut(&id).expect("it is there").fenced = true;
            }
            for id in now + 1..=keeps {
                view.brokers.insert(id, BrokerView::default());
            }
            now = keeps;
            for id in gone(&view, now, |id| id <= now) {
                view.brokers.remove(&id);
            }
            cordon_and_lift(&mut view, wanted, &mut ours);
            // A broker dies or returns; none at the end.
            let id = 1 + i32::try_from(random.below(5)).expect("it is small");
            if let Some(broker) = view.brokers.get_mut(&id).filter(|_| id <= now) {
                broker.fenced = !last && random.below(4) == 0;
            }
            if last {
                (1..=now).for_each(|id| {
                    view.brokers.entry(id).or_default().fenced = false;
                });
            }
            begin(&mut view, &(wanted, BTreeMap::from([("b".to_owned(), factor)])));
            let all: Vec<_> = view.partitions().map(|(id, _, _)| id).collect();
            for id in all {
                if last || random.below(2) == 0 {
                    finish(&mut view, &id.topic, id.index);
                }
            }
            let fewest = view.topics["a"].partitions.values().map(|it| it.target().len()).min();
            assert_eq!(fewest, Some(3), "seed {seed}: no replica is given up");
        }
        assert_eq!(now, wanted, "seed {seed}: as many brokers as asked for");
        for (id, _, partition) in view.partitions() {
            assert!(!partition.is_moving(), "seed {seed}: {id} moves for ever: {partition:?}");
            assert!(
                partition.replicas.iter().all(|id| *id <= wanted),
                "seed {seed}: {partition:?}"
            );
        }
        let b = view.topics["b"].partitions.values();
        assert!(b.into_iter().all(|it| it.replicas.len() == factor), "seed {seed}");
    }
}

fn quorum(voters: &[i32], observers: &[(i32, &str)]) -> QuorumView {
    let replica = |id: i32, directory: &str| ReplicaView {
        id,
        directory_id: directory.to_owned(),
        log_end_offset: 10,
        last_fetch_ms: 50_000,
        last_caught_up_ms: 50_000,
    };
    QuorumView {
        leader: voters[0],
        epoch: 1,
        high_watermark: 10,
        voters: voters.iter().map(|id| replica(*id, "old")).collect(),
        observers: observers.iter().map(|(id, directory)| replica(*id, directory)).collect(),
    }
}

/// Does what the plan says, until it says nothing more.
fn run(quorum: &mut QuorumView, ids: &[i32]) -> Vec<String> {
    let mut done = Vec::new();
    while let Some(change) = voters::next(quorum, ids) {
        match &change {
            Change::Add { id, directory } => {
                let is = |it: &ReplicaView| it.id == *id && it.directory_id == *directory;
                let at = quorum.observers.iter().position(is).expect("it observes");
                assert!(quorum.voter(*id).is_none(), "an id votes once");
                quorum.voters.push(quorum.observers.remove(at));
                done.push(format!("+{id}"));
            }
            Change::Remove { id, directory } => {
                quorum.voters.retain(|it| it.id != *id || it.directory_id != *directory);
                done.push(format!("-{id}"));
            }
        }
        let caught_up = quorum.voters.iter().filter(|it| quorum.is_caught_up(it)).count();
        assert!(caught_up >= quorum.majority(), "after {change:?}");
        assert!(done.len() < 20, "it never ends: {done:?}");
    }
    done
}

#[test]
fn coordinators_grow_from_one_to_three_to_five_and_shrink_again() {
    let mut one = quorum(&[3001], &[(3002, "old"), (3003, "old"), (1, "broker")]);
    assert_eq!(run(&mut one, &[3001, 3002, 3003]), ["+3002", "+3003"]);
    let mut five = quorum(&[3002, 3001, 3003], &[(3004, "old"), (3005, "old")]);
    assert_eq!(run(&mut five, &[3001, 3002, 3003, 3004, 3005]), ["+3004", "+3005"]);
    five.leader = 3005;
    assert_eq!(run(&mut five, &[3001, 3002, 3003]), ["-3004", "-3005"], "the leader last");
}

#[test]
fn a_coordinator_with_a_new_disk_votes_once_it_has_caught_up() {
    let mut view = quorum(&[3001, 3002, 3003], &[(3003, "new")]);
    view.voters[2].last_caught_up_ms = 1;
    view.observers[0].log_end_offset = 3;
    assert_eq!(voters::next(&view, &[3001, 3002, 3003]), None, "it has not caught up");
    view.observers[0].log_end_offset = 10;
    assert_eq!(run(&mut view, &[3001, 3002, 3003]), ["-3003", "+3003"]);
    assert_eq!(view.voter(3003).expect("it votes").directory_id, "new");
}

#[test]
fn nothing_changes_towards_a_majority_that_has_not_caught_up() {
    let mut view = quorum(&[3001, 3002, 3003], &[(3003, "new")]);
    view.voters[1].last_caught_up_ms = 1;
    view.voters[2].last_caught_up_ms = 1;
    assert_eq!(voters::next(&view, &[3001, 3002, 3003]), None);
    assert_eq!(voters::keep(None, 3, 5, 3001), 5);
    assert_eq!(voters::keep(Some(&quorum(&[3001, 3004], &[])), 3, 5, 3001), 4);
    assert!(voters::lost(1, 3).starts_with("the quorum has no leader: 1 of 3 coordinators"));
}
