//! Storms over groups with members of both protocols: members change from one to the other, leave,
//! crash and lose answers, coordinators fail; no partition ever has two owners, and in the end
//! each has one, whether all members speak one protocol by then or both.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vltava_wire::{ErrorCode, Str};

use super::clients::{Classic, Modern, Owned, assignment, read, subscription};
use super::{is_classic, s, world};
use crate::group::calls::{ConsumerHeartbeatCall, HeartbeatCall, JoinCall, SyncCall};
use crate::group::desk::Token;
use crate::group::machine::{Event, Reply};
use crate::group::tests::world::{GROUP, World};

/// What a client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waiting {
    Nothing,
    Join(Token),
    Sync(Token),
    Beat(Token),
}

/// A consumer as it believes to be; a classic one gives everything up before it joins again.
#[derive(Debug)]
struct Client {
    name: usize,
    incarnation: u32,
    is_static: bool,
    is_modern: bool,
    classic: Classic,
    modern: Modern,
    /// Whether the classic client is in a generation.
    is_in: bool,
    waiting: Waiting,
    away: bool,
}

impl Client {
    fn new(name: usize, is_modern: bool) -> Self {
        let mut client = Self {
            name,
            incarnation: 0,
            is_static: name.is_multiple_of(3),
            is_modern,
            classic: Classic::default(),
            modern: Modern::default(),
            is_in: false,
            waiting: Waiting::Nothing,
            away: false,
        };
        client.restart(is_modern);
        client
    }

    /// The process is another one, and has forgotten everything.
    fn restart(&mut self, is_modern: bool) {
        self.incarnation += 1;
        let instance = self.is_static.then(|| Str::from(format!("static-{}", self.name)));
        self.classic = Classic::new(&format!("classic-{}", self.name));
        self.classic.instance.clone_from(&instance);
        self.modern = Modern::new(&format!("modern-{}-{}", self.name, self.incarnation));
        self.modern.instance = instance;
        (self.is_modern, self.is_in, self.waiting) = (is_modern, false, Waiting::Nothing);
    }

    fn owned(&self) -> &Owned {
        if self.is_modern { &self.modern.owned } else { &self.classic.owned }
    }

    /// A classic client has to join again; with an id that is not known, it needs another.
    fn fall_out(&mut self, forgets_id: bool) {
        self.classic.owned.clear();
        self.is_in = false;
        if forgets_id {
            self.classic.id = Str::default();
        }
    }

    fn act(&mut self, world: &mut World) {
        if self.waiting != Waiting::Nothing || self.away {
            return;
        }
        self.waiting = if self.is_modern {
            let request = self.modern.request();
            let call = ConsumerHeartbeatCall { request, version: 1, ..Default::default() };
            Waiting::Beat(world.send(|token| Event::ConsumerHeartbeat(token, call)))
        } else if self.is_in {
            let call = HeartbeatCall {
                group_id: GROUP.into(),
                generation: self.classic.generation,
                member_id: self.classic.id.clone(),
                instance_id: self.classic.instance.clone(),
            };
            Waiting::Beat(world.send(|token| Event::Heartbeat(token, call)))
        } else {
            let protocols = vec![("cooperative-sticky".into(), subscription(&Owned::new()))];
            let call = JoinCall { protocols, ..self.classic.call() };
            Waiting::Join(world.join(call))
        };
    }

    /// Takes an answer, if there is one.
    fn take(&mut self, world: &mut World, lose: bool) {
        let (Waiting::Join(token) | Waiting::Sync(token) | Waiting::Beat(token)) = self.waiting
        else {
            return;
        };
        let Some(reply) = world.answer(token).cloned() else { return };
        self.waiting = Waiting::Nothing;
        if lose {
            return self.lost();
        }
        match reply {
            Reply::Join(response) => self.joined(world, &response),
            Reply::Sync(response) => match response.error_code {
                ErrorCode::NONE => {
                    self.classic.owned = read(&response.assignment);
                    self.is_in = true;
                }
                code => self.refused(code),
            },
            Reply::Heartbeat(ErrorCode::NONE) => {}
            Reply::Heartbeat(code) => self.refused(code),
            Reply::ConsumerHeartbeat(response) => match response.error_code {
                ErrorCode::NONE => self.modern.take(&response),
                ErrorCode::UNRELEASED_INSTANCE_ID
                | ErrorCode::COORDINATOR_NOT_AVAILABLE
                | ErrorCode::NOT_COORDINATOR => {}
                ErrorCode::FENCED_INSTANCE_ID => self.restart(true),
                _ => {
                    self.modern.epoch = 0;
                    self.modern.owned.clear();
                }
            },
            other => panic!("{other:?}"),
        }
    }

    /// An answer never came.
    fn lost(&mut self) {
        match self.is_modern {
            // It begins anew, with nothing.
            true => self.restart(true),
            false if !self.is_in => self.fall_out(false),
            false => {}
        }
    }

    fn refused(&mut self, code: ErrorCode) {
        match code {
            ErrorCode::COORDINATOR_NOT_AVAILABLE | ErrorCode::NOT_COORDINATOR if self.is_in => {}
            ErrorCode::UNKNOWN_MEMBER_ID | ErrorCode::FENCED_INSTANCE_ID => self.fall_out(true),
            ErrorCode::REBALANCE_IN_PROGRESS
            | ErrorCode::ILLEGAL_GENERATION
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::NOT_COORDINATOR => self.fall_out(false),
            other => panic!("{self:?} is told {other}"),
        }
    }

