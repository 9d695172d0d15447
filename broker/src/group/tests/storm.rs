//! Storms: random members do random things, and what must hold, holds.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use vltava_wire::{ErrorCode, Str};

use super::world::{GROUP, World, commit_of, consumer, s};
use crate::group::calls::JoinCall;
use crate::group::desk::Token;
use crate::group::machine::Reply;

/// A client as it believes to be.
#[derive(Debug, Default)]
struct Client {
    name: String,
    instance: Option<String>,
    member: Str,
    generation: i32,
    leader: bool,
    members: Vec<Str>,
    joining: Option<Token>,
    syncing: Option<Token>,
}

impl Client {
    fn join(&mut self, world: &mut World) {
        let call = JoinCall {
            instance_id: self.instance.as_deref().map(Str::from),
            ..consumer(&self.name, &self.member)
        };
        self.joining = Some(world.join(call));
        self.syncing = None;
    }

    /// Reads the answers that have come, as a consumer would.
    fn take_answers(&mut self, world: &mut World) {
        if let Some(Reply::Join(response)) = self.joining.and_then(|token| world.answer(token)) {
            let response = response.clone();
            self.joining = None;
            match response.error_code {
                ErrorCode::NONE => {
                    self.member = response.member_id.clone();
                    self.generation = response.generation_id;
                    self.leader = response.leader == response.member_id;
                    self.members =
                        response.members.iter().map(|member| member.member_id.clone()).collect();
                    self.sync(world);
                }
                ErrorCode::MEMBER_ID_REQUIRED => {
                    self.member = response.member_id;
                    self.join(world);
                }
                _ => self.member = Str::default(),
            }
        }
        if let Some(Reply::Sync(response)) = self.syncing.and_then(|token| world.answer(token)) {
            let code = response.error_code;
            if code.is_ok() {
                // A static member that came back has what its former self was given.
                let owner = self.instance.as_deref().unwrap_or(&self.member);
                let generation = format!("@{}", self.generation);
                let given = &response.assignment;
                assert!(
                    given.starts_with(owner.as_bytes()) && given.ends_with(generation.as_bytes()),
                    "{owner}{generation} was given {given:?}"
                );
            }
            self.syncing = None;
        }
    }

    fn sync(&mut self, world: &mut World) {
        let generation = self.generation;
        let given: Vec<(Str, String)> = self
            .members
            .iter()
            .filter(|_| self.leader)
            .map(|member| (member.clone(), format!("{member}@{generation}")))
            .collect();
        let given: Vec<(&str, &str)> =
            given.iter().map(|(member, what)| (member.as_str(), what.as_str())).collect();
        self.syncing = Some(world.sync(&self.member, generation, &given));
    }
}

fn storm(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::new();
    let mut clients: Vec<Client> = (0..6)
        .map(|i| Client {
            name: format!("c{i}"),
            instance: (i % 3 == 0).then(|| format!("static-{i}")),
            ..Client::default()
        })
        .collect();
    let mut committed = 0;
    let mut acknowledged: Option<i64> = None;
    let mut commits: Vec<(Token, i64)> = Vec::new();
    for step in 0..400 {
        let refused = [ErrorCode::COORDINATOR_NOT_AVAILABLE, ErrorCode::NOT_COORDINATOR];
        world.refuses = refused.choose(&mut random).copied().filter(|_| random.random_bool(0.05));
        world.commits = random.random_bool(0.8);
        if world.commits {
            world.commit_all();
        }
        let client = &mut clients[random.random_range(0..6)];
        match random.random_range(0..12) {
            0..3 if client.joining.is_none() => client.join(&mut world),
            3 => {
                // The client restarts: it has forgotten who it is.
                let (name, instance) = (client.name.clone(), client.instance.clone());
                *client = Client { name, instance, ..Client::default() };
            }
            4 if !client.member.is_empty() => {
                world.leave(&[(&client.member.clone(), None)]);
            }
            5 | 6 => {
                committed += 1;
                let call = commit_of(&client.member, client.generation, "orders", committed);
                commits.push((world.commit(call), committed));
            }
            7 => world.pass(s(random.random_range(0..70))),
            8 if random.random_bool(0.1) => {
                // What the dead broker had not answered, nobody will.
                commits.retain(|(token, _)| world.answer(*token).is_some());
                clients
                    .iter_mut()
                    .for_each(|client| (client.joining, client.syncing) = (None, None));
                world.fail_over();
            }
            _ => {
                world.heartbeat(&client.member.clone(), client.generation);
                world.pass(random.random_range(0..2000));
            }
        }
        for client in &mut clients {
            client.take_answers(&mut world);
        }
        commits.retain(|(token, offset)| match world.answer(*token) {
            Some(_) if world.committed(*token).is_ok() => {
                acknowledged = acknowledged.max(Some(*offset));
                false
            }
            answer => answer.is_none(),
        });
        check(&world, step);
        if let Some(offset) = acknowledged.filter(|_| world.uncommitted.is_empty()) {
            assert!(world.offset_of(GROUP, "orders") >= offset, "step {step}: an offset is lost");
        }
    }
    settle(&mut world, &mut clients);
}

/// What holds in every state of a group.
fn check(world: &World, step: usize) {
    let Some(group) = world.shard.groups.get(GROUP) else { return };
    let members = group.members.values();
    let waiting = members.filter(|member| member.awaiting_join.is_some()).count();
    assert_eq!(waiting, group.awaiting_join, "step {step}");
    assert!(group.pending_sync.iter().all(|id| group.members.contains_key(id)));
    assert!(group.static_members.values().all(|id| group.members.contains_key(id)));
    assert_eq!(group.leader.is_none(), group.members.is_empty(), "step {step}");
}

/// Once the storm is over, all who want to be are in one stable generation.
fn settle(world: &mut World, clients: &mut [Client]) {
    world.refuses = None;
    world.commits = true;
    world.commit_all();
    for client in &mut *clients {
        let (name, instance) = (client.name.clone(), client.instance.clone());
        *client = Client { name, instance, ..Client::default() };
        client.join(world);
    }
    for _ in 0..120 {
        for client in &mut *clients {
            client.take_answers(world);
            if client.joining.is_none() && client.syncing.is_none() {
                let beat = world.heartbeat(&client.member.clone(), client.generation);
                match beat {
                    ErrorCode::NONE => {}
                    ErrorCode::REBALANCE_IN_PROGRESS => client.join(world),
                    _ => {
                        client.member = Str::default();
                        client.join(world);
                    }
                }
            }
        }
        world.pass(s(3));
    }
    assert_eq!(world.state(), "Stable");
    let described = world.shard.describe(&GROUP.into(), 6);
    assert_eq!(described.members.len(), clients.len());
    let generation = clients[0].generation;
    assert!(clients.iter().all(|client| client.generation == generation));
}

#[test]
fn after_any_storm_the_group_settles() {
    for seed in 0..300 {
        let outcome = std::panic::catch_unwind(|| storm(seed));
        assert!(outcome.is_ok(), "the storm of seed {seed}");
    }
}
