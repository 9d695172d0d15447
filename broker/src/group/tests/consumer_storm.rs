//! Storms over groups of the new protocol: members join, leave, crash and lose answers, topics
//! come and grow, coordinators fail; no partition ever has two owners, and in the end each has one.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use vltava_metadata::{Changes, Image, MetadataRecord};
use vltava_wire::messages::consumer_group_heartbeat::TopicPartitions;
use vltava_wire::messages::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};
use vltava_wire::records::metadata::{PartitionRecord, TopicRecord};
use vltava_wire::{ErrorCode, Str, Uuid};

use super::world::{GROUP, World, s};
use crate::group::calls::ConsumerHeartbeatCall;
use crate::group::desk::Token;
use crate::group::machine::{Event, Reply};

/// How the topics that clients subscribe to begin.
const TOPICS: &str = "orders-";

type Owned = BTreeSet<(Uuid, i32)>;

/// The cluster's topics, which only grow.
#[derive(Default)]
pub(super) struct Topics {
    sizes: Vec<i32>,
}

impl Topics {
    pub(super) fn of(sizes: &[i32]) -> Self {
        Self { sizes: sizes.to_vec() }
    }

    pub(super) fn id(topic: usize) -> Uuid {
        Uuid(1000 + topic as u128)
    }

    pub(super) fn image(&self) -> Image {
        let mut image = Image::new("cluster".into());
        let mut apply = |record: MetadataRecord| {
            image.apply(&record, &mut Changes::default()).expect("a record that fits");
        };
        for (topic, partitions) in self.sizes.iter().enumerate() {
            let (topic_id, name) = (Self::id(topic), format!("{TOPICS}{topic}").into());
            apply(TopicRecord { name, topic_id }.into());
            for partition_id in 0..*partitions {
                apply(
                    PartitionRecord { partition_id, topic_id, ..PartitionRecord::default() }.into(),
                );
            }
        }
        image
    }

    fn all(&self) -> Owned {
        let topics = self.sizes.iter().enumerate();
        topics.flat_map(|(topic, size)| (0..*size).map(move |p| (Self::id(topic), p))).collect()
    }
}

/// A consumer as it believes to be.
#[derive(Debug, Default)]
struct Client {
    name: usize,
    incarnation: u32,
    instance: Option<String>,
    by_regex: bool,
    epoch: i32,
    /// What it reads.
    owned: Owned,
    /// Whether the last answer was lost: then it says everything again.
    unsure: bool,
    waiting: Option<Token>,
    away: bool,
}

impl Client {
    fn id(&self) -> Str {
        format!("member-{}-{}", self.name, self.incarnation).into()
    }

    fn request(&self, topics: &Topics) -> ConsumerGroupHeartbeatRequest {
        let mut owned: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        for (topic, partition) in &self.owned {
            owned.entry(*topic).or_default().push(*partition);
        }
        let owned = owned
            .into_iter()
            .map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions });
        let full = self.epoch == 0 || self.unsure;
        let names = (0..topics.sizes.len()).map(|topic| format!("{TOPICS}{topic}").into());
        ConsumerGroupHeartbeatRequest {
            group_id: GROUP.into(),
            member_id: self.id(),
            member_epoch: self.epoch,
            instance_id: self.instance.as_deref().map(Str::from),
            rebalance_timeout_ms: if full { 60_000 } else { -1 },
            subscribed_topic_names: (!self.by_regex).then(|| names.collect()),
            subscribed_topic_regex: self.by_regex.then(|| format!("{TOPICS}[0-9]+").into()),
            topic_partitions: Some(owned.collect()),
            ..Default::default()
        }
    }

    fn send(&mut self, world: &mut World, request: ConsumerGroupHeartbeatRequest) {
        let call = ConsumerHeartbeatCall { request, version: 1, ..Default::default() };
        self.waiting = Some(world.send(|token| Event::ConsumerHeartbeat(token, call)));
    }

    fn beat(&mut self, world: &mut World, topics: &Topics) {
        self.send(world, self.request(topics));
    }

    fn leave(&mut self, world: &mut World, epoch: i32) {
        let request = ConsumerGroupHeartbeatRequest {
            group_id: GROUP.into(),
            member_id: self.id(),
            member_epoch: epoch,
            instance_id: self.instance.as_deref().map(Str::from),
            ..Default::default()
        };
        // A client gives up before it says so.
        self.owned.clear();
        self.send(world, request);
        self.restart();
        self.away = true;
    }

    /// The process is another one, and has forgotten everything.
    fn restart(&mut self) {
        self.incarnation += 1;
        (self.epoch, self.unsure, self.waiting) = (0, false, None);
        self.owned.clear();
    }

    fn take(&mut self, response: &ConsumerGroupHeartbeatResponse) {
        match response.error_code {
            ErrorCode::NONE => {
                self.unsure = false;
                self.epoch = response.member_epoch;
                if let Some(assignment) = &response.assignment {
                    let topics = assignment.topic_partitions.iter();
                    self.owned = topics
                        .flat_map(|topic| {
                            topic
                                .partitions
                                .iter()
                                .map(move |partition| (topic.topic_id, *partition))
                        })
                        .collect();
                }
            }
            ErrorCode::FENCED_MEMBER_EPOCH
            | ErrorCode::UNKNOWN_MEMBER_ID
            | ErrorCode::GROUP_ID_NOT_FOUND => {
                self.epoch = 0;
                self.owned.clear();
            }
            ErrorCode::UNRELEASED_INSTANCE_ID
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::NOT_COORDINATOR => self.unsure = true,
            other => panic!("{} is told {other:?}: {:?}", self.id(), response.error_message),
        }
    }

    /// Reads the answer, or loses it.
    fn read(&mut self, world: &World, lose: bool) {
        let Some(Reply::ConsumerHeartbeat(response)) =
            self.waiting.and_then(|token| world.answer(token))
        else {
            return;
        };
        self.waiting = None;
        match lose {
            true => self.unsure = true,
            false => self.take(&response.clone()),
        }
    }
}

