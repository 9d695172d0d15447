//! The process stays small whatever frames declare. Alone in its file: it looks at the memory of
//! its process.

use std::fs;

use bytes::Bytes;
use vltava_wire::batch::Batch;
use vltava_wire::compression::Compression;
use vltava_wire::{Message, messages};

#[macro_use]
#[path = "oracle/declared.rs"]
mod declared;

/// What all of it together may add to the process at its largest, in KiB: a decompressed batch,
/// lz4's buffers, and room for the allocator.
const GROWTH_MAX: u64 = 96 * 1024;

/// What the records of a batch may take, in bytes.
const RECORDS_MAX: usize = 1 << 20;

/// The most address space that the process ever had, in KiB.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux tells");
    let line = status.lines().find(|line| line.starts_with("VmPeak:")).expect("Linux tells");
    line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
}

/// Every message, its bytes saying at each place that something huge follows.
fn hostile<M: Message>() {
    let plain = [0x7f, 0xff, 0xff, 0xff];
    let compact = [0x80, 0x80, 0x80, 0x80, 0x08];
    for version in M::VERSIONS.min..=M::VERSIONS.max {
        for start in 0..64 {
            for huge in [&plain[..], &compact] {
                for fill in [0, 1, 2] {
                    let mut body = vec![fill; start];
                    body.extend_from_slice(huge);
                    body.resize(body.len() + 100, 0);
                    // Whether it reads does not matter here, only what it takes.
                    let _ = M::read(Bytes::from(body), version);
                }
            }
        }
    }
}

/// A batch that says to hold so many bytes, compressed, of nothing.
fn bomb(codec: Compression, size: usize) -> Vec<u8> {
    let mut batch = vec![0; 61];
    batch[16] = 2;
    batch[22] = codec.code() as u8;
    batch[57..61].copy_from_slice(&1_000_000i32.to_be_bytes());
    batch.extend(codec.compress(&vec![0; size]));
    let length = (batch.len() - 12) as i32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch
}

#[test]
fn no_frame_makes_the_process_grow() {
    let bombs: Vec<Vec<u8>> =
        Compression::ALL[1..].iter().map(|codec| bomb(*codec, 64 << 20)).collect();
    let before = peak();
    macro_rules! each {
        ($($module:ident::{$($name:ident)*})*) => {
            $($(hostile::<$module::$name>();)*)*
        };
    }
    requests!(each);
    responses!(each);
    for bomb in &bombs {
        let batch = Batch::parse(bomb).expect("a batch");
        batch.records(RECORDS_MAX).expect_err("a bomb");
    }
    let growth = peak() - before;
    assert!(growth <= GROWTH_MAX, "{growth} KiB more");
}
