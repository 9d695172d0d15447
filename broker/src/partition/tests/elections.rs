//! What becomes of records when leaders change.

use std::pin::pin;

use vltava_log::SyncKind;

use super::super::read::OffsetQuery;
use super::*;

#[test]
fn a_leader_that_dies_with_an_unreplicated_tail_loses_only_that() {
    let mut world = World::new(&[1, 2, 3]);
    world.node(1).append("a").expect("appended");
    world.node(1).flush();
    world.replicate(&[2, 3]);
    world.node(1).append("only here").expect("appended");
    world.node(1).flush();

    world.elect(2, &[2, 3]);
    world.tell(&[2, 3]);
    world.node(2).append("b").expect("appended");
    world.node(2).flush();
    world.replicate(&[3]);
    assert_eq!(world.node(2).high_watermark(), 2);

    world.power_cut(1);
    assert_eq!(world.node(1).all(), ["a", "only here"], "it was flushed");
    world.tell(&[1]);
    world.replicate(&[1]);
    assert_eq!(world.logs(), [["a", "b"]; 3]);
    world.accept();
    assert_eq!(world.node(2).partition.in_sync(), Some((3, 3)));
}

#[test]
fn a_new_leader_keeps_what_was_replicated_and_commits_it_once_the_others_have_it() {
    let mut world = World::new(&[1, 2, 3]);
    let appended = world.node(1).append("a").expect("appended");
    world.node(1).flush();
    world.fetch(2).expect("a fetch");
    world.node(2).flush();
    let committed = Arc::clone(&world.node(1).partition).committed(appended.end(), LeaderEpoch(1));
    let mut committed = pin!(committed);
    assert!(look(committed.as_mut()).is_pending());

    world.elect(2, &[2, 3]);
    world.tell(&[1, 2, 3]);
    let lost = look(committed.as_mut());
    assert!(matches!(lost, Poll::Ready(Err(PartitionError::NotLeader))), "{lost:?}");

    let latest = |world: &World| {
        let partition = &world.node(2).partition;
        partition.find_offset(OffsetQuery::Latest, Reader::Consumer, LeaderEpoch::UNKNOWN)
    };
    assert!(matches!(latest(&world), Err(PartitionError::OffsetNotAvailable)));
    world.replicate(&[3]);
    let offset = latest(&world).expect("known").expect("an offset").offset;
    assert_eq!(offset, Offset(1));
}

#[test]
fn leaders_that_change_fast_leave_equal_logs() {
    let mut world = World::new(&[1, 2, 3]);
    world.node(1).append("a").expect("appended");
    world.node(1).flush();
    world.replicate(&[2, 3]);
    // Each leads for a moment, appends, and is replaced before anybody fetches.
    for (leader, text) in [(2, "x"), (3, "y"), (1, "z"), (2, "w")] {
        world.elect(leader, &[1, 2, 3]);
        world.tell(&[leader]);
        world.node(leader).append(text).expect("appended");
        world.node(leader).flush();
    }
    world.elect(3, &[1, 2, 3]);
    world.tell(&[1, 2, 3]);
    world.node(3).append("b").expect("appended");
    world.node(3).flush();
    world.replicate(&[1, 2]);
    assert_eq!(world.logs(), [["a", "y", "b"]; 3]);
    assert_eq!(world.node(3).high_watermark(), 3);
}

#[test]
fn an_epoch_without_records_does_not_keep_older_records_out() {
    let mut world = World::new(&[1, 2, 3]);
    world.node(1).append("a").expect("appended");
    world.node(1).flush();
    world.fetch(2).expect("a fetch");
    world.node(2).flush();
    // 3 leads without having appended; then 2 leads, whose record is of an older epoch.
    world.elect(3, &[2, 3]);
    world.tell(&[3]);
    world.elect(2, &[2, 3]);
    world.tell(&[1, 2, 3]);
    world.replicate(&[1, 3]);
    assert_eq!(world.logs(), [["a"]; 3]);
}

#[test]
fn a_follower_behind_the_leaders_log_start_begins_there() {
    let mut world = World::new(&[1, 2]);
    for text in ["a", "b", "c"] {
        world.node(1).append(text).expect("appended");
    }
    world.node(1).flush();
    world.replicate(&[2]);
    world.node(1).partition.delete_records(Some(Offset(2))).expect("moved");
    let refused = world.fetch(3).unwrap_err();
    let PartitionError::OffsetOutOfRange { log_start, .. } = refused else { panic!("{refused}") };
    let (leader, epoch) = (NodeId(1), LeaderEpoch(1));
    world.node(3).partition.restart_at(leader, epoch, log_start).expect("restarted");
    world.replicate(&[3]);
    assert_eq!(world.node(3).all(), ["c"]);
    assert_eq!(world.node(3).high_watermark(), 3);
    assert!(world.node_mut(1).proposes());
}

