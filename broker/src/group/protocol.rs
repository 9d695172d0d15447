//! What consumers of the classic protocol tell each other, as far as the coordinator has to know
//! of it: subscriptions and assignments (Kafka's `ConsumerProtocol`).
//!
//! Newer versions only append, so that what is beyond the known fields is passed over.

use bytes::Bytes;
use vltava_metadata::Image;
use vltava_wire::message::Wire;
use vltava_wire::messages::consumer_group_heartbeat::TopicPartitions;
use vltava_wire::records::group::{
    ConsumerProtocolAssignment, ConsumerProtocolAssignmentTopicPartition,
    ConsumerProtocolSubscription,
};
use vltava_wire::{Message, Reader, Str, Writer};

use super::consumer::Partitions;

/// The newest version of both that is known here.
const NEWEST: i16 = 3;

/// The version that something was written in, if it is one.
fn version_of(bytes: &Bytes) -> Option<(i16, Bytes)> {
    let (version, rest) = bytes.split_first_chunk()?;
    let version = i16::from_be_bytes(*version);
    (version >= 0).then(|| (version.min(NEWEST), bytes.slice_ref(rest)))
}

fn read<M: Message>(body: &Bytes, version: i16) -> Option<M> {
    let version = M::version(version).ok()?;
    Wire::decode(&mut Reader::new(body.clone()), version).ok()
}

/// A consumer's subscription. One that is shorter than its version has it is read as far as the
/// first version goes, as there are clients that write such.
pub(super) fn subscription(metadata: &Bytes) -> Option<ConsumerProtocolSubscription> {
    let (version, body) = version_of(metadata)?;
    read(&body, version).or_else(|| read(&body, 0))
}

/// A consumer's assignment; no bytes at all are one without partitions.
pub(super) fn assignment(bytes: &Bytes) -> Option<ConsumerProtocolAssignment> {
    if bytes.is_empty() {
        return Some(ConsumerProtocolAssignment::default());
    }
    let (version, body) = version_of(bytes)?;
    read(&body, version)
}

/// The partitions of topics that exist.
pub(super) fn partitions(assignment: &ConsumerProtocolAssignment, image: &Image) -> Partitions {
    let mut partitions = Partitions::new();
    for topic in &assignment.assigned_partitions {
        if let Some(id) = image.topic_id(&topic.topic) {
            partitions.entry(id).or_default().extend(&topic.partitions);
        }
    }
    partitions
}

/// What a consumer says that it owns, of topics that exist.
pub(super) fn owned(
    subscription: &ConsumerProtocolSubscription,
    image: &Image,
) -> Vec<TopicPartitions> {
    let topics = subscription.owned_partitions.iter().filter_map(|topic| {
        let topic_id = image.topic_id(&topic.topic)?;
        Some(TopicPartitions { topic_id, partitions: topic.partitions.clone() })
    });
    topics.collect()
}

/// An assignment in the version that the consumer wrote its subscription in.
pub(super) fn write_assignment(
    partitions: &Partitions,
    image: &Image,
    subscription: &Bytes,
) -> Bytes {
    let version = version_of(subscription).map_or(0, |(version, _)| version);
    let topics = partitions.iter().filter_map(|(id, partitions)| {
        Some(ConsumerProtocolAssignmentTopicPartition {
            topic: image.topic_by_id(*id)?.name.clone(),
            partitions: partitions.iter().copied().collect(),
        })
    });
    let assigned_partitions = topics.collect();
    let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
    let mut writer = Writer::new();
    writer.i16(version);
    assignment.write(&mut writer, version);
    writer.into_bytes()
}

/// The topics of a consumer's subscription.
pub(super) fn topics(metadata: &Bytes) -> Option<Vec<Str>> {
    let (_, body) = version_of(metadata)?;
    read::<ConsumerProtocolSubscription>(&body, 0).map(|subscription| subscription.topics)
}

#[cfg(test)]
mod tests {
    use vltava_metadata::{Changes, MetadataRecord};
    use vltava_wire::Uuid;
    use vltava_wire::records::group::TopicPartition;
    use vltava_wire::records::metadata::TopicRecord;

    use super::*;

    fn image() -> Image {
        let mut image = Image::new("cluster".into());
        let topic = TopicRecord { name: "orders".into(), topic_id: Uuid(7) };
        image.apply(&MetadataRecord::from(topic), &mut Changes::default()).expect("a topic");
        image
    }

    fn written(version: i16, said: i16) -> Bytes {
        let subscription = ConsumerProtocolSubscription {
            topics: vec!["orders".into()],
            owned_partitions: (version >= 1)
                .then(|| TopicPartition { topic: "orders".into(), partitions: vec![2] })
                .into_iter()
                .collect(),
            ..Default::default()
        };
        let mut writer = Writer::new();
        writer.i16(said);
        subscription.write(&mut writer, version);
        writer.into_bytes()
    }

    #[test]
    fn subscriptions_of_all_versions_and_lengths_are_read() {
        for (version, said, owned) in [(0, 0, 0), (1, 1, 1), (3, 3, 1), (3, 9, 1), (0, 1, 0)] {
            let read = subscription(&written(version, said)).expect("a subscription");
            assert_eq!(read.topics, ["orders"], "{version} {said}");
            assert_eq!(read.owned_partitions.len(), owned, "{version} {said}");
        }
        assert_eq!(subscription(&written(0, -1)), None);
        assert_eq!(subscription(&Bytes::from_static(b"\0\0\0")), None);
        assert_eq!(subscription(&Bytes::new()), None);
    }

    #[test]
    fn an_assignment_comes_back_as_it_was_written_in_the_members_version() {
        let given = Partitions::from([(Uuid(7), [1, 3].into()), (Uuid(9), [0].into())]);
        for version in 0..=NEWEST {
            let bytes = write_assignment(&given, &image(), &written(version, version));
            assert_eq!(bytes[..2], version.to_be_bytes());
            let read = assignment(&bytes).expect("an assignment");
            let known = Partitions::from([(Uuid(7), [1, 3].into())]);
            assert_eq!(partitions(&read, &image()), known, "topics that are gone are left out");
        }
        assert_eq!(assignment(&Bytes::new()), Some(ConsumerProtocolAssignment::default()));
        assert_eq!(assignment(&Bytes::from_static(b"garbage")), None);
    }
}
