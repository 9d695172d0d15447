//! Scenarios of a log directory.

use vltava_log::{FaultyDisk, LogConfig};

use super::*;
use crate::partition::opening;

fn owner(cluster: &str, node: i32) -> Owner {
    Owner { cluster_id: cluster.to_owned(), node_id: NodeId(node) }
}

fn open(disk: &Arc<dyn Disk>, owner: &Owner, id: u128) -> Result<LogDir, DirError> {
    let room = Room::new(0, Box::new(|| None));
    LogDir::open(Arc::clone(disk), Path::new("/"), owner, Uuid(id), room, None)
}

fn disk() -> Arc<dyn Disk> {
    Arc::new(FaultyDisk::new(0))
}

fn name(topic: &str, index: i32) -> PartitionName {
    PartitionName { topic: topic.into(), topic_id: Uuid(9), index }
}

fn at(flushed: i64) -> Position {
    Position {
        log_start: Offset(1),
        high_watermark: Offset(flushed - 1),
        log_end: Offset(flushed + 1),
        flushed: Offset(flushed),
        size: 0,
    }
}

#[test]
fn an_empty_directory_becomes_its_owners_and_stays_so() {
    let disk = disk();
    assert_eq!(open(&disk, &owner("a", 1), 77).expect("formatted").id(), Uuid(77));
    assert_eq!(open(&disk, &owner("a", 1), 88).expect("known").id(), Uuid(77));
    let cluster = open(&disk, &owner("b", 1), 1).unwrap_err();
    assert!(matches!(cluster, DirError::Foreign { what: "cluster", .. }), "{cluster}");
    let node = open(&disk, &owner("a", 2), 1).unwrap_err();
    assert!(matches!(node, DirError::Foreign { what: "node", .. }), "{node}");
}

#[test]
fn logs_of_nobody_are_not_taken() {
    let disk = disk();
    disk.create_folder(Path::new("/orders-0")).expect("a folder");
    assert!(matches!(open(&disk, &owner("a", 1), 1), Err(DirError::Unmarked { .. })));
}

#[test]
fn offsets_are_known_after_a_restart() {
    let disk = disk();
    let dir = open(&disk, &owner("a", 1), 1).expect("opened");
    dir.checkpoint(|| vec![(name("orders", 3), at(50))]).expect("written");
    drop(dir);
    let dir = open(&disk, &owner("a", 1), 1).expect("opened");
    let known =
        LastKnown { recovery_point: Offset(50), high_watermark: Offset(49), log_start: Offset(1) };
    assert_eq!(dir.last_known("orders", 3), known);
    assert_eq!(dir.last_known("orders", 4), LastKnown::default());
    dir.checkpoint(|| vec![(name("orders", 4), at(7))]).expect("written");
    assert_eq!(dir.last_known("orders", 3), known, "what is not told of stays");
}

#[test]
fn a_cut_that_comes_while_offsets_are_collected_is_not_overwritten() {
    let disk = disk();
    let dir = open(&disk, &owner("a", 1), 1).expect("opened");
    dir.checkpoint(|| vec![(name("orders", 0), at(50))]).expect("written");
    dir.checkpoint(|| {
        let before = vec![(name("orders", 0), at(60))];
        dir.lower_recovery_point(&name("orders", 0), Offset(20)).expect("written");
        before
    })
    .expect("written");
    let restarted = open(&disk, &owner("a", 1), 1).expect("opened");
    assert_eq!(restarted.last_known("orders", 0).recovery_point, Offset(20));
}

