//! Each anomaly is planted in a history of a few events, and found; a history without any passes.

use super::*;
use crate::histories::history::UNTOLD;

/// A history, written line by line.
#[derive(Default)]
struct Told(Vec<Event>);

fn send(partition: i32, value: u64, ack: i64) -> Step {
    Step::Send { partition, value, ack: Some(ack) }
}

fn unacked(partition: i32, value: u64) -> Step {
    Step::Send { partition, value, ack: None }
}

fn poll(assignment: u32, records: &[(i32, i64, u64)]) -> Step {
    Step::Poll { assignment, records: records.to_vec() }
}

fn as_begun(steps: &[Step]) -> Vec<Step> {
    let begun = |step: &Step| match step {
        Step::Send { partition, value, .. } => Some(unacked(*partition, *value)),
        Step::Poll { .. } => None,
    };
    steps.iter().filter_map(begun).collect()
}

impl Told {
    fn line(mut self, client: u32, kind: Kind, operation: Operation) -> Self {
        self.0.push(Event { at_ms: self.0.len() as u64, client, kind, operation });
        self
    }

    fn begins(self, client: u32, steps: &[Step]) -> Self {
        self.line(client, Kind::Invoke, Operation::Plain { steps: as_begun(steps) })
    }

    fn ends(self, client: u32, kind: Kind, steps: &[Step]) -> Self {
        self.line(client, kind, Operation::Plain { steps: steps.to_vec() })
    }

    fn plain(self, client: u32, kind: Kind, steps: &[Step]) -> Self {
        self.begins(client, steps).ends(client, kind, steps)
    }

    fn transaction(self, client: u32, kind: Kind, steps: &[Step]) -> Self {
        self.transacted(client, kind, false, steps)
    }

    fn consumes(self, client: u32, kind: Kind, steps: &[Step]) -> Self {
        self.transacted(client, kind, true, steps)
    }

    fn transacted(self, client: u32, kind: Kind, consumes: bool, steps: &[Step]) -> Self {
        let begun = Operation::Transaction { consumes, steps: as_begun(steps) };
        let ended = Operation::Transaction { consumes, steps: steps.to_vec() };
        self.line(client, Kind::Invoke, begun).line(client, kind, ended)
    }

    fn assigns(self, client: u32, assignment: u32, from: &[(i32, i64)]) -> Self {
        let operation = Operation::Assign { assignment, from: from.to_vec() };
        self.line(client, Kind::Invoke, operation.clone()).line(client, Kind::Ok, operation)
    }

    /// A reader of all partitions, at the end.
    fn read_at_last(self, records: &[(i32, i64, u64)]) -> Self {
        self.assigns(99, 0, &[(0, 0), (1, 0)]).plain(99, Kind::Ok, &[poll(0, records)])
    }

    /// Exactly these anomalies are found.
    fn has(self, expected: &[Anomaly]) {
        let verdict = check(&self.0);
        let expected: BTreeSet<Anomaly> = expected.iter().copied().collect();
        assert_eq!(anomalies(&verdict), expected, "{:?}", verdict.findings);
    }
}

#[test]
fn a_history_without_anomalies_passes() {
    Told::default()
        .plain(1, Kind::Ok, &[send(0, 10, 0), send(1, 11, 0), send(0, 12, 1)])
        .transaction(2, Kind::Ok, &[send(0, 20, 2), poll(0, &[(0, 0, 10)]), send(1, 21, 1)])
        .transaction(2, Kind::Fail, &[send(0, 22, 4), unacked(1, 23)])
        .consumes(3, Kind::Ok, &[poll(0, &[(0, 0, 10), (1, 0, 11)]), send(1, 30, 3)])
        .consumes(4, Kind::Ok, &[poll(0, &[(0, 1, 12)]), send(1, 31, 5)])
        .consumes(3, Kind::Fail, &[poll(1, &[(0, 2, 20)]), send(1, 32, 7)])
        .transaction(2, Kind::Info, &[send(0, 24, 6)])
        .plain(1, Kind::Info, &[send(0, 13, 8), unacked(0, 14)])
        .read_at_last(&[(0, 0, 10), (0, 1, 12), (1, 0, 11), (0, 2, 20), (1, 1, 21), (1, 3, 30)])
        .plain(99, Kind::Ok, &[poll(0, &[(1, 5, 31), (0, 8, 13)])])
        .has(&[]);
}