#[test]
fn what_comes_late_of_an_earlier_leader_is_not_appended() {
    let mut world = World::new(&[1, 2, 3]);
    world.node(1).append("a").expect("appended");
    let slice = world.node(1).partition.slice(Offset(0), 1000).expect("read").expect("records");
    let late = FromLeader {
        leader: NodeId(1),
        leader_epoch: LeaderEpoch(1),
        fetch_offset: Offset(0),
        records: slice.read().expect("bytes"),
        high_watermark: Offset(0),
        log_start: Offset(0),
    };
    world.elect(3, &[2, 3]);
    world.tell(&[2, 3]);
    let refused = world.node(2).partition.append_from_leader(&late).unwrap_err();
    assert!(matches!(refused, PartitionError::NotFollower), "{refused}");
    assert!(world.node(2).all().is_empty());
}

#[test]
fn acknowledged_records_survive_any_power_cut() {
    let survived = |seed| match survive(seed, None) {
        Ok(committed) => committed,
        Err(broken) => panic!("{broken}"),
    };
    let committed: usize = (0..40).map(survived).sum();
    assert!(committed > 200, "only {committed} records were committed in all");
}

#[test]
fn brokers_that_do_not_sync_are_found_out() {
    let lost = (0..40).filter(|seed| survive(*seed, Some(SyncKind::LogFlush)).is_err()).count();
    assert!(lost > 0, "the power cuts of the test above cut nothing");
}

/// Appends, fetches, flushes, checkpoints, elections and power cuts in a random order; says if
/// what was committed is not in the log of a leader, in order, else how much was committed.
fn survive(seed: u64, skipped: Option<SyncKind>) -> Result<usize, String> {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut world = World::new(&[1, 2, 3]);
    world.nodes.iter().for_each(|node| node.disk.skip_sync(skipped));
    let mut committed: Vec<String> = Vec::new();
    for step in 0..150 {
        let leader = world.registration.leader.get();
        let node = 1 + draw(3) as i32;
        match draw(11) {
            0..=3 => drop(world.node(leader).append(&format!("{seed}-{step}"))),
            4 => world.node(node).flush(),
            5..=7 if node != leader => {
                world.fetch(node).map_err(|error| format!("seed {seed}, step {step}: {error}"))?;
            }
            8 => {
                let node = world.node(node);
                let collect = || vec![(node.partition.name.clone(), node.position())];
                node.partition.dir().checkpoint(collect).expect("written");
            }
            9 => cut(&mut world, node),
            _ => {}
        }
        if let Some(offline) = world.nodes.iter().find_map(|it| it.partition.offline_reason()) {
            return Err(format!("seed {seed}, step {step}: {offline}"));
        }
        let leader = world.node(world.registration.leader.get());
        let log = leader.all();
        if log.len() < committed.len() || log[..committed.len()] != committed[..] {
            return Err(format!("seed {seed}, step {step}: {committed:?} became {log:?}"));
        }
        let high_watermark = leader.high_watermark() as usize;
        if high_watermark > committed.len() {
            committed = log[..high_watermark].to_vec();
        }
    }
    Ok(committed.len())
}

/// A broker loses its power; if it led, another one does now.
fn cut(world: &mut World, node: i32) {
    let leads = world.registration.leader == NodeId(node);
    world.power_cut(node);
    if world.node(node).partition.offline_reason().is_some() {
        return;
    }
    if leads {
        let next = 1 + node % 3;
        world.elect(next, &[1, 2, 3]);
        world.tell(&[1, 2, 3]);
    } else {
        world.tell(&[node]);
    }
}

#[test]
fn a_new_follower_begins_with_the_batch_that_the_log_starts_in() {
    let world = World::with(&[1], settings(&[("min.insync.replicas", "1")]));
    let mut two = BatchBuilder::new(Offset(0));
    for text in ["a", "b"] {
        let now_ms = super::super::surroundings::wall_clock_ms();
        two.append(now_ms, None, Some(text.as_bytes()), &[]);
    }
    world.node(1).append_bytes(&mut two.build().to_vec()).expect("appended");
    world.node(1).append("c").expect("appended");
    world.node(1).flush();
    world.node(1).partition.delete_records(Some(Offset(1))).expect("deleted");

    let refused = world.fetch(2);
    let Err(PartitionError::OffsetOutOfRange { log_start, .. }) = refused else {
        panic!("the follower asks for what is gone: {refused:?}");
    };
    let (leader, epoch) = (world.node(1).id, world.registration.leader_epoch);
    world.node(2).partition.restart_at(leader, epoch, log_start).expect("it begins there");
    world.replicate(&[2]);
    let position = world.node(2).position();
    assert_eq!((position.log_start, position.log_end), (Offset(1), Offset(3)));
    assert_eq!(world.node(2).all(), world.node(1).all());
}
