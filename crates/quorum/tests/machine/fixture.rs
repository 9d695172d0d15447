//! One machine with a driver that does what it is told at once, and remembers it.

use std::time::Duration;

use vltava_quorum::{
    BatchShape, BeginQuorumEpochRequest, Config, Effect, Endpoint, Event, FetchRequest,
    FetchResponse, FlushPoint, Instant, LeaderInfo, LogShape, Machine, ProposalId, QuorumState,
    Records, ReplicaKey, Request, RequestId, Response, RoleName, SnapshotId, Token, VoteRequest,
    VoteResponse, Voter, VoterSet,
};
use vltava_wire::{ErrorCode, LeaderEpoch, NodeId, Offset, Uuid};

/// The replica of node `id`, in its first directory.
pub fn key(id: i32) -> ReplicaKey {
    ReplicaKey::new(NodeId(id), Uuid(1_000 + id as u128))
}

pub fn endpoint(id: i32) -> Endpoint {
    Endpoint { name: "CONTROLLER".into(), host: format!("node-{id}").into(), port: 9_093 }
}

pub fn voter(id: i32) -> Voter {
    Voter::new(key(id), vec![endpoint(id)])
}

pub fn voters(ids: &[i32]) -> VoterSet {
    VoterSet::new(ids.iter().map(|id| voter(*id)))
}

/// A log that was founded with these voters and holds (epoch, records) after that.
pub fn log(ids: &[i32], epochs: &[(i32, i64)]) -> LogShape {
    let mut log = LogShape::from_snapshot(SnapshotId::default(), voters(ids));
    for (epoch, records) in epochs {
        log.restore(&batch(log.end().get(), *epoch, *records)).expect("the epochs grow");
    }
    log
}

pub fn batch(base_offset: i64, epoch: i32, records: i64) -> BatchShape {
    BatchShape {
        base_offset: Offset(base_offset),
        last_offset: Offset(base_offset + records - 1),
        epoch: LeaderEpoch(epoch),
        voters: None,
    }
}

pub fn state(epoch: i32) -> QuorumState {
    QuorumState { epoch: LeaderEpoch(epoch), ..QuorumState::default() }
}

/// A machine and what it wants that was not looked at yet.
pub struct Node {
    pub machine: Machine,
    pub now: Instant,
    pub effects: Vec<Effect>,
    pub flush: Option<FlushPoint>,
    tokens: u64,
}

impl Node {
    /// Node 1 of these voters, with this log.
    pub fn new(log: LogShape, state: QuorumState) -> Self {
        Self::with(Config { endpoints: vec![endpoint(1)], ..Config::new(key(1), 7) }, log, state)
    }

    /// A node that has flushed what it found.
    pub fn with(config: Config, log: LogShape, state: QuorumState) -> Self {
        let mut node = Self::just_started(config, log, state);
        if node.machine.role() != RoleName::Leader {
            node.flushed();
        }
        node
    }

    pub fn just_started(config: Config, log: LogShape, state: QuorumState) -> Self {
        let now = Instant::from_millis(1_000);
        let machine = Machine::new(config, state, log, now).expect("the configuration is sound");
        let mut node = Self { machine, now, effects: Vec::new(), flush: None, tokens: 0 };
        node.on(Event::Tick);
        node
    }

    pub fn on(&mut self, event: Event) -> &mut Self {
        let effects = self.machine.on(event, self.now);
        for effect in effects {
            if let Effect::Flush(point) = effect {
                self.flush = Some(point);
            }
            self.effects.push(effect);
        }
        self
    }

    /// The disk has all that was appended.
    pub fn flushed(&mut self) -> &mut Self {
        if let Some(point) = self.flush.take() {
            self.on(Event::Flushed { point });
        }
        self
    }

    /// Forgets what the machine wanted so far.
    pub fn ignore(&mut self) -> &mut Self {
        self.effects.clear();
        self
    }

    /// Lets time pass, timer by timer.
    pub fn wait(&mut self, wait: Duration) -> &mut Self {
        let until = self.now + wait;
        while self.now < until {
            self.now = (self.now + Duration::from_millis(1)).min(until);
            self.on(Event::Tick);
        }
        self
    }

    /// Waits until the machine sends what `wanted` finds.
    pub fn wait_for<T>(&mut self, wanted: impl Fn(&Request) -> Option<T>) -> (RequestId, T) {
        for _ in 0..10_000 {
            if let Some(found) = self.sent(&wanted).pop() {
                return found;
            }
            self.wait(Duration::from_millis(1));
        }
        panic!("not sent within ten seconds: {:?}", self.effects);
    }

    /// All requests that were sent and that `wanted` finds.
    pub fn sent<T>(&self, wanted: impl Fn(&Request) -> Option<T>) -> Vec<(RequestId, T)> {
        let effects = self.effects.iter();
        let sent = effects.filter_map(|effect| match effect {
            Effect::Send { id, request, .. } => wanted(request).map(|found| (*id, found)),
            _ => None,
        });
        sent.collect()
    }

    /// Sends a request to the machine; the token by which its answer is found.
    pub fn ask(&mut self, request: Request) -> Token {
        self.tokens += 1;
        let token = Token(self.tokens);
        self.on(Event::Request { token, request });
        token
    }

