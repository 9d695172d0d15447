//! One shard at work: a lock, a log, and two tasks that wait for commits and for time.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;
use tokio::time::Instant;
use vltava_wire::batch::{BatchBuilder, NO_SEQUENCE};
use vltava_wire::{ErrorCode, LeaderEpoch, Offset, PartitionId};

use super::log::{AppendError, StateLog};
use super::{
    Append, Effects, InTransaction, LoadError, Loader, Machine, Now, Outcome, Record, Setup,
    Ticket, Token, TxnProducer,
};
use crate::error::ToErrorCode;

/// How many partitions are loaded at once: reading more at a time makes each slower.
const LOADS_MAX: usize = 4;

/// How long to wait before loading is tried again, in ms: the first time, and at most.
const LOAD_RETRY_MS: (u64, u64) = (100, 10_000);

type Commit = (Ticket, BoxFuture<'static, Result<(), AppendError>>);

/// The two clocks.
#[derive(Clone, Copy, Debug)]
struct Clock {
    start: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { start: Instant::now() }
    }

    fn now(self) -> Now {
        let mono = self.start.elapsed().as_millis();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Now {
            mono: u64::try_from(mono).unwrap_or(u64::MAX),
            wall: i64::try_from(wall).unwrap_or(i64::MAX),
        }
    }

    fn instant(self, mono: u64) -> Instant {
        self.start + Duration::from_millis(mono)
    }
}

/// What all shards of a coordinator share.
pub struct Environment<M: Machine> {
    pub(super) setup: M::Setup,
    log: Arc<dyn StateLog>,
    clock: Clock,
    /// Bounds how many partitions are read at once.
    loads: Semaphore,
}

impl<M: Machine> Environment<M> {
    pub(super) fn new(setup: M::Setup, log: Arc<dyn StateLog>) -> Self {
        Self { setup, log, clock: Clock::start(), loads: Semaphore::new(LOADS_MAX) }
    }
}

/// Where a shard is in its life.
enum State<M: Machine> {
    Loading,
    Active(Box<Active<M>>),
    Closed,
}

/// A shard that answers.
struct Active<M: Machine> {
    machine: M,
    waiting: HashMap<Token, oneshot::Sender<M::Reply>>,
    tokens: u64,
    commits: mpsc::UnboundedSender<Commit>,
    /// The time up to which the timer sleeps.
    armed: Option<u64>,
}

/// One partition of a coordinator's topic that this broker leads, in one epoch.
pub struct Driver<M: Machine> {
    environment: Arc<Environment<M>>,
    /// The partition.
    pub partition: PartitionId,
    /// The epoch that it is led in.
    pub epoch: LeaderEpoch,
    state: Mutex<State<M>>,
    timer: Notify,
    tasks: Mutex<Vec<AbortHandle>>,
}

impl<M: Machine> Driver<M> {
    /// Starts to load a partition. Must be called within a tokio runtime.
    pub(super) fn start(
        environment: Arc<Environment<M>>,
        partition: PartitionId,
        epoch: LeaderEpoch,
    ) -> Arc<Self> {
        let driver = Arc::new(Self {
            environment,
            partition,
            epoch,
            state: Mutex::new(State::Loading),
            timer: Notify::new(),
            tasks: Mutex::new(Vec::new()),
        });
        driver.spawn(driver.clone().run());
        driver
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().push(tokio::spawn(task).abort_handle());
    }

    /// Stops, and tells all who wait that this broker is not their coordinator any more.
    pub(super) fn close(&self) {
        let state = std::mem::replace(&mut *self.state.lock(), State::Closed);
        if let State::Active(active) = state {
            let Active { machine, mut waiting, .. } = *active;
            let (partition, epoch, count) = (self.partition, self.epoch, machine.count());
            if count > 0 {
                tracing::info!(
                    shard = partition.get(),
                    epoch = epoch.get(),
                    count,
                    "unloaded {}",
                    M::KEEPS
                );
            }
            for (token, reply) in machine.stop() {
                if let Some(waiter) = waiting.remove(&token) {
                    // One who does not wait any more has closed the connection.
                    waiter.send(reply).ok();
                }
            }
        }
        self.tasks.lock().drain(..).for_each(|task| task.abort());
    }

    /// Hands an event to the machine; the reply to its token comes by the receiver.
    ///
    /// # Errors
    /// The code that says why the shard does not answer.
    pub fn submit(
        self: &Arc<Self>,
        event: impl FnOnce(Token) -> M::Event,
    ) -> Result<oneshot::Receiver<M::Reply>, ErrorCode> {
        let mut state = self.state.lock();
        let active = Self::active(&mut state)?;
        if active.machine.is_overloaded() {
            return Err(ErrorCode::COORDINATOR_NOT_AVAILABLE);
        }
        active.tokens += 1;
        let token = Token(active.tokens);
        let (sender, receiver) = oneshot::channel();
        active.waiting.insert(token, sender);
        self.feed(active, event(token));
        Ok(receiver)
    }

