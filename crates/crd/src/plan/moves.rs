//! Which partitions move where: off brokers that are to go, onto brokers that are new, to as many
//! replicas as the manifest says. And when a broker may go.
//!
//! Made anew from what is seen each time, and a few moves at a time: so it does not matter who
//! began a move, or whether whoever decides ended meanwhile. A move that is under way counts as
//! done; one that leads to a broker which is to go is given another goal.
//!
//! *Invariants:* a broker that is only away for a while keeps its replicas; a partition never gets
//! fewer replicas than it has, unless the manifest says so; nobody goes who holds a replica; none
//! comes to a broker that is cordoned.

use std::collections::{BTreeMap, BTreeSet};

use super::{BrokerView, ClusterView, PartitionId, PartitionView};

/// How many partitions may copy their data at once, beside what clients write.
const COPIES_MAX: usize = 10;
/// How many moves one round begins, those that copy nothing among them: what one request holds.
const ROUND_MAX: usize = 200;

/// A partition that is to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Which.
    pub partition: PartitionId,
    /// To whom, the preferred leader first.
    pub replicas: Vec<i32>,
}

/// What the moves are decided by.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// The cluster.
    pub cluster: &'a ClusterView,
    /// How many brokers there are to be: those from 1 to this number stay.
    pub brokers: i32,
    /// How many replicas each declared topic is to have, where the manifest says.
    pub replicas: &'a BTreeMap<String, usize>,
}

/// What a broker holds, moves under way counted as done.
#[derive(Debug, Clone, Default)]
struct Load {
    replicas: usize,
    /// Partitions that it leads by preference.
    leads: usize,
    topics: BTreeMap<String, usize>,
}

/// Brokers that may take replicas.
struct Ground<'a> {
    cluster: &'a ClusterView,
    loads: BTreeMap<i32, Load>,
    live: BTreeSet<i32>,
}

/// Which partitions to move now.
pub fn moves(input: &Input<'_>) -> Vec<Move> {
    // What cannot be held is not begun.
    let stays = |id: i32| refused(input).is_some() || (1..=input.brokers).contains(&id);
    let mut ground = Ground::new(input.cluster, &stays);
    let copying = input.cluster.partitions().filter(|(_, _, it)| !it.adding.is_empty()).count();
    let mut room = COPIES_MAX.saturating_sub(copying);
    let mut moves = Vec::new();
    let mut left = false;
    for (id, _, partition) in input.cluster.partitions() {
        let wanted = input.replicas.get(&id.topic).copied();
        let Some(goal) = ground.goal(&id.topic, partition, wanted, &stays) else { continue };
        let copies = goal.iter().any(|id| !partition.replicas.contains(id));
        if moves.len() == ROUND_MAX || (copies && room == 0) {
            left = true;
            continue;
        }
        room -= usize::from(copies);
        ground.put(&id.topic, &partition.target(), &goal);
        moves.push(Move { partition: id, replicas: goal });
    }
    let all_live = (1..=input.brokers).all(|id| ground.live.contains(&id));
    if !left && all_live && refused(input).is_none() {
        let begun: BTreeSet<PartitionId> = moves.iter().map(|it| it.partition.clone()).collect();
        while moves.len() < ROUND_MAX && room > 0 {
            let next = ground.part(&begun, &moves).or_else(|| ground.share(&begun, &moves));
            let Some(next) = next else { break };
            room -= 1;
            moves.push(next);
        }
    }
    moves
}

/// What a person has to know of moves that are to be and do not begin, as a broker that stays is
/// cordoned by hand; those in `ours` are cordoned by us.
pub fn held_up(input: &Input<'_>, ours: &BTreeSet<i32>) -> Option<String> {
    let is_theirs = |id: i32, broker: &BrokerView| {
        id <= input.brokers && !broker.fenced && broker.is_cordoned() && !ours.contains(&id)
    };
    let brokers = input.cluster.brokers.iter();
    let theirs: Vec<i32> =
        brokers.filter(|(id, it)| is_theirs(**id, it)).map(|(id, _)| *id).collect();
    let moves_now = input.cluster.partitions().any(|(_, _, it)| it.is_moving());
    if theirs.is_empty() || moves_now || !moves(input).is_empty() {
        return None;
    }
    let mut open = input.cluster.clone();
    for id in &theirs {
        open.brokers.entry(*id).and_modify(|it| it.config.clear());
    }
    let needs = |it: &Move| {
        let topic = input.cluster.topics.get(&it.partition.topic);
        let now = topic.and_then(|topic| topic.partitions.get(&it.partition.index));
        now.is_some_and(|now| {
            let goes = now.replicas.iter().any(|id| *id > input.brokers);
            goes || now.replicas.len() < it.replicas.len()
        })
    };
    let moves = moves(&Input { cluster: &open, ..*input });
    let waiting = moves.iter().filter(|it| needs(it)).count();
    let ids: Vec<String> = theirs.iter().map(ToString::to_string).collect();
    (waiting > 0).then(|| {
        format!(
            "partitions cannot move, as broker {} takes no new replicas (cordoned.log.dirs): lift \
             the cordon, or ask for more brokers",
            ids.join(", ")
        )
    })
}

