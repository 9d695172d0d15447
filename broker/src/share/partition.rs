//! One share-partition at work: a lock, its state from the share coordinator, and two tasks that
//! store what changes and wait for locks to run out.

pub mod machine;
mod messages;
mod reading;
mod span;

pub use reading::Portion;
pub use span::RecordState;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use vltava_config::group::share::{ShareReset, ShareSettings};
use vltava_wire::records::share_state::StateBatch as StoredBatch;
use vltava_wire::{ErrorCode, LeaderEpoch, Offset};

use self::machine::{AckBatch, Limits, SharePartition, StateBatch, Stored, Write};
use super::coordinator::Ask;
use super::coordinator::machine::{KnownState, NewState, Refusal};
use super::coordinator::record::ShareKey;
use super::persister::AskShareCoordinator;
use crate::error::ToErrorCode;
use crate::partition::Partition;
use crate::partition::read::{OffsetQuery, Reader};
use crate::partition::waiter::Wake;

/// What came of an acknowledgement.
pub type Acknowledged = Result<(), Refusal>;

/// How a group has its share-partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The bounds.
    pub limits: Limits,
    /// What the group sets.
    pub settings: ShareSettings,
}

/// A partition, and the epoch that this broker leads it in.
pub struct Led {
    /// The partition.
    pub partition: Arc<Partition>,
    /// The epoch.
    pub epoch: LeaderEpoch,
}

enum State {
    Loading,
    Active(Box<Active>),
    Closed(Closed),
}

struct Closed {
    refusal: Refusal,
    /// The write that was under way, and who waits for it.
    under_way: Option<(u64, Vec<oneshot::Sender<Acknowledged>>)>,
}

struct Active {
    machine: SharePartition,
    /// Who waits for a write, by its number.
    waiting: HashMap<u64, Vec<oneshot::Sender<Acknowledged>>>,
}

/// A partition that this broker leads in one epoch, for one share group.
pub struct Driver {
    /// What it is.
    pub key: ShareKey,
    /// The epoch that this broker leads it in.
    pub epoch: LeaderEpoch,
    partition: Arc<Partition>,
    coordinator: Arc<dyn AskShareCoordinator>,
    terms: Mutex<Terms>,
    state: Mutex<State>,
    start: Instant,
    /// Woken when there may be something to store.
    news: Notify,
    /// Woken when a lock may run out earlier than was known.
    timer: Notify,
    /// Who waits for records to be free.
    fetches: Mutex<Vec<Wake>>,
    runtime: Handle,
}

impl Driver {
    /// Starts to load the state; its tasks run in `runtime`.
    pub fn start(
        key: ShareKey,
        led: Led,
        coordinator: Arc<dyn AskShareCoordinator>,
        terms: Terms,
        runtime: Handle,
    ) -> Arc<Self> {
        let Led { partition, epoch } = led;
        let driver = Arc::new(Self {
            key,
            epoch,
            partition,
            coordinator,
            terms: Mutex::new(terms),
            state: Mutex::new(State::Loading),
            start: Instant::now(),
            news: Notify::new(),
            timer: Notify::new(),
            fetches: Mutex::default(),
            runtime,
        });
        driver.runtime.spawn(driver.clone().run());
        driver
    }

    /// Stops; who waits is told the code. But what is being stored is stored or fenced by the share
    /// coordinator, whoever leads by now: who waits for that is told which.
    pub fn close(&self, code: ErrorCode) {
        let refusal = Refusal::from(code);
        let mut waiting = HashMap::new();
        {
            let mut state = self.state.lock();
            let under_way = match &mut *state {
                State::Loading => None,
                State::Active(active) => {
                    waiting = std::mem::take(&mut active.waiting);
                    let number = active.machine.writing();
                    number.and_then(|number| Some((number, waiting.remove(&number)?)))
                }
                State::Closed(closed) => closed.under_way.take(),
            };
            *state = State::Closed(Closed { refusal, under_way });
        }
        for waiter in waiting.into_values().flatten() {
            // One who does not wait any more has closed the connection.
            waiter.send(Err(refusal)).ok();
        }
        // The tasks find out that there is nothing left to do.
        self.news.notify_one();
        self.timer.notify_one();
        self.wake_fetches();
    }

    /// Why it gives nothing out any more, if it does not.
    pub fn closed(&self) -> Option<Refusal> {
        match &*self.state.lock() {
            State::Closed(closed) => Some(closed.refusal),
            _ => None,
        }
    }

    /// The terms are others by now.
    pub fn set_terms(&self, terms: Terms) {
        if let State::Active(active) = &mut *self.state.lock() {
            active.machine.set_limits(terms.limits);
        }
        *self.terms.lock() = terms;
    }

