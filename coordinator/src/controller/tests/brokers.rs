//! Brokers register, live, die and return.

use std::time::Duration;

use vltava_wire::messages::{
    BrokerHeartbeatRequest, BrokerRegistrationRequest, ElectLeadersRequest,
};
use vltava_wire::{ErrorCode, NodeId};

use super::fixture::{GRACE, SESSION, World};
use crate::controller::{FenceReason, Happening};

const MOMENT: Duration = Duration::from_millis(100);

#[test]
fn a_broker_is_unfenced_once_it_has_applied_its_registration() {
    let mut world = World::new();
    let epoch = world.register_as(1, 1, &[101]).expect("a registration");
    assert_eq!(epoch, world.end.get() - 1, "the epoch is the record's offset");
    let behind = BrokerHeartbeatRequest {
        broker_id: 1,
        broker_epoch: epoch,
        current_metadata_offset: epoch - 1,
        ..BrokerHeartbeatRequest::default()
    };
    let answer = world.beat_with(&behind).expect("a heartbeat");
    assert!(answer.is_fenced && !answer.is_caught_up);
    let answer = world.beat(1).expect("a heartbeat");
    assert!(!answer.is_fenced && answer.is_caught_up);
    assert!(world.is_unfenced(1));
}

#[test]
fn a_broker_of_another_cluster_is_refused() {
    let mut world = World::new();
    let request = BrokerRegistrationRequest { cluster_id: "other".into(), ..Default::default() };
    let refused = world.operate(|controller, moment| controller.register_broker(&request, moment));
    assert_eq!(refused.map(|_| ()), Err(ErrorCode::INCONSISTENT_CLUSTER_ID));
}

#[test]
fn a_heartbeat_of_an_old_registration_is_refused() {
    let mut world = World::new();
    world.broker(1);
    let old = world.heartbeat(1);
    world.register_as(1, 2, &[1001]).expect("a new process");
    assert_eq!(world.beat_with(&old), Err(ErrorCode::STALE_BROKER_EPOCH));
    let unknown = BrokerHeartbeatRequest { broker_id: 9, ..old };
    assert_eq!(world.beat_with(&unknown), Err(ErrorCode::BROKER_ID_NOT_REGISTERED));
}

#[test]
fn a_silent_broker_is_fenced_when_its_session_ends() {
    let mut world = World::new();
    world.brokers(&[1, 2, 3]);
    world.topic("t", &[1, 2, 3], &[]);
    world.pass(SESSION - MOMENT, &[2, 3]);
    assert!(world.is_unfenced(1));
    world.pass(MOMENT, &[2, 3]);
    assert!(!world.is_unfenced(1));
    assert_eq!(world.state("t"), (2, vec![2, 3]));
    assert!(
        world.happenings.contains(&Happening::Fenced {
            broker: NodeId(1),
            reason: FenceReason::SessionExpired,
        })
    );
    let told: Vec<String> = world.happenings.iter().map(ToString::to_string).collect();
    assert!(told.contains(&"t-0 is led by broker 2 now".to_owned()), "{told:?}");
}

#[test]
fn a_broker_whose_connections_close_is_fenced_after_the_grace() {
    let mut world = World::new();
    world.brokers(&[1, 2, 3]);
    world.topic("t", &[1, 2, 3], &[]);
    world.speaks(1, 11);
    world.speaks(1, 12);
    world.closes(11);
    world.pass(GRACE * 2, &[1, 2, 3]);
    assert!(world.is_unfenced(1), "another connection is open");
    world.closes(12);
    world.pass(GRACE - MOMENT, &[2, 3]);
    assert!(world.is_unfenced(1), "the grace is not over");
    world.pass(MOMENT, &[2, 3]);
    assert_eq!(world.state("t"), (2, vec![2, 3]));
}

#[test]
fn a_broker_that_connects_again_within_the_grace_is_not_fenced() {
    let mut world = World::new();
    world.brokers(&[1, 2]);
    world.speaks(1, 11);
    world.closes(11);
    world.pass(GRACE - MOMENT, &[1, 2]);
    world.speaks(1, 12);
    world.pass(SESSION, &[1, 2]);
    assert!(world.is_unfenced(1));
}

#[test]
fn the_connection_of_an_old_process_says_nothing_of_the_new_one() {
    let mut world = World::new();
    world.brokers(&[1, 2]);
    world.speaks(1, 11);
    world.register_as(1, 2, &[1001]).expect("a new process");
    world.beat(1).expect("a heartbeat");
    world.speaks(1, 12);
    world.closes(11);
    world.pass(GRACE * 2, &[1, 2]);
    assert!(world.is_unfenced(1));
}

