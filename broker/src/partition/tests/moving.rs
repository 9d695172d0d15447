//! A replica moves to another log directory of its broker, step by step.

use std::cell::Cell;
use std::path::PathBuf;

use vltava_config::topic::keys as topic_keys;
use vltava_log::SyncKind;

use super::super::cleaner::Cleaner;
use super::super::moving::{Leftover, Moving, Next};
use super::*;

/// The id of the second directory.
const OTHER: Uuid = Uuid(2000);

fn alone(topic: &[(&str, &str)]) -> World {
    let mut settings = settings(topic);
    settings.min_insync_replicas = 1;
    World::with(&[1], settings)
}

/// The second directory of a broker, on the same disk.
fn other(node: &Node) -> Arc<LogDir> {
    let disk: Arc<dyn Disk> = Arc::new(node.disk.clone());
    let path = Path::new("/other");
    vltava_log::disk::make_folder(&disk, path, SyncKind::DataFolder).expect("a folder");
    let owner = Owner { cluster_id: "prague".to_owned(), node_id: node.id };
    let room = Room::new(0, Box::new(|| None));
    Arc::new(LogDir::open(disk, path, &owner, OTHER, room, None).expect("a log directory"))
}

/// The move of a replica, and where the metadata log has it.
struct Move<'a> {
    node: &'a Node,
    moving: Arc<Moving>,
    registered: Cell<Uuid>,
}

impl<'a> Move<'a> {
    fn begin(node: &'a Node, to: &Arc<LogDir>) -> Self {
        let begun = node.partition.begin_move(to, None).expect("online");
        let registered = Cell::new(node.partition.dir().id());
        Self { node, moving: begun.expect("a move"), registered }
    }

    fn step(&self) -> Next {
        self.node.partition.step_move(&self.moving, &|| self.registered.get())
    }

    /// Goes on until there is nothing more to do at once.
    fn run(&self) -> Next {
        loop {
            match self.step() {
                Next::More => {}
                next => return next,
            }
        }
    }

    /// Copies all there is, and takes over once the metadata log says so.
    fn complete(&self) {
        assert!(matches!(self.run(), Next::Wait(_)), "it waits for the coordinator");
        assert!(self.moving.is_ready());
        self.registered.set(self.moving.to().id());
        assert_eq!(self.run(), Next::Done);
    }
}

impl Node {
    fn folders(&self, dir: &str) -> Vec<String> {
        let entries = self.disk.list(Path::new(dir)).expect("listed");
        let folders = entries.into_iter().filter(|entry| entry.is_folder && entry.name != "other");
        folders.map(|entry| entry.name).collect()
    }
}

/// What a broker finds of the replica at a start, by the name of its folder.
fn reopened(node: &Node, dir: &str, settings: Settings) -> Vec<String> {
    let shared: Arc<dyn Disk> = Arc::new(node.disk.clone());
    let owner = Owner { cluster_id: "prague".to_owned(), node_id: node.id };
    let room = Room::new(0, Box::new(|| None));
    let opened =
        LogDir::open(Arc::clone(&shared), Path::new(dir), &owner, Uuid(1), room, None).expect("it");
    let known = opened.last_known("orders", 0);
    let options = OpenOptions {
        recovery_point: known.recovery_point,
        clean_shutdown: false,
        log_start_offset: known.log_start,
        now_ms: 0,
    };
    let folder: PathBuf = opened.folder("orders", 0);
    let (log, _) = Log::open(shared, folder, settings.log, options).expect("opened");
    let (start, end) = (log.log_start_offset(), log.log_end_offset());
    let (mut at, mut found) = (start, Vec::new());
    while let Some(slice) = log.locate(at, 1 << 30, end, true).expect("readable") {
        found.extend(texts(&slice.read().expect("readable")));
        at = slice.next_offset();
    }
    found
}

