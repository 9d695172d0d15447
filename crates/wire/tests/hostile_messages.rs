//! Frames of an attacker, or of a broken client: each gives an error that says what is wrong and
//! where, and takes no more memory than its size justifies.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Encodable, StrBytes};
use vltava_wire::header::{RequestHeader, encode_response_header, split_response};
use vltava_wire::messages::create_topics::CreatableTopicResult;
use vltava_wire::messages::{
    ApiVersionsRequest, ApiVersionsResponse, BrokerHeartbeatRequest, CreateTopicsRequest,
    CreateTopicsResponse, DescribeTopicPartitionsResponse, FetchRequest, FetchResponse,
    HeartbeatRequest, MetadataRequest, ProduceRequest,
};
use vltava_wire::reader::{MEMORY_CEILING, MEMORY_FLOOR, MEMORY_PER_FRAME_BYTE, TAGS_MAX};
use vltava_wire::{ApiKey, DecodeError, DecodeErrorKind, Message, Reader, Str, Writer};

/// 2³¹−1 as the length of a collection of a flexible version: one more, as a varint.
const MANY_COMPACT: [u8; 5] = [0x80, 0x80, 0x80, 0x80, 0x08];

fn read<M: Message + std::fmt::Debug>(version: i16, body: &[u8]) -> DecodeError {
    match M::read(Bytes::copy_from_slice(body), version) {
        Ok(message) => panic!("{body:?} reads as {message:?}"),
        Err(error) => error,
    }
}

#[test]
fn an_array_of_two_thousand_million_elements_is_refused_at_once() {
    let error = read::<MetadataRequest>(1, &[0x7f, 0xff, 0xff, 0xff]);
    let kind = DecodeErrorKind::Truncated { needed: i32::MAX as usize, left: 0 };
    assert_eq!((error.at, error.kind), (4, kind));
    assert_eq!(error.path, "MetadataRequest.topics");

    // As above, compact.
    let error = read::<MetadataRequest>(12, &MANY_COMPACT);
    let kind = DecodeErrorKind::Truncated { needed: i32::MAX as usize, left: 0 };
    assert_eq!((error.at, error.kind), (5, kind));
}

#[test]
fn an_error_deep_inside_names_the_way_there() {
    // CreateTopics v5: one topic "a" with an assignment of 2³¹−1 partitions.
    let mut body = vec![2, 2, b'a', 0, 0, 0, 1, 0, 1];
    body.extend(MANY_COMPACT);
    let error = read::<CreateTopicsRequest>(5, &body);
    assert_eq!(error.path, "CreateTopicsRequest.topics.assignments");
    assert_eq!(
        error.to_string(),
        "at byte 14 in CreateTopicsRequest.topics.assignments: 2147483647 more bytes needed, 0 left"
    );
}

#[test]
fn a_byte_string_of_two_gigabytes_is_refused_at_once() {
    // Produce v3: no transactional id, acks 1, timeout, one topic "t", one partition.
    let mut body = vec![0xff, 0xff, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 1, b't'];
    body.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]);
    let error = read::<ProduceRequest>(3, &body);
    assert_eq!(error.kind, DecodeErrorKind::Truncated { needed: i32::MAX as usize, left: 0 });
    assert!(error.path.ends_with("records"), "{}", error.path);
}

