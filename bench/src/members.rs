//! Many members of one group.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use vltava_e2e::{Outcome, until};

use crate::client;

/// How long a group may take to become whole.
const WHOLE_MAX: Duration = Duration::from_secs(60);

/// What a member has been assigned so far.
#[derive(Default)]
struct Assigned {
    /// How often.
    times: AtomicU64,
    /// How many partitions the last time.
    partitions: AtomicU64,
}

struct Member(Arc<Assigned>);

impl ClientContext for Member {}

impl ConsumerContext for Member {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                self.0.partitions.store(partitions.count() as u64, Ordering::Release);
                self.0.times.fetch_add(1, Ordering::Release);
            }
            Rebalance::Revoke(_) => self.0.partitions.store(0, Ordering::Release),
            Rebalance::Error(_) => {}
        }
    }
}

/// Has so many members join, and then one leave; how long each took until the topic's
/// partitions, two for each member, were all assigned.
///
/// # Errors
/// If that does not happen in time.
pub fn join_and_leave(
    bootstrap: &str,
    topic: &str,
    group: &str,
    count: usize,
) -> Outcome<(Duration, Duration)> {
    let assigned: Vec<Arc<Assigned>> = (0..count).map(|_| Arc::default()).collect();
    let leave: Vec<AtomicBool> = (0..count).map(|_| AtomicBool::new(false)).collect();
    std::thread::scope(|scope| {
        let start = Instant::now();
        for (member, leave) in assigned.iter().zip(&leave) {
            let member = Arc::clone(member);
            scope.spawn(move || belong(bootstrap, topic, group, member, leave));
        }
        let whole = |members: &[Arc<Assigned>], since: &[u64]| {
            let sum: u64 = members.iter().map(|it| it.partitions.load(Ordering::Acquire)).sum();
            let anew = members
                .iter()
                .zip(since)
                .all(|(it, since)| it.times.load(Ordering::Acquire) > *since);
            if sum == 2 * count as u64 && anew { Ok(()) } else { Err(format!("{sum} assigned")) }
        };
        let times = |members: &[Arc<Assigned>]| -> Vec<u64> {
            members.iter().map(|it| it.times.load(Ordering::Acquire)).collect()
        };
        let outcome = until("a whole group", WHOLE_MAX, || whole(&assigned, &vec![0; count]));
        let joined = start.elapsed();
        let outcome = outcome.and_then(|()| {
            let rest = &assigned[1..];
            let since = times(rest);
            let start = Instant::now();
            leave[0].store(true, Ordering::Release);
            until("a group without one", WHOLE_MAX, || whole(rest, &since))?;
            Ok((joined, start.elapsed()))
        });
        leave.iter().for_each(|it| it.store(true, Ordering::Release));
        outcome
    })
}

/// One member's life.
fn belong(bootstrap: &str, topic: &str, group: &str, member: Arc<Assigned>, leave: &AtomicBool) {
    let consumer: Result<BaseConsumer<Member>, _> =
        client::config(bootstrap, &[("group.id", group), ("enable.auto.commit", "false")])
            .create_with_context(Member(member));
    // A member that does not come is missed by who waits for the group.
    let Ok(consumer) = consumer else { return };
    if consumer.subscribe(&[topic]).is_err() {
        return;
    }
    while !leave.load(Ordering::Acquire) {
        let _ = consumer.poll(Duration::from_millis(20));
    }
}
