//! Founders in random histories: they restart, messages are lost, disks are lost.
//!
//! A failing seed is run again by `history(SEED, LOSSES)`.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vltava_quorum::LeaderInfo;
use vltava_wire::{ErrorCode, Uuid};

use super::*;

const SEEDS: u64 = 3_000;
const STEPS: usize = 200;

/// What is on a founder's disk.
#[derive(Clone, Default)]
struct Folder {
    met: BTreeSet<NodeId>,
    /// Whether it was formatted as a founder, or as somebody new.
    formatted: Option<Verdict>,
    /// When it was made, and when it got a vote, in steps.
    made_at: u32,
    voted_at: Option<u32>,
}

struct Node {
    folder: Folder,
    /// What it knows, while its folder is empty.
    founding: Option<Founding>,
    /// Its starts so far: answers to an earlier one are lost.
    lives: u32,
    /// Whether a folder of its that is lost had voted.
    voted_before: bool,
}

struct World {
    seed: u64,
    random: StdRng,
    now: u32,
    /// Who was elected last.
    leader: Option<usize>,
    nodes: Vec<Node>,
    /// Who asked in which life, and what who answers.
    answers: Vec<((usize, u32), NodeId, VoteResponse)>,
}

fn key(index: usize) -> ReplicaKey {
    ReplicaKey::new(NodeId(3001 + index as i32), Uuid(1_000 + index as u128))
}

impl World {
    fn new(seed: u64, count: usize) -> Self {
        let node =
            |_| Node { folder: Folder::default(), founding: None, lives: 0, voted_before: false };
        let nodes = (0..count).map(node).collect();
        let random = StdRng::seed_from_u64(seed);
        let mut world = Self { seed, random, now: 0, leader: None, nodes, answers: Vec::new() };
        (0..count).for_each(|node| world.start(node));
        world
    }

    fn start(&mut self, index: usize) {
        let others = (0..self.nodes.len()).filter(|other| *other != index).map(key);
        let node = &mut self.nodes[index];
        node.lives += 1;
        let fresh = node.folder.formatted.is_none();
        node.founding = fresh.then(|| Founding::new(key(index), others, &node.folder.met));
    }

    fn founds(&self, index: usize) -> bool {
        self.nodes[index].folder.formatted == Some(Verdict::Founds)
    }

    /// One asks another: a fresh one as it should, one that may vote for a pre-vote.
    fn ask(&mut self, from: usize, to: usize) {
        let pre_votes = self.founds(from) && self.nodes[from].folder.voted_at.is_none();
        let question = match &self.nodes[from].founding {
            Some(founding) => founding.question(key(to).id).expect("another founder"),
            None if pre_votes => VoteRequest {
                voter: key(to),
                candidate: key(from),
                epoch: LeaderEpoch(0),
                last_epoch: LeaderEpoch(0),
                end_offset: Offset::ZERO,
                pre_vote: true,
            },
            None => return,
        };
        let node = &mut self.nodes[to];
        let (error, epoch) = match &mut node.founding {
            Some(founding) => match founding.asked(&question) {
                Asked::ByFounder { .. } => {
                    node.folder.met = founding.met();
                    (ErrorCode::NONE, 0)
                }
                Asked::Otherwise => panic!("{question:?}"),
            },
            None if node.folder.voted_at.is_some() => (ErrorCode::FENCED_LEADER_EPOCH, 1),
            None if node.folder.formatted == Some(Verdict::Founds) => (ErrorCode::NONE, 0),
            // It observes, and has heard of nothing yet.
            None => (ErrorCode::INVALID_VOTER_KEY, 0),
        };
        let leader = self.leader.filter(|_| epoch > 0).map(|leader| key(leader).id);
        let leader = LeaderInfo { epoch: LeaderEpoch(epoch), leader, endpoint: None };
        let answer = VoteResponse { error, leader, granted: false };
        self.answers.push(((from, self.nodes[from].lives), key(to).id, answer));
    }

    fn answer(&mut self) {
        if self.answers.is_empty() {
            return;
        }
        let at = self.random.random_range(0..self.answers.len());
        let ((to, life), by, answer) = self.answers.swap_remove(at);
        let node = &mut self.nodes[to];
        let Some(founding) = node.founding.as_mut().filter(|_| node.lives == life) else { return };
        founding.answered(by, &answer);
        let verdict = founding.verdict();
        if verdict == Verdict::Waits {
            return;
        }
        node.folder.formatted = Some(verdict);
        node.founding = None;
        if verdict == Verdict::Founds && node.voted_before {
            // Whoever voted while it had its old folder has lost its own, too.
            let made_at = node.folder.made_at;
            let remembers = |other: &Node| other.folder.voted_at.is_some_and(|at| at < made_at);
            let survivor = self.nodes.iter().position(remembers);
            assert_eq!(survivor, None, "seed {}: founder {to} came back", self.seed);
        }
    }