    /// How long a member keeps what it is given, in milliseconds.
    pub fn lock_duration_ms(&self) -> i32 {
        self.terms.lock().settings.record_lock_duration_ms
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock_until(&self) -> u64 {
        self.now() + u64::try_from(self.lock_duration_ms()).unwrap_or(0)
    }

    /// Has `wake` woken when there may be more to give out.
    pub fn watch(&self, wake: &Wake) {
        let mut fetches = self.fetches.lock();
        fetches.retain(|other| Arc::strong_count(other) > 1 && !Arc::ptr_eq(other, wake));
        fetches.push(Arc::clone(wake));
    }

    fn wake_fetches(&self) {
        self.fetches.lock().drain(..).for_each(|wake| wake.notify_one());
    }

    /// Lets the machine take something in, and sees to what follows.
    fn with<T>(&self, change: impl FnOnce(&mut Active) -> T) -> Result<T, Refusal> {
        let outcome = match &mut *self.state.lock() {
            State::Active(active) => change(active),
            State::Loading => return Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS.into()),
            State::Closed(closed) => return Err(closed.refusal),
        };
        self.news.notify_one();
        self.timer.notify_one();
        Ok(outcome)
    }

    /// A member says what became of records. What it says is taken in at once; the future tells
    /// when it is stored.
    pub fn acknowledge(
        &self,
        member: &str,
        batches: &[AckBatch],
    ) -> impl Future<Output = Acknowledged> + Send + use<> {
        let until = self.lock_until();
        type Taken = Result<Option<oneshot::Receiver<Acknowledged>>, Refusal>;
        let taken = self.with(|active| -> Taken {
            let number = active.machine.acknowledge(member, batches, until);
            let number = number.map_err(|refused| Refusal {
                code: refused.code,
                message: Some(refused.message),
            })?;
            Ok(number.map(|number| {
                let (sender, receiver) = oneshot::channel();
                active.waiting.entry(number).or_default().push(sender);
                receiver
            }))
        });
        async move {
            match taken {
                Err(refusal) if refusal.code == ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => {
                    let message = "The record state is invalid. The acknowledgement of delivery \
                                   could not be completed.";
                    Err(Refusal { code: ErrorCode::INVALID_RECORD_STATE, message: Some(message) })
                }
                Err(refusal) | Ok(Err(refusal)) => Err(refusal),
                Ok(Ok(None)) => Ok(()),
                Ok(Ok(Some(stored))) => {
                    stored.await.unwrap_or_else(|_| Err(ErrorCode::NOT_LEADER_OR_FOLLOWER.into()))
                }
            }
        }
    }

    /// A member is gone: what it holds may go to others.
    pub fn release(&self, member: &str) {
        let released = self.with(|active| active.machine.release(member));
        if released == Ok(true) {
            self.wake_fetches();
        }
    }

    /// Whether nothing is to be stored, or it is closed.
    pub fn is_idle(&self) -> bool {
        match &*self.state.lock() {
            State::Active(active) => !active.machine.is_busy(),
            State::Loading | State::Closed(_) => true,
        }
    }

    async fn run(self: Arc<Self>) {
        let ask = Ask::Read(self.epoch.get());
        let loaded = match self.coordinator.ask(self.key.clone(), ask).await {
            Ok(Some(known)) => self.stored(known),
            Ok(None) => Err(ErrorCode::UNKNOWN_SERVER_ERROR.into()),
            Err(refusal) => Err(refusal),
        };
        let stored = match loaded {
            Ok(stored) => stored,
            Err(refusal) => {
                let (key, code) = (self.key.coordinator_key(), refusal.code);
                tracing::info!(key, %code, "a share-partition cannot be loaded");
                return self.close(as_loading(refusal.code));
            }
        };
        {
            let limits = self.terms.lock().limits;
            let machine = SharePartition::load(&stored, limits);
            let mut state = self.state.lock();
            if !matches!(*state, State::Loading) {
                return;
            }
            *state = State::Active(Box::new(Active { machine, waiting: HashMap::new() }));
        }
        self.wake_fetches();
        self.runtime.spawn(self.clone().wait_for_time());
        self.store_what_changes().await;
    }

    /// What the share coordinator knows, with a start where it knows none.
    fn stored(&self, known: KnownState) -> Result<Stored, Refusal> {
        let batches = known.batches.iter().filter_map(|batch| {
            Some(StateBatch {
                first: batch.first_offset,
                last: batch.last_offset,
                state: RecordState::from_code(batch.delivery_state)?,
                count: batch.delivery_count,
            })
        });
        let batches = batches.collect();
        let start = match known.start_offset {
            -1 => self.first_start().map_err(Refusal::from)?,
            start => start,
        };
        Ok(Stored { state_epoch: known.state_epoch, start, batches })
    }

