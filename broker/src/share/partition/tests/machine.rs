//! What a share-partition gives out, and what it does with what it hears of it.

use super::*;

const LIMITS: Limits = Limits { deliveries_max: 5, in_flight_max: 100 };

fn partition() -> SharePartition {
    SharePartition::load(&Stored { state_epoch: 3, start: 0, batches: Vec::new() }, LIMITS)
}

fn log(batches: &[(i64, i64)]) -> Vec<LogBatch> {
    batches.iter().map(|&(first, last)| LogBatch { first, last, void: false }).collect()
}

fn hungry(max_records: i64) -> Appetite {
    Appetite { max_records, batch_size: max_records, strict: false }
}

fn acquire(it: &mut SharePartition, member: &'static str, batches: &[(i64, i64)]) -> Vec<Acquired> {
    let from = it.next_fetch_offset().expect("there is room");
    it.acquire(&Str::from_static(member), from, &log(batches), hungry(1000), 30)
}

fn run(first: i64, last: i64, count: i16) -> Acquired {
    Acquired { first, last, count }
}

fn ack(first: i64, last: i64, kind: Acknowledge) -> AckBatch {
    AckBatch { first, last, kinds: vec![kind] }
}

fn stored(first: i64, last: i64, state: RecordState, count: i16) -> StateBatch {
    StateBatch { first, last, state, count }
}

fn settled(it: &mut SharePartition, stored: bool) -> Write {
    let write = it.begin_write().expect("there is something to store");
    it.end_write(write.number, stored);
    write
}

#[test]
fn what_one_member_has_no_other_gets() {
    let mut it = partition();
    assert_eq!(acquire(&mut it, "a", &[(0, 4), (5, 9)]), [run(0, 9, 1)]);
    assert_eq!(it.next_fetch_offset(), Some(10));
    assert_eq!(acquire(&mut it, "b", &[(5, 9), (10, 12)]), [run(10, 12, 1)]);
}

#[test]
fn what_is_accepted_is_stored_before_the_start_moves() {
    let mut it = partition();
    acquire(&mut it, "a", &[(0, 9)]);
    let number = it.acknowledge("a", &[ack(0, 4, Acknowledge::Accept)], 0).expect("held");
    assert_eq!(it.start(), 0, "nothing is stored yet");
    let write = it.begin_write().expect("there is something to store");
    assert_eq!(Some(write.number), number);
    assert_eq!((write.start, write.complete, write.state_epoch), (5, 0, 3));
    assert_eq!(write.batches, []);
    assert_eq!(it.begin_write(), None, "one write at a time");
    it.end_write(write.number, true);
    assert_eq!(it.start(), 5);
}

#[test]
fn what_is_accepted_behind_others_is_stored_by_itself() {
    let mut it = partition();
    acquire(&mut it, "a", &[(0, 9)]);
    it.acknowledge("a", &[ack(3, 4, Acknowledge::Accept)], 0).expect("held");
    let write = settled(&mut it, true);
    assert_eq!((write.start, write.complete), (0, 2));
    assert_eq!(write.batches, [stored(3, 4, RecordState::Acknowledged, 1)]);
    it.acknowledge("a", &[ack(0, 2, Acknowledge::Accept)], 0).expect("held");
    assert_eq!(settled(&mut it, true).start, 5, "the two meet");
}

#[test]
fn acknowledgements_that_come_during_a_write_share_the_next() {
    let mut it = partition();
    acquire(&mut it, "a", &[(0, 9)]);
    let accept = |it: &mut SharePartition, at| {
        it.acknowledge("a", &[ack(at, at, Acknowledge::Accept)], 0).expect("held").expect("new")
    };
    let first = accept(&mut it, 0);
    let write = it.begin_write().expect("the first");
    let (second, third) = (accept(&mut it, 1), accept(&mut it, 2));
    assert!(first < second && second == third);
    it.end_write(write.number, true);
    assert_eq!(it.start(), 1);
    settled(&mut it, true);
    assert_eq!(it.start(), 3);
}

#[test]
fn what_could_not_be_stored_has_not_happened() {
    let mut it = partition();
    acquire(&mut it, "a", &[(0, 9)]);
    it.acknowledge("a", &[ack(0, 4, Acknowledge::Accept)], 0).expect("held");
    settled(&mut it, false);
    assert_eq!(it.start(), 0);
    it.acknowledge("a", &[ack(0, 4, Acknowledge::Accept)], 0).expect("still held");
    settled(&mut it, true);
    assert_eq!(it.start(), 5);
}