#[test]
fn a_replica_moves_while_it_is_written_to_and_read() {
    let world = alone(&[]);
    let node = world.node(1);
    let to = other(node);
    node.append("a").expect("appended");
    let moved = Move::begin(node, &to);
    assert!(node.partition.begin_move(&to, None).expect("online").is_none(), "it is on its way");
    assert!(matches!(moved.run(), Next::Wait(_)));
    node.append("b").expect("appended");
    assert_eq!(moved.moving.end(), Offset(1));
    assert!(matches!(moved.run(), Next::Wait(_)), "the coordinator has not said so");
    assert_eq!((moved.moving.end(), moved.moving.is_ready()), (Offset(2), true));
    assert_eq!(node.partition.dir().id(), Uuid(1));
    let future = node.folders("/other");
    assert!(future[0].starts_with("orders-0.") && future[0].ends_with("-future"), "{future:?}");

    node.append("c").expect("appended");
    moved.complete();
    assert_eq!(node.partition.dir().id(), OTHER);
    assert!(node.partition.moving().is_none());
    assert_eq!(node.folders("/other"), ["orders-0"]);
    assert!(!node.folders("/").contains(&"orders-0".to_owned()));
    assert_eq!(node.read(0, Reader::Consumer).expect("read"), ["a", "b", "c"]);
    assert_eq!(node.position().flushed, Offset(3), "what it waited for is durable");
    node.append("d").expect("appended");
    node.flush();
    assert_eq!(node.high_watermark(), 4);

    node.disk.crash();
    assert_eq!(reopened(node, "/other", world.settings), ["a", "b", "c", "d"]);
}

#[test]
fn what_is_cut_while_it_moves_is_not_in_the_copy() {
    let mut settings = settings(&[]);
    settings.min_insync_replicas = 1;
    let mut world = World::with(&[1, 2], settings);
    let to = other(world.node(1));
    for text in ["a", "b", "c"] {
        world.node(1).append(text).expect("appended");
    }
    world.node(1).flush();
    {
        let moved = Move::begin(world.node(1), &to);
        assert!(matches!(moved.run(), Next::Wait(_)));
    }
    // 2 has none of it, leads, and writes something else.
    world.elect(2, &[2]);
    world.tell(&[1, 2]);
    world.node(2).append("x").expect("appended");
    world.node(2).flush();
    world.replicate(&[1]);
    assert_eq!(world.node(1).all(), ["x"]);
    let node = world.node(1);
    let moving = node.partition.moving().expect("it moves");
    let moved = Move { node, moving, registered: Cell::new(Uuid(1)) };
    moved.complete();
    assert_eq!(world.node(1).all(), ["x"]);
    world.node(2).append("y").expect("appended");
    world.replicate(&[1]);
    assert_eq!(world.node(1).all(), ["x", "y"]);
    world.node(1).disk.crash();
    assert_eq!(reopened(world.node(1), "/other", world.settings), ["x", "y"]);
}

#[test]
fn records_that_are_deleted_while_it_moves_stay_deleted() {
    let mut settings = settings(&[]);
    (settings.min_insync_replicas, settings.log.segment_bytes) = (1, 200);
    let world = World::with(&[1], settings);
    let node = world.node(1);
    let to = other(node);
    for text in ["a", "b", "c", "d", "e", "f"] {
        node.append(text).expect("appended");
    }
    node.flush();
    let moved = Move::begin(node, &to);
    // The folder is made, and nothing is copied.
    assert_eq!(moved.step(), Next::More);
    node.partition.delete_records(Some(Offset(4))).expect("deleted");
    node.partition.apply_retention(0).expect("online");
    moved.complete();
    assert_eq!((node.position().log_start, node.all()), (Offset(4), vec!["e".into(), "f".into()]));
    node.disk.crash();
    assert_eq!(to.last_known("orders", 0).log_start, Offset(4));
    assert_eq!(reopened(node, "/other", world.settings), ["e", "f"]);
}

