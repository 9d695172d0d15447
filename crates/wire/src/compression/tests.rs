//! Tests of the codecs.

use super::*;

const COMPRESSING: [Compression; 4] =
    [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

fn text(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index / 7 % 251) as u8).collect()
}

fn is_corrupt(codec: Compression, input: &[u8], max: usize) -> bool {
    matches!(codec.decompress(input, max), Err(DecompressError::Corrupt { .. }))
}

#[test]
fn every_codec_reads_what_it_writes() {
    for codec in Compression::ALL {
        for size in [0, 1, 1000, 32 * 1024, 32 * 1024 + 1, 300_000] {
            let input = text(size);
            let compressed = codec.compress(&input);
            let output = codec.decompress(&compressed, size);
            assert_eq!(output.as_deref(), Ok(&input[..]), "{} of {size} bytes", codec.name());
        }
    }
}

#[test]
fn the_cap_is_exact() {
    for codec in COMPRESSING {
        for size in [1, 100, FIRST_RESERVATION, 100_000] {
            let compressed = codec.compress(&text(size));
            assert!(codec.decompress(&compressed, size).is_ok(), "{} {size}", codec.name());
            assert_eq!(
                codec.decompress(&compressed, size - 1),
                Err(DecompressError::TooLarge { codec: codec.name(), max: size - 1 }),
            );
        }
    }
}

#[test]
fn a_bomb_is_refused_at_the_cap() {
    for codec in COMPRESSING {
        let bomb = codec.compress(&vec![0; 64 << 20]);
        let max = 1 << 20;
        assert_eq!(
            codec.decompress(&bomb, max),
            Err(DecompressError::TooLarge { codec: codec.name(), max }),
        );
    }
}

#[test]
fn input_that_is_cut_off_is_refused() {
    for codec in COMPRESSING {
        let input = text(5000);
        let compressed = codec.compress(&input);
        for end in 1..compressed.len() {
            // A stream of snappy that ends after its header holds nothing.
            if codec == Compression::Snappy && end == XERIAL_HEADER.len() {
                continue;
            }
            let output = codec.decompress(&compressed[..end], 10_000);
            // A frame of lz4 may end where a block would start: then whole blocks are read, and
            // records that are missing are found by their number.
            let block = codec == Compression::Lz4
                && output.as_deref().is_ok_and(|output| output.is_empty() || output == input);
            assert!(output.is_err() || block, "{} to {end}", codec.name());
        }
    }
}

#[test]
fn garbage_is_corrupt() {
    for codec in COMPRESSING {
        for garbage in
            [&[0xff; 64][..], &[0x11; 7], b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x05ab"]
        {
            assert!(is_corrupt(codec, garbage, 1000), "{} {garbage:?}", codec.name());
        }
    }
}

#[test]
fn snappy_is_read_without_framing() {
    let input = text(100_000);
    let raw = snap::raw::Encoder::new().compress_vec(&input).expect("small");
    assert_eq!(Compression::Snappy.decompress(&raw, input.len()).as_deref(), Ok(&input[..]));
}

#[test]
fn snappy_streams_may_follow_each_other() {
    let mut twice = Compression::Snappy.compress(b"first ");
    twice.extend(Compression::Snappy.compress(b"second"));
    assert_eq!(Compression::Snappy.decompress(&twice, 12).as_deref(), Ok(&b"first second"[..]));
}

#[test]
fn snappy_that_declares_more_than_it_can_hold_is_corrupt() {
    // 2³⁰ bytes as a varint, then a literal of one byte.
    let declares = [0x80, 0x80, 0x80, 0x80, 0x04, 0x00, b'x'];
    assert!(is_corrupt(Compression::Snappy, &declares, usize::MAX));
    let mut framed = XERIAL_HEADER.to_vec();
    framed.extend((declares.len() as i32).to_be_bytes());
    framed.extend(declares);
    assert!(is_corrupt(Compression::Snappy, &framed, usize::MAX));
}

#[test]
fn snappy_blocks_beyond_the_stream_are_corrupt() {
    for length in [-1, 5, i32::MAX, i32::MIN] {
        let mut framed = XERIAL_HEADER.to_vec();
        framed.extend(length.to_be_bytes());
        framed.extend([1, 0, b'x']);
        assert!(is_corrupt(Compression::Snappy, &framed, 1000), "{length}");
    }
    let mut cut = XERIAL_HEADER.to_vec();
    cut.extend([0, 0]);
    assert!(is_corrupt(Compression::Snappy, &cut, 1000));
    assert!(is_corrupt(Compression::Snappy, &XERIAL_HEADER[..12], 1000));
    // A stream of no blocks is empty.
    assert_eq!(Compression::Snappy.decompress(&XERIAL_HEADER, 0).as_deref(), Ok(&[][..]));
}

#[test]
fn the_most_that_snappy_can_yield_is_read() {
    let zeros = vec![0; SNAPPY_BLOCK];
    let raw = snap::raw::Encoder::new().compress_vec(&zeros).expect("small");
    assert!(zeros.len() > raw.len() * 20, "zeros are what snappy does best");
    assert_eq!(Compression::Snappy.decompress(&raw, zeros.len()).as_deref(), Ok(&zeros[..]));
}

#[test]
fn gzip_members_may_follow_each_other() {
    let mut twice = Compression::Gzip.compress(b"first ");
    twice.extend(Compression::Gzip.compress(b"second"));
    assert_eq!(Compression::Gzip.decompress(&twice, 12).as_deref(), Ok(&b"first second"[..]));
}

#[test]
fn zstd_that_declares_a_huge_size_takes_what_it_holds() {
    // A frame of one segment that says to hold 2⁶² bytes, then one raw block of one byte.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000];
    frame.extend((1u64 << 62).to_le_bytes());
    frame.extend([0b0000_1001, 0, 0, b'x']);
    let error = Compression::Zstd.decompress(&frame, 1 << 20).expect_err("it lies");
    assert!(matches!(error, DecompressError::Corrupt { .. }), "{error}");
}

#[test]
fn zstd_written_by_a_stream_is_read() {
    // As Java's producers write: without the size, and with a window larger than the data.
    let input = text(200_000);
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 19).expect("a level");
    encoder.window_log(27).expect("a window");
    encoder.write_all(&input).expect("memory");
    let compressed = encoder.finish().expect("memory");
    let output = Compression::Zstd.decompress(&compressed, input.len());
    assert_eq!(output.as_deref(), Ok(&input[..]));
}

#[test]
fn names_and_numbers_go_back_and_forth() {
    for codec in Compression::ALL {
        assert_eq!(Compression::from_code(codec.code()), Some(codec));
        assert_eq!(Compression::from_name(codec.name()), Some(codec));
    }
    assert_eq!(Compression::from_code(5), None);
    assert_eq!(Compression::from_name("uncompressed"), None);
}
