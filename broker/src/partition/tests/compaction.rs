//! Compacted logs of replicas, cleaned as the broker's threads do it.

use vltava_log::disk::OpenMode;

use super::super::cleaner::Cleaner;
use super::*;

fn compacted() -> Settings {
    let topic = [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.01")];
    let mut settings = settings(&topic);
    settings.log.segment_bytes = 500;
    settings
}

/// One replica is enough.
fn alone() -> Settings {
    Settings { min_insync_replicas: 1, ..compacted() }
}

fn keyed(key: &str, value: &str) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Offset(0));
    let now_ms = super::super::surroundings::wall_clock_ms();
    builder.append(now_ms, Some(key.as_bytes()), Some(value.as_bytes()), &[]);
    builder.build().to_vec()
}

impl Node {
    /// Writes the keys a, b and c again and again, and flushes.
    fn write_keys(&self, rounds: std::ops::Range<usize>) {
        for round in rounds {
            for key in ["a", "b", "c"] {
                self.append_bytes(&mut keyed(key, &format!("{key}{round}"))).expect("appended");
            }
        }
        self.flush();
    }

    fn clean(&self, cleaner: &Cleaner) -> bool {
        cleaner.clean_dirtiest(&[Arc::clone(&self.partition)])
    }

    fn cleaned_up_to(&self) -> Option<Offset> {
        self.partition.dir().cleaned_up_to(&self.partition.name)
    }

    /// What a reader from the start sees.
    fn values(&self) -> Vec<String> {
        let (mut at, mut values) = (self.position().log_start, Vec::new());
        while let Some(slice) = self.partition.slice(at, 1 << 20).expect("readable") {
            let bytes = slice.read().expect("readable");
            values.extend(texts(&bytes));
            at = Batches::new(&bytes).flatten().last().expect("a batch").header.next_offset();
        }
        values
    }

    /// Changes a byte of a segment on the disk.
    fn damage(&self, base: i64, position: u64) {
        let path = self.partition.dir().folder("orders", 0).join(format!("{base:020}.log"));
        let file = self.disk.open(&path, OpenMode::Write).expect("it is there");
        file.write_at(&[0xff], position).expect("written");
    }
}

#[test]
fn every_replica_cleans_its_own_log_once_it_is_committed() {
    let world = World::with(&[1, 2], compacted());
    let cleaner = Cleaner::new(&Values::default());
    world.node(1).write_keys(0..20);
    assert!(!world.node(1).clean(&cleaner), "nothing of it is on enough replicas");
    world.replicate(&[2]);
    for id in [1, 2] {
        let node = world.node(id);
        let (before, end) = (node.position().size, node.position().log_end);
        assert!(node.clean(&cleaner));
        assert!(node.position().size < before / 3, "{} of {before}", node.position().size);
        assert_eq!(node.position().log_end, end);
        let values = node.values();
        assert_eq!(values[values.len() - 3..], ["a19", "b19", "c19"]);
        assert!(node.cleaned_up_to().is_some_and(|offset| offset > Offset(30)));
    }
    assert!(!world.node(1).clean(&cleaner), "it is clean");
    assert_eq!(cleaner.metrics.rounds.get(), 2);
    world.node(1).write_keys(20..40);
    world.replicate(&[2]);
    assert!(world.node(1).clean(&cleaner));
    // A replica that comes late gets what is left, gaps and all.
    (0..2).for_each(|_| world.replicate(&[3]));
    assert_eq!(world.node(3).values(), world.node(1).values());
}

#[test]
fn a_log_that_cannot_be_cleaned_goes_on_serving() {
    let world = World::with(&[1], alone());
    world.node(1).write_keys(0..20);
    let cleaner = Cleaner::new(&Values::default());
    world.node(1).damage(0, 70);
    assert!(!world.node(1).clean(&cleaner));
    let reason = world.node(1).partition.uncleanable_reason().expect("a reason");
    assert!(reason.contains("corrupt"), "{reason}");
    assert!(!world.node(1).clean(&cleaner), "it is left alone");
    assert_eq!(cleaner.metrics.failures.get(), 1);
    assert_eq!(world.node(1).partition.offline_reason(), None);
    world.node(1).write_keys(20..21);
    assert_eq!(world.node(1).position().log_end, Offset(63));
}

#[test]
fn a_log_that_is_cut_is_not_taken_for_clean_where_it_was_cut() {
    let mut world = World::with(&[1], alone());
    world.node(1).write_keys(0..20);
    assert!(world.node(1).clean(&Cleaner::new(&Values::default())));
    assert!(world.node(1).cleaned_up_to().is_some_and(|offset| offset > Offset(30)));
    // An unclean election: 2 has nothing of it, and leads.
    world.elect(2, &[2]);
    world.tell(&[1, 2]);
    world.replicate(&[1]);
    assert!(world.node(1).cleaned_up_to().is_none_or(|offset| offset == Offset(0)));
    world.power_cut(1);
    assert!(world.node(1).cleaned_up_to().is_none_or(|offset| offset == Offset(0)));
}

#[test]
fn a_replica_that_is_given_away_is_cleaned_no_more() {
    let world = World::with(&[1], alone());
    world.node(1).write_keys(0..20);
    assert!(world.node(1).partition.retire().is_some());
    assert!(!world.node(1).clean(&Cleaner::new(&Values::default())));
}