#[test]
fn what_is_released_goes_to_the_next_with_one_delivery_more() {
    let mut it = partition();
    acquire(&mut it, "a", &[(0, 9)]);
    it.acknowledge("a", &[ack(2, 3, Acknowledge::Release)], 0).expect("held");
    assert_eq!(it.next_fetch_offset(), Some(10), "not before it is stored");
    let write = settled(&mut it, true);
    assert_eq!(write.batches, [stored(2, 3, RecordState::Available, 1)]);
    assert_eq!(acquire(&mut it, "b", &[(0, 9)]), [run(2, 3, 2)]);
}

#[test]
fn a_lock_that_runs_out_frees_records_until_they_were_given_out_too_often() {
    let mut it = partition();
    let limits = Limits { deliveries_max: 2, ..LIMITS };
    it.set_limits(limits);
    acquire(&mut it, "a", &[(0, 1)]);
    assert_eq!(it.next_deadline(), Some(30));
    assert!(!it.expire(29));
    assert!(it.expire(30));
    assert_eq!(acquire(&mut it, "b", &[(0, 1)]), [run(0, 1, 2)]);
    assert!(it.expire(60));
    assert_eq!(it.next_fetch_offset(), Some(2));
    let write = settled(&mut it, true);
    assert_eq!((write.start, it.start()), (2, 2), "they are archived");
}

#[test]
fn records_that_fail_often_are_given_out_by_ever_fewer() {
    let mut it = partition();
    let mut sizes = Vec::new();
    for _ in 0..4 {
        acquire(&mut it, "a", &[(0, 7)]);
        it.expire(30);
    }
    // Three times given out: half of them; four times: one by one.
    for _ in 0..3 {
        let given = acquire(&mut it, "a", &[(0, 7)]);
        sizes.push(given.iter().map(|run| run.last - run.first + 1).sum::<i64>());
    }
    assert_eq!(sizes, [1, 1, 1]);
    let mut it = partition();
    for _ in 0..3 {
        acquire(&mut it, "a", &[(0, 7)]);
        it.expire(30);
    }
    assert_eq!(acquire(&mut it, "a", &[(0, 7)]), [run(0, 3, 4)]);
}

#[test]
fn more_time_is_given_without_a_write() {
    let mut it = partition();
    acquire(&mut it, "a", &[(0, 1)]);
    assert_eq!(it.acknowledge("a", &[ack(0, 0, Acknowledge::Renew)], 90), Ok(None));
    assert_eq!(it.begin_write(), None);
    it.expire(30);
    assert_eq!(acquire(&mut it, "b", &[(0, 1)]), [run(1, 1, 2)]);
}

#[test]
fn who_leaves_gives_back_what_it_holds() {
    let mut it = partition();
    acquire(&mut it, "a", &[(0, 4)]);
    acquire(&mut it, "b", &[(5, 9)]);
    assert!(it.release("a"));
    assert!(!it.release("a"));
    assert_eq!(acquire(&mut it, "c", &[(0, 9)]), [run(0, 4, 2)]);
}

#[test]
fn one_wrong_batch_refuses_all() {
    let mut it = partition();
    acquire(&mut it, "a", &[(0, 4)]);
    acquire(&mut it, "b", &[(5, 9)]);
    let accept = |first, last| ack(first, last, Acknowledge::Accept);
    let code = |it: &mut SharePartition, batches: &[AckBatch]| {
        it.acknowledge("a", batches, 0).expect_err("refused").code
    };
    assert_eq!(code(&mut it, &[accept(0, 1), accept(4, 5)]), ErrorCode::INVALID_RECORD_STATE);
    assert_eq!(code(&mut it, &[accept(0, 1), accept(8, 10)]), ErrorCode::INVALID_REQUEST);
    assert_eq!(code(&mut it, &[accept(12, 13)]), ErrorCode::INVALID_REQUEST);
    it.acknowledge("a", &[accept(0, 4)], 0).expect("nothing of it was taken before");
    assert_eq!(code(&mut it, &[accept(0, 4)]), ErrorCode::INVALID_RECORD_STATE);
    let mut fresh = partition();
    assert_eq!(code(&mut fresh, &[accept(0, 0)]), ErrorCode::INVALID_RECORD_STATE);
}

