//! What must hold of any input: no panic, bounded memory, and what was read is written so that it
//! reads as the same again. Run by the fuzz targets, and over the corpus by `tests/fuzz_corpus.rs`.

#![allow(dead_code)]

use bytes::{Bytes, BytesMut};
use vltava_wire::batch::{
    Batch, BatchBuilder, Batches, ControlRecord, Record, TimestampType, set_base_offset,
    set_max_timestamp_and_type, set_partition_leader_epoch,
};
use vltava_wire::compression::Compression;
use vltava_wire::header::{RequestHeader, split_response};
use vltava_wire::messages;
use vltava_wire::{ApiKey, DecodeError, LeaderEpoch, Message, Offset, Request, Writer};

#[macro_use]
#[path = "../tests/oracle/declared.rs"]
mod declared;

/// What the records of one batch may take, in bytes.
const RECORDS_MAX: usize = 1 << 20;

fn message<M: Message>(body: Bytes, version: i16) -> Result<(), DecodeError> {
    let first = write(&M::read(body, version)?, version);
    let again = M::read(first.clone(), version).expect("what was written can be read");
    assert_eq!(write(&again, version), first, "{} v{version} changes", M::NAME);
    Ok(())
}

fn write<M: Message>(message: &M, version: i16) -> Bytes {
    let mut writer = Writer::new();
    message.write(&mut writer, version);
    writer.into_bytes()
}

/// A frame as a client sends it, header included.
pub fn request(frame: &[u8]) {
    let Ok((header, body)) = RequestHeader::split(Bytes::copy_from_slice(frame)) else { return };
    let mut writer = Writer::new();
    header.encode(&mut writer);
    writer.shared(&body);
    let (again, rest) = RequestHeader::split(writer.into_bytes()).expect("a header");
    assert_eq!((&again, &rest), (&header, &body), "the header changes");
    let Some(key) = header.key() else { return };
    // An error is a right answer, too: what counts is that it comes, and bounded.
    let _ = request_body(key, header.api_version, body);
}

fn request_body(key: ApiKey, version: i16, body: Bytes) -> Result<(), DecodeError> {
    macro_rules! dispatch {
        ($($module:ident::{$($name:ident)*})*) => {
            match key {
                $($(key if key == <$module::$name as Request>::KEY => {
                    message::<$module::$name>(body, version)
                })*)*
                _ => Ok(()),
            }
        };
    }
    requests!(dispatch)
}

/// The kind and the version of the request in two bytes each, then the frame that answers it.
pub fn response(input: &[u8]) {
    let Some((&[a, b, c, d], frame)) = input.split_first_chunk() else { return };
    let version = i16::from_be_bytes([c, d]);
    let Some(key) = ApiKey::from_code(i16::from_be_bytes([a, b])) else { return };
    let Ok((_, body)) = split_response(Bytes::copy_from_slice(frame), key, version) else { return };
    let _ = response_body(key, version, body);
}

fn response_body(key: ApiKey, version: i16, body: Bytes) -> Result<(), DecodeError> {
    macro_rules! dispatch {
        ($($module:ident::{$($name:ident)*})*) => {
            match key {
                $($(key if key == <$module::$name as Request>::KEY => {
                    message::<<$module::$name as Request>::Response>(body, version)
                })*)*
                _ => Ok(()),
            }
        };
    }
    requests!(dispatch)
}

/// Batches, one after the other.
pub fn batches(input: &[u8]) {
    let mut end = 0;
    for batch in Batches::new(input) {
        let Ok(batch) = batch else { return };
        assert_eq!(batch.at, end, "batches follow each other");
        end += batch.bytes.len();
        let _ = batch.verify_crc();
        let _ = batch.header.check_produced();
        records(&batch);
        patches(batch.bytes);
    }
    assert_eq!(end, input.len(), "batches are walked to their end");
}

fn records(batch: &Batch<'_>) {
    let Ok(records) = batch.records(RECORDS_MAX) else { return };
    if batch.header.compression() != Compression::None {
        assert!(records.size_in_bytes() <= RECORDS_MAX, "the cap holds");
    }
    let Ok(records) = records.iter().collect::<Result<Vec<Record<'_>>, _>>() else { return };
    for record in &records {
        let headers = record.headers.len();
        assert_eq!(record.headers.count(), headers, "headers are as many as declared");
        if let Ok(Some(control)) = ControlRecord::parse(record) {
            control.value();
        }
    }
    rebuild(batch, &records);
}

/// Records that a batch can have are the same records after they were written.
fn rebuild(batch: &Batch<'_>, records: &[Record<'_>]) {
    let rise = records.windows(2).all(|pair| pair[0].offset < pair[1].offset);
    if records.is_empty() || !rise {
        return;
    }
    let mut builder = BatchBuilder::new(records[0].offset).compression(Compression::Lz4);
    for record in records {
        builder.append_at(record.offset, record.timestamp, record.key, record.value, &[]);
    }
    let bytes = builder.build();
    let again = Batch::parse(&bytes).expect("a batch");
    again.verify_crc().expect("its CRC");
    let again = again.records(batch.bytes.len() + RECORDS_MAX).expect("its records");
    for (before, after) in records.iter().zip(&again) {
        let after = after.expect("a record");
        assert_eq!(
            (before.offset, before.timestamp, before.key, before.value),
            (after.offset, after.timestamp, after.key, after.value),
        );
    }
}

fn patches(bytes: &[u8]) {
    let mut patched = BytesMut::from(bytes);
    set_base_offset(&mut patched, Offset(7));
    set_partition_leader_epoch(&mut patched, LeaderEpoch(3));
    let before = Batch::parse(&patched).expect("still a batch").header;
    set_max_timestamp_and_type(&mut patched, TimestampType::LogAppendTime, 12);
    let batch = Batch::parse(&patched).expect("still a batch");
    assert_eq!(batch.header.base_offset, Offset(7));
    assert_eq!(batch.header.partition_leader_epoch, LeaderEpoch(3));
    assert_eq!(batch.header.max_timestamp, 12);
    if batch.header != before {
        batch.verify_crc().expect("the CRC is that of the patched bytes");
    }
}
