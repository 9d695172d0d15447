//! One record of the metadata log, and how its bytes are framed.
//!
//! The value of each record starts with three unsigned varints (frame version 1, the record's
//! type, the version of its body); the body follows.

use bytes::Bytes;
use vltava_wire::records::metadata::{
    BrokerRegistrationChangeRecord, ClearElrRecord, ConfigRecord, FeatureLevelRecord, NoOpRecord,
    PartitionChangeRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord,
    RegisterControllerRecord, RemoveTopicRecord, TopicRecord, UnregisterBrokerRecord,
};
use vltava_wire::{DecodeError, Message, Reader, Writer};

/// The only frame version that there is.
const FRAME_VERSION: u32 = 1;

/// Why bytes are no metadata record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The frame before the body ends early or is no number.
    #[error("the frame of a metadata record is malformed")]
    Frame(#[source] DecodeError),
    /// A frame of a version that this build does not know.
    #[error("frame version {0} is not supported")]
    FrameVersion(u32),
    /// A kind of record that this build does not know: passing it over would make images differ.
    #[error("metadata records of type {0} are not supported")]
    UnknownType(u32),
    /// A body of a version that this build does not know.
    #[error("version {version} of {name} is not supported")]
    UnknownVersion {
        /// The record's kind.
        name: &'static str,
        /// The version in the frame.
        version: u32,
    },
    /// A body that is not what its type says.
    #[error("the body of a metadata record is malformed")]
    Body(#[source] DecodeError),
}

macro_rules! records {
    ($($code:literal $variant:ident($record:ty);)*) => {
        /// A record of the metadata log; see each record's own type for its fields.
        #[derive(Clone, Debug, PartialEq)]
        pub enum MetadataRecord {
            $(
                #[doc = concat!("Type ", stringify!($code), ".")]
                $variant($record),
            )*
        }

        impl MetadataRecord {
            /// The number of the record's type.
            pub const fn type_code(&self) -> u32 {
                match self {
                    $(Self::$variant(_) => $code,)*
                }
            }

            /// The name of the record's type.
            pub const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => <$record as Message>::NAME,)*
                }
            }

            /// The record's bytes, in the newest version of its body.
            pub fn encode(&self) -> Bytes {
                let mut writer = Writer::new();
                writer.unsigned_varint(FRAME_VERSION);
                writer.unsigned_varint(self.type_code());
                match self {
                    $(Self::$variant(record) => {
                        let version = <$record as Message>::VERSIONS.max;
                        writer.unsigned_varint(version as u32);
                        record.write(&mut writer, version);
                    })*
                }
                writer.into_bytes()
            }

            fn decode_body(code: u32, version: u32, body: Bytes) -> Result<Self, RecordError> {
                match code {
                    $($code => read::<$record>(body, version).map(Self::$variant),)*
                    other => Err(RecordError::UnknownType(other)),
                }
            }
        }

        $(
            impl From<$record> for MetadataRecord {
                fn from(record: $record) -> Self {
                    Self::$variant(record)
                }
            }
        )*
    };
}

records! {
    0 RegisterBroker(RegisterBrokerRecord);
    1 UnregisterBroker(UnregisterBrokerRecord);
    2 Topic(TopicRecord);
    3 Partition(PartitionRecord);
    4 Config(ConfigRecord);
    5 PartitionChange(PartitionChangeRecord);
    9 RemoveTopic(RemoveTopicRecord);
    12 FeatureLevel(FeatureLevelRecord);
    15 ProducerIds(ProducerIdsRecord);
    17 BrokerRegistrationChange(BrokerRegistrationChangeRecord);
    20 NoOp(NoOpRecord);
    27 RegisterController(RegisterControllerRecord);
    28 ClearElr(ClearElrRecord);
}

fn read<R: Message>(body: Bytes, version: u32) -> Result<R, RecordError> {
    let number = i16::try_from(version)
        .ok()
        .filter(|number| R::VERSIONS.contains(*number))
        .ok_or(RecordError::UnknownVersion { name: R::NAME, version })?;
    R::read(body, number).map_err(RecordError::Body)
}

impl MetadataRecord {
    /// Reads the value of a record of the metadata log.
    ///
    /// # Errors
    /// Bytes that are no record that this build knows; nothing is passed over in silence.
    pub fn decode(value: Bytes) -> Result<Self, RecordError> {
        let mut reader = Reader::new(value);
        let frame = reader.unsigned_varint().map_err(RecordError::Frame)?;
        if frame != FRAME_VERSION {
            return Err(RecordError::FrameVersion(frame));
        }
        let code = reader.unsigned_varint().map_err(RecordError::Frame)?;
        let version = reader.unsigned_varint().map_err(RecordError::Frame)?;
        Self::decode_body(code, version, reader.into_rest())
    }
}

#[cfg(test)]
mod tests {
    use vltava_wire::Uuid;

    use super::*;

    #[test]
    fn a_record_is_framed_as_kafka_frames_it() {
        let record = TopicRecord { name: "foo".into(), topic_id: Uuid(1) };
        let bytes = MetadataRecord::from(record.clone()).encode();
        let mut golden = vec![1, 2, 0, 4, b'f', b'o', b'o'];
        golden.extend_from_slice(&Uuid(1).to_bytes());
        golden.push(0);
        assert_eq!(bytes, golden);
        assert_eq!(MetadataRecord::decode(bytes), Ok(record.into()));
    }

    #[test]
    fn what_is_not_known_is_named() {
        let decode = |bytes: &'static [u8]| MetadataRecord::decode(Bytes::from_static(bytes));
        assert_eq!(decode(&[2, 0, 0]), Err(RecordError::FrameVersion(2)));
        assert_eq!(decode(&[1, 99, 0]), Err(RecordError::UnknownType(99)));
        assert!(matches!(
            decode(&[1, 2, 9]),
            Err(RecordError::UnknownVersion { name: "TopicRecord", version: 9 })
        ));
        assert!(matches!(decode(&[1]), Err(RecordError::Frame(_))));
    }
}
