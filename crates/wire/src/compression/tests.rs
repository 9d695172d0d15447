//! Tests of the codecs.

use super::*;

#[test]
fn every_codec_reads_what_it_writes() {
    for codec in Compression::ALL {
        for size in [0, 1, 1000, 32 * 1024, 32 * 1024 + 1, 300_000] {
            let input: Vec<u8> = (0..size).map(|index| (index / 7 % 251) as u8).collect();
            let compressed = codec.compress(&input);
            let output = codec.decompress(&compressed, size);
            assert_eq!(output.as_deref(), Ok(&input[..]), "{} of {size} bytes", codec.name());
        }
    }
}
