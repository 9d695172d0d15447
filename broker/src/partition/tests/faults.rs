//! Disks that fail, and disks that are full.

use std::pin::pin;

use vltava_log::SyncKind;

use super::*;

#[test]
fn a_failed_sync_takes_the_directory_out_of_use_and_tells_who_waits() {
    let mut world = World::new(&[1, 2]);
    world.node(1).append("a").expect("appended");
    world.node(1).flush();
    world.replicate(&[2]);
    let appended = world.node(1).append("b").expect("appended");
    let leader = Arc::clone(&world.node(1).partition);
    let mut committed = pin!(Arc::clone(&leader).committed(appended.end(), LeaderEpoch(1)));
    assert!(look(committed.as_mut()).is_pending());

    world.node(1).disk.fail_sync(SyncKind::LogFlush, 0);
    world.node(1).flush();
    let result = look(committed.as_mut());
    assert!(matches!(result, Poll::Ready(Err(PartitionError::Offline(_)))), "{result:?}");
    assert!(matches!(world.node(1).append("c"), Err(PartitionError::Offline(_))));
    assert!(leader.dir().failure().is_some());
    let news = world.node_mut(1).news.try_recv();
    assert!(matches!(news, Ok(News::DirFailed(Uuid(1)))), "{news:?}");
}

#[test]
fn a_full_disk_refuses_appends_serves_reads_and_recovers() {
    let world = World::with(&[1], settings(&[("min.insync.replicas", "1")]));
    let leader = world.node(1);
    leader.append("a").expect("appended");
    leader.flush();
    leader.disk.fill_up(30);
    let refused = leader.append("too much for thirty bytes").unwrap_err();
    assert!(matches!(refused, PartitionError::DiskFull), "{refused}");
    assert_eq!(leader.read(0, Reader::Consumer).expect("read"), ["a"]);
    leader.disk.set_capacity(u64::MAX);
    leader.append("b").expect("there is room again");
    leader.flush();
    assert_eq!(leader.read(0, Reader::Consumer).expect("read"), ["a", "b"]);
}

#[test]
fn a_follower_with_a_full_disk_goes_on_when_there_is_room() {
    let world = World::new(&[1, 2]);
    world.node(1).append("a record that takes some room").expect("appended");
    world.node(1).flush();
    world.node(2).disk.fill_up(10);
    let refused = world.fetch(2).unwrap_err();
    assert!(matches!(refused, PartitionError::DiskFull), "{refused}");
    world.node(2).disk.set_capacity(u64::MAX);
    world.replicate(&[2]);
    assert_eq!(world.node(1).high_watermark(), 1);
}

#[test]
fn a_cut_below_what_was_durable_is_noted_before_it_is_done() {
    let mut world = World::new(&[1, 2]);
    for text in ["a", "b", "c"] {
        world.node(1).append(text).expect("appended");
    }
    world.node(1).flush();
    let node = world.node(1);
    let collect = || vec![(node.partition.name.clone(), node.position())];
    node.partition.dir().checkpoint(collect).expect("written");
    assert_eq!(node.partition.dir().last_known("orders", 0).recovery_point, Offset(3));

    world.elect(2, &[2]);
    world.tell(&[1, 2]);
    world.replicate(&[1]);
    assert!(world.node(1).all().is_empty(), "2 has none of it, and leads");
    world.power_cut(1);
    assert_eq!(world.node(1).partition.offline_reason(), None, "nothing durable is missed");
    assert_eq!(world.node(1).position().log_end, Offset(0));
}