    /// The answer to a request, if there is one.
    pub fn answer(&self, wanted: Token) -> Option<Response> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Respond { token, response } if *token == wanted => Some(response.clone()),
            Effect::RespondFetch { token, response, .. } if *token == wanted => {
                Some(Response::Fetch(response.clone()))
            }
            Effect::RespondSnapshot { token, response, .. } if *token == wanted => {
                Some(Response::FetchSnapshot(response.clone()))
            }
            _ => None,
        })
    }

    pub fn vote_answer(&self, token: Token) -> VoteResponse {
        match self.answer(token) {
            Some(Response::Vote(response)) => response,
            other => panic!("no vote: {other:?}"),
        }
    }

    pub fn fetch_answer(&self, token: Token) -> FetchResponse {
        match self.answer(token) {
            Some(Response::Fetch(response)) => response,
            other => panic!("no fetch: {other:?}"),
        }
    }

    /// The voters 2 and 3 grant what is asked of them until node 1 leads.
    pub fn elect(&mut self) -> &mut Self {
        let asked = |request: &Request| match request {
            Request::Vote(vote) => Some(vote.epoch),
            _ => None,
        };
        for _ in 0..2 {
            if self.machine.leader().leader == Some(NodeId(1)) {
                break;
            }
            self.wait_for(asked);
            let ballots = self.sent(asked);
            self.effects.clear();
            for (id, epoch) in ballots {
                let response = Response::Vote(granted(epoch.get()));
                self.on(Event::Response { id, response });
            }
        }
        assert_eq!(self.machine.leader().leader, Some(NodeId(1)), "{:?}", self.effects);
        self
    }

    /// Node 2 leads the epoch.
    pub fn follow(&mut self, epoch: i32) -> &mut Self {
        self.ask(Request::BeginQuorumEpoch(BeginQuorumEpochRequest {
            voter: self.machine.local(),
            leader: NodeId(2),
            epoch: LeaderEpoch(epoch),
            endpoints: vec![endpoint(2)],
        }));
        self
    }

    /// The fetch that the machine waits for.
    pub fn fetch(&mut self) -> (RequestId, FetchRequest) {
        let fetch = self.wait_for(|request| match request {
            Request::Fetch(fetch) => Some(fetch.clone()),
            _ => None,
        });
        self.effects.clear();
        fetch
    }

    /// Node 2 answers a fetch as the leader of this epoch.
    pub fn fetched(&mut self, id: RequestId, epoch: i32, response: FetchResponse) -> &mut Self {
        let leader = leader(2, epoch);
        let response = Response::Fetch(FetchResponse { leader, ..response });
        self.on(Event::Response { id, response })
    }

    pub fn propose(&mut self, records: u32) -> &mut Self {
        let epoch = self.machine.leader().epoch;
        self.on(Event::Propose { proposal: ProposalId(1), epoch, records })
    }

    /// The position of the first effect that `wanted` finds.
    pub fn position(&self, wanted: impl Fn(&Effect) -> bool) -> usize {
        let position = self.effects.iter().position(wanted);
        position.unwrap_or_else(|| panic!("not among {:?}", self.effects))
    }

    pub fn has(&self, wanted: impl Fn(&Effect) -> bool) -> bool {
        self.effects.iter().any(wanted)
    }

    /// The last high watermark that was told.
    pub fn committed(&self) -> Option<i64> {
        self.effects.iter().rev().find_map(|effect| match effect {
            Effect::Committed { high_watermark } => Some(high_watermark.get()),
            _ => None,
        })
    }
}

pub fn leader(id: i32, epoch: i32) -> LeaderInfo {
    LeaderInfo { epoch: LeaderEpoch(epoch), leader: Some(NodeId(id)), endpoint: Some(endpoint(id)) }
}

pub fn nobody(epoch: i32) -> LeaderInfo {
    LeaderInfo { epoch: LeaderEpoch(epoch), ..LeaderInfo::default() }
}

pub fn granted(epoch: i32) -> VoteResponse {
    VoteResponse { error: ErrorCode::NONE, leader: nobody(epoch), granted: true }
}

/// Node `candidate` asks node 1 for its vote.
pub fn vote(candidate: i32, epoch: i32, last_epoch: i32, end_offset: i64) -> VoteRequest {
    VoteRequest {
        voter: key(1),
        candidate: key(candidate),
        epoch: LeaderEpoch(epoch),
        last_epoch: LeaderEpoch(last_epoch),
        end_offset: Offset(end_offset),
        pre_vote: false,
    }
}

/// Node `replica` fetches, and waits if there is nothing.
pub fn fetch(replica: i32, epoch: i32, fetch_offset: i64, last_epoch: i32) -> FetchRequest {
    FetchRequest {
        replica: key(replica),
        epoch: LeaderEpoch(epoch),
        fetch_offset: Offset(fetch_offset),
        last_fetched_epoch: LeaderEpoch(last_epoch),
        max_wait_ms: 500,
        max_bytes: 1_000,
        high_watermark: None,
    }
}

pub fn records(batches: Vec<BatchShape>) -> Records {
    Records { bytes: "records".into(), batches }
}
