//! Scenarios of fetch sessions.

use bytes::Bytes;
use vltava_wire::messages::fetch::{FetchTopic, ForgottenTopic};

use super::*;

struct Scene {
    cache: SessionCache,
    start: Instant,
    drawn: i32,
}

/// Which session the client is told, and of which partitions it hears.
struct Closed {
    id: Result<i32, ErrorCode>,
    heard: Vec<i32>,
}

/// What a scene asks: topic `t`, partitions with offsets.
fn request(session_id: i32, session_epoch: i32, partitions: &[(i32, i64)]) -> FetchRequest {
    let partitions = partitions.iter().map(|&(partition, fetch_offset)| FetchPartition {
        partition,
        fetch_offset,
        ..FetchPartition::default()
    });
    let topic =
        FetchTopic { topic: "t".into(), partitions: partitions.collect(), ..Default::default() };
    FetchRequest { session_id, session_epoch, topics: vec![topic], ..Default::default() }
}

fn key(partition: i32) -> PartitionKey {
    PartitionKey { topic: TopicKey::Name("t".into()), partition }
}

fn data(high_watermark: i64, records: &'static [u8]) -> PartitionData {
    let records = Some(Bytes::from_static(records).into());
    PartitionData { high_watermark, log_start_offset: 0, records, ..Default::default() }
}

impl Scene {
    fn new(slots: usize) -> Self {
        Self { cache: SessionCache::new(slots), start: Instant::now(), drawn: 0 }
    }

    fn open(&mut self, request: &FetchRequest) -> Result<Context, ErrorCode> {
        self.open_at(0, request, false)
    }

    fn open_at(
        &mut self,
        seconds: u64,
        request: &FetchRequest,
        is_follower: bool,
    ) -> Result<Context, ErrorCode> {
        let now = self.start + Duration::from_secs(seconds);
        self.cache.open(Opening::of(request, 12, is_follower), now)
    }

    fn close(&mut self, context: &Context, fetched: &[(i32, PartitionData)]) -> Closed {
        self.close_at(0, context, fetched)
    }

    fn close_at(
        &mut self,
        seconds: u64,
        context: &Context,
        fetched: &[(i32, PartitionData)],
    ) -> Closed {
        let now = self.start + Duration::from_secs(seconds);
        let fetched = fetched.iter().cloned();
        let mut fetched = fetched
            .map(|(partition, data)| Fetched { key: key(partition), data, region: None })
            .collect();
        let drawn = &mut self.drawn;
        let draw = || {
            *drawn += 1;
            *drawn
        };
        let id = self.cache.close(context, &mut fetched, now, draw);
        Closed { id, heard: fetched.iter().map(|it| it.key.partition).collect() }
    }

    /// A session that follows so many partitions.
    fn session(&mut self, seconds: u64, partitions: i32, is_follower: bool) -> i32 {
        let wanted: Vec<_> = (0..partitions).map(|partition| (partition, 0)).collect();
        let context = self.open_at(seconds, &request(0, 0, &wanted), is_follower).expect("full");
        self.close_at(seconds, &context, &[]).id.expect("no session error")
    }
}

fn order(context: &Context) -> Vec<i32> {
    context.wanted.iter().map(|it| it.key.partition).collect()
}

#[test]
fn after_a_full_fetch_only_changes_are_sent() {
    let mut scene = Scene::new(10);
    let context = scene.open(&request(0, 0, &[(0, 5), (1, 7)])).expect("full");
    let Closed { id, heard } = scene.close(&context, &[(0, data(5, b"")), (1, data(9, b"xx"))]);
    assert_eq!((id, heard), (Ok(1), vec![0, 1]), "all are answered");

    let context = scene.open(&request(1, 1, &[(1, 9)])).expect("incremental");
    assert_eq!(order(&context), [0, 1]);
    assert_eq!(context.wanted[1].fetch.fetch_offset, 9);
    let Closed { id, heard } = scene.close(&context, &[(0, data(5, b"")), (1, data(9, b""))]);
    assert_eq!((id, heard), (Ok(1), vec![]), "nothing is new");

    let context = scene.open(&request(1, 2, &[])).expect("incremental");
    let Closed { heard, .. } = scene.close(&context, &[(0, data(6, b"")), (1, data(9, b""))]);
    assert_eq!(heard, [0], "a new high watermark is news");
}

#[test]
fn who_was_served_goes_to_the_end() {
    let mut scene = Scene::new(10);
    let context = scene.open(&request(0, 0, &[(0, 0), (1, 0), (2, 0)])).expect("full");
    scene.close(&context, &[(0, data(1, b"x")), (1, data(0, b"")), (2, data(0, b""))]);
    let context = scene.open(&request(1, 1, &[])).expect("incremental");
    assert_eq!(order(&context), [1, 2, 0]);
    scene.close(&context, &[(1, data(1, b"x"))]);
    let context = scene.open(&request(1, 2, &[])).expect("incremental");
    assert_eq!(order(&context), [2, 0, 1]);
}

