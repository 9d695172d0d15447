//! TxnOffsetCommit (28): a group has read that far, if the transaction is committed.

use std::collections::BTreeSet;
use std::sync::Arc;

use vltava_log::{ToVerify, Verification};
use vltava_metadata::Image;
use vltava_net::Reply;
use vltava_wire::batch::NO_SEQUENCE;
use vltava_wire::messages::offset_commit::{
    OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use vltava_wire::messages::txn_offset_commit::{
    TxnOffsetCommitRequestTopic, TxnOffsetCommitResponsePartition, TxnOffsetCommitResponseTopic,
};
use vltava_wire::messages::{
    OffsetCommitResponse, TxnOffsetCommitRequest, TxnOffsetCommitResponse,
};
use vltava_wire::{ErrorCode, PartitionId, ProducerEpoch, ProducerId, Str};

use crate::api::context::Call;
use crate::error::admission_code;
use crate::group::calls::CommitCall;
use crate::metadata::topic::GROUP_OFFSETS;
use crate::partition::surroundings::wall_clock_ms;
use crate::server::Broker;
use crate::shard::TxnProducer;
use crate::txn::calls::{EPOCH_PER_TRANSACTION, PartitionsCall};
use crate::txn::gate::Question;

/// From this version on the group's coordinator makes its partition part of the transaction.
const ADDS_SINCE: i16 = 5;

/// From this version on producers know of errors that they can abort a transaction after.
const ABORTABLE_SINCE: i16 = 4;

/// Before this version a coordinator that is loading is told as one that is not there (KIP-447).
const LOADING_SINCE: i16 = 2;

/// Answers when the offsets are stored on all replicas in sync; they count once the transaction is
/// committed.
pub async fn handle(broker: &Arc<Broker>, call: Call<TxnOffsetCommitRequest>) -> Reply {
    let request = call.request.clone();
    let version = call.version();
    let broker = Arc::clone(broker);
    call.reply_later(async move {
        let image = broker.cluster.image();
        let known = known(&image, &request);
        if request.group_id.is_empty() {
            return answer(&request, &known, Err(ErrorCode::INVALID_GROUP_ID));
        }
        if known.is_empty() {
            return answer(&request, &known, Ok(OffsetCommitResponse::default()));
        }
        let producer = match admit(&broker, &request, version).await {
            Ok(producer) => producer,
            Err(code) => return answer(&request, &known, Err(code)),
        };
        let committed = broker.groups.commit(CommitCall {
            group_id: request.group_id.clone(),
            version,
            generation: request.generation_id,
            member_id: request.member_id.clone(),
            instance_id: request.group_instance_id.clone(),
            retention_ms: -1,
            topics: known.clone(),
            transaction: Some(producer),
        });
        let mut committed = committed.get().await;
        if version < LOADING_SINCE {
            let partitions = committed.topics.iter_mut().flat_map(|topic| &mut topic.partitions);
            partitions
                .filter(|it| it.error_code == ErrorCode::COORDINATOR_LOAD_IN_PROGRESS)
                .for_each(|it| it.error_code = ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        answer(&request, &known, Ok(committed))
    })
}

/// Asks the transaction's coordinator whether the group's partition is part of the transaction, or
/// to make it so, unless the transaction is open there already (KIP-890).
async fn admit(
    broker: &Broker,
    request: &TxnOffsetCommitRequest,
    version: i16,
) -> Result<TxnProducer, ErrorCode> {
    let (id, epoch) = (ProducerId(request.producer_id), ProducerEpoch(request.producer_epoch));
    let producer = |verification| TxnProducer { id, epoch, verification };
    let question = if version >= ADDS_SINCE { Question::Add } else { Question::Verify };
    if !broker.gate.asks(question) {
        return Ok(producer(Verification::NotRequired));
    }
    let elsewhere = ErrorCode::NOT_COORDINATOR;
    let at = broker.groups.partition_of(&request.group_id).get();
    let partition = broker.partitions.by_name(GROUP_OFFSETS, at).map_err(|_| elsewhere)?;
    let to_verify = ToVerify {
        producer_id: id,
        epoch,
        sequence: NO_SEQUENCE,
        bumps_epoch: question == Question::Add,
        now_ms: wall_clock_ms(),
    };
    let guard = partition.start_verification(to_verify).map_err(|_| elsewhere)?;
    let Some(guard) = guard else { return Ok(producer(Verification::Ongoing)) };
    let call = PartitionsCall {
        id: request.transactional_id.clone(),
        producer_id: request.producer_id,
        producer_epoch: request.producer_epoch,
        partitions: BTreeSet::from([(Str::from(GROUP_OFFSETS), at)]),
        client_version: EPOCH_PER_TRANSACTION,
    };
    let answer = broker.gate.ask(&call, question).await;
    let code = answer.first().map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |(_, code)| *code);
    match admission_code(code, version >= ABORTABLE_SINCE) {
        ErrorCode::NONE => Ok(producer(Verification::Verified(guard))),
        // Clients come back after this one, without looking for the coordinator anew.
        ErrorCode::NETWORK_EXCEPTION => Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
        code => Err(code),
    }
}

/// The partitions that exist.
fn known(image: &Image, request: &TxnOffsetCommitRequest) -> Vec<OffsetCommitRequestTopic> {
    let exists = |topic: &TxnOffsetCommitRequestTopic, index: i32| {
        let found = image.topic(&topic.name);
        found.is_some_and(|found| found.partition(PartitionId(index)).is_some())
    };
    let topics = request.topics.iter().map(|topic| OffsetCommitRequestTopic {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .filter(|partition| exists(topic, partition.partition_index))
            .map(|partition| OffsetCommitRequestPartition {
                partition_index: partition.partition_index,
                committed_offset: partition.committed_offset,
                committed_leader_epoch: partition.committed_leader_epoch,
                committed_metadata: partition.committed_metadata.clone(),
            })
            .collect(),
        ..OffsetCommitRequestTopic::default()
    });
    topics.filter(|topic| !topic.partitions.is_empty()).collect()
}

/// The answer, in the order of the request: what the group's coordinator said of partitions that
/// exist, or one code for all of these.
fn answer(
    request: &TxnOffsetCommitRequest,
    known: &[OffsetCommitRequestTopic],
    outcome: Result<OffsetCommitResponse, ErrorCode>,
) -> TxnOffsetCommitResponse {
    let committed = outcome.as_ref().map(|response| response.topics.as_slice()).unwrap_or(&[]);
    let code = |name: &str, index: i32| {
        let is_known = known.iter().any(|topic| {
            *topic.name == *name && topic.partitions.iter().any(|it| it.partition_index == index)
        });
        match &outcome {
            _ if !is_known => ErrorCode::UNKNOWN_TOPIC_OR_PARTITION,
            Err(code) => *code,
            Ok(_) => {
                let topics = committed.iter().filter(|topic| *topic.name == *name);
                let mut partitions = topics.flat_map(|topic| &topic.partitions);
                let told = partitions.find(|it| it.partition_index == index);
                told.map_or(ErrorCode::UNKNOWN_SERVER_ERROR, |told| told.error_code)
            }
        }
    };
    let topics = request.topics.iter().map(|topic| TxnOffsetCommitResponseTopic {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| TxnOffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code(&topic.name, partition.partition_index),
            })
            .collect(),
    });
    TxnOffsetCommitResponse { throttle_time_ms: 0, topics: topics.collect() }
}