#[test]
fn what_could_not_be_lowered_is_not_taken_for_lowered() {
    let faulty = FaultyDisk::new(0);
    let disk: Arc<dyn Disk> = Arc::new(faulty.clone());
    let dir = open(&disk, &owner("a", 1), 1).expect("opened");
    dir.checkpoint(|| vec![(name("orders", 0), at(50))]).expect("written");
    faulty.keep_folders_closed(true);
    for _ in 0..2 {
        dir.lower_recovery_point(&name("orders", 0), Offset(20)).expect_err("nor the second time");
    }
    // Of what was to be written then, nobody knows what is on the disk.
    dir.checkpoint(|| vec![(name("orders", 1), at(9))]).expect_err("neither");
    faulty.keep_folders_closed(false);
    dir.lower_recovery_point(&name("orders", 0), Offset(20)).expect("written");
    let restarted = open(&disk, &owner("a", 1), 1).expect("opened");
    assert_eq!(restarted.last_known("orders", 0).recovery_point, Offset(20));
}

#[test]
fn a_log_that_is_cut_below_its_start_is_not_empty_at_the_next_one() {
    let disk = disk();
    let dir = open(&disk, &owner("a", 1), 1).expect("opened");
    dir.checkpoint(|| vec![(name("orders", 0), at(50))]).expect("written");
    dir.lower_recovery_point(&name("orders", 0), Offset(0)).expect("written");
    let restarted = open(&disk, &owner("a", 1), 1).expect("opened");
    assert_eq!(restarted.last_known("orders", 0).log_start, Offset(0));
}

#[test]
fn a_log_that_could_not_be_opened_for_a_moment_is_not_lost() {
    let faulty = FaultyDisk::new(0);
    let disk: Arc<dyn Disk> = Arc::new(faulty.clone());
    let dir = open(&disk, &owner("a", 1), 1).expect("opened");
    let again = |id| opening::open_again(&dir, "orders", Uuid(id), 0, LogConfig::default());
    assert!(matches!(again(9), opening::Again::Lost), "there is no folder");
    let log = opening::create_log(&dir, "orders", Uuid(9), 0, LogConfig::default());
    drop(log.expect("made"));
    assert!(matches!(again(9), opening::Again::Whole(_)));
    assert!(matches!(again(8), opening::Again::Lost), "it is another topic's");
}

#[test]
fn a_deleted_partition_leaves_nothing_to_one_of_the_same_name() {
    let disk = disk();
    let dir = open(&disk, &owner("a", 1), 1).expect("opened");
    dir.checkpoint(|| vec![(name("orders", 0), at(50))]).expect("written");
    dir.checkpoint(|| {
        let before = vec![(name("orders", 0), at(60))];
        dir.forget(&[name("orders", 0)]).expect("written");
        before
    })
    .expect("written");
    assert_eq!(dir.last_known("orders", 0), LastKnown::default());
    let restarted = open(&disk, &owner("a", 1), 1).expect("opened");
    assert_eq!(restarted.last_known("orders", 0), LastKnown::default());
}

#[test]
fn a_clean_shutdown_counts_once() {
    let disk = disk();
    let dir = open(&disk, &owner("a", 1), 1).expect("opened");
    assert_eq!(dir.clean_shutdown(), None);
    dir.mark_clean_shutdown(42).expect("marked");
    assert_eq!(open(&disk, &owner("a", 1), 1).expect("opened").clean_shutdown(), Some(42));
    assert_eq!(open(&disk, &owner("a", 1), 1).expect("opened").clean_shutdown(), None);
}

#[test]
fn a_damaged_checkpoint_costs_a_scan_and_nothing_else() {
    let disk = disk();
    let damage = |name: &str| {
        vltava_log::disk::write_file(&disk, &Path::new("/").join(name), b"0\n2\norders").unwrap();
    };
    for file in [RECOVERY_POINTS, HIGH_WATERMARKS, LOG_STARTS, checkpoint::CLEANED] {
        let dir = open(&disk, &owner("a", 1), 1).expect("opened");
        dir.checkpoint(|| vec![(name("orders", 0), at(50))]).expect("written");
        dir.mark_clean_shutdown(42).expect("marked");
        damage(file);
        let dir = open(&disk, &owner("a", 1), 1).expect("opened in spite of it");
        assert_eq!(dir.clean_shutdown(), None, "{file}: the logs are scanned");
        assert_ne!(dir.last_known("orders", 0), LastKnown::default(), "{file}: others are kept");
        dir.checkpoint(|| vec![(name("orders", 0), at(60))]).expect("written anew");
        let known = open(&disk, &owner("a", 1), 1).expect("opened").last_known("orders", 0);
        assert_eq!(known.recovery_point, Offset(60), "{file}");
    }
}

