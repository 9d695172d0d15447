//! Every message in every version, against the `kafka-protocol` crate: what we write it reads,
//! what it writes are the same bytes, and what we read of those is the value that we began with.

#[macro_use]
#[path = "oracle/declared.rs"]
mod declared;

use declared::is_lacking;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message as TheirMessage};
use vltava_wire::arbitrary::{Generate, Source};
use vltava_wire::records::{group, principal, raft};
use vltava_wire::{Message, Versions, Writer, messages};

/// Values of each version of each message; more by the variable `VLTAVA_WIRE_VALUES`.
const VALUES: u64 = 40;

/// Values that are also tried cut short.
const TRUNCATED_VALUES: u64 = 3;

/// One message of ours and its counterpart.
#[derive(Clone)]
struct Pair {
    name: &'static str,
    ours: Versions,
    theirs: Versions,
    round_trip: fn(i16, u64) -> Result<(), String>,
}

fn pair<Ours, Theirs>() -> Pair
where
    Ours: Message + Generate + PartialEq + std::fmt::Debug,
    Theirs: Encodable + Decodable + TheirMessage,
{
    let theirs = Theirs::VERSIONS;
    Pair {
        name: Ours::NAME,
        ours: Ours::VERSIONS,
        theirs: Versions { min: theirs.min, max: theirs.max },
        round_trip: round_trip::<Ours, Theirs>,
    }
}

fn round_trip<Ours, Theirs>(version: i16, seed: u64) -> Result<(), String>
where
    Ours: Message + Generate + PartialEq + std::fmt::Debug,
    Theirs: Encodable + Decodable,
{
    let mut source = Source::new(seed);
    let value = Ours::generate(&mut source, Ours::version(version).expect("declared"));
    let mut writer = Writer::new();
    value.write(&mut writer, version);
    let length = writer.len();
    let bytes = writer.into_bytes();
    if bytes.len() != length {
        return Err(format!("the writer counts {length} bytes and has {}", bytes.len()));
    }

    let mut rest = bytes.clone();
    let read = Theirs::decode(&mut rest, version).map_err(|error| format!("theirs: {error}"))?;
    if !rest.is_empty() {
        return Err(format!("theirs leaves {} bytes", rest.len()));
    }
    let mut written = BytesMut::new();
    read.encode(&mut written, version).map_err(|error| format!("theirs encodes: {error}"))?;
    let written = written.freeze();
    if written != bytes {
        return Err(format!("theirs writes other bytes\n ours {bytes:?}\ntheirs {written:?}"));
    }

    let again = Ours::read(written, version).map_err(|error| format!("ours: {error}"))?;
    if again != value {
        return Err(format!("ours reads another value\nwrote {value:?}\n read {again:?}"));
    }
    if seed >> 8 < TRUNCATED_VALUES {
        truncated_is_refused::<Ours>(&bytes, version)
    } else {
        Ok(())
    }
}

/// No part of a message is a message: the codec has no optional tail.
fn truncated_is_refused<Ours: Message>(bytes: &Bytes, version: i16) -> Result<(), String> {
    // The middle of long messages is more of the same; their ends are looked at byte by byte.
    let length = bytes.len();
    for end in (0..length.min(100)).chain(length.saturating_sub(100)..length) {
        if Ours::read(bytes.slice(..end), version).is_ok() {
            return Err(format!("the first {end} of {length} bytes read as a whole message"));
        }
    }
    Ok(())
}

macro_rules! pairs {
    ($($module:ident::{$($name:ident)*})*) => {
        vec![$($(pair::<$module::$name, theirs::$name>(),)*)*]
    };
}

fn all_pairs() -> Vec<Pair> {
    [requests!(pairs), responses!(pairs), shared_records!(pairs)].concat()
}

#[test]
fn every_value_survives_the_other_codec_in_both_directions() {
    let values = std::env::var("VLTAVA_WIRE_VALUES")
        .map_or(VALUES, |values| values.parse().expect("VLTAVA_WIRE_VALUES is a number"));
    let mut failures = Vec::new();
    for pair in all_pairs() {
        for version in (pair.ours.min..=pair.ours.max).filter(|v| pair.theirs.contains(*v)) {
            let seeds = (0..values).map(|seed| seed << 8 | version as u64);
            for seed in seeds.filter(|_| !is_lacking(pair.name, version)) {
                if let Err(error) = (pair.round_trip)(version, seed) {
                    let short: String = error.chars().take(1500).collect();
                    failures.push(format!("{} v{version} seed {seed}: {short}", pair.name));
                    break;
                }
            }
        }
    }
    assert!(failures.is_empty(), "{} versions fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn versions_that_kafka_protocol_lacks_are_listed_and_no_others() {
    for pair in all_pairs() {
        for version in pair.ours.min..=pair.ours.max {
            let lacks = !pair.theirs.contains(version)
                || (1000..1000 + VALUES).any(|seed| (pair.round_trip)(version, seed).is_err());
            assert_eq!(lacks, is_lacking(pair.name, version), "{} v{version}", pair.name);
        }
    }
}