#[test]
fn a_replica_that_is_given_away_moves_no_more() {
    let world = alone(&[]);
    let node = world.node(1);
    let to = other(node);
    node.append("a").expect("appended");
    let moved = Move::begin(node, &to);
    assert!(matches!(moved.run(), Next::Wait(_)));
    assert!(node.partition.retire().is_some());
    assert_eq!(moved.step(), Next::Done);
    assert!(node.folders("/other").iter().all(|name| name.ends_with("-delete")));
    assert!(node.partition.begin_move(&to, None).is_err());
}

#[test]
fn a_replica_that_is_to_stay_where_it_lies_stops_moving() {
    let world = alone(&[]);
    let node = world.node(1);
    let (from, to) = (node.partition.dir(), other(node));
    node.append("a").expect("appended");
    let moved = Move::begin(node, &to);
    assert!(matches!(moved.run(), Next::Wait(_)));
    assert!(node.partition.begin_move(&from, None).expect("online").is_none());
    assert!(node.partition.moving().is_none());
    moved.registered.set(OTHER);
    assert_eq!(moved.step(), Next::Done);
    assert_eq!(node.partition.dir().id(), Uuid(1));
    assert_eq!(node.all(), ["a"]);
}

#[test]
fn what_a_run_before_has_copied_is_gone_on_with() {
    let mut world = alone(&[]);
    let to = other(world.node(1));
    for text in ["a", "b"] {
        world.node(1).append(text).expect("appended");
    }
    world.node(1).flush();
    {
        let moved = Move::begin(world.node(1), &to);
        assert!(matches!(moved.run(), Next::Wait(_)));
        world.node(1).partition.end_move(Leftover::Kept);
    }
    let left = world.node(1).folders("/other");
    drop(to);
    world.power_cut(1);
    world.elect(1, &[1]);
    world.tell(&[1]);
    let node = world.node(1);
    let to = other(node);
    assert_eq!(to.scan().expect("listed").len(), 1);
    node.append("c").expect("appended");
    let folder = to.path().join(&left[0]);
    let begun = node.partition.begin_move(&to, Some(folder)).expect("online").expect("a move");
    let moved = Move { node, moving: begun, registered: Cell::new(Uuid(1)) };
    assert_eq!(moved.step(), Next::More);
    assert_eq!(moved.moving.end(), Offset(2), "what was copied and synced is there");
    moved.complete();
    assert_eq!(node.all(), ["a", "b", "c"]);
}

#[test]
fn a_log_that_moves_is_not_cleaned_and_stays_as_clean_as_it_was() {
    let topic = [
        (topic_keys::CLEANUP_POLICY.name(), "compact"),
        (topic_keys::MIN_CLEANABLE_DIRTY_RATIO.name(), "0.01"),
    ];
    let mut settings = settings(&topic);
    (settings.min_insync_replicas, settings.log.segment_bytes) = (1, 500);
    let world = World::with(&[1], settings);
    let node = world.node(1);
    let (to, cleaner) = (other(node), Cleaner::new(&Values::default()));
    let write = |rounds: std::ops::Range<usize>| {
        for round in rounds {
            let mut builder = BatchBuilder::new(Offset(0));
            let (now_ms, value) = (super::super::surroundings::wall_clock_ms(), round.to_string());
            builder.append(now_ms, Some(b"key"), Some(value.as_bytes()), &[]);
            node.append_bytes(&mut builder.build()).expect("appended");
        }
        node.flush();
    };
    let clean = || cleaner.clean_dirtiest(&[Arc::clone(&node.partition)]);
    write(0..40);
    assert!(clean());
    let cleaned = node.partition.dir().cleaned_up_to(&node.partition.name);
    assert!(cleaned.is_some_and(|offset| offset > Offset(20)));
    write(40..80);
    let moved = Move::begin(node, &to);
    assert!(!clean(), "it moves");
    moved.complete();
    assert_eq!(to.cleaned_up_to(&node.partition.name), cleaned);
    let before = node.position().size;
    assert!(clean(), "it has moved");
    assert!(node.position().size < before / 2);
    assert_eq!(node.position().log_end, Offset(80));
}

