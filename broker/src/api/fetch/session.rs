//! Fetch sessions: what a client follows is remembered, so that a fetch names only what changed
//! (KIP-227). A pure machine.
//!
//! Sessions are bound in three ways: there are at most as many as the cache has slots, one that
//! would hold more than [`SESSION_PARTITIONS_MAX`] partitions is not made, and all of them hold
//! [`PARTITIONS_MAX`] at most. A client without a session sends full fetches.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use vltava_net::Region;
use vltava_wire::messages::fetch::{FetchPartition, FetchRequest, PartitionData};
use vltava_wire::{ErrorCode, Str, Uuid};

/// Partitions that one session holds at most: a broker rarely has as many.
pub const SESSION_PARTITIONS_MAX: usize = 10_000;

/// Partitions that all sessions hold at most: of some 400 bytes each, 200 MB.
pub const PARTITIONS_MAX: usize = 500_000;

/// How long a session is safe from being replaced by another one of its kind: Kafka's two minutes.
const EVICTION_AGE: Duration = Duration::from_secs(120);

/// The epoch of a request that asks for a new session.
const INITIAL_EPOCH: i32 = 0;
/// The epoch of a request that wants none.
const FINAL_EPOCH: i32 = -1;

/// A topic as the client names it: by id from version 13 on, before by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TopicKey {
    /// By id.
    Id(Uuid),
    /// By name.
    Name(Str),
}

/// A partition as the client names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionKey {
    /// Its topic.
    pub topic: TopicKey,
    /// Its index.
    pub partition: i32,
}

/// A partition that is to be read, and from where.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The partition.
    pub key: PartitionKey,
    /// Offset, bytes and epochs.
    pub fetch: FetchPartition,
}

/// What became of one partition.
#[derive(Debug)]
pub struct Fetched {
    /// The partition.
    pub key: PartitionKey,
    /// The answer for it.
    pub data: PartitionData,
    /// Where its records lie, if they go out from their file.
    pub region: Option<Region>,
}

/// What a request is about, as far as sessions are concerned.
#[derive(Clone, Debug, Default)]
pub struct Opening {
    session_id: i32,
    session_epoch: i32,
    is_follower: bool,
    uses_topic_ids: bool,
    wanted: Vec<(PartitionKey, FetchPartition)>,
    forgotten: Vec<PartitionKey>,
}

impl Opening {
    /// Takes what a request says. Names are copied: they outlive the request's frame.
    pub fn of(request: &FetchRequest, version: i16, is_follower: bool) -> Self {
        let uses_topic_ids = version >= 13;
        let topic_key = |name: &Str, id: Uuid| match uses_topic_ids {
            true => TopicKey::Id(id),
            false => TopicKey::Name(name.detach()),
        };
        let mut opening = Self {
            session_id: request.session_id,
            session_epoch: request.session_epoch,
            is_follower,
            uses_topic_ids,
            ..Self::default()
        };
        for topic in &request.topics {
            let key = topic_key(&topic.topic, topic.topic_id);
            opening.wanted.extend(topic.partitions.iter().map(|fetch| {
                let key = PartitionKey { topic: key.clone(), partition: fetch.partition };
                (key, fetch.clone())
            }));
        }
        for topic in &request.forgotten_topics_data {
            let key = topic_key(&topic.topic, topic.topic_id);
            let key = |&partition| PartitionKey { topic: key.clone(), partition };
            opening.forgotten.extend(topic.partitions.iter().map(key));
        }
        opening
    }
}

/// How a request's answer is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// All partitions are answered, and nothing is remembered.
    Sessionless,
    /// All partitions are answered, and a session is made if there is room.
    Full,
    /// Only partitions with news are answered.
    Incremental { session: i32, epoch: i32 },
}

/// A request whose partitions are known.
#[derive(Clone, Debug)]
pub struct Context {
    kind: Kind,
    is_follower: bool,
    uses_topic_ids: bool,
    /// The partitions to read, in the order in which they have their turn.
    pub wanted: Vec<Wanted>,
}

/// A partition of a session.
#[derive(Clone, Debug)]
struct Followed {
    key: PartitionKey,
    fetch: FetchPartition,
    high_watermark: i64,
    log_start_offset: i64,
}

