//! The transactional part of a produce request: whether its batches belong where they are sent to
//! (KIP-890).
//!
//! Clients before version 12 have added the partitions to the transaction themselves, and that is
//! verified; later ones leave it to the leader of the partition. It is asked once for the whole
//! request, while later requests of the connection wait: their batches come behind these.

use std::collections::HashMap;

use vltava_log::{ToVerify, Verification, VerificationGuard};
use vltava_wire::batch::Batch;
use vltava_wire::messages::produce::TopicProduceData;
use vltava_wire::{ErrorCode, ProducerEpoch, ProducerId, Str};

use super::{Produce, Refusal};
use crate::error::admission_code;
use crate::partition::surroundings::wall_clock_ms;
use crate::txn::calls::{EPOCH_PER_TRANSACTION, PartitionsCall};
use crate::txn::gate::Question;

/// From this version on the leader adds partitions to transactions.
const ADDS_SINCE: i16 = 12;

/// From this version on producers know of errors that they can abort a transaction after.
const ABORTABLE_SINCE: i16 = 11;

/// Where a batch is in a request: the place of its topic, and its partition.
pub(super) type Place = (usize, i32);

/// What became of the transactional batches of a request.
#[derive(Default)]
pub(super) struct Admissions {
    /// Why nothing of the request is appended.
    refusal: Option<ErrorCode>,
    batches: HashMap<Place, Result<Verification, Refusal>>,
}

impl Admissions {
    /// What the batch at that place is appended with.
    pub(super) fn of(&self, place: Place) -> Result<Verification, Refusal> {
        if let Some(code) = self.refusal {
            return Err(code.into());
        }
        self.batches.get(&place).cloned().unwrap_or(Ok(Verification::default()))
    }
}

/// A producer's id and epoch.
type Identity = (ProducerId, ProducerEpoch);

/// A transactional batch: where it is, and where it is to go.
struct Wanted {
    place: Place,
    topic: Str,
    /// What the question is asked under; none if the transaction is open there.
    guard: Option<VerificationGuard>,
}

impl Produce<'_> {
    /// Asks what has to be asked before the batches of a request are appended.
    pub(super) async fn admit(
        &self,
        transactional_id: &Str,
        topics: &[TopicProduceData],
    ) -> Admissions {
        let (wanted, producer) = match self.wanted(topics) {
            Ok(Some(found)) => found,
            Ok(None) => return Admissions::default(),
            Err(code) => return Admissions { refusal: Some(code), ..Default::default() },
        };
        let question = if self.version >= ADDS_SINCE { Question::Add } else { Question::Verify };
        if !self.broker.gate.asks(question) {
            let free = |it: Wanted| (it.place, Ok(Verification::NotRequired));
            let batches = wanted.into_iter().map(free).collect();
            return Admissions { refusal: None, batches };
        }
        let needed = wanted.iter().filter(|it| it.guard.is_some());
        let call = PartitionsCall {
            id: transactional_id.clone(),
            producer_id: producer.0.get(),
            producer_epoch: producer.1.get(),
            partitions: needed.map(|it| (it.topic.clone(), it.place.1)).collect(),
            client_version: EPOCH_PER_TRANSACTION,
        };
        let codes: HashMap<_, _> = match call.partitions.is_empty() {
            true => HashMap::new(),
            false => self.broker.gate.ask(&call, question).await.into_iter().collect(),
        };
        let each = wanted.into_iter().map(|Wanted { place, topic, guard }| {
            let Some(guard) = guard else { return (place, Ok(Verification::Ongoing)) };
            let code = codes.get(&(topic, place.1)).copied();
            let outcome = self.translated(code.unwrap_or(ErrorCode::UNKNOWN_SERVER_ERROR));
            (place, outcome.map(|()| Verification::Verified(guard)))
        });
        Admissions { refusal: None, batches: each.collect() }
    }

    /// The transactional batches of a request for partitions that this broker leads, and whose
    /// they are; none if there are none.
    fn wanted(
        &self,
        topics: &[TopicProduceData],
    ) -> Result<Option<(Vec<Wanted>, Identity)>, ErrorCode> {
        let mut wanted = Vec::new();
        let mut producer = None;
        for (at, topic) in topics.iter().enumerate() {
            for data in &topic.partition_data {
                let Some(batch) = data.records.as_deref().map(Batch::parse) else { continue };
                let Some(header) = batch.ok().map(|batch| batch.header) else { continue };
                if !header.is_transactional() {
                    continue;
                }
                let this = (header.producer_id, header.producer_epoch);
                if *producer.get_or_insert(this) != this {
                    return Err(ErrorCode::INVALID_PRODUCER_ID_MAPPING);
                }
                // Why a partition cannot be written is found out, and told, when it is appended to.
                let Ok(partition) = self.partition(&topic.name, topic.topic_id, data.index) else {
                    continue;
                };
                let topic = partition.name.topic.clone();
                let to_verify = ToVerify {
                    producer_id: header.producer_id,
                    epoch: header.producer_epoch,
                    sequence: header.base_sequence,
                    bumps_epoch: self.version >= ADDS_SINCE,
                    now_ms: wall_clock_ms(),
                };
                if let Ok(guard) = partition.start_verification(to_verify) {
                    wanted.push(Wanted { place: (at, data.index), topic, guard });
                }
            }
        }
        Ok(producer.map(|producer| (wanted, producer)))
    }

    /// What the producer is told, so that it does what is right: older ones do not know that some
    /// errors pass by.
    fn translated(&self, code: ErrorCode) -> Result<(), Refusal> {
        match admission_code(code, self.version >= ABORTABLE_SINCE) {
            ErrorCode::NONE => Ok(()),
            ErrorCode::CONCURRENT_TRANSACTIONS if self.version >= ADDS_SINCE => Err(code.into()),
            ErrorCode::CONCURRENT_TRANSACTIONS
            | ErrorCode::NETWORK_EXCEPTION
            | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS
            | ErrorCode::COORDINATOR_NOT_AVAILABLE
            | ErrorCode::NOT_COORDINATOR => Err(Refusal::because(
                ErrorCode::NOT_ENOUGH_REPLICAS,
                format!(
                    "it cannot be verified that the partition is part of the transaction: {code}"
                ),
            )),
            ErrorCode::INVALID_TXN_STATE => Err(Refusal::because(
                ErrorCode::INVALID_TXN_STATE,
                "the partition is not part of the transaction",
            )),
            code => Err(code.into()),
        }
    }
}