#[test]
fn what_a_standby_saw_counts_when_it_becomes_active() {
    let mut world = World::new();
    world.brokers(&[1, 2, 3]);
    world.topic("t", &[1, 2, 3], &[]);
    world.controller.deactivate();
    for broker in [1, 2, 3] {
        world.speaks(broker, 10 + broker as u64);
    }
    // Broker 1 dies together with the active coordinator.
    world.closes(11);
    world.now = world.now + GRACE / 2;
    world.controller.activate(world.image.clone(), world.now);
    world.do_chores();
    assert!(world.is_unfenced(1));
    world.pass(GRACE / 2, &[2, 3]);
    assert_eq!(world.state("t"), (2, vec![2, 3]));
}

#[test]
fn the_death_of_a_coordinator_fences_nobody() {
    let mut world = World::new();
    world.brokers(&[1, 2, 3]);
    world.controller.deactivate();
    world.now = world.now + SESSION * 10;
    // No broker has connected to the next coordinator yet.
    world.controller.activate(world.image.clone(), world.now);
    world.pass(SESSION - MOMENT, &[]);
    assert!([1, 2, 3].iter().all(|broker| world.is_unfenced(*broker)));
    world.pass(SESSION, &[1, 2]);
    assert!(!world.is_unfenced(3), "who never comes back is fenced when its session ends");
    assert!(world.is_unfenced(1) && world.is_unfenced(2));
}

#[test]
fn a_coordinator_that_stood_still_holds_nobody_to_it() {
    let mut world = World::new();
    world.brokers(&[1, 2]);
    world.speaks(1, 11);
    world.closes(11);
    let pause = SESSION * 3;
    world.now = world.now + pause;
    world.controller.stalled(pause);
    world.do_chores();
    assert!(world.is_unfenced(1) && world.is_unfenced(2));
}

#[test]
fn a_controlled_shutdown_moves_leadership_first() {
    let mut world = World::new();
    world.brokers(&[1, 2]);
    world.topic("t", &[1, 2], &[]);
    let leaving = |world: &World, offset| BrokerHeartbeatRequest {
        want_shut_down: true,
        current_metadata_offset: offset,
        ..world.heartbeat(1)
    };
    let request = leaving(&world, world.end.get());
    let answer = world.beat_with(&request).expect("a heartbeat");
    assert!(!answer.should_shut_down && !answer.is_fenced);
    assert_eq!(world.state("t"), (2, vec![2]));
    // Broker 2 does not know yet.
    let request = leaving(&world, world.end.get());
    assert!(!world.beat_with(&request).expect("a heartbeat").should_shut_down);
    world.beat(2).expect("a heartbeat");
    let request = leaving(&world, world.end.get());
    let answer = world.beat_with(&request).expect("a heartbeat");
    assert!(answer.should_shut_down && answer.is_fenced);
    assert!(!world.is_unfenced(1));
}

#[test]
fn a_restarted_process_takes_the_place_of_the_old_one_at_once() {
    let mut world = World::new();
    world.brokers(&[1, 2, 3]);
    world.topic("t", &[1, 2, 3], &[]);
    let before = world.partition("t");
    world.register_as(1, 2, &[1001]).expect("the lock proves that the old process is dead");
    assert!(!world.is_unfenced(1));
    let after = world.partition("t");
    assert_eq!(world.state("t"), (2, vec![2, 3]));
    assert!(after.leader_epoch > before.leader_epoch);
}

#[test]
fn a_process_with_other_directories_waits_for_the_session_of_the_old_one() {
    let mut world = World::new();
    world.brokers(&[1, 2]);
    assert_eq!(world.register_as(1, 2, &[555]), Err(ErrorCode::DUPLICATE_BROKER_REGISTRATION));
    world.pass(SESSION, &[2]);
    world.register_as(1, 2, &[555]).expect("the old session has ended");
}

#[test]
fn an_empty_disk_leaves_every_isr_before_it_is_unfenced() {
    let mut world = World::new();
    world.brokers(&[1, 2]);
    world.topic("both", &[1, 2], &[]);
    world.topic("alone", &[1], &[]);
    world.pass(SESSION, &[2]);
    world.register_as(1, 2, &[555]).expect("a registration");
    assert_eq!(world.state("both"), (2, vec![2]));
    assert_eq!(world.state("alone"), (-1, vec![]));
    assert!(world.happenings.iter().any(|it| matches!(it, Happening::LastCopyLost { .. })));
    world.beat(1).expect("a heartbeat");
    assert_eq!(world.state("alone"), (-1, vec![]), "only a person may let it lead");
}