impl Followed {
    /// Whether the client must hear of an answer; notes what it is told.
    fn is_news(&mut self, data: &PartitionData) -> bool {
        let has_records = data.records.as_ref().is_some_and(|records| !records.is_empty());
        let is_news = has_records
            || self.high_watermark != data.high_watermark
            || self.log_start_offset != data.log_start_offset
            || data.preferred_read_replica >= 0
            || data.error_code.is_err()
            || data.diverging_epoch.epoch >= 0;
        // After an error the next answer is news, whatever it says.
        self.high_watermark = if data.error_code.is_err() { -1 } else { data.high_watermark };
        self.log_start_offset = data.log_start_offset;
        is_news
    }
}

#[derive(Clone, Debug)]
struct Session {
    /// The epoch that the next request must have.
    epoch: i32,
    is_follower: bool,
    uses_topic_ids: bool,
    /// By turn: who was served goes to the end.
    turns: BTreeMap<u64, Followed>,
    turn_of: HashMap<PartitionKey, u64>,
    next_turn: u64,
    created: Instant,
    used: Instant,
}

impl Session {
    fn append(&mut self, followed: Followed) {
        self.turn_of.insert(followed.key.clone(), self.next_turn);
        self.turns.insert(self.next_turn, followed);
        self.next_turn += 1;
    }

    fn update(&mut self, wanted: Vec<(PartitionKey, FetchPartition)>, forgotten: &[PartitionKey]) {
        for (key, fetch) in wanted {
            match self.turn_of.get(&key).and_then(|turn| self.turns.get_mut(turn)) {
                Some(followed) => followed.fetch = fetch,
                None => {
                    let (high_watermark, log_start_offset) = (-1, -1);
                    self.append(Followed { key, fetch, high_watermark, log_start_offset });
                }
            }
        }
        for key in forgotten {
            if let Some(turn) = self.turn_of.remove(key) {
                self.turns.remove(&turn);
            }
        }
    }

    fn wanted(&self) -> Vec<Wanted> {
        let wanted = |it: &Followed| Wanted { key: it.key.clone(), fetch: it.fetch.clone() };
        self.turns.values().map(wanted).collect()
    }

    /// Notes an answer; says whether the client must hear of it.
    fn note(&mut self, fetched: &Fetched) -> bool {
        let Some(&turn) = self.turn_of.get(&fetched.key) else { return true };
        let Some(followed) = self.turns.get_mut(&turn) else { return true };
        let is_news = followed.is_news(&fetched.data);
        let has_records = fetched.data.records.as_ref().is_some_and(|it| !it.is_empty());
        if has_records && let Some(followed) = self.turns.remove(&turn) {
            self.append(followed);
        }
        is_news
    }
}

/// All sessions of this broker.
#[derive(Debug)]
pub struct SessionCache {
    slots: usize,
    partitions_max: usize,
    sessions: HashMap<i32, Session>,
    /// Partitions of all sessions.
    partitions: usize,
}

