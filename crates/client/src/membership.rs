//! What the members of a classic consumer group tell each other.

use bytes::Bytes;
use vltava_wire::records::group::{ConsumerProtocolAssignment, ConsumerProtocolSubscription};
use vltava_wire::{DecodeError, Message, Reader, Str, Writer};

/// The version that this client writes; later ones serve the cooperative protocol.
const VERSION: i16 = 0;

/// A subscription, as a member sends it when it joins.
pub(crate) fn encode_subscription(topics: &[String]) -> Bytes {
    let subscription = ConsumerProtocolSubscription {
        topics: topics.iter().map(|topic| topic.as_str().into()).collect(),
        ..ConsumerProtocolSubscription::default()
    };
    let mut writer = Writer::new();
    writer.i16(VERSION);
    subscription.write(&mut writer, VERSION);
    writer.into_bytes()
}

/// The topics that a member is subscribed to.
pub(crate) fn decode_subscription(bytes: &Bytes) -> Result<Vec<String>, DecodeError> {
    let subscription: ConsumerProtocolSubscription = decode(bytes)?;
    Ok(subscription.topics.iter().map(Into::into).collect())
}

/// An assignment, as the leader of the group sends it for a member.
pub(crate) fn encode_assignment(partitions: &[(String, i32)]) -> Bytes {
    let mut assignment = ConsumerProtocolAssignment::default();
    for (topic, partition) in partitions {
        let topics = &mut assignment.assigned_partitions;
        if topics.last().is_none_or(|last| last.topic != topic.as_str()) {
            topics.push(Default::default());
        }
        let last = topics.last_mut().expect("one was pushed if there was none");
        last.topic = Str::from(topic.as_str());
        last.partitions.push(*partition);
    }
    let mut writer = Writer::new();
    writer.i16(VERSION);
    assignment.write(&mut writer, VERSION);
    writer.into_bytes()
}

/// The partitions that a member is given; none, if the bytes are empty.
pub(crate) fn decode_assignment(bytes: &Bytes) -> Result<Vec<(String, i32)>, DecodeError> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let assignment: ConsumerProtocolAssignment = decode(bytes)?;
    let topics = assignment.assigned_partitions.iter();
    let pairs = topics.flat_map(|topic| {
        topic.partitions.iter().map(|partition| (String::from(&topic.topic), *partition))
    });
    Ok(pairs.collect())
}

/// Reads what a member of any version wrote: fields of later versions come last and are passed
/// over.
fn decode<M: Message>(bytes: &Bytes) -> Result<M, DecodeError> {
    let mut reader = Reader::new(bytes.clone());
    let version = reader.i16()?.min(M::VERSIONS.max);
    M::decode(&mut reader, M::version(version)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_understand_what_members_write() {
        let topics = vec!["orders".to_owned(), "payments".to_owned()];
        assert_eq!(decode_subscription(&encode_subscription(&topics)), Ok(topics));
        let partitions =
            vec![("orders".to_owned(), 0), ("orders".to_owned(), 2), ("payments".to_owned(), 1)];
        assert_eq!(decode_assignment(&encode_assignment(&partitions)), Ok(partitions));
        assert_eq!(decode_assignment(&Bytes::new()), Ok(Vec::new()));
    }

    #[test]
    fn a_subscription_of_a_later_version_is_read_as_far_as_it_is_known() {
        let mut bytes = encode_subscription(&["orders".to_owned()]).to_vec();
        bytes[..2].copy_from_slice(&9i16.to_be_bytes());
        bytes.extend([0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3]);
        assert_eq!(decode_subscription(&bytes.into()), Ok(vec!["orders".to_owned()]));
    }
}