/// Why the brokers cannot become so few; `None` if they can.
pub fn refused(input: &Input<'_>) -> Option<String> {
    const SHOWN: usize = 3;
    let most = usize::try_from(input.brokers).unwrap_or_default();
    if !input.cluster.brokers.keys().any(|id| *id > input.brokers) {
        return None;
    }
    let needs = |name: &String, topic: &super::TopicView| {
        let now = topic.partitions.values().map(|it| it.target().len()).max().unwrap_or(0);
        input.replicas.get(name).copied().unwrap_or(now)
    };
    let topics: Vec<(&String, usize)> = input
        .cluster
        .topics
        .iter()
        .map(|(name, topic)| (name, needs(name, topic)))
        .filter(|(_, needs)| *needs > most)
        .collect();
    let needed = topics.iter().map(|(_, needs)| *needs).max()?;
    let first: Vec<&str> = topics.iter().take(SHOWN).map(|(name, _)| name.as_str()).collect();
    let more = match topics.len() {
        0..=SHOWN => String::new(),
        many => format!(" and {} more topics", many - SHOWN),
    };
    let brokers = match input.brokers {
        1 => "1 broker".to_owned(),
        many => format!("{many} brokers"),
    };
    Some(format!(
        "{brokers} cannot hold the {needed} replicas of {}{more}; lower the replication factor \
         first, or ask for {needed} brokers",
        first.join(", ")
    ))
}

/// How many brokers there must be at the moment: one that is to go stays while it holds anything,
/// while a new topic might still be placed on it, or while nobody can say. `runs` says whether a
/// broker's process may be there.
pub fn keep(
    cluster: Option<&ClusterView>,
    wanted: i32,
    now: i32,
    runs: impl Fn(i32) -> bool,
) -> i32 {
    if wanted >= now {
        return wanted;
    }
    let Some(cluster) = cluster else { return now };
    (wanted + 1..=now).rev().find(|id| !may_leave(cluster, *id, runs(*id))).unwrap_or(wanted)
}

/// Whether brokers are on their way out, where `now` of them are to be there at the moment. Nobody
/// is while their going is refused.
pub fn are_leaving(input: &Input<'_>, now: i32) -> bool {
    let beyond = input.cluster.brokers.keys().any(|id| *id > now);
    (beyond || now != input.brokers) && refused(input).is_none()
}

/// Whether a broker holds nothing, and nothing can come to it any more: it says that it is
/// cordoned, and whoever may have been asked about the topics knew at least as much. One that is
/// fenced, or not known yet, cannot be asked, and takes replicas as soon as it is unfenced: it may
/// go if it does not run.
fn may_leave(cluster: &ClusterView, broker: i32, runs: bool) -> bool {
    if holds(cluster, broker) {
        return false;
    }
    match cluster.brokers.get(&broker).filter(|it| !it.fenced) {
        Some(it) => it.is_cordoned() && all_know(cluster),
        None => !runs,
    }
}

/// Whether nobody knows of a broker any more: it is off the books, holds nothing, and whoever may
/// have been asked about that knew at least as much as all others. What is on its volume is then
/// elsewhere.
pub fn is_forgotten(cluster: &ClusterView, broker: i32) -> bool {
    !cluster.brokers.contains_key(&broker) && !holds(cluster, broker) && all_know(cluster)
}

/// Whether every live broker has seen all that was committed when the quorum was asked, which was
/// after the brokers were asked for their settings, and before they were asked for the topics.
fn all_know(cluster: &ClusterView) -> bool {
    let Some(quorum) = &cluster.quorum else { return false };
    let live = cluster.brokers.iter().filter(|(_, broker)| !broker.fenced);
    live.map(|(id, _)| quorum.observers.iter().find(|it| it.id == *id)).all(|observer| {
        observer.is_some_and(|it| {
            quorum.high_watermark >= 0 && it.log_end_offset >= quorum.high_watermark
        })
    })
}

/// Brokers that are to be cordoned, and of those that were, the ones that stay after all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cordons {
    /// Nothing new is to be placed on these.
    pub set: Vec<i32>,
    /// On these, again.
    pub lift: Vec<i32>,
}