#[test]
fn producers_and_transactions_move_along() {
    let world = alone(&[]);
    let node = world.node(1);
    let to = other(node);
    node.append_bytes(&mut idempotent("a", 0)).expect("appended");
    node.append_bytes(&mut idempotent("b", 1)).expect("appended");
    Move::begin(node, &to).complete();
    let again = node.append_bytes(&mut idempotent("b", 1)).expect("a retry");
    assert!(again.info.is_duplicate, "{again:?}");
    assert!(node.append_bytes(&mut idempotent("d", 3)).is_err(), "2 is missing");
    node.append_bytes(&mut idempotent("c", 2)).expect("appended");
    assert_eq!(node.all(), ["a", "b", "c"]);
}

#[test]
fn a_failed_sync_of_the_copy_takes_its_directory_out_of_use_alone() {
    let mut world = alone(&[]);
    let to = other(world.node(1));
    let node = world.node(1);
    node.append("a").expect("appended");
    node.flush();
    let moved = Move::begin(node, &to);
    assert_eq!(moved.step(), Next::More);
    node.disk.fail_sync(SyncKind::LogFlush, 0);
    assert_eq!(moved.run(), Next::Done);
    assert!(to.failure().is_some());
    assert_eq!(node.partition.offline_reason(), None);
    node.append("b").expect("appended");
    node.flush();
    assert_eq!(node.read(0, Reader::Consumer).expect("read"), ["a", "b"]);
    let news = world.node_mut(1).news.try_recv();
    assert!(matches!(news, Ok(News::DirFailed(OTHER))), "{news:?}");
}

#[test]
fn a_sync_of_the_old_log_that_fails_late_leaves_the_new_one_alone() {
    let mut world = alone(&[]);
    let to = other(world.node(1));
    {
        let node = world.node(1);
        node.append("a").expect("appended");
        node.flush();
        let moved = Move::begin(node, &to);
        assert!(matches!(moved.run(), Next::Wait(_)));
        // Its name in the old directory is the last that is changed.
        node.disk.fail_sync(SyncKind::AsideFolder, 0);
        moved.registered.set(OTHER);
        assert_eq!(moved.run(), Next::Done);
        assert_eq!(node.partition.dir().id(), OTHER);
        assert_eq!(node.partition.offline_reason(), None);
        node.append("b").expect("appended");
        node.flush();
        assert_eq!((node.high_watermark(), node.all()), (2, vec!["a".into(), "b".into()]));
    }
    let news = world.node_mut(1).news.try_recv();
    assert!(matches!(news, Ok(News::DirFailed(Uuid(1)))), "{news:?}");
}

#[test]
fn a_move_keeps_to_its_rate() {
    let world = alone(&[]);
    let node = world.node(1);
    let to = other(node);
    for _ in 0..3 {
        node.append(&"x".repeat(1000)).expect("appended");
    }
    node.partition.around.throttles.moves.set_rate(100);
    let moved = Move::begin(node, &to);
    assert!(matches!(moved.run(), Next::Wait(_)));
    node.append("y").expect("appended");
    assert!(matches!(moved.run(), Next::Wait(_)));
    assert_eq!(moved.moving.end(), Offset(3), "what it had is paid for first");
    node.partition.around.throttles.moves.set_rate(i64::MAX);
    moved.complete();
}

#[test]
fn a_place_that_is_taken_is_left_alone() {
    let world = alone(&[]);
    let node = world.node(1);
    let to = other(node);
    node.append("a").expect("appended");
    node.disk.create_folder(Path::new("/other/orders-0")).expect("a folder");
    let moved = Move::begin(node, &to);
    assert_eq!(moved.step(), Next::Done);
    assert!(node.partition.moving().is_none());
    assert_eq!((to.failure(), node.all()), (None, vec!["a".into()]));
    assert_eq!(node.folders("/other"), ["orders-0"]);
}
