//! DeleteTopics (20).

use std::collections::{BTreeMap, BTreeSet};

use vltava_config::keys;
use vltava_metadata::{MetadataRecord, TopicImage};
use vltava_node::named::doubled;
use vltava_wire::messages::delete_topics::{DeletableTopicResult, DeleteTopicState};
use vltava_wire::messages::{DeleteTopicsRequest, DeleteTopicsResponse};
use vltava_wire::records::metadata::RemoveTopicRecord;
use vltava_wire::{ErrorCode, Str, Uuid};

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
        let named = Named::by(request);
        let mut response = DeleteTopicsResponse::default();
        response.responses.extend(named.refused.iter().map(|(state, message)| {
            refusal(state, &Failure::new(ErrorCode::INVALID_REQUEST, *message))
        }));
        let mut records: Vec<MetadataRecord> = Vec::new();
        let mut happenings = Vec::new();
        let mut wanted: BTreeMap<Uuid, Vec<(&DeleteTopicState, &TopicImage)>> = BTreeMap::new();
        for state in &named.once {
            match active.named_topic(state) {
                Ok(topic) => wanted.entry(topic.id).or_default().push((state, topic)),
                Err(failure) => response.responses.push(refusal(state, &failure)),
            }
        }
        for (id, by) in wanted {
            if by.len() > 1 || named.twice.contains(&(None, id)) {
                let named = by.iter().filter(|(state, _)| state.name.is_some());
                let message = "The provided topic name maps to an ID that was already supplied.";
                let failure = Failure::new(ErrorCode::INVALID_REQUEST, message);
                response.responses.extend(named.map(|(state, _)| DeletableTopicResult {
                    topic_id: id,
                    ..refusal(state, &failure)
                }));
                continue;
            }
            let name = &by[0].1.name;
            happenings.push(Happening::TopicDeleted { topic: name.clone() });
            records.push(RemoveTopicRecord { topic_id: id }.into());
            response.responses.push(DeletableTopicResult {
                name: Some(name.clone()),
                topic_id: id,
                ..DeletableTopicResult::default()
            });
        }
        Ok(Decision::each(records, response).telling(happenings))
    }
}

/// How a request names topics.
struct Named {
    /// Those that are named once, by name or by id.
    once: Vec<DeleteTopicState>,
    /// Those that are named twice, in the same way.
    twice: BTreeSet<(Option<Str>, Uuid)>,
    /// What is no name, or named twice: that has one answer, with its reason.
    refused: Vec<(DeleteTopicState, &'static str)>,
}

impl Named {
    fn by(request: &DeleteTopicsRequest) -> Self {
        let by_name = |name: &Str| DeleteTopicState {
            name: Some(name.clone()),
            ..DeleteTopicState::default()
        };
        let old = request.topic_names.iter().map(by_name);
        let (mut once, mut refused) = (Vec::new(), Vec::new());
        for state in old.chain(request.topics.iter().cloned()) {
            match (&state.name, state.topic_id == Uuid::ZERO) {
                (None, true) => {
                    refused.push((state, "Neither topic name nor id were specified."));
                }
                (Some(_), false) => {
                    refused.push((state, "You may not specify both topic name and topic id."));
                }
                _ => once.push(state),
            }
        }
        let twice = doubled(once.iter().map(key));
        once.retain(|state| !twice.contains(&key(state)));
        refused.extend(twice.iter().cloned().map(|(name, topic_id)| {
            let message =
                if name.is_some() { "Duplicate topic name." } else { "Duplicate topic id." };
            (DeleteTopicState { name, topic_id }, message)
        }));
        Self { once, twice, refused }
    }
}

fn key(state: &DeleteTopicState) -> (Option<Str>, Uuid) {
    (state.name.clone(), state.topic_id)
}

fn refusal(state: &DeleteTopicState, failure: &Failure) -> DeletableTopicResult {
    DeletableTopicResult {
        name: state.name.clone(),
        topic_id: state.topic_id,
        error_code: failure.code,
        error_message: failure.text(),
    }
}

impl Active {
    fn named_topic(&self, state: &DeleteTopicState) -> Result<&TopicImage, Failure> {
        match &state.name {
            Some(name) => self.image.topic(name).ok_or_else(|| {
                let message = "This server does not host this topic-partition.";
                Failure::new(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION, message)
            }),
            None => self.image.topic_by_id(state.topic_id).ok_or_else(|| {
                let message = "This server does not host this topic ID.";
                Failure::new(ErrorCode::UNKNOWN_TOPIC_ID, message)
            }),
        }
    }
}