/// Whom to cordon, where brokers from 1 to `brokers` stay, and `ours` were cordoned for this
/// reason before. A cordon that a person set on a broker that stays is theirs.
pub fn cordons(input: &Input<'_>, ours: &BTreeSet<i32>) -> Cordons {
    let goes = |id: &i32| *id > input.brokers && refused(input).is_none();
    let live = input.cluster.brokers.iter().filter(|(_, broker)| !broker.fenced);
    let mut cordons = Cordons::default();
    for (id, broker) in live.filter(|(_, broker)| !broker.config.is_empty()) {
        match (goes(id), broker.is_cordoned()) {
            (true, false) => cordons.set.push(*id),
            (false, true) if ours.contains(id) => cordons.lift.push(*id),
            _ => {}
        }
    }
    cordons
}

/// Brokers to unregister: beyond those that stay, fenced, and holding nothing. `is_there` says
/// whether a broker may still run.
pub fn gone(cluster: &ClusterView, stay: i32, is_there: impl Fn(i32) -> bool) -> Vec<i32> {
    let brokers = cluster.brokers.iter().filter(|(_, broker)| broker.fenced).map(|(id, _)| *id);
    brokers.filter(|id| *id > stay && !is_there(*id) && !holds(cluster, *id)).collect()
}

/// Whether a broker has a replica, or one is on its way there.
pub fn holds(cluster: &ClusterView, broker: i32) -> bool {
    cluster.partitions().any(|(_, _, partition)| partition.replicas.contains(&broker))
}

impl<'a> Ground<'a> {
    fn new(cluster: &'a ClusterView, stays: &impl Fn(i32) -> bool) -> Self {
        let brokers = cluster.brokers.iter().filter(|(id, _)| stays(**id));
        // What goes to one that is cordoned is refused.
        let takes = |it: &BrokerView| !it.fenced && !it.is_cordoned();
        let live = brokers.clone().filter(|(_, broker)| takes(broker)).map(|(id, _)| *id);
        let loads = brokers.map(|(id, _)| (*id, Load::default())).collect();
        let mut ground = Self { cluster, loads, live: live.collect() };
        for (id, _, partition) in cluster.partitions() {
            ground.put(&id.topic, &[], &partition.target());
        }
        ground
    }

    fn rack(&self, id: i32) -> Option<&str> {
        self.cluster.brokers.get(&id)?.rack.as_deref()
    }

    /// How many of these replicas share the rack of a broker.
    fn shared(&self, id: i32, replicas: &[i32]) -> usize {
        let same = |other: &&i32| **other != id && self.rack(**other) == self.rack(id);
        self.rack(id).map_or(0, |_| replicas.iter().filter(same).count())
    }

    fn racks(&self, replicas: &[i32]) -> usize {
        replicas.iter().map(|id| self.rack(*id)).collect::<BTreeSet<_>>().len()
    }

    fn put(&mut self, topic: &str, from: &[i32], to: &[i32]) {
        for id in from {
            let Some(load) = self.loads.get_mut(id) else { continue };
            load.replicas = load.replicas.saturating_sub(1);
            let of_topic = load.topics.entry(topic.to_owned()).or_default();
            *of_topic = of_topic.saturating_sub(1);
        }
        for id in to {
            let Some(load) = self.loads.get_mut(id) else { continue };
            load.replicas += 1;
            *load.topics.entry(topic.to_owned()).or_default() += 1;
        }
        if let Some(load) = from.first().and_then(|id| self.loads.get_mut(id)) {
            load.leads = load.leads.saturating_sub(1);
        }
        if let Some(load) = to.first().and_then(|id| self.loads.get_mut(id)) {
            load.leads += 1;
        }
    }

    /// Where a partition's replicas are to be, if not where they are or go already.
    fn goal(
        &self,
        topic: &str,
        partition: &PartitionView,
        wanted: Option<usize>,
        stays: &impl Fn(i32) -> bool,
    ) -> Option<Vec<i32>> {
        let now = partition.target();
        let wanted = wanted.unwrap_or(now.len()).max(1);
        // Without a leader there is nothing to copy from.
        partition.leader?;
        let mut goal = now.clone();
        while goal.len() > wanted {
            let at = self.worst(&goal, partition, stays)?;
            goal.remove(at);
        }
        for at in 0..goal.len() {
            if !stays(goal[at]) {
                let others: Vec<i32> = goal.iter().copied().filter(|id| *id != goal[at]).collect();
                goal[at] = self.best(topic, &others, at == 0)?;
            }
        }
        while goal.len() < wanted {
            let next = self.best(topic, &goal, goal.is_empty())?;
            goal.push(next);
        }
        (goal != now).then_some(goal)
    }

    /// Who takes one more replica: of a rack that has none, then with the fewest of the topic, and
    /// with the fewest of all.
    fn best(&self, topic: &str, replicas: &[i32], leads: bool) -> Option<i32> {
        let live = self.loads.iter().filter(|(id, _)| self.live.contains(id));
        live.filter(|(id, _)| !replicas.contains(id))
            .min_by_key(|(id, load)| {
                let of_topic = load.topics.get(topic).copied().unwrap_or_default();
                let leading = if leads { load.leads } else { 0 };
                (self.shared(**id, replicas), leading, of_topic, load.replicas, **id)
            })
            .map(|(id, _)| *id)
    }

