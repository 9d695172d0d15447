//! Records without a key, which a compacted topic does not take: nobody could say what they
//! replace.

use vltava_wire::batch::{Batch, BatchError};
use vltava_wire::messages::produce::BatchIndexAndErrorMessage;
use vltava_wire::{ErrorCode, Str};

use super::Refusal;
use crate::partition::PartitionName;
use crate::partition::recompress::DECOMPRESSED_MAX;

/// As many as a message names, as in Kafka.
const NAMED_MAX: usize = 3;

/// The indexes of the batch's records that have no key.
fn find(batch: &Batch<'_>) -> Result<Vec<i32>, BatchError> {
    let mut found = Vec::new();
    for (record, index) in batch.records(DECOMPRESSED_MAX)?.iter().zip(0..) {
        if record?.key.is_none() {
            found.push(index);
        }
    }
    Ok(found)
}

/// Refuses a batch for a compacted topic if one of its records has no key, or if they cannot be
/// read.
pub(super) fn refuse(bytes: &[u8], partition: &PartitionName) -> Result<(), Refusal> {
    let corrupt =
        |error: BatchError| Refusal::because(ErrorCode::CORRUPT_MESSAGE, error.to_string());
    let batch = Batch::parse(bytes).map_err(corrupt)?;
    // What does not say what it said is refused as such.
    batch.verify_crc().map_err(corrupt)?;
    let found = find(&batch).map_err(corrupt)?;
    if found.is_empty() {
        return Ok(());
    }
    let error =
        format!("Compacted topic cannot accept message without key in topic partition {partition}");
    let named: Vec<_> = found
        .iter()
        .take(NAMED_MAX)
        .map(|index| format!("RecordError(batchIndex={index}, message='{error}')"))
        .collect();
    let message = format!(
        "One or more records have been rejected due to {} record errors in total, and only \
         showing the first three errors at most: [{}]",
        found.len(),
        named.join(", ")
    );
    let record_errors = found.into_iter().map(|batch_index| BatchIndexAndErrorMessage {
        batch_index,
        batch_index_error_message: Some(Str::from(error.as_str())),
    });
    let record_errors = record_errors.collect();
    Err(Refusal { record_errors, ..Refusal::because(ErrorCode::INVALID_RECORD, message) })
}

#[cfg(test)]
mod tests {
    use vltava_wire::batch::BatchBuilder;
    use vltava_wire::{Offset, Uuid};

    use super::*;

    fn refused(keys: &[Option<&[u8]>]) -> Option<Refusal> {
        let mut builder = BatchBuilder::new(Offset(0));
        for key in keys {
            builder.append(1, *key, Some(b"value"), &[]);
        }
        let name = PartitionName { topic: "t".into(), topic_id: Uuid(1), index: 2 };
        refuse(&builder.build(), &name).err()
    }

    #[test]
    fn each_record_needs_a_key_even_an_empty_one() {
        assert!(refused(&[Some(b"a"), Some(b"")]).is_none());
        let refusal = refused(&[None, Some(b"a"), None, None, None]).expect("refused");
        assert_eq!(refusal.code, ErrorCode::INVALID_RECORD);
        let indexes: Vec<_> = refusal.record_errors.iter().map(|it| it.batch_index).collect();
        assert_eq!(indexes, [0, 2, 3, 4]);
        let message = refusal.message.expect("a message");
        assert!(message.contains("due to 4 record errors in total"), "{message}");
        assert!(message.contains("batchIndex=3, message='Compacted topic"), "{message}");
        assert!(!message.contains("batchIndex=4"), "{message}");
    }
}