    /// A majority of those who may vote elect one of them.
    fn vote(&mut self) {
        let able: Vec<usize> = (0..self.nodes.len()).filter(|node| self.founds(*node)).collect();
        let majority = self.nodes.len() / 2 + 1;
        if able.len() >= majority {
            let skip = self.random.random_range(0..=able.len() - majority);
            for node in able.into_iter().skip(skip).take(majority) {
                self.nodes[node].folder.voted_at.get_or_insert(self.now);
                self.leader = Some(node);
            }
        }
    }

    fn lose_disk(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.voted_before |= node.folder.voted_at.is_some();
        node.folder = Folder { made_at: self.now, ..Folder::default() };
        self.start(index);
    }

    fn step(&mut self, losses: &mut u32) {
        self.now += 1;
        let count = self.nodes.len();
        let (one, other) = (self.random.random_range(0..count), self.random.random_range(1..count));
        match self.random.random_range(0..100) {
            0..50 => self.ask(one, (one + other) % count),
            50..85 => self.answer(),
            85..90 => drop(self.answers.pop()),
            90..95 => self.start(one),
            95..98 => self.vote(),
            _ if *losses > 0 => {
                *losses -= 1;
                self.lose_disk(one);
            }
            _ => {}
        }
    }
}

fn history(seed: u64, losses: u32) -> World {
    let count = [2, 3, 3, 5][seed as usize % 4];
    let mut world = World::new(seed, count);
    let mut losses = losses;
    (0..STEPS).for_each(|_| world.step(&mut losses));
    world
}

#[test]
fn founders_that_keep_their_disks_all_found_whatever_happens_in_between() {
    for seed in 0..SEEDS {
        let mut world = history(seed, 0);
        let count = world.nodes.len();
        for _ in 0..3 {
            for (from, to) in (0..count).flat_map(|one| (0..count).map(move |other| (one, other))) {
                if from != to {
                    world.ask(from, to);
                }
            }
            while !world.answers.is_empty() {
                world.answer();
            }
            world.vote();
        }
        for node in 0..count {
            let formatted = world.nodes[node].folder.formatted;
            assert_eq!(formatted, Some(Verdict::Founds), "seed {seed}, node {node}");
        }
    }
}

#[test]
fn a_founder_that_lost_its_vote_does_not_come_back_while_anybody_remembers_the_quorum() {
    let mut joined = 0;
    for seed in 0..SEEDS {
        let world = history(seed, 1 + seed as u32 % 4);
        let nodes = world.nodes.iter();
        let joins = |node: &&Node| matches!(node.folder.formatted, Some(Verdict::Joins { .. }));
        joined += nodes.filter(joins).count();
    }
    assert!(joined > SEEDS as usize / 20, "losses that matter are rare: {joined}");
}

#[test]
fn questions_of_somebody_else_are_not_taken_for_a_founder_s() {
    let founding = || Founding::new(key(0), [key(1), key(2)], &BTreeSet::new());
    let question = Founding::new(key(1), [key(0), key(2)], &BTreeSet::new())
        .question(key(0).id)
        .expect("a founder");
    let elsewhere = ReplicaKey::new(key(1).id, Uuid(7));
    let table = [
        VoteRequest { pre_vote: false, ..question.clone() },
        VoteRequest { end_offset: Offset(1), ..question.clone() },
        VoteRequest { candidate: elsewhere, ..question.clone() },
        VoteRequest { candidate: ReplicaKey::new(NodeId(9), Uuid(9)), ..question.clone() },
        VoteRequest { voter: elsewhere, ..question.clone() },
    ];
    for other in table {
        assert_eq!(founding().asked(&other), Asked::Otherwise, "{other:?}");
    }
    let mut founding = founding();
    assert_eq!(founding.asked(&question), Asked::ByFounder { new: true });
    assert_eq!(founding.asked(&question), Asked::ByFounder { new: false });
    assert_eq!(founding.met(), BTreeSet::from([key(1).id]));
}

#[test]
fn whoever_was_met_and_leads_now_is_not_waited_for() {
    let mut founding = Founding::new(key(0), [key(1), key(2)], &BTreeSet::from([key(1).id]));
    let answer = |epoch: i32, leader: Option<usize>| VoteResponse {
        error: if epoch == 0 { ErrorCode::NONE } else { ErrorCode::FENCED_LEADER_EPOCH },
        leader: LeaderInfo {
            epoch: LeaderEpoch(epoch),
            leader: leader.map(|leader| key(leader).id),
            endpoint: None,
        },
        granted: false,
    };
    founding.answered(key(2).id, &answer(0, None));
    assert_eq!(founding.verdict(), Verdict::Waits);
    // The first one has died meanwhile.
    founding.answered(key(2).id, &answer(1, Some(1)));
    let elder = key(2).id;
    assert_eq!(founding.verdict(), Verdict::Founds, "{elder} had answered before it voted");
    let mut met = Founding::new(key(0), [key(1), key(2)], &BTreeSet::from([key(2).id]));
    met.answered(key(2).id, &answer(1, Some(1)));
    assert_eq!(met.verdict(), Verdict::Joins { elder: key(1).id });
}
