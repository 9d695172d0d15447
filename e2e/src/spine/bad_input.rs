//! Frames that no client sends, and crowds that say nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use vltava_wire::compression::Compression;

use super::kcat;
use crate::cluster::{Cluster, Shape};
use crate::{Outcome, admin};

const TOPIC: &str = "bystander";
const IDLE_CONNECTIONS: usize = 5000;
/// What the broker may take on top, in KiB: 5,000 connections of a few KiB each, and its budget's
/// slack.
const GROWTH_KIB_MAX: u64 = 64 * 1024;

pub(super) fn run() -> Outcome<String> {
    let folder = super::folder()?;
    let shape = Shape {
        brokers: 1,
        coordinators: 1,
        topics: vec![(TOPIC.to_owned(), 1, 1)],
        ..Shape::default()
    };
    let cluster = Cluster::up(folder.path(), &shape)?;
    let address = format!("127.0.0.1:{}", cluster.port(1));
    let pid = cluster.node("broker-1")?.pid.ok_or("the broker does not run")?;
    let before = admin::resident_kib(pid)?;
    for (name, bytes) in frames() {
        send(&address, &bytes).map_err(|error| format!("{name}: {error}"))?;
        serves(&address, name)?;
    }
    let mut crowd = Vec::new();
    for _ in 0..IDLE_CONNECTIONS {
        crowd.push(TcpStream::connect(&address).map_err(|error| {
            format!("idle connection {}: {error}; is ulimit -n above it?", crowd.len())
        })?);
    }
    serves(&address, "5,000 idle connections")?;
    let after = admin::resident_kib(pid)?;
    drop(crowd);
    for told in ["batch refused", "connections from this address are open"] {
        let log = cluster.vltava(&["logs", "broker-1", "--tail", "1000"])?;
        if !log.contains(told) {
            return Err(format!("the broker's log does not say: {told}"));
        }
    }
    let same = cluster.node("broker-1")?.pid == Some(pid);
    let found = format!("resident {before} → {after} KiB");
    if same && after.saturating_sub(before) <= GROWTH_KIB_MAX { Ok(found) } else { Err(found) }
}

/// Another client goes on as if nothing were.
fn serves(address: &str, after: &str) -> Outcome {
    kcat(&["-b", address, "-t", TOPIC, "-P"], "still here\n")
        .map(|_| ())
        .map_err(|error| format!("after {after}: {error}"))
}

fn send(address: &str, bytes: &[u8]) -> Outcome {
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(Duration::from_millis(300))).map_err(|error| error.to_string())?;
    // The broker may close before all is written; that is its right.
    let _ = stream.write_all(bytes);
    let mut answer = [0; 1024];
    let _ = stream.read(&mut answer);
    Ok(())
}

/// A request: length, header of version 1, body.
fn request(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend_from_slice(&key.to_be_bytes());
    frame.extend_from_slice(&version.to_be_bytes());
    frame.extend_from_slice(&7i32.to_be_bytes());
    frame.extend_from_slice(&(-1i16).to_be_bytes());
    frame.extend_from_slice(body);
    let mut whole = i32::try_from(frame.len()).unwrap_or(i32::MAX).to_be_bytes().to_vec();
    whole.extend_from_slice(&frame);
    whole
}

fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let mut giant = i32::MAX.to_be_bytes().to_vec();
    giant.extend_from_slice(&[0; 64]);
    let mut truncated = request(3, 1, &1i32.to_be_bytes());
    truncated.truncate(10);
    vec![
        ("a frame that declares 2 GiB", giant),
        ("a frame of negative length", (-5i32).to_be_bytes().to_vec()),
        ("an array of 2³¹−1 elements", request(3, 1, &i32::MAX.to_be_bytes())),
        ("a truncated frame", truncated),
        ("garbage", (0..4096u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()),
        ("an unknown API key", request(999, 0, &[])),
        ("an unknown version", request(0, 99, &[])),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("a decompression bomb", bomb()),
    ]
}

/// A produce (version 3) of one batch whose gzip would become 900 MiB, and is less than a batch may
/// take.
fn bomb() -> Vec<u8> {
    let zeros = vec![0u8; 1 << 20];
    let one = Compression::Gzip.compress(&zeros);
    // Members of gzip that stand one behind the other become one stream.
    let stream: Vec<u8> = one.iter().copied().cycle().take(one.len() * 900).collect();
    let mut batch = Vec::new();
    batch.extend_from_slice(&0i64.to_be_bytes());
    batch.extend_from_slice(&i32::try_from(stream.len() + 49).unwrap_or(0).to_be_bytes());
    batch.extend_from_slice(&(-1i32).to_be_bytes());
    batch.push(2);
    let mut checked = Vec::new();
    checked.extend_from_slice(&1i16.to_be_bytes());
    checked.extend_from_slice(&0i32.to_be_bytes());
    checked.extend_from_slice(&[0; 16]);
    checked.extend_from_slice(&[0xff; 14]);
    checked.extend_from_slice(&1i32.to_be_bytes());
    checked.extend_from_slice(&stream);
    batch.extend_from_slice(&crc32c(&checked).to_be_bytes());
    batch.extend_from_slice(&checked);
    let mut body = Vec::new();
    body.extend_from_slice(&(-1i16).to_be_bytes());
    body.extend_from_slice(&(-1i16).to_be_bytes());
    body.extend_from_slice(&1000i32.to_be_bytes());
    body.extend_from_slice(&1i32.to_be_bytes());
    body.extend_from_slice(&(TOPIC.len() as i16).to_be_bytes());
    body.extend_from_slice(TOPIC.as_bytes());
    body.extend_from_slice(&1i32.to_be_bytes());
    body.extend_from_slice(&0i32.to_be_bytes());
    body.extend_from_slice(&i32::try_from(batch.len()).unwrap_or(0).to_be_bytes());
    body.extend_from_slice(&batch);
    request(0, 3, &body)
}

/// CRC-32C, bit by bit: one batch in one check needs no table.
fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}