    /// Which replica is given up first: never the leader's, as long as there is another.
    fn worst(
        &self,
        goal: &[i32],
        partition: &PartitionView,
        stays: &impl Fn(i32) -> bool,
    ) -> Option<usize> {
        let in_sync = |id: i32| partition.isr.contains(&id);
        let last_in_sync = goal.iter().filter(|id| in_sync(**id)).count() == 1;
        (0..goal.len()).filter(|at| !(last_in_sync && in_sync(goal[*at]))).max_by_key(|at| {
            let id = goal[*at];
            let held = self.loads.get(&id).map_or(0, |load| load.replicas);
            let leads = partition.leader == Some(id);
            (!stays(id), !leads, !in_sync(id), self.shared(id, goal), held, *at)
        })
    }

    /// Partitions that may be moved for the sake of order.
    fn movable(
        &self,
        begun: &BTreeSet<PartitionId>,
        moves: &[Move],
    ) -> impl Iterator<Item = (PartitionId, &'a PartitionView)> {
        let cluster: &'a ClusterView = self.cluster;
        cluster.partitions().filter_map(move |(id, _, partition)| {
            let is_settled = !partition.is_moving() && partition.leader.is_some();
            let is_begun = begun.contains(&id) || moves.iter().any(|it| it.partition == id);
            (is_settled && !is_begun).then_some((id, partition))
        })
    }

    /// The next move that parts two replicas which share a rack, where another rack has none.
    fn part(&mut self, begun: &BTreeSet<PartitionId>, moves: &[Move]) -> Option<Move> {
        let parted = self.movable(begun, moves).find_map(|(id, partition)| {
            let now = &partition.replicas;
            let crowded = (0..now.len()).filter(|at| self.shared(now[*at], now) > 0);
            // The preferred leader stays, if another can go.
            let at = crowded.max_by_key(|at| {
                let held = self.loads.get(&now[*at]).map_or(0, |load| load.replicas);
                (*at > 0, held, *at)
            })?;
            let others: Vec<i32> = now.iter().copied().filter(|it| *it != now[at]).collect();
            let mut goal = now.clone();
            goal[at] = self.best(&id.topic, &others, at == 0)?;
            (self.racks(&goal) > self.racks(now)).then_some((id, partition, goal))
        });
        let (id, partition, goal) = parted?;
        self.put(&id.topic, &partition.replicas, &goal);
        Some(Move { partition: id, replicas: goal })
    }

    /// The next move towards equal shares: from who holds most to who holds less than its share.
    /// Never into fewer racks.
    fn share(&mut self, begun: &BTreeSet<PartitionId>, moves: &[Move]) -> Option<Move> {
        let total: usize = self.loads.values().map(|load| load.replicas).sum();
        let share = total.checked_div(self.loads.len())?;
        let mut poor: Vec<i32> = self
            .loads
            .iter()
            .filter(|(_, load)| load.replicas < share)
            .map(|(id, _)| *id)
            .collect();
        poor.sort_by_key(|id| (self.loads[id].replicas, *id));
        for to in poor {
            let mut rich: Vec<i32> = self.loads.keys().copied().collect();
            rich.retain(|id| self.loads[id].replicas >= self.loads[&to].replicas + 2);
            rich.sort_by_key(|id| (std::cmp::Reverse(self.loads[id].replicas), *id));
            for from in rich {
                let movable = self.movable(begun, moves).filter(|(_, partition)| {
                    partition.replicas.contains(&from) && !partition.replicas.contains(&to)
                });
                let swapped = movable.filter_map(|(id, partition)| {
                    let swap = |it: &i32| if *it == from { to } else { *it };
                    let goal: Vec<i32> = partition.replicas.iter().map(swap).collect();
                    let keeps = self.racks(&goal) >= self.racks(&partition.replicas);
                    keeps.then_some((id, partition, goal))
                });
                // Leadership is shared as well: it moves along while the receiver leads less.
                let leads = self.loads[&from].leads > self.loads[&to].leads;
                let best = swapped.max_by_key(|(id, partition, _)| {
                    let gains = (partition.replicas.first() == Some(&from)) == leads;
                    let of = |broker: i32| self.loads[&broker].topics.get(&id.topic).copied();
                    let spread = of(from).unwrap_or(0).saturating_sub(of(to).unwrap_or(0));
                    (gains, spread, std::cmp::Reverse(id.clone()))
                });
                if let Some((id, partition, goal)) = best {
                    self.put(&id.topic, &partition.replicas, &goal);
                    return Some(Move { partition: id, replicas: goal });
                }
            }
        }
        None
    }
}