#[test]
fn an_acknowledged_record_that_readers_passed_is_lost() {
    Told::default()
        .plain(1, Kind::Ok, &[send(0, 10, 0), send(0, 11, 1)])
        .read_at_last(&[(0, 1, 11)])
        .has(&[Anomaly::LostWrite]);
}

#[test]
fn what_one_acknowledged_of_an_operation_that_failed_otherwise_is_not_to_be_lost_either() {
    Told::default()
        .plain(1, Kind::Info, &[send(0, 10, 0), unacked(0, 11)])
        .plain(1, Kind::Ok, &[send(0, 12, 2)])
        .read_at_last(&[(0, 2, 12)])
        .has(&[Anomaly::LostWrite]);
}

#[test]
fn a_transaction_of_which_one_record_was_seen_is_committed_as_a_whole() {
    Told::default()
        .transaction(1, Kind::Info, &[send(0, 10, 0), send(0, 11, 1)])
        .read_at_last(&[(0, 1, 11)])
        .has(&[Anomaly::LostWrite]);
}

#[test]
fn what_nobody_has_read_up_to_is_unseen() {
    Told::default()
        .plain(1, Kind::Ok, &[send(0, 10, 0), send(0, 11, 1), send(1, 12, UNTOLD)])
        .read_at_last(&[(0, 0, 10)])
        .has(&[Anomaly::Unseen]);
}

#[test]
fn a_record_of_an_aborted_transaction_is_not_to_be_read() {
    Told::default()
        .transaction(1, Kind::Fail, &[send(0, 10, 0)])
        .read_at_last(&[(0, 0, 10)])
        .has(&[Anomaly::AbortedRead]);
}

#[test]
fn a_transaction_does_not_read_its_own_records() {
    Told::default()
        .transaction(1, Kind::Ok, &[send(0, 10, 0), poll(0, &[(0, 0, 10)])])
        .read_at_last(&[(0, 0, 10)])
        .has(&[Anomaly::PrecommittedRead]);
}

#[test]
fn a_record_that_nobody_sent_is_found() {
    Told::default().read_at_last(&[(0, 0, 10)]).has(&[Anomaly::Unsent]);
}

#[test]
fn a_record_at_two_offsets_is_a_duplicate() {
    Told::default()
        .plain(1, Kind::Ok, &[send(0, 10, 0)])
        .read_at_last(&[(0, 0, 10), (0, 1, 10)])
        .has(&[Anomaly::Duplicate]);
}

#[test]
fn two_records_at_one_offset_are_found_even_if_one_was_aborted() {
    Told::default()
        .plain(1, Kind::Ok, &[send(0, 10, 5)])
        .transaction(2, Kind::Fail, &[send(1, 20, 3)])
        .plain(3, Kind::Ok, &[send(1, 30, UNTOLD)])
        .read_at_last(&[(0, 5, 10), (1, 3, 30)])
        .has(&[Anomaly::InconsistentOffset]);
}

#[test]
fn a_consumer_that_leaves_out_what_others_read_skips() {
    let wrote =
        Told::default().plain(1, Kind::Ok, &[send(0, 10, 0), send(0, 11, 1), send(0, 12, 2)]);
    let all = [(0, 0, 10), (0, 1, 11), (0, 2, 12)];
    // Within one poll, from one poll to the next, and at the beginning of an assignment.
    Told(wrote.0.clone())
        .plain(2, Kind::Ok, &[poll(0, &[(0, 0, 10), (0, 2, 12)])])
        .read_at_last(&all)
        .has(&[Anomaly::PollSkip]);
    Told(wrote.0.clone())
        .plain(2, Kind::Ok, &[poll(0, &[(0, 0, 10)])])
        .transaction(2, Kind::Fail, &[poll(0, &[(0, 2, 12)])])
        .read_at_last(&all)
        .has(&[Anomaly::PollSkip]);
    Told(wrote.0.clone())
        .assigns(2, 4, &[(0, 1)])
        .plain(2, Kind::Ok, &[poll(4, &[(0, 2, 12)])])
        .read_at_last(&all)
        .has(&[Anomaly::PollSkip]);
    // With another assignment it may begin elsewhere.
    Told(wrote.0)
        .plain(2, Kind::Ok, &[poll(0, &[(0, 0, 10)]), poll(1, &[(0, 2, 12)])])
        .read_at_last(&all)
        .has(&[]);
}

