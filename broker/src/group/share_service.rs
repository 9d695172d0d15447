//! The share groups that this broker coordinates: requests, and what is asked of the share
//! coordinator for them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use tokio::runtime::Handle;
use vltava_wire::messages::ShareGroupHeartbeatResponse;
use vltava_wire::messages::share_group_describe::DescribedGroup;
use vltava_wire::{ErrorCode, Str, Uuid};

use super::calls::ShareHeartbeatCall;
use super::machine::{Event, Reply, Shard};
use super::service::GroupService;
use super::share::{ShareOrder, ShareOutcome, ShareTask};
use super::sharing::TaskReply;
use crate::shard::{Answer, Driver};
use crate::share::coordinator::Ask;
use crate::share::coordinator::machine::NewState;
use crate::share::coordinator::record::ShareKey;
use crate::share::persister::AskShareCoordinator;

/// How many share-partitions the share coordinator is asked about at once, for one group.
const ASKS_AT_ONCE: usize = 32;

/// Of how many of them a group is told at once, where as many are answered.
const TOLD_AT_ONCE: usize = 1000;

/// Partitions of topics.
pub type ByTopic = BTreeMap<Uuid, BTreeSet<i32>>;

/// How groups ask the share coordinator, and where the asking runs.
pub(super) struct AsksForShares {
    asks: Arc<dyn AskShareCoordinator>,
    runtime: Handle,
}

impl AsksForShares {
    /// Has the share coordinator know of share-partitions, and tells the group of those that it
    /// knows then.
    pub(super) fn carry_out(&self, order: ShareOrder, driver: &Arc<Driver<Shard>>) {
        let (asks, driver) = (Arc::clone(&self.asks), Arc::clone(driver));
        self.runtime.spawn(async move {
            let ShareOrder { group, state_epoch, initialize } = order;
            let new = NewState {
                state_epoch,
                leader_epoch: -1,
                start_offset: -1,
                delivery_complete_count: -1,
                batches: Vec::new(),
            };
            let wanted = initialize.into_iter().flat_map(|(topic, partitions)| {
                partitions.into_iter().map(move |partition| (topic, partition))
            });
            let wanted: Vec<(Uuid, i32)> = wanted.collect();
            let asked = wanted.into_iter().map(|(topic, partition)| {
                let key = ShareKey { group: group.clone(), topic, partition };
                let answer = asks.ask(key, Ask::Initialize(new.clone()));
                async move { (topic, partition, answer.await) }
            });
            // Some coordinator may be away for long: what others answer is told meanwhile.
            let answers = futures::stream::iter(asked).buffer_unordered(ASKS_AT_ONCE);
            let mut answers = answers.ready_chunks(TOLD_AT_ONCE);
            while let Some(answers) = answers.next().await {
                let mut outcome = ShareOutcome { group: group.clone(), ..Default::default() };
                for (topic, partition, answer) in answers {
                    match answer.map(|_| ()).map_err(|refusal| refusal.code) {
                        // It knows of a later state.
                        Ok(()) | Err(ErrorCode::FENCED_STATE_EPOCH) => {
                            outcome.initialized.entry(topic).or_default().insert(partition);
                        }
                        Err(code) => {
                            tracing::warn!(%group, %topic, partition, %code, "not yet initialized");
                        }
                    }
                }
                driver.tell(Event::ShareOutcome(outcome));
            }
        });
    }
}

impl GroupService {
    /// Says how the share coordinator is asked. Must be called within the tokio runtime that the
    /// asking runs in; once.
    pub fn ask_for_shares(&self, asks: Arc<dyn AskShareCoordinator>) {
        let known =
            self.shards.setup().shares.set(AsksForShares { asks, runtime: Handle::current() });
        debug_assert!(known.is_ok(), "said once");
    }

    /// ShareGroupHeartbeat.
    pub fn share_heartbeat(&self, call: ShareHeartbeatCall) -> Answer<ShareGroupHeartbeatResponse> {
        let refused = |error_code| ShareGroupHeartbeatResponse { error_code, ..Default::default() };
        let group = call.request.group_id.clone();
        let event = |token| Event::ShareHeartbeat(token, call);
        self.submit(&group, event, refused, |reply| match reply {
            Reply::ShareHeartbeat(response) => response,
            other => unreachable!("a request is answered in kind, not with {other:?}"),
        })
    }

    /// ShareGroupDescribe.
    pub fn describe_share_groups(&self, groups: &[Str]) -> Vec<DescribedGroup> {
        let describe = |group: &Str| {
            let driver = self.shards.driver_of(group);
            let described =
                driver.and_then(|driver| driver.read(|shard| shard.describe_share_group(group)));
            described.unwrap_or_else(|error_code| DescribedGroup {
                error_code,
                group_id: group.clone(),
                ..Default::default()
            })
        };
        groups.iter().map(describe).collect()
    }

    /// The share-partitions of a share group, and whether it has members; `None` if it is no share
    /// group.
    ///
    /// # Errors
    /// The code that says why the group cannot be looked at here.
    pub fn share_partitions(&self, group: &Str) -> Result<Option<(ByTopic, bool)>, ErrorCode> {
        self.shards.driver_of(group)?.read(|shard| shard.share_partitions(group))
    }

    /// Writes down what a person wants of a group's share-partitions, before it is done.
    pub fn begin_share_task(&self, group: Str, task: ShareTask) -> Answer<TaskReply> {
        let refused = |code: ErrorCode| Err((code, None));
        let id = group.clone();
        let event = |token| Event::ShareTask(token, group, task);
        self.submit(&id, event, refused, |reply| match reply {
            Reply::ShareTask(reply) => reply,
            other => unreachable!("a request is answered in kind, not with {other:?}"),
        })
    }

    /// Tells a group what the share coordinator has done for it.
    pub fn note_share_outcome(&self, outcome: ShareOutcome) {
        if let Ok(driver) = self.shards.driver_of(&outcome.group) {
            driver.tell(Event::ShareOutcome(outcome));
        }
    }
}