#[test]
fn lengths_below_null_are_refused() {
    let error = read::<MetadataRequest>(1, &[0xff, 0xff, 0xff, 0xfe]);
    assert_eq!(error.kind, DecodeErrorKind::Length(-2));
    let error = read::<HeartbeatRequest>(0, &[0x80, 0]);
    assert_eq!(error.kind, DecodeErrorKind::Length(-32768));
    // A compact length of 2³²−2, which no collection can have.
    let error = read::<MetadataRequest>(12, &[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(error.kind, DecodeErrorKind::Length(0xffff_fffe));
    // A text of 32,768 bytes.
    let mut body = vec![0x81, 0x80, 0x02];
    body.extend([b'x'; 32_768]);
    let error = read::<HeartbeatRequest>(4, &body);
    assert_eq!(error.kind, DecodeErrorKind::Length(32_768));
}

#[test]
fn varints_that_do_not_end_or_say_too_much_are_refused() {
    for varint in [&[0x80, 0x80, 0x80, 0x80, 0x10][..], &[0xff; 5], &[0x80; 9]] {
        let mut reader = Reader::new(Bytes::copy_from_slice(varint));
        let error = reader.unsigned_varint().expect_err("no varint");
        assert_eq!(error.kind, DecodeErrorKind::Varint, "{varint:?}");
        assert_eq!(read::<MetadataRequest>(12, varint).kind, DecodeErrorKind::Varint);
    }
    let mut reader = Reader::new(Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f]));
    assert_eq!(reader.unsigned_varint(), Ok(u32::MAX));
    let mut reader = Reader::new(Bytes::from_static(&[0x80, 0x80]));
    let error = reader.unsigned_varint().expect_err("cut short");
    assert_eq!(error.kind, DecodeErrorKind::Truncated { needed: 1, left: 0 });
}

#[test]
fn null_is_refused_where_the_version_has_none() {
    // Heartbeat's group id is never null.
    let error = read::<HeartbeatRequest>(0, &[0xff, 0xff]);
    assert_eq!(
        (error.kind, error.path),
        (DecodeErrorKind::Null, "HeartbeatRequest.group_id".into())
    );
    assert_eq!(read::<HeartbeatRequest>(4, &[0]).kind, DecodeErrorKind::Null);
    // The topics of Metadata may be null from version 1 on.
    assert_eq!(read::<MetadataRequest>(0, &[0xff; 4]).kind, DecodeErrorKind::Null);
    let all = MetadataRequest::read(Bytes::from_static(&[0xff; 4]), 1).expect("all topics");
    assert_eq!(all.topics, None);
    // The topics of CreateTopics never.
    assert_eq!(read::<CreateTopicsRequest>(5, &[0]).kind, DecodeErrorKind::Null);
}

#[test]
fn text_that_is_not_utf_8_is_replaced_as_kafka_does() {
    let body = [0, 2, 0xc3, 0x28, 0, 0, 0, 0, 0, 1, 0xff];
    let request = HeartbeatRequest::read(Bytes::copy_from_slice(&body), 0).expect("replaced");
    assert_eq!((&*request.group_id, &*request.member_id), ("\u{fffd}(", "\u{fffd}"));
    // Where that makes it longer than any text, it is refused.
    let mut body = vec![0x7f, 0xff];
    body.extend([0xff; 32_767]);
    body.extend([0, 0, 0, 0, 0, 0]);
    let error = read::<HeartbeatRequest>(0, &body);
    assert_eq!(error.kind, DecodeErrorKind::Length(3 * 32_767));
}

#[test]
fn a_message_for_people_is_cut_to_what_the_protocol_allows() {
    let long = Str::from("ř".repeat(20_000));
    for version in [2, 7] {
        let result = CreatableTopicResult {
            error_message: Some(long.clone()),
            ..CreatableTopicResult::default()
        };
        let response = CreateTopicsResponse { topics: vec![result], ..Default::default() };
        let mut writer = Writer::new();
        response.write(&mut writer, version);
        let read = CreateTopicsResponse::read(writer.into_bytes(), version).expect("it reads");
        let message = read.topics[0].error_message.clone().expect("a message");
        assert_eq!(message.len(), 32_766, "whole characters in version {version}");
    }
}

#[test]
fn bytes_after_the_end_are_passed_over() {
    let body = bytes::Bytes::from_static(&[1, 2, 3]);
    assert_eq!(ApiVersionsRequest::read(body, 0), Ok(ApiVersionsRequest::default()));
}

#[test]
fn versions_that_are_not_declared_are_refused() {
    for version in [i16::MIN, -1, 2, 14, i16::MAX] {
        let error = read::<ProduceRequest>(version, &[]);
        assert_eq!(error.kind, DecodeErrorKind::Version(version));
    }
}