    /// Where a group begins that has not read the partition before.
    fn first_start(&self) -> Result<i64, ErrorCode> {
        let reset = self.terms.lock().settings.auto_offset_reset;
        let find = |query| {
            let found = self.partition.find_offset(query, Reader::Consumer, self.epoch);
            found.map(|found| found.map(|found| found.offset)).map_err(|error| error.code())
        };
        let latest = |found: Option<Offset>| -> Result<i64, ErrorCode> {
            match found {
                Some(offset) => Ok(offset.get()),
                None => Ok(find(OffsetQuery::Latest)?.map_or(0, Offset::get)),
            }
        };
        match reset {
            ShareReset::Latest => latest(None),
            ShareReset::Earliest => latest(find(OffsetQuery::Earliest)?),
            ShareReset::ByDuration(ms) => {
                let wall = std::time::SystemTime::now()
                    .duration_since(std::time::UNIX_EPOCH)
                    .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
                latest(find(OffsetQuery::At(wall.saturating_sub(ms).max(0)))?)
            }
        }
    }

    async fn store_what_changes(self: Arc<Self>) {
        loop {
            let write = match &mut *self.state.lock() {
                State::Active(active) => active.machine.begin_write(),
                _ => return,
            };
            let Some(write) = write else {
                self.news.notified().await;
                continue;
            };
            let number = write.number;
            let ask = Ask::Write(self.new_state(&write));
            let reply = self.coordinator.ask(self.key.clone(), ask).await;
            self.stored_write(number, reply.map(|_| ()));
        }
    }

    fn new_state(&self, write: &Write) -> NewState {
        let batches = write.batches.iter().map(|batch| StoredBatch {
            first_offset: batch.first,
            last_offset: batch.last,
            delivery_state: batch.state.code(),
            delivery_count: batch.count,
        });
        NewState {
            state_epoch: write.state_epoch,
            leader_epoch: self.epoch.get(),
            start_offset: write.start,
            delivery_complete_count: write.complete,
            batches: batches.collect(),
        }
    }

    fn stored_write(&self, number: u64, outcome: Acknowledged) {
        let outcome = outcome
            .map_err(|refusal| Refusal { code: as_leader(refusal.code), message: refusal.message });
        let waiting = match &mut *self.state.lock() {
            State::Active(active) => {
                active.machine.end_write(number, outcome.is_ok());
                active.waiting.remove(&number).unwrap_or_default()
            }
            State::Closed(closed) => match closed.under_way.take() {
                Some((under_way, waiting)) if under_way == number => waiting,
                _ => return,
            },
            State::Loading => return,
        };
        for waiter in waiting {
            waiter.send(outcome).ok();
        }
        match outcome {
            Ok(()) => self.wake_fetches(),
            // Who is fenced knows nothing any more that holds.
            Err(refusal) if is_fenced(refusal.code) => self.close(refusal.code),
            Err(refusal) => {
                let (key, code) = (self.key.coordinator_key(), refusal.code);
                tracing::warn!(key, %code, "the state of a share-partition could not be stored");
                self.wake_fetches();
            }
        }
    }

    async fn wait_for_time(self: Arc<Self>) {
        loop {
            let next = match &*self.state.lock() {
                State::Active(active) => active.machine.next_deadline(),
                _ => return,
            };
            let Some(next) = next else {
                self.timer.notified().await;
                continue;
            };
            tokio::select! {
                () = tokio::time::sleep_until(self.start + Duration::from_millis(next)) => {
                    let now = self.now();
                    if self.with(|active| active.machine.expire(now)) == Ok(true) {
                        self.wake_fetches();
                    }
                }
                () = self.timer.notified() => {}
            }
        }
    }
}

/// Whether a code says that this broker's view of the share-partition does not hold any more: all
/// do, but that nobody answered.
fn is_fenced(code: ErrorCode) -> bool {
    code != ErrorCode::COORDINATOR_NOT_AVAILABLE
}

/// What a member is told while the state cannot be had: to come again, in a code that consumers
/// know of a fetch.
fn as_loading(code: ErrorCode) -> ErrorCode {
    match as_leader(code) {
        ErrorCode::COORDINATOR_NOT_AVAILABLE => ErrorCode::OFFSET_NOT_AVAILABLE,
        code => code,
    }
}

/// What a member is told of what the share coordinator said: who is fenced leads no more.
fn as_leader(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::NOT_COORDINATOR
        | ErrorCode::COORDINATOR_NOT_AVAILABLE
        | ErrorCode::COORDINATOR_LOAD_IN_PROGRESS => ErrorCode::COORDINATOR_NOT_AVAILABLE,
        ErrorCode::FENCED_STATE_EPOCH | ErrorCode::FENCED_LEADER_EPOCH => {
            ErrorCode::NOT_LEADER_OR_FOLLOWER
        }
        ErrorCode::GROUP_ID_NOT_FOUND
        | ErrorCode::UNKNOWN_TOPIC_OR_PARTITION
        | ErrorCode::NOT_LEADER_OR_FOLLOWER
        | ErrorCode::OFFSET_NOT_AVAILABLE
        | ErrorCode::KAFKA_STORAGE_ERROR => code,
        _ => ErrorCode::UNKNOWN_SERVER_ERROR,
    }
}
