//! The follower's side of a fetch session: only what changed is asked for (KIP-227). Pure.

use std::collections::BTreeMap;

use vltava_wire::Uuid;
use vltava_wire::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic,
};

/// A partition by its topic's id and its index.
pub type Key = (Uuid, i32);

/// What a leader was last asked for.
#[derive(Debug, Default)]
pub struct FollowerSession {
    id: i32,
    /// The epoch of the next request; 0 asks for a new session.
    epoch: i32,
    asked: BTreeMap<Key, FetchPartition>,
}

impl FollowerSession {
    /// What was asked for a partition.
    pub fn asked(&self, key: &Key) -> Option<&FetchPartition> {
        self.asked.get(key)
    }

    /// Fills in what a request has to say, so that the leader reads exactly `wanted`.
    pub fn fill(&mut self, request: &mut FetchRequest, wanted: BTreeMap<Key, FetchPartition>) {
        let is_new = |key: &Key, fetch: &FetchPartition| {
            self.epoch == 0 || self.asked.get(key) != Some(fetch)
        };
        for (key, fetch) in wanted.iter().filter(|(key, fetch)| is_new(key, fetch)) {
            match request.topics.last_mut() {
                Some(topic) if topic.topic_id == key.0 => topic.partitions.push(fetch.clone()),
                _ => request.topics.push(FetchTopic {
                    topic_id: key.0,
                    partitions: vec![fetch.clone()],
                    ..FetchTopic::default()
                }),
            }
        }
        let forgotten =
            self.asked.keys().filter(|key| self.epoch != 0 && !wanted.contains_key(key));
        for &(topic_id, partition) in forgotten {
            match request.forgotten_topics_data.last_mut() {
                Some(topic) if topic.topic_id == topic_id => topic.partitions.push(partition),
                _ => request.forgotten_topics_data.push(ForgottenTopic {
                    topic_id,
                    partitions: vec![partition],
                    ..ForgottenTopic::default()
                }),
            }
        }
        (request.session_id, request.session_epoch) = (self.id, self.epoch);
        self.asked = wanted;
    }

    /// Takes over what an answer says of the session. After an error the next request asks for a
    /// new one.
    pub fn answered(&mut self, response: &FetchResponse) {
        if response.error_code.is_err() || response.session_id == 0 {
            self.reset();
            return;
        }
        self.id = response.session_id;
        self.epoch = if self.epoch == i32::MAX { 1 } else { self.epoch + 1 };
    }

    /// Forgets the session, as when its connection broke.
    pub fn reset(&mut self) {
        (self.id, self.epoch) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use vltava_wire::ErrorCode;

    use super::*;

    fn wanted(offsets: &[(i32, i64)]) -> BTreeMap<Key, FetchPartition> {
        let fetch = |&(partition, fetch_offset): &(i32, i64)| {
            let fetch = FetchPartition { partition, fetch_offset, ..Default::default() };
            ((Uuid(7), partition), fetch)
        };
        offsets.iter().map(fetch).collect()
    }

    fn ask(session: &mut FollowerSession, offsets: &[(i32, i64)]) -> FetchRequest {
        let mut request = FetchRequest::default();
        session.fill(&mut request, wanted(offsets));
        request
    }

    fn asked(request: &FetchRequest) -> Vec<i32> {
        let of = |topic: &FetchTopic| -> Vec<_> {
            topic.partitions.iter().map(|it| it.partition).collect()
        };
        request.topics.iter().flat_map(of).collect()
    }

    fn answer(session_id: i32) -> FetchResponse {
        FetchResponse { session_id, ..FetchResponse::default() }
    }

    #[test]
    fn only_what_changed_is_asked_again() {
        let mut session = FollowerSession::default();
        let first = ask(&mut session, &[(0, 5), (1, 9)]);
        assert_eq!((first.session_id, first.session_epoch, asked(&first)), (0, 0, vec![0, 1]));
        session.answered(&answer(42));

        let second = ask(&mut session, &[(0, 5), (1, 12)]);
        assert_eq!((second.session_id, second.session_epoch), (42, 1));
        assert_eq!(asked(&second), [1]);
        assert_eq!(session.asked(&(Uuid(7), 1)).expect("asked").fetch_offset, 12);
        session.answered(&answer(42));

        let third = ask(&mut session, &[(1, 12)]);
        assert_eq!((third.session_epoch, asked(&third)), (2, vec![]));
        assert_eq!(third.forgotten_topics_data[0].partitions, [0]);
    }

    #[test]
    fn after_an_error_all_is_asked_for_anew() {
        let mut session = FollowerSession::default();
        ask(&mut session, &[(0, 5)]);
        session.answered(&answer(42));
        ask(&mut session, &[(0, 5), (1, 0)]);
        let error_code = ErrorCode::FETCH_SESSION_ID_NOT_FOUND;
        session.answered(&FetchResponse { error_code, ..answer(0) });
        let request = ask(&mut session, &[(0, 5), (1, 0)]);
        assert_eq!(
            (request.session_id, request.session_epoch, asked(&request)),
            (0, 0, vec![0, 1])
        );
        assert!(request.forgotten_topics_data.is_empty());
    }

    #[test]
    fn a_leader_without_room_for_sessions_is_asked_for_all_each_time() {
        let mut session = FollowerSession::default();
        ask(&mut session, &[(0, 5)]);
        session.answered(&answer(0));
        let request = ask(&mut session, &[(0, 5)]);
        assert_eq!((request.session_epoch, asked(&request)), (0, vec![0]));
    }
}
