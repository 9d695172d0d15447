//! Prints generated values as lines for `tests/oracle/Oracle.java`, which says what Apache
//! Kafka's own classes read in them.
//!
//! - `oracle_lines messages COUNT`: COUNT values of every version of every message.
//! - `oracle_lines golden`: what `tests/golden/messages.txt` holds: a few small values of what
//!   the `kafka-protocol` crate lacks.
//! - `oracle_lines batches`: a batch of every codec, and one of control records.

use std::io::Write;

use vltava_wire::arbitrary::{Generate, Source};
use vltava_wire::batch::{BatchBuilder, ControlRecord};
use vltava_wire::compression::Compression;
use vltava_wire::records::{
    consumer_group, group, metadata, principal, producer_snapshot, raft, share_group, share_state,
    transaction,
};
use vltava_wire::{
    LeaderEpoch, Message, Offset, ProducerEpoch, ProducerId, Uuid, Writer, messages,
};

#[macro_use]
#[path = "../tests/oracle/declared.rs"]
mod declared;

/// The longest value that is kept in the repository, in bytes.
const GOLDEN_MAX: usize = 200;

/// Values of each version that are kept in the repository.
const GOLDEN_VALUES: usize = 4;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn values<M: Message + Generate>(version: i16) -> impl Iterator<Item = bytes::Bytes> {
    let declared = M::version(version).expect("the version is declared");
    (0..).map(move |seed: u64| {
        let mut writer = Writer::new();
        M::generate(&mut Source::new(seed << 8 | version as u64), declared)
            .write(&mut writer, version);
        writer.into_bytes()
    })
}

fn print_values<M: Message + Generate>(count: usize, out: &mut dyn Write) {
    for version in M::VERSIONS.min..=M::VERSIONS.max {
        for bytes in values::<M>(version).take(count) {
            writeln!(out, "{} {version} {}", M::NAME, hex(&bytes)).expect("stdout takes a line");
        }
    }
}

fn print_golden<M: Message + Generate>(all: bool, out: &mut dyn Write) {
    for version in M::VERSIONS.min..=M::VERSIONS.max {
        if all || declared::is_lacking(M::NAME, version) {
            let small = values::<M>(version).filter(|bytes| bytes.len() <= GOLDEN_MAX);
            for bytes in small.take(GOLDEN_VALUES) {
                writeln!(out, "{} {version} {}", M::NAME, hex(&bytes))
                    .expect("stdout takes a line");
            }
        }
    }
}

fn print_messages(count: usize, out: &mut dyn Write) {
    macro_rules! print {
        ($($module:ident::{$($name:ident)*})*) => {
            $($(print_values::<$module::$name>(count, out);)*)*
        };
    }
    requests!(print);
    responses!(print);
    shared_records!(print);
    own_records!(print);
}

fn print_all_golden(out: &mut dyn Write) {
    macro_rules! lacking {
        ($($module:ident::{$($name:ident)*})*) => {
            $($(print_golden::<$module::$name>(false, out);)*)*
        };
    }
    macro_rules! all {
        ($($module:ident::{$($name:ident)*})*) => {
            $($(print_golden::<$module::$name>(true, out);)*)*
        };
    }
    requests!(lacking);
    responses!(lacking);
    shared_records!(lacking);
    own_records!(all);
}

fn print_batches(out: &mut dyn Write) {
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(Offset(500))
            .partition_leader_epoch(LeaderEpoch(11))
            .producer(ProducerId(8), ProducerEpoch(2), i32::MAX - 1)
            .compression(codec);
        if codec == Compression::Zstd {
            builder = builder.transactional().log_append_time(1_700_000_009_000);
        }
        // More than a block of each codec has, where that stays small.
        let long = vec![b'v'; if codec == Compression::None { 100 } else { 70_000 }];
        builder.append(1_700_000_000_000, Some(b"key"), Some(&long), &[("h", None)]);
        builder.append(1_699_999_000_000, None, Some(b""), &[("a", Some(b"1")), ("", Some(b""))]);
        builder.append_at(Offset(509), 1_700_000_000_001, Some(b""), None, &[]);
        writeln!(out, "ours-{} {}", codec.name(), hex(&builder.build()))
            .expect("stdout takes a line");
    }
    let voter = raft::VotersVoter {
        voter_id: 3001,
        voter_directory_id: Uuid(77),
        endpoints: vec![raft::Endpoint {
            name: "CONTROLLER".into(),
            host: "c1".into(),
            port: 9093,
        }],
        ..raft::VotersVoter::default()
    };
    let voters = raft::VotersRecord { voters: vec![voter], ..raft::VotersRecord::default() };
    let mut builder = BatchBuilder::new(Offset(0)).control();
    builder.append_control_record(5, &ControlRecord::SnapshotHeader(Default::default()));
    builder.append_control_record(5, &ControlRecord::KraftVersion(Default::default()));
    builder.append_control_record(6, &ControlRecord::KraftVoters(voters));
    builder.append_control_record(6, &ControlRecord::SnapshotFooter(Default::default()));
    writeln!(out, "ours-control {}", hex(&builder.build())).expect("stdout takes a line");
    let marker = raft::EndTxnMarker { coordinator_epoch: 21 };
    let mut builder = BatchBuilder::new(Offset(12)).control().transactional().producer(
        ProducerId(77),
        ProducerEpoch(3),
        -1,
    );
    builder.append_control_record(1_700_000_000_000, &ControlRecord::Abort(marker));
    writeln!(out, "ours-abort {}", hex(&builder.build())).expect("stdout takes a line");
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match arguments[..] {
        ["messages", count] => print_messages(count.parse().expect("COUNT is a number"), &mut out),
        ["golden"] => print_all_golden(&mut out),
        ["batches"] => print_batches(&mut out),
        _ => panic!("usage: oracle_lines messages COUNT | golden | batches"),
    }
}
