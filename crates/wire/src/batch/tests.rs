//! Tests of record batches.

use super::*;
use crate::Offset;
use crate::compression::Compression;

#[test]
fn every_codec_gives_back_the_records() {
    for codec in Compression::ALL {
        let mut builder = BatchBuilder::new(Offset(40)).compression(codec);
        builder.append(1000, Some(b"k"), Some(b"v"), &[("h", Some(b"x")), ("n", None)]);
        builder.append(900, None, None, &[]);
        let bytes = builder.build();
        let batch = Batch::parse(&bytes).expect("a batch");
        batch.verify_crc().expect("the CRC");
        assert_eq!(batch.header.last_offset(), Offset(41));
        assert_eq!(batch.header.max_timestamp, 1000);
        assert_eq!(batch.header.compression(), codec);
        let records = batch.records(1024).expect("records");
        let records: Vec<_> = records.iter().collect::<Result<_, _>>().expect("records");
        assert_eq!(records.len(), 2);
        assert_eq!(records[0].key, Some(&b"k"[..]));
        assert_eq!(records[0].headers.len(), 2);
        assert_eq!((records[1].offset, records[1].timestamp), (Offset(41), 900));
    }
}