#[test]
fn an_unclean_election_prefers_who_may_have_records_to_an_empty_disk() {
    let mut world = World::new();
    world.brokers(&[1, 2, 3]);
    world.topic("t", &[1, 2, 3], &[]);
    world.pass(SESSION, &[1]);
    assert_eq!(world.state("t"), (1, vec![1]));
    world.pass(SESSION, &[]);
    world.register_as(1, 2, &[555]).expect("a new disk");
    world.beat(1).expect("a heartbeat");
    assert_eq!(world.state("t"), (-1, vec![]));
    world.beat(3).expect("it returns, with what it had");
    let request =
        ElectLeadersRequest { election_type: 1, topic_partitions: None, ..Default::default() };
    world.operate(|controller, _| controller.elect_leaders(&request)).expect("an answer");
    assert_eq!(world.state("t"), (3, vec![3]), "broker 1 comes first and has nothing");
    assert!(world.partition("t").last_known_elr.is_empty(), "somebody leads again");
}

#[test]
fn a_cluster_that_was_killed_whole_keeps_its_isrs() {
    let mut world = World::new();
    world.brokers(&[1, 2, 3]);
    world.topic("t", &[1, 2, 3], &[]);
    let before = world.partition("t");
    world.controller.deactivate();
    world.controller.activate(world.image.clone(), world.now);
    for broker in [1, 2, 3] {
        world.register_as(broker, 50 + broker as u128, &[1_000 + broker as u128]).expect("again");
    }
    assert_eq!(world.state("t"), (-1, vec![1, 2, 3]));
    for broker in [2, 1, 3] {
        world.beat(broker).expect("a heartbeat");
    }
    assert_eq!(world.state("t"), (2, vec![1, 2, 3]));
    assert!(world.partition("t").leader_epoch > before.leader_epoch);
    world.pass(SESSION * 2, &[1, 2, 3]);
    assert_eq!(world.state("t"), (1, vec![1, 2, 3]), "leadership returns");
}

#[test]
fn a_broker_that_was_kept_in_sync_but_does_not_return_leaves_when_its_session_ends() {
    let mut world = World::new();
    world.brokers(&[1, 2]);
    world.topic("t", &[1, 2], &[]);
    world.controller.deactivate();
    world.controller.activate(world.image.clone(), world.now);
    world.register_as(2, 52, &[1_002]).expect("again");
    world.register_as(1, 51, &[1_001]).expect("again");
    world.beat(1).expect("a heartbeat");
    assert_eq!(world.state("t"), (1, vec![1, 2]));
    world.pass(SESSION, &[1]);
    assert_eq!(world.state("t"), (1, vec![1]));
}

#[test]
fn an_unclean_stop_costs_membership_where_records_are_not_flushed_first() {
    let lazy = [("flush.messages", "1000")];
    let mut world = World::new();
    world.brokers(&[1, 2]);
    world.topic("lazy", &[1, 2], &lazy);
    world.topic("safe", &[1, 2], &[]);
    world.controller.deactivate();
    world.controller.activate(world.image.clone(), world.now);
    world.register_as(2, 52, &[1_002]).expect("an unclean restart");
    assert_eq!(world.state("lazy").1, vec![1]);
    assert_eq!(world.state("safe").1, vec![1, 2]);
    let clean = world.epoch(1);
    world.register_with(1, 51, &[1_001], clean).expect("a clean restart");
    assert_eq!(world.state("lazy"), (-1, vec![1]));
}

#[test]
fn the_same_process_registers_again_and_keeps_its_epoch() {
    let mut world = World::new();
    world.broker(1);
    let (epoch, end) = (world.epoch(1), world.end);
    assert_eq!(world.register_as(1, 1_001, &[1_001]), Ok(epoch));
    assert_eq!(world.end, end, "nothing changed, so nothing is written");
    assert!(world.is_unfenced(1));
}

#[test]
fn the_senior_broker_changes_only_when_it_is_fenced() {
    let mut world = World::new();
    world.brokers(&[3, 1, 2]);
    assert_eq!(world.image.senior_broker(), Some(NodeId(3)));
    world.pass(SESSION, &[1, 2]);
    assert_eq!(world.image.senior_broker(), Some(NodeId(1)));
    world.beat(3).expect("it returns");
    assert!(world.is_unfenced(3));
    assert_eq!(world.image.senior_broker(), Some(NodeId(1)));
}

#[test]
fn a_standby_decides_nothing() {
    let mut world = World::new();
    world.broker(1);
    world.controller.deactivate();
    assert_eq!(world.beat(1), Err(ErrorCode::NOT_CONTROLLER));
    assert_eq!(world.register_as(2, 2, &[102]), Err(ErrorCode::NOT_CONTROLLER));
    let moment = world.moment();
    assert!(world.controller.next_chore(moment).is_none());
    assert_eq!(world.controller.next_deadline(), None);
}
