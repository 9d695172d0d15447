//! Giving a batch another codec, where the topic wants one (`compression.type`).

use bytes::BytesMut;
use vltava_wire::batch::{BATCH_OVERHEAD, Batch, BatchError, BatchErrorKind, BatchHeader};
use vltava_wire::compression::Compression;

/// Bytes that a batch's records may take once they are decompressed: a hundred times what a batch
/// may take by default, so that no batch of ordinary records is refused and no bomb goes off.
pub const DECOMPRESSED_MAX: usize = 100 << 20;

/// What a topic wants batches compressed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The codec.
    pub codec: Compression,
    /// How hard it works; `None` for its own default.
    pub level: Option<i32>,
}

/// The batch, its records compressed as `wanted`; `None` if they are by that codec already.
///
/// # Errors
/// The records cannot be decompressed, or take more than [`DECOMPRESSED_MAX`].
pub fn recompress(bytes: &[u8], wanted: Wanted) -> Result<Option<BytesMut>, BatchError> {
    let Wanted { codec, level } = wanted;
    let batch = Batch::parse(bytes)?;
    if batch.header.compression() == codec {
        return Ok(None);
    }
    batch.verify_crc()?;
    let error = |kind| BatchError { at: 0, kind };
    let plain = batch.header.compression().decompress(batch.stored_records(), DECOMPRESSED_MAX);
    let plain = plain.map_err(|cause| error(BatchErrorKind::Decompress(cause)))?;
    let records = match codec {
        Compression::None => plain.into_owned(),
        codec => codec.compress_at(level, &plain),
    };
    let size = i32::try_from(BATCH_OVERHEAD + records.len() - LENGTH_AFTER)
        .map_err(|_| error(BatchErrorKind::Length(i32::MAX)))?;
    let header = BatchHeader {
        batch_length: size,
        attributes: batch.header.attributes.with_compression(codec),
        ..batch.header
    };
    let mut changed = BytesMut::with_capacity(BATCH_OVERHEAD + records.len());
    changed.extend_from_slice(&header.to_bytes());
    changed.extend_from_slice(&records);
    vltava_wire::batch::refresh_crc(&mut changed);
    Ok(Some(changed))
}

/// The base offset and the length itself, which the length does not count.
const LENGTH_AFTER: usize = vltava_wire::batch::LOG_OVERHEAD;

#[cfg(test)]
mod tests {
    use vltava_wire::Offset;
    use vltava_wire::batch::BatchBuilder;

    use super::*;

    fn batch(codec: Compression) -> BytesMut {
        let mut builder = BatchBuilder::new(Offset(0)).compression(codec);
        for number in 0..50 {
            builder.append(1_000 + number, Some(b"key"), Some(b"the same value"), &[]);
        }
        builder.build()
    }

    #[test]
    fn a_batch_says_the_same_in_every_codec() {
        let codecs = [
            Compression::None,
            Compression::Gzip,
            Compression::Snappy,
            Compression::Lz4,
            Compression::Zstd,
        ];
        let records = |bytes: &[u8]| -> Vec<_> {
            let batch = Batch::parse(bytes).expect("a batch");
            batch.verify_crc().expect("its CRC");
            let records = batch.records(1 << 20).expect("records");
            records.iter().map(|it| it.map(|it| (it.offset, it.timestamp)).expect("ok")).collect()
        };
        for from in codecs {
            for to in codecs {
                let before = batch(from);
                let wanted = Wanted { codec: to, level: None };
                let after = recompress(&before, wanted).expect("recompressed");
                assert_eq!(after.is_none(), from == to);
                let after = after.unwrap_or_else(|| before.clone());
                assert_eq!(records(&after), records(&before), "{from:?} to {to:?}");
                assert_eq!(Batch::parse(&after).expect("batch").header.compression(), to);
            }
        }
    }

    #[test]
    fn a_higher_level_works_harder() {
        let mut builder = BatchBuilder::new(Offset(0));
        for number in 0..2_000u32 {
            let (customer, item) = (number.wrapping_mul(7_919) % 1_013, number % 97);
            let text = format!("order {number} of customer {customer}: item {item}, sent at once");
            builder.append(1_000, None, Some(text.as_bytes()), &[]);
        }
        let plain = builder.build();
        for codec in [Compression::Gzip, Compression::Zstd] {
            let size = |level| {
                let wanted = Wanted { codec, level: Some(level) };
                recompress(&plain, wanted).expect("recompressed").expect("changed").len()
            };
            assert!(size(9) < size(1), "{codec:?}");
        }
    }

    #[test]
    fn a_batch_that_is_corrupt_is_refused() {
        let mut bytes = batch(Compression::None);
        *bytes.last_mut().expect("bytes") ^= 1;
        let wanted = Wanted { codec: Compression::Zstd, level: Some(22) };
        assert!(recompress(&bytes, wanted).is_err());
    }
}