#[test]
fn booleans_and_null_marks_are_read_as_kafka_reads_them() {
    let body = [0xff, 0xff, 0xff, 0xff, 0x02];
    let request = MetadataRequest::read(Bytes::copy_from_slice(&body), 4).expect("Kafka reads it");
    assert!(request.allow_auto_topic_creation);
    // DescribeTopicPartitions: no topics, then the cursor: null as −128, or there by a mark of 5.
    let body = [0, 0, 0, 0, 1, 0x80, 0];
    let response = DescribeTopicPartitionsResponse::read(Bytes::copy_from_slice(&body), 0);
    assert_eq!(response.expect("Kafka reads it").next_cursor, None);
    let body = [0, 0, 0, 0, 1, 5, 2, b't', 0, 0, 0, 9, 0, 0];
    let response = DescribeTopicPartitionsResponse::read(Bytes::copy_from_slice(&body), 0);
    let cursor = response.expect("Kafka reads it").next_cursor.expect("a cursor");
    assert_eq!((cursor.topic_name, cursor.partition_index), ("t".into(), 9));
}

/// ApiVersions version 3 of client "c" version "1", its tag section to follow.
fn api_versions(tags: &[u8]) -> Vec<u8> {
    [&[2, b'c', 2, b'1'], tags].concat()
}