    /// Hands an event to the machine that nobody waits for, if the shard is loaded.
    pub fn tell(self: &Arc<Self>, event: M::Event) {
        if let State::Active(active) = &mut *self.state.lock() {
            self.feed(active, event);
        }
    }

    /// Whether it may still come to coordinate, or does.
    pub fn is_open(&self) -> bool {
        !matches!(*self.state.lock(), State::Closed)
    }

    /// Looks at the machine.
    ///
    /// # Errors
    /// The code that says why there is none.
    pub fn read<T>(&self, read: impl FnOnce(&M) -> T) -> Result<T, ErrorCode> {
        Ok(read(&Self::active(&mut self.state.lock())?.machine))
    }

    fn active(state: &mut State<M>) -> Result<&mut Active<M>, ErrorCode> {
        match state {
            State::Active(active) => Ok(active),
            State::Loading => Err(ErrorCode::COORDINATOR_LOAD_IN_PROGRESS),
            State::Closed => Err(ErrorCode::NOT_COORDINATOR),
        }
    }

    fn feed(self: &Arc<Self>, active: &mut Active<M>, event: M::Event) {
        let effects = active.machine.on(event, self.environment.clock.now());
        self.carry_out(active, effects);
    }

    /// Does what the machine wants, and tells it at once what was written, so that nothing comes
    /// between a decision and its record.
    fn carry_out(self: &Arc<Self>, active: &mut Active<M>, effects: Effects<M::Reply, M::Order>) {
        let mut effects = VecDeque::from([effects]);
        while let Some(Effects { appends, replies, orders }) = effects.pop_front() {
            for append in appends {
                let outcome = self.append(active, append).into();
                effects.push_back(active.machine.on(outcome, self.environment.clock.now()));
            }
            for order in orders {
                self.environment.setup.carry_out(order, self);
            }
            for (token, reply) in replies {
                if let Some(waiter) = active.waiting.remove(&token) {
                    waiter.send(reply).ok();
                }
            }
        }
        let next = active.machine.next_deadline();
        if next.is_some_and(|next| active.armed.is_none_or(|armed| next < armed)) {
            active.armed = next;
            self.timer.notify_one();
        }
    }

    fn append(&self, active: &Active<M>, append: Append) -> Outcome {
        let Append { ticket, records, transaction } = append;
        let batch = self.batch(&records, transaction.as_ref());
        let log = &self.environment.log;
        match log.append(self.partition, self.epoch, batch, transaction.as_ref()) {
            Ok(appended) => match active.commits.send((ticket, appended.committed)) {
                Ok(()) => Outcome::Written(ticket),
                // The task that waits for commits ends only when the shard is closed.
                Err(_) => Outcome::Refused(ticket, ErrorCode::NOT_COORDINATOR),
            },
            Err(error) => {
                tracing::warn!(partition = %self.partition, %error, "cannot store {}", M::KEEPS);
                Outcome::Refused(ticket, error.code())
            }
        }
    }

    fn batch(&self, records: &[Record], transaction: Option<&InTransaction>) -> BytesMut {
        let wall = self.environment.clock.now().wall;
        let mut batch = BatchBuilder::new(Offset::ZERO)
            .partition_leader_epoch(self.epoch)
            .compression(self.environment.setup.compression());
        match transaction {
            None => {}
            Some(InTransaction::Part(producer)) => {
                let TxnProducer { id, epoch, .. } = *producer;
                batch = batch.transactional().producer(id, epoch, NO_SEQUENCE);
            }
            Some(InTransaction::End(end)) => return end.batch(wall),
        }
        for record in records {
            batch.append(wall, Some(&record.key), record.value.as_deref(), &[]);
        }
        batch.build()
    }

    async fn run(self: Arc<Self>) {
        let Some((machine, inherited)) = self.load_until_done().await else { return };
        let (sender, receiver) = mpsc::unbounded_channel();
        if let Some(commit) = inherited {
            // The receiver is held below.
            sender.send(commit).ok();
        }
        let mut active = Box::new(Active {
            machine,
            waiting: HashMap::new(),
            tokens: 0,
            commits: sender,
            armed: None,
        });
        {
            let mut state = self.state.lock();
            if matches!(*state, State::Closed) {
                return;
            }
            let (greeting, now) = (self.environment.setup.greeting(), self.environment.clock.now());
            let greeted = active.machine.on(greeting, now);
            self.carry_out(&mut active, greeted);
            let effects = active.machine.start(now);
            self.carry_out(&mut active, effects);
            *state = State::Active(active);
        }
        self.spawn(self.clone().wait_for_commits(receiver));
        self.wait_for_time().await;
    }