#[test]
fn a_damaged_folder_harms_no_other() {
    let disk = disk();
    let dir = open(&disk, &owner("a", 1), 1).expect("opened");
    for (folder, id) in [("/orders-0", 5), ("/orders-1", 6)] {
        disk.create_folder(Path::new(folder)).expect("a folder");
        checkpoint::write_topic_id(&disk, Path::new(folder), Uuid(id)).expect("written");
    }
    let damaged = Path::new("/orders-0/partition.metadata");
    vltava_log::disk::write_file(&disk, damaged, b"version").expect("written");
    let mut ids: Vec<_> = dir.scan().expect("listed").iter().map(|it| it.topic_id).collect();
    ids.sort();
    assert_eq!(ids, [None, Some(Uuid(6))]);
}

#[test]
fn folders_are_found_and_deleted_ones_removed() {
    let disk = disk();
    let dir = open(&disk, &owner("a", 1), 1).expect("opened");
    for folder in ["/my-topic-12", "/gone-0", "/__cluster_metadata-0", "/lost+found", "/x-y"] {
        disk.create_folder(Path::new(folder)).expect("a folder");
    }
    checkpoint::write_topic_id(&disk, Path::new("/my-topic-12"), Uuid(5)).expect("written");
    dir.mark_deleted(Path::new("/gone-0"), 7).expect("renamed");
    let found = dir.scan().expect("listed");
    let expected = Folder {
        path: PathBuf::from("/my-topic-12"),
        topic: "my-topic".to_owned(),
        index: PartitionId(12),
        topic_id: Some(Uuid(5)),
        is_future: false,
    };
    assert_eq!(found, [expected]);
    let left = disk.list(Path::new("/")).expect("listed");
    assert!(!left.iter().any(|entry| entry.name.starts_with("gone")), "{left:?}");
}

#[test]
fn a_new_log_says_after_a_power_cut_which_topic_it_belongs_to() {
    for seed in 0..50 {
        let faulty = FaultyDisk::new(seed);
        let disk: Arc<dyn Disk> = Arc::new(faulty.clone());
        let dir = open(&disk, &owner("a", 1), 1).expect("opened");
        let log = opening::create_log(&dir, "orders", Uuid(5), 0, LogConfig::default());
        drop((log.expect("made"), dir));
        faulty.crash();
        let id = checkpoint::read_topic_id(&disk, Path::new("/orders-0")).expect("readable");
        assert_eq!(id, Some(Uuid(5)), "seed {seed}");
    }
}

#[test]
fn a_damaged_log_does_not_make_way_for_an_old_one_that_was_left_elsewhere() {
    let disks = [disk(), disk()];
    let dirs = [1, 2]
        .map(|id| Arc::new(open(&disks[id - 1], &owner("a", 1), id as u128).expect("opened")));
    for dir in &dirs {
        let log = opening::create_log(dir, "orders", Uuid(5), 0, LogConfig::default());
        log.expect("made").close().expect("closed");
    }
    let taken = || {
        let mut found = opening::open_found(&dirs, LogConfig::default(), 1).expect("listed");
        let taken = found.take("orders", Uuid(5), 0, Uuid(2)).log.expect("found");
        (taken.dir.id(), taken.log.is_ok())
    };
    assert_eq!(taken(), (Uuid(2), true));
    let epochs = Path::new("/orders-0/leader-epoch-checkpoint");
    vltava_log::disk::write_file(&disks[1], epochs, b"0\n1\nno").expect("written");
    assert_eq!(taken(), (Uuid(2), false));
}