#[test]
fn unknown_tags_are_passed_over() {
    let body = api_versions(&[2, 7, 3, 1, 2, 3, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
    let request = ApiVersionsRequest::read(body.into(), 3).expect("unknown tags do no harm");
    assert_eq!(request.client_software_name, "c");
}

#[test]
fn unknown_tags_of_another_codec_are_passed_over_at_every_depth() {
    let tag = |depth: u8| Bytes::copy_from_slice(&[depth; 200]);
    let partition = theirs::fetch_request::FetchPartition::default()
        .with_partition(3)
        .with_unknown_tagged_field(90, tag(3));
    let topic = theirs::fetch_request::FetchTopic::default()
        .with_partitions(vec![partition])
        .with_unknown_tagged_field(91, tag(2));
    let request = theirs::FetchRequest::default()
        .with_cluster_id(Some(StrBytes::from_static_str("praha")))
        .with_topics(vec![topic])
        .with_unknown_tagged_field(92, tag(1));
    let mut body = BytesMut::new();
    request.encode(&mut body, 13).expect("theirs encodes");
    let read = FetchRequest::read(body.freeze(), 13).expect("unknown tags do no harm");
    assert_eq!(read.cluster_id.as_deref(), Some("praha"));
    assert_eq!(read.topics[0].partitions[0].partition, 3);
}

#[test]
fn tag_sections_that_make_no_sense_are_refused() {
    // More than any message has.
    let many = api_versions(&[TAGS_MAX as u8 + 1]);
    assert_eq!(read::<ApiVersionsRequest>(3, &many).kind, DecodeErrorKind::Tags);
    let endless = api_versions(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert_eq!(read::<ApiVersionsRequest>(3, &endless).kind, DecodeErrorKind::Tags);
    // One twice, and out of order.
    let twice = api_versions(&[2, 7, 0, 7, 0]);
    assert_eq!(read::<ApiVersionsRequest>(3, &twice).kind, DecodeErrorKind::Tags);
    let order = api_versions(&[2, 7, 0, 6, 0]);
    assert_eq!(read::<ApiVersionsRequest>(3, &order).kind, DecodeErrorKind::Tags);
    // A value beyond the frame.
    let long = api_versions(&[1, 7, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    let kind = DecodeErrorKind::Truncated { needed: u32::MAX as usize, left: 0 };
    assert_eq!(read::<ApiVersionsRequest>(3, &long).kind, kind);
}

/// The heartbeat of a broker, version 1, its tag section to follow: tag 0 is a list of ids.
fn broker_heartbeat(tags: &[u8]) -> Vec<u8> {
    [&[0; 4 + 8 + 8 + 1 + 1], tags].concat()
}

#[test]
fn a_known_tag_is_held_to_its_own_length() {
    let right = broker_heartbeat(&[&[1, 0, 17, 2][..], &[7; 16]].concat());
    let request = BrokerHeartbeatRequest::read(right.into(), 1).expect("one directory");
    assert_eq!(request.offline_log_dirs.len(), 1);

    let error = read::<BrokerHeartbeatRequest>(
        1,
        &broker_heartbeat(&[&[1, 0, 18, 2][..], &[7; 17]].concat()),
    );
    assert_eq!(error.kind, DecodeErrorKind::Trailing(1));
    let error = read::<BrokerHeartbeatRequest>(
        1,
        &broker_heartbeat(&[&[1, 0, 16, 2][..], &[7; 16]].concat()),
    );
    assert_eq!(error.kind, DecodeErrorKind::Truncated { needed: 16, left: 15 });
    // The list within the tag cannot declare more than the tag holds, whatever follows it.
    let mut body = broker_heartbeat(&[1, 0, 5]);
    body.extend(MANY_COMPACT);
    body.extend([0; 1000]);
    let error = read::<BrokerHeartbeatRequest>(1, &body);
    assert_eq!(error.kind, DecodeErrorKind::Truncated { needed: i32::MAX as usize, left: 0 });
    assert_eq!(error.path, "BrokerHeartbeatRequest.offline_log_dirs");
}

#[test]
fn many_tiny_elements_do_not_grow_into_much_memory() {
    // A mebibyte of topics without a name: each takes two bytes here, and a struct in memory.
    let topics = 512 * 1024;
    let mut body = (topics as u32).to_be_bytes().to_vec();
    body.resize(4 + 2 * topics, 0);
    let error = read::<MetadataRequest>(1, &body);
    assert_eq!(error.kind, DecodeErrorKind::Memory);
    let element = size_of::<vltava_wire::messages::metadata::MetadataRequestTopic>();
    let taken = (error.at - 4) / 2 * element;
    assert!(taken <= MEMORY_PER_FRAME_BYTE * body.len(), "{error}");

    // As many as a small frame holds are fine: the floor is for them.
    let topics = MEMORY_FLOOR / element;
    let mut body = (topics as u32).to_be_bytes().to_vec();
    body.resize(4 + 2 * topics, 0);
    let request = MetadataRequest::read(body.into(), 1).expect("a small frame");
    assert_eq!(request.topics.map(|topics| topics.len()), Some(topics));
}

#[test]
fn a_large_frame_has_no_large_budget() {
    let topics = 5_000_000;
    let mut body = (topics as u32).to_be_bytes().to_vec();
    body.resize(4 + 2 * topics, 0);
    let error = read::<MetadataRequest>(1, &body);
    assert_eq!(error.kind, DecodeErrorKind::Memory);
    let element = size_of::<vltava_wire::messages::metadata::MetadataRequestTopic>();
    assert!((error.at - 4) / 2 * element <= MEMORY_CEILING, "{error}");
}

#[test]
fn memory_of_tags_is_charged_to_the_frame() {
    // ApiVersions' answer in version 3 has its features in tags: two full lists of empty names.
    let features = 40_000;
    let mut list = Writer::new();
    list.unsigned_varint(features + 1);
    for _ in 0..features {
        list.raw(&[1, 0, 0, 0, 0, 0]);
    }
    let list = list.into_bytes();
    let mut body = Writer::new();
    body.raw(&[0, 0, 1, 0, 0, 0, 0, 1, 0]);
    body.unsigned_varint(list.len() as u32);
    body.shared(&list);
    let response = ApiVersionsResponse::read(body.into_bytes(), 3).expect("within the budget");
    assert_eq!(response.supported_features.len(), features as usize);
}

#[test]
fn a_header_is_cut_off_nowhere_without_an_error() {
    let frame = [0, 3, 0, 12, 0, 0, 0, 9, 0, 2, b'm', b'e', 1, 5, 2, 9, 9];
    let (header, body) = RequestHeader::split(Bytes::copy_from_slice(&frame)).expect("a header");
    assert_eq!((header.key(), header.correlation_id), (Some(ApiKey::Metadata), 9));
    assert_eq!(header.client_id, Some(Str::from("me")));
    assert!(body.is_empty());
    for end in 0..frame.len() {
        let cut = Bytes::copy_from_slice(&frame[..end]);
        let error = RequestHeader::split(cut).expect_err("a part of a header");
        assert!(matches!(error.kind, DecodeErrorKind::Truncated { .. }), "{end}: {error}");
    }
}

#[test]
fn headers_are_those_of_the_other_codec() {
    for key in ApiKey::ALL.iter().copied() {
        let Ok(their_key) = theirs::ApiKey::try_from(key.code()) else {
            let lacking = [ApiKey::StreamsGroupHeartbeat, ApiKey::StreamsGroupDescribe];
            assert!(lacking.contains(&key), "the other codec knows {key}");
            continue;
        };
        let versions = their_key.valid_versions();
        for version in versions.min..=versions.max {
            let header = RequestHeader {
                api_key: key.code(),
                api_version: version,
                correlation_id: -7,
                client_id: (version % 2 == 0).then(|| Str::from("kája")),
            };
            let mut ours = Writer::new();
            header.encode(&mut ours);
            let mut expected = BytesMut::new();
            theirs::RequestHeader::default()
                .with_request_api_key(key.code())
                .with_request_api_version(version)
                .with_correlation_id(-7)
                .with_client_id(header.client_id.as_deref().map(|id| StrBytes::from(id.to_owned())))
                .encode(&mut expected, their_key.request_header_version(version))
                .expect("theirs encodes");
            assert_eq!(ours.into_bytes(), expected, "{key} v{version}");

            let mut ours = Writer::new();
            encode_response_header(&mut ours, key, version, 41);
            let mut expected = BytesMut::new();
            theirs::ResponseHeader::default()
                .with_correlation_id(41)
                .encode(&mut expected, their_key.response_header_version(version))
                .expect("theirs encodes");
            let ours = ours.into_bytes();
            assert_eq!(ours, expected, "the answer to {key} v{version}");
            assert_eq!(split_response(ours, key, version), Ok((41, Bytes::new())));
        }
    }
}

#[test]
fn a_header_of_an_unknown_kind_is_still_read() {
    let frame = Bytes::from_static(&[0x7f, 0xff, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 1, 2, 3]);
    let (header, body) = RequestHeader::split(frame).expect("a header");
    assert_eq!((header.key(), header.api_key, header.client_id), (None, 0x7fff, None));
    assert_eq!(body, [1, 2, 3][..]);
    let negative = Bytes::from_static(&[0, 3, 0xff, 0xff, 0, 0, 0, 1, 0xff, 0xff]);
    let error = RequestHeader::split(negative).expect_err("no version");
    assert_eq!(error.kind, DecodeErrorKind::Version(-1));
}

#[test]
fn records_go_in_and_out_without_a_copy() {
    use vltava_wire::messages::fetch::{FetchableTopicResponse, PartitionData};
    let records = Bytes::from(vec![7; 100_000]);
    let partition = PartitionData { records: Some(records.clone().into()), ..Default::default() };
    let topic = FetchableTopicResponse { partitions: vec![partition; 2], ..Default::default() };
    let response = FetchResponse { responses: vec![topic], ..Default::default() };
    let mut writer = Writer::new();
    response.write(&mut writer, 12);
    let length = writer.len();
    let pieces = writer.into_pieces();
    assert_eq!(pieces.iter().map(Bytes::len).sum::<usize>(), length);
    let shared = pieces.iter().filter(|piece| piece.as_ptr() == records.as_ptr()).count();
    assert_eq!(shared, 2, "both partitions share the records");

    let frame = Bytes::from(pieces.concat());
    let read = FetchResponse::read(frame.clone(), 12).expect("it reads");
    let there = read.responses[0].partitions[1].records.clone().expect("records").into_bytes();
    assert_eq!(there, records);
    let within = frame.as_ptr_range().contains(&there.as_ptr());
    assert!(within, "what was read is a view of the frame");
}
