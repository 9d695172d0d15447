//! Writes the corpus that the fuzz targets start from: of each message its first and its last
//! version, batches of each codec, and the frames of an attacker.

use std::fs;
use std::path::Path;

use vltava_wire::arbitrary::{Generate, Source};
use vltava_wire::batch::{BatchBuilder, ControlRecord};
use vltava_wire::compression::Compression;
use vltava_wire::header::{RequestHeader, encode_response_header};
use vltava_wire::{Message, Offset, ProducerEpoch, ProducerId, Request, Writer, messages};

#[macro_use]
#[path = "../tests/oracle/declared.rs"]
mod declared;

/// The longest seed, in bytes.
const SEED_MAX: usize = 250;

fn save(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new("corpus").join(target);
    fs::create_dir_all(&folder).expect("the corpus folder can be made");
    fs::write(folder.join(name), bytes).expect("a seed can be written");
}

/// The largest of some values that stays small.
fn body<M: Message + Generate>(version: i16) -> Vec<u8> {
    let declared = M::version(version).expect("the version is declared");
    (0..50)
        .map(|seed| {
            let mut writer = Writer::new();
            M::generate(&mut Source::new(seed), declared).write(&mut writer, version);
            writer.into_bytes().to_vec()
        })
        .filter(|bytes| bytes.len() <= SEED_MAX)
        .max_by_key(Vec::len)
        .unwrap_or_default()
}

fn save_kind<R: Request + Generate>()
where
    R::Response: Generate,
{
    let key = R::KEY;
    for version in [R::VERSIONS.min, R::VERSIONS.max] {
        let mut writer = Writer::new();
        let header = RequestHeader {
            api_key: key.code(),
            api_version: version,
            correlation_id: 1,
            client_id: Some("seed".into()),
        };
        header.encode(&mut writer);
        writer.raw(&body::<R>(version));
        save("request", &format!("{key}-{version}"), &writer.into_bytes());

        let mut writer = Writer::new();
        writer.i16(key.code());
        writer.i16(version);
        encode_response_header(&mut writer, key, version, 1);
        writer.raw(&body::<R::Response>(version));
        save("response", &format!("{key}-{version}"), &writer.into_bytes());
    }
}

fn save_batches() {
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(Offset(5)).compression(codec).producer(
            ProducerId(1),
            ProducerEpoch(0),
            0,
        );
        builder.append(1_700_000_000_000, Some(b"key"), Some(&[7; 100]), &[("h", Some(b"v"))]);
        builder.append(1_700_000_000_001, None, None, &[("n", None)]);
        save("batches", codec.name(), &builder.build());
    }
    let mut builder = BatchBuilder::new(Offset(0)).control();
    builder.append_control_record(0, &ControlRecord::LeaderChange(Default::default()));
    builder.append_control_record(0, &ControlRecord::KraftVoters(Default::default()));
    builder.append_control_record(0, &ControlRecord::Commit(Default::default()));
    let mut two = builder.build();
    two.extend_from_within(..);
    save("batches", "control-twice", &two);
}

fn save_attacks() {
    // Metadata version 1 with 2^31 - 1 topics, and version 12 with as many by a varint.
    let plain = [0, 3, 0, 1, 0, 0, 0, 1, 255, 255, 0x7f, 255, 255, 255];
    save("request", "many-topics", &plain);
    let compact = [0, 3, 0, 12, 0, 0, 0, 1, 255, 255, 0, 255, 255, 255, 255, 7];
    save("request", "many-topics-compact", &compact);
    // ApiVersions version 3 with more tagged fields than there are tags.
    let tags = [0, 18, 0, 3, 0, 0, 0, 1, 255, 255, 255, 255, 255, 255, 15];
    save("request", "many-tags", &tags);
}

fn main() {
    macro_rules! each {
        ($($module:ident::{$($name:ident)*})*) => {
            $($(save_kind::<$module::$name>();)*)*
        };
    }
    requests!(each);
    save_batches();
    save_attacks();
}