impl SessionCache {
    /// A cache of so many slots (`max.incremental.fetch.session.cache.slots`).
    pub fn new(slots: usize) -> Self {
        let partitions_max = PARTITIONS_MAX;
        Self { slots, partitions_max, sessions: HashMap::new(), partitions: 0 }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Finds out which partitions a request is about.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH, FETCH_SESSION_TOPIC_ID_ERROR: the
    /// client then sends a full fetch.
    pub fn open(&mut self, opening: Opening, now: Instant) -> Result<Context, ErrorCode> {
        let Opening { session_id, session_epoch, is_follower, uses_topic_ids, .. } = opening;
        if session_epoch == INITIAL_EPOCH || session_epoch == FINAL_EPOCH {
            self.remove(session_id);
            let full = session_epoch == INITIAL_EPOCH;
            let kind = if full { Kind::Full } else { Kind::Sessionless };
            let wanted = opening.wanted.into_iter();
            let wanted = wanted.map(|(key, fetch)| Wanted { key, fetch }).collect();
            return Ok(Context { kind, is_follower, uses_topic_ids, wanted });
        }
        let session = self.sessions.get_mut(&session_id);
        let session = session.ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
        if session.epoch != session_epoch {
            return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
        }
        if session.uses_topic_ids != uses_topic_ids {
            return Err(ErrorCode::FETCH_SESSION_TOPIC_ID_ERROR);
        }
        let before = session.turns.len();
        session.update(opening.wanted, &opening.forgotten);
        let size = session.turns.len();
        self.partitions = self.partitions - before + size;
        let is_too_much = size > SESSION_PARTITIONS_MAX || self.partitions > self.partitions_max;
        if size == 0 || size > before && is_too_much {
            let wanted = session.wanted();
            self.remove(session_id);
            let kind = Kind::Sessionless;
            return Ok(Context { kind, is_follower, uses_topic_ids, wanted });
        }
        session.used = now;
        session.epoch = next_epoch(session_epoch);
        let kind = Kind::Incremental { session: session_id, epoch: session.epoch };
        Ok(Context { kind, is_follower, uses_topic_ids, wanted: session.wanted() })
    }

    /// Says which answers the client must hear of, and by which session; 0 is none.
    ///
    /// `random` draws an id for a new session.
    ///
    /// # Errors
    /// FETCH_SESSION_ID_NOT_FOUND or INVALID_FETCH_SESSION_EPOCH if the session ended, or went on,
    /// while the request waited.
    pub fn close(
        &mut self,
        context: &Context,
        fetched: &mut Vec<Fetched>,
        now: Instant,
        random: impl FnMut() -> i32,
    ) -> Result<i32, ErrorCode> {
        match context.kind {
            Kind::Sessionless => Ok(0),
            Kind::Full => Ok(self.create(context, fetched, now, random).unwrap_or(0)),
            Kind::Incremental { session: id, epoch } => {
                let session = self.sessions.get_mut(&id);
                let session = session.ok_or(ErrorCode::FETCH_SESSION_ID_NOT_FOUND)?;
                if session.epoch != epoch {
                    return Err(ErrorCode::INVALID_FETCH_SESSION_EPOCH);
                }
                fetched.retain(|fetched| session.note(fetched));
                Ok(id)
            }
        }
    }

    fn create(
        &mut self,
        context: &Context,
        fetched: &[Fetched],
        now: Instant,
        mut random: impl FnMut() -> i32,
    ) -> Option<i32> {
        let size = context.wanted.len();
        if size == 0 || size > SESSION_PARTITIONS_MAX {
            return None;
        }
        if !self.make_room(context.is_follower, size, now) {
            return None;
        }
        // Ids are positive; a taken one is drawn again, and of 2³¹ few are taken.
        let id = std::iter::repeat_with(|| random() & i32::MAX)
            .find(|id| *id != 0 && !self.sessions.contains_key(id))?;
        let mut session = Session {
            epoch: next_epoch(INITIAL_EPOCH),
            is_follower: context.is_follower,
            uses_topic_ids: context.uses_topic_ids,
            turns: BTreeMap::new(),
            turn_of: HashMap::new(),
            next_turn: 0,
            created: now,
            used: now,
        };
        let wanted = context.wanted.iter().map(|it| (it.key.clone(), it.fetch.clone()));
        session.update(wanted.collect(), &[]);
        for fetched in fetched {
            session.note(fetched);
        }
        self.partitions += session.turns.len();
        self.sessions.insert(id, session);
        Some(id)
    }

    fn remove(&mut self, id: i32) -> bool {
        let removed = self.sessions.remove(&id);
        self.partitions -= removed.as_ref().map_or(0, |session| session.turns.len());
        removed.is_some()
    }

    /// Makes room for one session if need be; `false` if all others are worth more.
    fn make_room(&mut self, is_follower: bool, size: usize, now: Instant) -> bool {
        let has_room =
            |it: &Self| it.sessions.len() < it.slots && it.partitions + size <= it.partitions_max;
        while !has_room(self) {
            if !self.give_up_one(is_follower, size, now) {
                return false;
            }
        }
        true
    }

    /// Gives up the session that is worth least, if it is worth less than a new one. Worth more
    /// are, in this order: sessions in use, followers', young ones, large ones.
    fn give_up_one(&mut self, is_follower: bool, size: usize, now: Instant) -> bool {
        let age = |since: Instant| now.saturating_duration_since(since);
        let stalest = self.sessions.iter().min_by_key(|(id, session)| (session.used, **id));
        let victim = match stalest {
            Some((&id, session)) if age(session.used) > EVICTION_AGE => Some(id),
            _ => {
                let worth = |session: &Session| (session.is_follower, session.turns.len());
                let may_go = |session: &Session| {
                    age(session.created) > EVICTION_AGE || is_follower && !session.is_follower
                };
                let candidates = self.sessions.iter().filter(|(_, session)| may_go(session));
                let least = candidates.min_by_key(|(id, session)| (worth(session), **id));
                least.filter(|(_, it)| worth(it) < (is_follower, size)).map(|(&id, _)| id)
            }
        };
        victim.is_some_and(|id| self.remove(id))
    }
}

/// Epochs run from 1 to the largest number and begin again.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
#[path = "session/tests.rs"]
mod tests;