    async fn wait_for_commits(self: Arc<Self>, mut commits: mpsc::UnboundedReceiver<Commit>) {
        while let Some((ticket, committed)) = commits.recv().await {
            match committed.await {
                // The high watermark has passed the records, however few replicas are left now.
                Ok(()) | Err(AppendError::NotEnoughReplicas) => {
                    self.tell(Outcome::Committed(ticket).into());
                }
                Err(error) => {
                    tracing::info!(partition = %self.partition, %error, "no longer coordinator");
                    return self.close();
                }
            }
        }
    }

    async fn wait_for_time(self: Arc<Self>) {
        loop {
            let next = match &mut *self.state.lock() {
                State::Active(active) => {
                    active.armed = active.machine.next_deadline();
                    active.armed
                }
                State::Loading | State::Closed => return,
            };
            let Some(next) = next else {
                self.timer.notified().await;
                continue;
            };
            let instant = self.environment.clock.instant(next);
            tokio::select! {
                () = tokio::time::sleep_until(instant) => self.tell(Outcome::Tick.into()),
                () = self.timer.notified() => {}
            }
        }
    }

    /// Loads the shard, however often it takes; `None` if it was closed meanwhile.
    async fn load_until_done(self: &Arc<Self>) -> Option<(M, Option<Commit>)> {
        let (mut wait_ms, max_ms) = LOAD_RETRY_MS;
        loop {
            let started = Instant::now();
            let permit = self.environment.loads.acquire().await.ok()?;
            let driver = self.clone();
            let loaded = tokio::task::spawn_blocking(move || driver.load()).await;
            drop(permit);
            let error = match loaded {
                Ok(Ok(None)) => return None,
                Ok(Ok(Some((machine, records, end)))) => {
                    let (count, ms) = (machine.count(), started.elapsed().as_millis());
                    let (partition, epoch) = (self.partition, self.epoch);
                    if records > 0 {
                        tracing::info!(
                            shard = partition.get(),
                            epoch = epoch.get(),
                            records,
                            count,
                            ms,
                            "loaded {}",
                            M::KEEPS
                        );
                    }
                    return self.inherit(machine, end).await;
                }
                Ok(Err(error)) => vltava_net::error_chain(&error),
                Err(error) => error.to_string(),
            };
            tracing::error!(partition = %self.partition, %error, "cannot load {}", M::KEEPS);
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            wait_ms = (wait_ms * 2).min(max_ms);
        }
    }

    /// Has a machine know of what was loaded and may yet be taken away: it counts that as an append
    /// whose outcome is still to be told, or it is waited for. `None` if it will not be seen here.
    async fn inherit(&self, mut machine: M, end: Offset) -> Option<(M, Option<Commit>)> {
        let Environment { log, clock, .. } = &*self.environment;
        let bounds = log.bounds(self.partition);
        if bounds.is_ok_and(|bounds| bounds.high_watermark >= end) {
            return Some((machine, None));
        }
        let committed = log.committed(self.partition, self.epoch, end);
        if let Some(ticket) = machine.inherit(clock.now()) {
            return Some((machine, Some((ticket, committed))));
        }
        match committed.await {
            Ok(()) | Err(AppendError::NotEnoughReplicas) => Some((machine, None)),
            Err(error) => {
                tracing::info!(partition = %self.partition, %error, "no longer coordinator");
                self.close();
                None
            }
        }
    }

    fn load(&self) -> Result<Option<(M, u64, Offset)>, LoadError> {
        let Environment { setup, log, .. } = &*self.environment;
        let failed = |at| move |source| LoadError::Read { at, source };
        let mut bounds = log.bounds(self.partition).map_err(failed(Offset::ZERO))?;
        let mut loader = Loader::new(setup.replay(), bounds.log_start);
        loop {
            let at = loader.next_offset();
            if at >= bounds.log_end {
                // What was appended meanwhile is this leader's own doing, in an epoch before.
                bounds = log.bounds(self.partition).map_err(failed(at))?;
                if at >= bounds.log_end {
                    break;
                }
            }
            if matches!(*self.state.lock(), State::Closed) {
                return Ok(None);
            }
            let bytes =
                log.read(self.partition, at, setup.load_buffer_bytes()).map_err(failed(at))?;
            loader.take(&bytes)?;
            if loader.next_offset() == at {
                return Err(LoadError::Short { at, end: bounds.log_end });
            }
        }
        let (records, end) = (loader.records(), loader.next_offset());
        loader.finish().map(|machine| Some((machine, records, end)))
    }
}
