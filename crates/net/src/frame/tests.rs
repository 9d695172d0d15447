//! Frames that arrive in pieces, and frames that are none.

use futures::FutureExt;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::budget::{PEER_MAX, SMALL_MAX};

const MIB: usize = 1024 * 1024;

fn reader(budget: &Arc<Budget>) -> FrameReader {
    let stall_max = Duration::from_secs(30);
    FrameReader::new(100 * MIB, stall_max, budget.clone(), false, Counter::default())
}

fn framed(body: &[u8]) -> Vec<u8> {
    let mut frame = (body.len() as i32).to_be_bytes().to_vec();
    frame.extend_from_slice(body);
    frame
}

async fn refused(bytes: &[u8]) -> FrameError {
    let budget = Budget::new(512 * MIB, 100 * MIB);
    let (mut near, mut far) = duplex(64 * 1024);
    near.write_all(bytes).await.expect("the pipe has room");
    drop(near);
    reader(&budget).next(&mut far).await.expect_err("that is no frame")
}

async fn write_slowly(near: &mut DuplexStream, bytes: &[u8], step: usize) {
    for piece in bytes.chunks(step) {
        near.write_all(piece).await.expect("the other end reads");
    }
}

#[tokio::test]
async fn frames_of_all_sizes_come_out_as_they_went_in() {
    let budget = Budget::new(512 * MIB, 100 * MIB);
    for step in [1, 7, 4096, 1 << 20] {
        let sizes = [0, 1, 100, BUFFER - PREFIX - 1, BUFFER - PREFIX, BUFFER, 70_000];
        let bodies = sizes.map(|size| (0..size).map(|at| at as u8).collect::<Vec<u8>>());
        let (mut near, mut far) = duplex(4096);
        let sent: Vec<u8> = bodies.iter().flat_map(|body| framed(body)).collect();
        let writing = tokio::spawn(async move { write_slowly(&mut near, &sent, step).await });
        let mut reader = reader(&budget);
        for body in &bodies {
            let frame = reader.next(&mut far).await.expect("a frame");
            assert_eq!(frame, body, "size {} in steps of {step}", body.len());
        }
        writing.await.expect("the writer ends");
        assert!(matches!(reader.next(&mut far).await, Err(FrameError::Closed)));
    }
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn what_brokers_send_each_other_does_not_wait_for_memory_and_what_clients_send_does() {
    let budget = Budget::new(0, 0);
    let taken = [budget.charge(SMALL_MAX).await, budget.charge(SMALL_MAX).await];
    let lane = budget.charge(MIB).await;
    let frame = |key: ApiKey, size: usize| {
        let mut body = vec![0; size];
        body[..2].copy_from_slice(&(key as i16).to_be_bytes());
        framed(&body)
    };
    let clients = [ApiKey::Produce, ApiKey::OffsetCommit, ApiKey::CreateTopics];
    let peers = [ApiKey::Fetch, ApiKey::WriteTxnMarkers, ApiKey::AlterPartition];
    let on_all = clients.into_iter().map(|key| (key, true, [100, MIB]));
    let on_all = on_all.chain(peers.into_iter().map(|key| (key, false, [100, MIB])));
    let garbage = [(ApiKey::Fetch, true, [PEER_MAX + 1, 8 * MIB])];
    for (key, waits, sizes) in on_all.chain(garbage) {
        for size in sizes {
            let (mut near, mut far) = duplex(9 * MIB);
            near.write_all(&frame(key, size)).await.expect("the pipe has room");
            let mut reader = FrameReader { peers: true, ..reader(&budget) };
            let read = reader.next(&mut far).now_or_never();
            assert_eq!(read.is_none(), waits, "{key:?} of {size} bytes");
        }
    }
    drop((taken, lane));
}

#[tokio::test]
async fn a_frame_is_charged_as_long_as_somebody_holds_a_part_of_it() {
    let budget = Budget::new(512 * MIB, 100 * MIB);
    let (mut near, mut far) = duplex(2 * MIB);
    near.write_all(&framed(&vec![1; MIB])).await.expect("the pipe has room");
    let frame = reader(&budget).next(&mut far).await.expect("a frame");
    assert_eq!(budget.used(), MIB);
    let part = frame.slice(10..20);
    drop(frame);
    assert_eq!(budget.used(), MIB);
    drop(part);
    assert_eq!(budget.used(), 0);
}

#[tokio::test]
async fn who_declares_much_and_sends_nothing_holds_little() {
    let budget = Budget::new(512 * MIB, 100 * MIB);
    let (mut near, mut far) = duplex(64);
    near.write_all(&(99 * MIB as i32).to_be_bytes()).await.expect("the pipe has room");
    let mut reader = reader(&budget);
    let waiting = tokio::time::timeout(Duration::from_millis(20), reader.next(&mut far)).await;
    assert!(waiting.is_err(), "no frame is there");
    assert_eq!(budget.used(), FIRST_STEP);
    assert!(reader.large.as_ref().is_some_and(|large| large.bytes.capacity() <= FIRST_STEP));
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_stands_still_is_given_up() {
    let budget = Budget::new(512 * MIB, 100 * MIB);
    for sent in [2, 10, BUFFER + 10] {
        let (mut near, mut far) = duplex(64 * 1024);
        near.write_all(&framed(&vec![1; MIB])[..sent]).await.expect("the pipe has room");
        let error = reader(&budget).next(&mut far).await.expect_err("the rest never comes");
        assert!(matches!(error, FrameError::Stalled(..)), "{error}");
    }
    assert_eq!(budget.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_trickles_in_is_not_given_up() {
    let budget = Budget::new(512 * MIB, 100 * MIB);
    let (mut near, mut far) = duplex(64);
    let writing = tokio::spawn(async move {
        for byte in framed(b"slowly") {
            tokio::time::sleep(Duration::from_secs(20)).await;
            near.write_all(&[byte]).await.expect("the other end reads");
        }
    });
    assert_eq!(reader(&budget).next(&mut far).await.expect("a frame"), "slowly");
    writing.await.expect("the writer ends");
}

/// Reads a frame of a MiB that comes in such steps, one each so many seconds.
async fn paced(step: usize, seconds: u64) -> Result<Bytes, FrameError> {
    let budget = Budget::new(512 * MIB, 100 * MIB);
    let (mut near, mut far) = duplex(64 * 1024);
    let writing = tokio::spawn(async move {
        for piece in framed(&vec![1; MIB]).chunks(step) {
            if near.write_all(piece).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    });
    let read = reader(&budget).next(&mut far).await;
    drop(far);
    writing.await.expect("the writer ends");
    read
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_that_trickles_in_is_given_up() {
    let begun = Instant::now();
    let error = paced(1024, 20).await.expect_err("it would take six hours");
    assert!(matches!(error, FrameError::Slow(..)), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_large_frame_over_a_slow_line_comes_through() {
    assert_eq!(paced(64 * 1024, 1).await.expect("16 s").len(), MIB);
    assert_eq!(paced(MIB / 2, 20).await.expect("it stands still once").len(), MIB);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_waits_for_memory_is_not_slow() {
    let budget = Budget::new(512 * MIB, 100 * MIB);
    let mut held = Vec::new();
    while let Some(charge) = budget.try_charge(MIB) {
        held.push(charge);
    }
    let lane = budget.charge(MIB).await;
    let (mut near, mut far) = duplex(64 * 1024);
    let reading = tokio::spawn(async move { reader(&budget).next(&mut far).await });
    let frame = framed(&vec![1; MIB]);
    near.write_all(&frame[..64 * 1024]).await.expect("the pipe has room");
    tokio::time::sleep(Duration::from_secs(100)).await;
    drop((held, lane));
    near.write_all(&frame[64 * 1024..]).await.expect("the other end reads");
    assert_eq!(reading.await.expect("no panic").expect("a frame").len(), MIB);
}

#[tokio::test]
async fn what_is_no_frame_is_named() {
    let refusals = [
        (&[0x80, 0, 0, 0][..], "impossible length -2147483648"),
        (&[0x7f, 0xff, 0xff, 0xff], "a frame declares 2147483647 bytes, 104857600 are allowed"),
        (b"GET / HTTP/1.1\r\n", "it looks like HTTP"),
        (&[0x16, 0x03, 0x01, 0x02, 0x00], "it looks like TLS"),
        (&[0, 0, 0, 9, 1, 2], "closed by the client within a frame, 2 of 9 bytes in"),
        (&[0, 0], "closed by the client within a frame"),
    ];
    for (bytes, expected) in refusals {
        let error = refused(bytes).await.to_string();
        assert!(error.contains(expected), "{bytes:?}: {error}");
    }
}

#[tokio::test]
async fn a_connection_that_waits_has_no_buffer() {
    let budget = Budget::new(512 * MIB, 100 * MIB);
    let (mut near, mut far) = duplex(64);
    let mut reader = reader(&budget);
    near.write_all(&framed(b"one")).await.expect("the pipe has room");
    reader.next(&mut far).await.expect("a frame");
    let waiting = tokio::time::timeout(Duration::from_millis(20), reader.next(&mut far)).await;
    assert!(waiting.is_err(), "no frame is there");
    assert_eq!(reader.buffer.capacity(), 0);
}