#[test]
fn an_error_is_heard_each_time_and_so_is_its_end() {
    let mut scene = Scene::new(10);
    let context = scene.open(&request(0, 0, &[(0, 0)])).expect("full");
    scene.close(&context, &[(0, data(5, b""))]);
    let error_code = ErrorCode::NOT_LEADER_OR_FOLLOWER;
    for epoch in 1..3 {
        let context = scene.open(&request(1, epoch, &[])).expect("incremental");
        let failed = PartitionData { error_code, ..data(5, b"") };
        assert_eq!(scene.close(&context, &[(0, failed)]).heard, [0]);
    }
    let context = scene.open(&request(1, 3, &[])).expect("incremental");
    assert_eq!(scene.close(&context, &[(0, data(5, b""))]).heard, [0]);
}

#[test]
fn forgotten_partitions_leave_and_an_empty_session_ends() {
    let mut scene = Scene::new(10);
    let context = scene.open(&request(0, 0, &[(0, 0), (1, 0)])).expect("full");
    scene.close(&context, &[]);
    let forget = |partitions: Vec<i32>| ForgottenTopic {
        topic: "t".into(),
        partitions,
        ..ForgottenTopic::default()
    };
    let one = FetchRequest { forgotten_topics_data: vec![forget(vec![0])], ..request(1, 1, &[]) };
    assert_eq!(order(&scene.open(&one).expect("incremental")), [1]);
    let all = FetchRequest { forgotten_topics_data: vec![forget(vec![1])], ..request(1, 2, &[]) };
    let context = scene.open(&all).expect("sessionless");
    assert_eq!(scene.close(&context, &[]).id, Ok(0));
    assert!(scene.cache.is_empty());
}

#[test]
fn a_wrong_epoch_or_id_is_refused() {
    let mut scene = Scene::new(10);
    let id = scene.session(0, 1, false);
    assert_eq!(
        scene.open(&request(id, 2, &[])).unwrap_err(),
        ErrorCode::INVALID_FETCH_SESSION_EPOCH
    );
    assert_eq!(
        scene.open(&request(99, 1, &[])).unwrap_err(),
        ErrorCode::FETCH_SESSION_ID_NOT_FOUND
    );
    let by_id = Opening::of(&request(id, 1, &[]), 13, false);
    assert_eq!(
        scene.cache.open(by_id, scene.start).unwrap_err(),
        ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR
    );
}

#[test]
fn a_session_that_went_on_meanwhile_refuses_the_old_answer() {
    let mut scene = Scene::new(10);
    let id = scene.session(0, 1, false);
    let slow = scene.open(&request(id, 1, &[])).expect("incremental");
    scene.open(&request(id, 2, &[])).expect("the next one");
    assert_eq!(scene.close(&slow, &[]).id, Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH));
}

#[test]
fn a_full_fetch_ends_the_session_that_it_names() {
    let mut scene = Scene::new(10);
    let id = scene.session(0, 1, false);
    let context = scene.open(&request(id, -1, &[(0, 0)])).expect("sessionless");
    assert_eq!(scene.close(&context, &[]).id, Ok(0));
    assert!(scene.cache.is_empty());
}

#[test]
fn a_full_cache_keeps_what_is_worth_more() {
    let mut scene = Scene::new(2);
    let small = scene.session(0, 1, false);
    let large = scene.session(0, 5, false);
    assert_eq!(scene.session(10, 9, false), 0, "young sessions stay");

    let follower = scene.session(10, 1, true);
    assert!(follower > 0, "a follower replaces the smallest consumer");
    assert!(!scene.cache.sessions.contains_key(&small));

    for (seconds, epoch) in [(100, 1), (115, 2)] {
        scene.open_at(seconds, &request(large, epoch, &[]), false).expect("incremental");
        scene.open_at(seconds, &request(follower, epoch, &[]), true).expect("incremental");
    }
    assert_eq!(scene.session(125, 5, false), 0, "not larger than what is there");
    assert!(scene.session(125, 6, false) > 0, "an old, smaller session goes");
    assert!(!scene.cache.sessions.contains_key(&large));
    assert!(scene.session(400, 1, false) > 0, "one that nobody uses goes first");
    assert!(!scene.cache.sessions.contains_key(&follower));
}

#[test]
fn a_session_of_too_many_partitions_is_not_made() {
    let mut scene = Scene::new(2);
    let id = scene.session(0, SESSION_PARTITIONS_MAX as i32 + 1, false);
    assert_eq!(id, 0);
}

#[test]
fn epochs_begin_again_at_one() {
    assert_eq!(next_epoch(0), 1);
    assert_eq!(next_epoch(i32::MAX), 1);
}

#[test]
fn all_sessions_together_are_bound() {
    let mut scene = Scene::new(10);
    scene.cache.partitions_max = 10;
    assert_eq!(scene.session(0, 6, false), 1);
    assert_eq!(scene.session(1, 4, false), 2);
    assert_eq!(scene.session(2, 1, false), 0, "the others are young");
    assert_eq!(scene.session(3, 5, true), 3, "a follower's is worth more");
    assert_eq!(scene.cache.len(), 1, "both had to go");

    let more: Vec<_> = (5..11).map(|partition| (partition, 0)).collect();
    let context = scene.open(&request(3, 1, &more)).expect("incremental");
    assert_eq!(context.wanted.len(), 11, "it is answered");
    assert!(scene.cache.is_empty(), "and does not stay");
    assert_eq!(scene.session(4, 10, false), 4, "what went counts no more");
}
