//! ElectLeaders (43): a person asks for preferred or unclean elections (KIP-460).

use std::collections::BTreeMap;

use vltava_metadata::TopicImage;
use vltava_wire::messages::elect_leaders::{PartitionResult, ReplicaElectionResult};
use vltava_wire::messages::{ElectLeadersRequest, ElectLeadersResponse};
use vltava_wire::{ErrorCode, PartitionId, Str};

use super::leadership::Outcome;
use super::partition_change::{Election, PartitionChange};
use super::{Active, Controller, Decision, Failure};

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

impl Controller {
    /// Holds the elections that are asked for: of the partitions named, or of all of which the
    /// election is not needless.
    ///
    /// # Errors
    /// NOT_CONTROLLER; INVALID_REQUEST for a kind of election that does not exist.
    pub fn elect_leaders(
        &self,
        request: &ElectLeadersRequest,
    ) -> Result<Decision<ElectLeadersResponse>, Failure> {
        let active = self.active()?;
        let election = match request.election_type {
            PREFERRED => Election::Preferred,
            UNCLEAN => Election::Unclean,
            other => {
                let message = format!("election type {other} does not exist");
                return Err(Failure::new(ErrorCode::INVALID_REQUEST, message));
            }
        };
        let mut outcome = Outcome::default();
        let mut results: BTreeMap<Str, Vec<PartitionResult>> = BTreeMap::new();
        match &request.topic_partitions {
            Some(topics) => {
                for named in topics {
                    let topic = active.image.topic(&named.topic);
                    for partition in &named.partitions {
                        let partition = PartitionId(*partition);
                        let elected = match topic {
                            Some(topic) => active.elect(topic, partition, election, &mut outcome),
                            None => Err(unknown_topic(&named.topic)),
                        };
                        let result = partition_result(partition, elected.err());
                        results.entry(named.topic.clone()).or_default().push(result);
                    }
                }
            }
            None => {
                for (topic, partition, _) in active.partitions() {
                    let elected = active.elect(topic, partition, election, &mut outcome);
                    let error = elected.err();
                    let needless = |error: &Failure| error.code == ErrorCode::ELECTION_NOT_NEEDED;
                    if !error.as_ref().is_some_and(needless) {
                        let result = partition_result(partition, error);
                        results.entry(topic.name.clone()).or_default().push(result);
                    }
                }
            }
        }
        let replica_election_results = results
            .into_iter()
            .map(|(topic, partition_result)| ReplicaElectionResult { topic, partition_result })
            .collect();
        let response =
            ElectLeadersResponse { replica_election_results, ..ElectLeadersResponse::default() };
        Ok(outcome.decide(response))
    }
}

impl Active {
    fn elect(
        &self,
        topic: &TopicImage,
        partition: PartitionId,
        election: Election,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        let Some(present) = topic.partition(partition) else {
            let message = format!("No such partition as {}-{partition}", topic.name);
            return Err(Failure::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message));
        };
        let needless = match election {
            Election::Preferred => present.has_preferred_leader(),
            Election::Online | Election::Unclean => present.leader().is_some(),
        };
        if needless {
            return Err(Failure::new(ErrorCode::ELECTION_NOT_NEEDED, ""));
        }
        let may_lead = |replica| self.may_lead(replica, present.directory(replica));
        let mut change = PartitionChange::new(present, topic.id, partition, &may_lead);
        change.election = election;
        let before = outcome.records.len();
        outcome.change(topic, partition, change);
        if outcome.records.len() > before {
            return Ok(());
        }
        let code = match election {
            Election::Preferred => ErrorCode::PREFERRED_LEADER_NOT_AVAILABLE,
            Election::Online | Election::Unclean => ErrorCode::ELIGIBLE_LEADERS_NOT_AVAILABLE,
        };
        Err(Failure::new(code, ""))
    }
}

fn unknown_topic(name: &str) -> Failure {
    let message = format!("No such topic as {name}");
    Failure::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
}

fn partition_result(partition: PartitionId, error: Option<Failure>) -> PartitionResult {
    PartitionResult {
        partition_id: partition.get(),
        error_code: error.as_ref().map_or(ErrorCode::NONE, |error| error.code),
        error_message: error.and_then(|error| error.text()),
    }
}