#[test]
fn each_record_of_a_batch_may_have_a_kind_of_its_own() {
    let mut it = partition();
    acquire(&mut it, "a", &[(0, 3)]);
    let kinds =
        vec![Acknowledge::Accept, Acknowledge::Release, Acknowledge::Reject, Acknowledge::Gap];
    it.acknowledge("a", &[AckBatch { first: 0, last: 3, kinds }], 0).expect("held");
    let write = settled(&mut it, true);
    assert_eq!((write.start, write.complete), (1, 2));
    assert_eq!(
        write.batches,
        [stored(1, 1, RecordState::Available, 1), stored(2, 3, RecordState::Archived, 1)]
    );
}

#[test]
fn offsets_without_records_are_passed_over() {
    let mut it = partition();
    let batches = [
        LogBatch { first: 2, last: 4, void: false },
        LogBatch { first: 5, last: 5, void: true },
        LogBatch { first: 8, last: 9, void: false },
    ];
    let given = it.acquire(&"a".into(), 0, &batches, hungry(1000), 30);
    assert_eq!(given, [run(2, 4, 1), run(8, 9, 1)]);
    assert_eq!(it.start(), 2);
    it.acknowledge("a", &[ack(2, 4, Acknowledge::Accept)], 0).expect("held");
    settled(&mut it, true);
    assert_eq!(it.start(), 8);
    it.nothing_between(10, 15);
    assert_eq!(it.next_fetch_offset(), Some(15));
}

#[test]
fn whole_batches_are_given_unless_the_member_is_strict() {
    let mut it = partition();
    let batches = log(&[(0, 9), (10, 19), (20, 29)]);
    assert_eq!(it.acquire(&"a".into(), 0, &batches, hungry(12), 30), [run(0, 19, 1)]);
    let strict = Appetite { strict: true, ..hungry(3) };
    assert_eq!(it.acquire(&"b".into(), 20, &log(&[(20, 29)]), strict, 30), [run(20, 22, 1)]);
    assert_eq!(it.acquire(&"b".into(), 23, &log(&[(20, 29)]), strict, 30), [run(23, 25, 1)]);
}

#[test]
fn runs_end_with_the_batch_in_which_they_are_long_enough() {
    let mut it = partition();
    let appetite = Appetite { max_records: 1000, batch_size: 5, strict: false };
    let given = it.acquire(&"a".into(), 0, &log(&[(0, 2), (3, 5), (6, 6)]), appetite, 30);
    assert_eq!(given, [run(0, 5, 1), run(6, 6, 1)]);
}

#[test]
fn a_group_has_no_more_in_flight_than_it_may() {
    let mut it = partition();
    acquire(&mut it, "a", &[(0, 59)]);
    acquire(&mut it, "a", &[(60, 119)]);
    assert_eq!(it.next_fetch_offset(), None);
    it.release("a");
    assert_eq!(it.next_fetch_offset(), Some(0), "what comes back may go out");
}

#[test]
fn it_is_as_it_was_stored_and_holes_are_free() {
    let batches = vec![
        stored(12, 13, RecordState::Acknowledged, 1),
        stored(15, 15, RecordState::Available, 2),
        stored(17, 18, RecordState::Archived, 5),
    ];
    let mut it = SharePartition::load(&Stored { state_epoch: 1, start: 10, batches }, LIMITS);
    let given = acquire(&mut it, "a", &[(10, 20)]);
    let fresh = |first, last| run(first, last, 1);
    assert_eq!(given, [fresh(10, 11), fresh(14, 14), run(15, 15, 3), fresh(16, 16), fresh(19, 20)]);
    assert_eq!(it.next_fetch_offset(), Some(21));
}

#[test]
fn what_the_log_has_dropped_is_done_with() {
    let mut it = partition();
    acquire(&mut it, "a", &[(0, 9)]);
    it.log_starts_at(4);
    assert_eq!(it.start(), 4);
    assert_eq!(it.acknowledge("a", &[ack(0, 2, Acknowledge::Accept)], 0), Ok(None));
    it.acknowledge("a", &[ack(3, 9, Acknowledge::Accept)], 0).expect("what is left of it");
    settled(&mut it, true);
    assert_eq!(it.start(), 10);
    it.log_starts_at(20);
    assert_eq!(it.next_fetch_offset(), Some(20));
}