fn assert_one_owner(clients: &[Client], seed: u64, step: usize) {
    let mut owners: BTreeMap<(Uuid, i32), &Client> = BTreeMap::new();
    for client in clients {
        for partition in &client.owned {
            if let Some(other) = owners.insert(*partition, client) {
                panic!("seed {seed}, step {step}: {partition:?} of {other:?} and of {client:?}");
            }
        }
    }
}

fn disturb(random: &mut StdRng, world: &mut World, topics: &mut Topics, clients: &mut [Client]) {
    let at = random.random_range(0..clients.len());
    let client = &mut clients[at];
    match random.random_range(0..14) {
        0 if client.epoch > 0 && client.waiting.is_none() => client.leave(world, -1),
        1 if client.instance.is_some() && client.epoch > 0 && client.waiting.is_none() => {
            client.leave(world, -2);
        }
        2 => {
            client.restart();
            client.away = random.random_bool(0.5);
        }
        3 if topics.sizes.len() < 5 => {
            topics.sizes.push(random.random_range(1..6));
            world.set_image(topics.image());
        }
        4 => {
            let topic = random.random_range(0..topics.sizes.len());
            topics.sizes[topic] += 1;
            world.set_image(topics.image());
        }
        5 => world.fail_over(),
        6 => world.fail_over_to_committed(),
        _ => {}
    }
}

fn storm(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let mut world = World::new();
    let mut topics = Topics::of(&[3]);
    world.set_image(topics.image());
    let mut clients: Vec<Client> = (0..6)
        .map(|name| Client {
            name,
            instance: (name % 3 == 0).then(|| format!("static-{name}")),
            by_regex: random.random_bool(0.5),
            ..Client::default()
        })
        .collect();
    for step in 0..200 {
        world.refuses = random.random_bool(0.05).then_some(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        world.commits = random.random_bool(0.8);
        if world.commits {
            world.commit_all();
        }
        let before = world.log.len();
        disturb(&mut random, &mut world, &mut topics, &mut clients);
        if world.log.len() < before {
            // The coordinator's death: whoever waits for it tries again.
            for client in &mut clients {
                client.unsure |= client.waiting.take().is_some();
            }
        }
        for client in &mut clients {
            client.read(&world, random.random_bool(0.1));
            client.away &= random.random_bool(0.8);
            if client.waiting.is_none() && !client.away {
                client.beat(&mut world, &topics);
                client.read(&world, random.random_bool(0.1));
            } else if client.waiting.is_some() && random.random_bool(0.2) {
                // It does not wait for ever.
                (client.waiting, client.unsure) = (None, true);
            }
        }
        assert_one_owner(&clients, seed, step);
        world.pass(random.random_range(0..s(2)));
    }
    (world.refuses, world.commits) = (None, true);
    world.commit_all();
    for step in 200..240 {
        for client in &mut clients {
            client.read(&world, false);
            client.waiting = None;
            client.beat(&mut world, &topics);
            client.read(&world, false);
        }
        assert_one_owner(&clients, seed, step);
        world.pass(s(5));
    }
    let owned: Owned = clients.iter().flat_map(|client| client.owned.clone()).collect();
    assert_eq!(owned, topics.all(), "seed {seed}: {clients:?}");
    let counts: Vec<usize> = clients.iter().map(|client| client.owned.len()).collect();
    let spread = counts.iter().max().zip(counts.iter().min()).map(|(most, least)| most - least);
    assert!(spread <= Some(1), "seed {seed}: {counts:?}");
    let described = world.shard.describe_consumer_group(&GROUP.into());
    assert_eq!(described.group_state, "Stable", "seed {seed}: {described:?}");
    // What was written is all there is to know.
    world.fail_over();
    assert_eq!(world.shard.describe_consumer_group(&GROUP.into()), described, "seed {seed}");
}

#[test]
fn no_partition_has_two_owners_and_in_the_end_each_has_one() {
    for seed in 0..12 {
        storm(seed);
    }
}
