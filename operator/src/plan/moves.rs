//! Which partitions move where: off brokers that are to go, onto brokers that are new, and to as
//! many replicas as the manifest says.
//!
//! Made anew from what is seen each time, and a few moves at a time: so it does not matter who
//! began a move, or whether the operator ended meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use super::{ClusterView, PartitionId, PartitionView};

/// How many partitions move at once: their data is copied beside what clients write.
const AT_ONCE: usize = 10;
/// How far the numbers of replicas of two brokers may lie apart before some are moved.
const APART_MAX: usize = 2;

/// A partition that is to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// Which.
    pub partition: PartitionId,
    /// To whom, the preferred leader first.
    pub replicas: Vec<i32>,
}

/// What the moves are decided by.
#[derive(Debug)]
pub struct Input<'a> {
    /// The cluster.
    pub cluster: &'a ClusterView,
    /// Brokers 1 to this number stay.
    pub brokers: i32,
    /// How many replicas each declared topic is to have, where the manifest says.
    pub replicas: &'a BTreeMap<String, usize>,
}

/// The replicas that a broker holds, by broker.
type Held = BTreeMap<i32, usize>;

/// Which partitions to move now. None while as many as may already move.
pub fn moves(input: &Input<'_>) -> Vec<Move> {
    let moving = input.cluster.partitions().filter(|(_, _, it)| it.is_moving()).count();
    let room = AT_ONCE.saturating_sub(moving);
    let staying = staying(input);
    if staying.is_empty() || room == 0 {
        return Vec::new();
    }
    let mut held: Held = staying.iter().map(|id| (*id, 0)).collect();
    for (_, _, partition) in input.cluster.partitions() {
        for id in partition.target() {
            held.entry(id).and_modify(|count| *count += 1);
        }
    }
    let mut moves = Vec::new();
    for (id, topic, partition) in input.cluster.partitions() {
        if moves.len() == room {
            return moves;
        }
        if partition.is_moving() {
            continue;
        }
        let wanted = match (input.replicas.get(&id.topic), topic.internal) {
            (Some(wanted), false) => (*wanted).min(staying.len()),
            _ => partition.replicas.len().min(staying.len()),
        };
        let replicas = placed(input, &partition.replicas, wanted, &mut held);
        if replicas != partition.replicas {
            moves.push(Move { partition: id, replicas });
        }
    }
    if moves.is_empty() && moving == 0 {
        moves = balanced(input, &mut held, room);
    }
    moves
}

/// Brokers that take part: those that stay and live.
fn staying(input: &Input<'_>) -> BTreeSet<i32> {
    let live = input.cluster.brokers.iter().filter(|(_, broker)| !broker.fenced);
    live.map(|(id, _)| *id).filter(|id| *id <= input.brokers).collect()
}

/// The replicas of a partition once it is as it should be: who holds it and stays goes on to.
fn placed(input: &Input<'_>, now: &[i32], wanted: usize, held: &mut Held) -> Vec<i32> {
    // One that is away for a while keeps its place; one that is to go does not.
    let mut replicas: Vec<i32> = now.iter().copied().filter(|id| *id <= input.brokers).collect();
    while replicas.len() > wanted {
        let most = (1..replicas.len()).max_by_key(|at| held.get(&replicas[*at]).copied());
        let gone = replicas.remove(most.unwrap_or(0));
        held.entry(gone).and_modify(|count| *count = count.saturating_sub(1));
    }
    while replicas.len() < wanted {
        let Some(next) = best(input, &replicas, held) else { break };
        held.entry(next).and_modify(|count| *count += 1);
        replicas.push(next);
    }
    replicas
}

/// Who takes one more replica: of a rack that has none, with the fewest.
fn best(input: &Input<'_>, replicas: &[i32], held: &Held) -> Option<i32> {
    let rack = |id: i32| input.cluster.brokers.get(&id).and_then(|broker| broker.rack.as_ref());
    let shared = |id: i32| {
        rack(id).map_or(0, |its| replicas.iter().filter(|it| rack(**it) == Some(its)).count())
    };
    held.iter()
        .filter(|(id, _)| !replicas.contains(id))
        .min_by_key(|(id, count)| (shared(**id), **count, **id))
        .map(|(id, _)| *id)
}

/// Moves from those that hold most to those that hold least, until nobody holds much more.
fn balanced(input: &Input<'_>, held: &mut Held, room: usize) -> Vec<Move> {
    let mut moves: Vec<Move> = Vec::new();
    let partitions: Vec<(PartitionId, &PartitionView)> =
        input.cluster.partitions().map(|(id, _, partition)| (id, partition)).collect();
    while moves.len() < room {
        let most = held.iter().max_by_key(|(id, count)| (**count, -**id)).map(|it| (*it.0, *it.1));
        let least = held.iter().min_by_key(|(id, count)| (**count, **id)).map(|it| (*it.0, *it.1));
        let Some((from, to)) = most.zip(least).filter(|(from, to)| from.1 > to.1 + APART_MAX)
        else {
            break;
        };
        let candidate = partitions.iter().find(|(id, partition)| {
            partition.replicas.contains(&from.0)
                && !partition.replicas.contains(&to.0)
                && !moves.iter().any(|it| it.partition == *id)
                && !crowds(input, &partition.replicas, from.0, to.0)
        });
        let Some((id, partition)) = candidate else { break };
        let swap = |it: &i32| if *it == from.0 { to.0 } else { *it };
        let replicas = partition.replicas.iter().map(swap).collect();
        moves.push(Move { partition: id.clone(), replicas });
        held.entry(from.0).and_modify(|count| *count -= 1);
        held.entry(to.0).and_modify(|count| *count += 1);
    }
    moves
}

/// Whether a partition would lie in fewer racks.
fn crowds(input: &Input<'_>, replicas: &[i32], from: i32, to: i32) -> bool {
    let rack = |id: i32| input.cluster.brokers.get(&id).and_then(|broker| broker.rack.as_ref());
    let racks = |ids: &[i32]| ids.iter().map(|id| rack(*id)).collect::<BTreeSet<_>>().len();
    let after: Vec<i32> = replicas.iter().map(|it| if *it == from { to } else { *it }).collect();
    racks(&after) < racks(replicas)
}
