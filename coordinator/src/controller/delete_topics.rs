//! DeleteTopics (20).

use std::collections::BTreeSet;

use vltava_config::keys;
use vltava_metadata::{MetadataRecord, TopicImage};
use vltava_wire::messages::delete_topics::{DeletableTopicResult, DeleteTopicState};
use vltava_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use vltava_wire::records::metadata::RemoveTopicRecord;
use vltava_wire::{ErrorCode, Uuid};

use super::{Active, Controller, Decision, Failure, Happening};

impl Controller {
    /// Deletes topics, named by name or by id. What a version names otherwise (names alone, before
    /// version 6) is taken for the same.
    ///
    /// # Errors
    /// NOT_CONTROLLER; TOPIC_DELETION_DISABLED.
    pub fn delete_topics(
        &self,
        request: &DeleteTopicsRequest,
    ) -> Result<Decision<DeleteTopicsResponse>, Failure> {
        let active = self.active()?;
        if !active.values.get(keys::DELETE_TOPIC_ENABLE) {
            let message = "topics cannot be deleted while delete.topic.enable is false";
            return Err(Failure::new(ErrorCode::TOPIC_DELETION_DISABLED, message));
        }
        let named = request.topic_names.iter().map(|name| DeleteTopicState {
            name: Some(name.clone()),
            ..DeleteTopicState::default()
        });
        let states: Vec<DeleteTopicState> = request.topics.iter().cloned().chain(named).collect();
        let mut records: Vec<MetadataRecord> = Vec::new();
        let mut happenings = Vec::new();
        let mut seen = BTreeSet::new();
        let mut response = DeleteTopicsResponse::default();
        for state in states {
            let found = active.named_topic(&state).and_then(|topic| match seen.insert(topic.id) {
                true => Ok(topic),
                false => {
                    Err(Failure::new(ErrorCode::INVALID_REQUEST, "Duplicate topic name or id."))
                }
            });
            let mut result = DeletableTopicResult {
                name: state.name.clone(),
                topic_id: state.topic_id,
                ..DeletableTopicResult::default()
            };
            match found {
                Ok(topic) => {
                    result.name = Some(topic.name.clone());
                    result.topic_id = topic.id;
                    happenings.push(Happening::TopicDeleted { topic: topic.name.clone() });
                    records.push(RemoveTopicRecord { topic_id: topic.id }.into());
                }
                Err(failure) => {
                    result.error_code = failure.code;
                    result.error_message = failure.text();
                }
            }
            response.responses.push(result);
        }
        Ok(Decision::each(records, response).telling(happenings))
    }
}

impl Active {
    fn named_topic(&self, state: &DeleteTopicState) -> Result<&TopicImage, Failure> {
        let invalid = |message: &str| Failure::new(ErrorCode::INVALID_REQUEST, message);
        match &state.name {
            Some(_) if state.topic_id != Uuid::ZERO => {
                Err(invalid("You may not specify both topic name and topic id."))
            }
            Some(name) => self.image.topic(name).ok_or_else(|| {
                let message = "This server does not host this topic-partition.";
                Failure::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
            }),
            None if state.topic_id == Uuid::ZERO => {
                Err(invalid("Neither topic name nor id were specified."))
            }
            None => self.image.topic_by_id(state.topic_id).ok_or_else(|| {
                let message = "This server does not host this topic ID.";
                Failure::new(ErrorCode::UNKNOWN_TOPIC_ID, message)
            }),
        }
    }
}