    fn joined(&mut self, world: &mut World, response: &vltava_wire::messages::JoinGroupResponse) {
        match response.error_code {
            ErrorCode::NONE => {}
            ErrorCode::MEMBER_ID_REQUIRED => {
                self.classic.id = response.member_id.clone();
                return;
            }
            code => return self.refused(code),
        }
        (self.classic.id, self.classic.generation) =
            (response.member_id.clone(), response.generation_id);
        let mut given: BTreeMap<&Str, Vec<i32>> = BTreeMap::new();
        if response.leader == response.member_id && !response.members.is_empty() {
            for partition in 0..4 {
                let member = &response.members[partition as usize % response.members.len()];
                given.entry(&member.member_id).or_default().push(partition);
            }
        }
        let given = given.into_iter().map(|(id, given)| (id.clone(), assignment(&given)));
        let call = SyncCall { assignments: given.collect(), ..self.classic.sync_call() };
        self.waiting = Waiting::Sync(world.send(|token| Event::Sync(token, call)));
    }

    /// Leaves, or dies, and comes back with that protocol.
    fn change(&mut self, world: &mut World, is_modern: bool, says_so: bool) {
        if says_so && self.waiting == Waiting::Nothing {
            match self.is_modern {
                true if self.modern.epoch > 0 => {
                    let epoch = if self.is_static { -2 } else { -1 };
                    self.modern.owned.clear();
                    self.modern.tell(world, epoch);
                }
                false if self.is_in && !self.is_static => {
                    world.leave(&[(&self.classic.id, None)]);
                }
                _ => {}
            }
        }
        self.restart(is_modern);
    }
}

fn assert_one_owner(clients: &[Client], seed: u64, step: usize) {
    let mut owners: BTreeMap<i32, &Client> = BTreeMap::new();
    for client in clients {
        for partition in client.owned() {
            if let Some(other) = owners.insert(*partition, client) {
                panic!("seed {seed}, step {step}: {partition} of {other:?} and of {client:?}");
            }
        }
    }
}

fn disturb(random: &mut StdRng, world: &mut World, clients: &mut [Client]) {
    let at = random.random_range(0..clients.len());
    match random.random_range(0..40) {
        0 | 1 => {
            let (is_modern, says_so) = (random.random_bool(0.5), random.random_bool(0.9));
            clients[at].change(world, is_modern, says_so);
        }
        2 => clients[at].away = random.random_bool(0.5),
        3 => {
            match random.random_bool(0.5) {
                true => world.fail_over(),
                false => world.fail_over_to_committed(),
            }
            // Whoever waits for the one that is dead tries again.
            for client in clients {
                if std::mem::replace(&mut client.waiting, Waiting::Nothing) != Waiting::Nothing {
                    client.lost();
                }
            }
        }
        4 => {
            let is_modern = random.random_bool(0.3);
            clients.iter_mut().for_each(|client| client.change(world, is_modern, true));
        }
        _ => {}
    }
}

fn round(world: &mut World, clients: &mut [Client], random: &mut StdRng, losses: f64) {
    for client in clients {
        client.take(world, random.random_bool(losses));
        client.act(world);
        client.take(world, random.random_bool(losses));
    }
}

/// How many storms: each seed is one.
const STORMS: u64 = 60;

fn storm(seed: u64) -> [bool; 2] {
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = world();
    let mut clients: Vec<Client> =
        (0..4).map(|name| Client::new(name, random.random_bool(0.5))).collect();
    let mut was = [false; 2];
    for step in 0..300 {
        world.refuses = random.random_bool(0.05).then_some(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        world.commits = random.random_bool(0.8);
        if world.commits {
            world.commit_all();
        }
        disturb(&mut random, &mut world, &mut clients);
        round(&mut world, &mut clients, &mut random, 0.05);
        clients.iter_mut().for_each(|client| client.away &= random.random_bool(0.8));
        assert_one_owner(&clients, seed, step);
        was[usize::from(is_classic(&world))] = true;
        world.pass(random.random_range(0..s(2)));
    }
    (world.refuses, world.commits) = (None, true);
    world.commit_all();
    for client in &mut clients {
        client.away = false;
        match seed % 3 {
            0 if client.is_modern => client.change(&mut world, false, true),
            1 if !client.is_modern => client.change(&mut world, true, true),
            _ => {}
        }
    }
    for step in 300..400 {
        round(&mut world, &mut clients, &mut random, 0.0);
        assert_one_owner(&clients, seed, step);
        world.pass(s(2));
    }
    let owned: Owned = clients.iter().flat_map(|client| client.owned().clone()).collect();
    assert_eq!(owned, (0..4).collect(), "seed {seed}: {clients:?}");
    if seed % 3 < 2 {
        assert_eq!(is_classic(&world), seed.is_multiple_of(3), "seed {seed}");
    }
    // What was written is all there is to know.
    let described = world.shard.describe_consumer_group(&GROUP.into());
    world.fail_over();
    assert_eq!(world.shard.describe_consumer_group(&GROUP.into()), described, "seed {seed}");
    was
}

#[test]
fn no_partition_has_two_owners_whichever_protocol_they_speak() {
    let mut seen = [0; 2];
    for seed in 0..STORMS {
        let was = storm(seed);
        (0..2).for_each(|kind| seen[kind] += usize::from(was[kind]));
    }
    assert!(seen.iter().all(|seen| *seen > 20), "both kinds of groups are met often: {seen:?}");
}