#[test]
fn a_consumer_that_goes_back_is_found() {
    let wrote = Told::default().plain(1, Kind::Ok, &[send(0, 10, 0), send(0, 11, 1)]);
    let all = [(0, 0, 10), (0, 1, 11)];
    Told(wrote.0.clone())
        .plain(2, Kind::Ok, &[poll(0, &[(0, 1, 11)])])
        .plain(2, Kind::Ok, &[poll(0, &[(0, 0, 10)])])
        .read_at_last(&all)
        .has(&[Anomaly::NonmonotonicPoll]);
    Told(wrote.0)
        .plain(2, Kind::Ok, &[poll(0, &[(0, 1, 11)])])
        .plain(2, Kind::Ok, &[poll(1, &[(0, 0, 10)])])
        .read_at_last(&all)
        .has(&[]);
}

#[test]
fn an_operation_sends_in_order() {
    Told::default()
        .plain(1, Kind::Ok, &[send(0, 10, 1), send(0, 11, 0)])
        .read_at_last(&[(0, 0, 11), (0, 1, 10)])
        .has(&[Anomaly::NonmonotonicSend]);
}

#[test]
fn what_is_sent_after_an_acknowledgement_lies_behind_it() {
    let (first, second) = ([send(0, 10, 1)], [send(0, 20, 0)]);
    let all = [(0, 0, 20), (0, 1, 10)];
    Told::default()
        .plain(1, Kind::Ok, &first)
        .transaction(2, Kind::Ok, &second)
        .read_at_last(&all)
        .has(&[Anomaly::NonmonotonicSend]);
    // Two at a time may come in either order.
    Told::default()
        .begins(1, &first)
        .begins(2, &second)
        .ends(1, Kind::Ok, &first)
        .ends(2, Kind::Ok, &second)
        .read_at_last(&all)
        .has(&[]);
}

#[test]
fn a_group_consumes_each_record_once() {
    let wrote = Told::default().plain(1, Kind::Ok, &[send(0, 10, 0), send(0, 11, 1)]);
    let twice = |kind: Kind| {
        Told(wrote.0.clone())
            .consumes(2, Kind::Ok, &[poll(0, &[(0, 0, 10)]), send(1, 20, 0)])
            .consumes(3, kind, &[poll(0, &[(0, 0, 10), (0, 1, 11)]), send(1, 30, 2)])
    };
    let seen = [(0, 0, 10), (0, 1, 11), (1, 0, 20), (1, 2, 30)];
    twice(Kind::Ok).read_at_last(&seen).has(&[Anomaly::ConsumedTwice]);
    // Its client was not told, but what it wrote is there.
    twice(Kind::Info).read_at_last(&seen).has(&[Anomaly::ConsumedTwice]);
    twice(Kind::Info).read_at_last(&seen[..3]).has(&[]);
    twice(Kind::Fail).read_at_last(&seen[..3]).has(&[]);
}

#[test]
fn a_group_leaves_out_no_record() {
    Told::default()
        .plain(1, Kind::Ok, &[send(0, 10, 0), send(0, 11, 1)])
        .consumes(2, Kind::Ok, &[poll(0, &[(0, 1, 11)]), send(1, 20, 0)])
        .read_at_last(&[(0, 0, 10), (0, 1, 11), (1, 0, 20)])
        .has(&[Anomaly::NeverConsumed]);
}

#[test]
fn what_there_was_is_counted() {
    let told = Told::default()
        .plain(1, Kind::Ok, &[send(0, 10, 0), unacked(0, 11)])
        .transaction(2, Kind::Fail, &[send(0, 20, 2)])
        .transaction(2, Kind::Info, &[poll(0, &[(0, 0, 10)])])
        .read_at_last(&[(0, 0, 10)]);
    let counts = check(&told.0).counts;
    let expected = Counts {
        events: 10,
        ok: 3,
        fail: 1,
        info: 1,
        transactions: 2,
        sent: 3,
        acked: 2,
        polled: 2,
    };
    assert_eq!(counts, expected);
}
