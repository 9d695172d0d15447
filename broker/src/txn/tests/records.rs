//! What is stored: Kafka's own bytes, and what a new coordinator makes of them.

use bytes::Bytes;
use vltava_wire::Str;

use super::world::{World, at};
use crate::shard::RecordError;
use crate::txn::calls::ListFilter;
use crate::txn::record::{parse, transaction};
use crate::txn::state::{State, Stored};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Bytes {
    let digit = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(digit).collect()
}

fn ongoing() -> Stored {
    Stored {
        producer_id: 77,
        previous_producer_id: 77,
        next_producer_id: -1,
        producer_epoch: 3,
        last_producer_epoch: -1,
        timeout_ms: 60_000,
        state: State::Ongoing,
        partitions: [at("a", 0), at("a", 2), at("b", 1)].into(),
        start_ms: 1_700_000_000_000,
        last_update_ms: 1_700_000_000_001,
        client_version: 2,
    }
}

#[test]
fn values_are_written_as_kafka_writes_them() {
    let record = transaction(&Str::from_static("t"), Some(&ongoing()), 2);
    assert_eq!(hex(&record.key), "0000000174");
    let value = hex(&record.value.expect("a value"));
    assert_eq!(
        value,
        "0001000000000000004d00030000ea600103026103000000000000000200026202000000010000000\
         18bcfe568010000018bcfe56800020008000000000000004d02020002"
    );
    assert_eq!(parse(&unhex(&value)), Ok(ongoing()));
}

#[test]
fn before_tagged_fields_a_value_lacks_what_they_say() {
    let record = transaction(&Str::from_static("t"), Some(&ongoing()), 0);
    let expected = Stored { previous_producer_id: -1, client_version: 0, ..ongoing() };
    assert_eq!(parse(&record.value.expect("a value")), Ok(expected));
}

#[test]
fn an_id_without_a_transaction_has_no_list_of_partitions() {
    let stored = Stored { state: State::Empty, partitions: [].into(), start_ms: -1, ..ongoing() };
    let record = transaction(&Str::from_static("t"), Some(&stored), 0);
    let value = record.value.expect("a value");
    assert_eq!(value[2 + 8 + 2 + 4], 0, "Empty");
    assert_eq!(value[2 + 8 + 2 + 4 + 1..][..4], [0xff; 4], "null");
    assert_eq!(transaction(&Str::from_static("t"), None, 2).value, None);
}

#[test]
fn what_is_no_value_is_refused() {
    assert_eq!(parse(b""), Err(RecordError::Malformed("TransactionLogValue")));
    let version = RecordError::Version { what: "TransactionLogValue", version: 2 };
    assert_eq!(parse(&[0, 2, 0]), Err(version));
    let record = transaction(&Str::from_static("t"), Some(&ongoing()), 0);
    let mut value = record.value.expect("a value").to_vec();
    value[2 + 8 + 2 + 4] = 8;
    assert!(parse(&value).is_err(), "there is no state 8");
}

#[test]
fn tools_are_shown_what_passes_their_filters() {
    let mut world = World::at_level(2);
    world.put(State::Ongoing, 9, 5);
    let wall = world.now.wall;
    let names = |filter: ListFilter, wall: i64| -> usize { world.shard.list(&filter, wall).len() };
    let all = || ListFilter { duration_ms: -1, ..ListFilter::default() };
    assert_eq!(names(all(), wall), 1);
    let states = |names: &[&str]| ListFilter {
        states: names.iter().map(|name| Str::from(*name)).collect(),
        ..all()
    };
    assert_eq!(names(states(&["Empty", "Ongoing"]), wall), 1);
    assert_eq!(names(states(&["Empty"]), wall), 0);
    assert_eq!(names(states(&["Bogus"]), wall), 0, "as in Kafka, an unknown state matches none");
    assert_eq!(names(ListFilter { producer_ids: vec![8], ..all() }, wall), 0);
    assert_eq!(names(ListFilter { producer_ids: vec![8, 9], ..all() }, wall), 1);
    assert_eq!(names(ListFilter { duration_ms: 10, ..all() }, wall + 10), 0);
    assert_eq!(names(ListFilter { duration_ms: 10, ..all() }, wall + 11), 1);
    let described = world.shard.describe(&"t".into());
    assert_eq!(described.transaction_state, "Ongoing");
    assert_eq!(described.topics[0].partitions, [0]);
}
