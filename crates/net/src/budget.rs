//! The process's memory for what clients send, so that they cannot make it grow without end.
//!
//! Four pools make up the budget:
//! - the shared one, from which all frames are charged, step by step as they arrive;
//! - a small one that only small frames may use once the shared one is empty, so that followers'
//!   fetches and heartbeats come through while large produces wait for exactly them;
//! - one that only what nodes send each other may use once the shared one is empty, so that
//!   replication goes on although clients on the same listener have filled all others;
//! - a lane for one frame of the largest size. Frames that are half read would otherwise wait
//!   for each other; the one that gets the lane is read to its end.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::Semaphore;

/// The largest charge that may come from the pool for small frames, in bytes.
pub(crate) const SMALL_MAX: usize = 64 * 1024;

/// Which part of the budget is for small frames: one of so many.
const SMALL_SHARE: usize = 8;

/// The largest frame that may come from the pool for nodes, in bytes. The first fetch of a
/// follower names each partition that it wants, with 40 bytes: this is one of 50,000.
pub(crate) const PEER_MAX: usize = 2 * 1024 * 1024;

/// Which part of the budget is for what nodes send each other: one of so many. A node has a few
/// connections to another, with requests of some KiB in flight; a listener that has their
/// traffic has that of clients as well, who can send what looks like it, but no more than this.
const PEERS_SHARE: usize = 16;

/// Whose a frame is: which pools it may come from once the shared one is empty. A large frame of
/// a client waits for the lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Client,
    /// Another node's, as far as can be seen.
    Peer,
}

/// Memory that is shared by all connections of a process.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    shared: Semaphore,
    small: Semaphore,
    peers: Semaphore,
    lane: Semaphore,
    used: Gauge,
}

impl Budget {
    /// A budget of `limit` bytes, of which one frame of `frame_max` bytes is set aside for the
    /// lane. A limit that is too small for that is exceeded by the lane.
    pub fn new(limit: usize, frame_max: usize) -> Arc<Self> {
        let small = (limit / SMALL_SHARE).max(SMALL_MAX);
        let peers = (limit / PEERS_SHARE).max(PEER_MAX);
        let shared = limit.saturating_sub(frame_max + small + peers).max(SMALL_MAX);
        Arc::new(Self {
            limit,
            shared: Semaphore::new(shared.min(Semaphore::MAX_PERMITS)),
            small: Semaphore::new(small.min(Semaphore::MAX_PERMITS)),
            peers: Semaphore::new(peers.min(Semaphore::MAX_PERMITS)),
            lane: Semaphore::new(1),
            used: Gauge::default(),
        })
    }

    /// The budget in bytes, as it was given.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that are charged at the moment.
    pub fn used(&self) -> usize {
        usize::try_from(self.used.get()).unwrap_or(0)
    }

    pub(crate) fn used_gauge(&self) -> Gauge {
        self.used.clone()
    }

    /// Charges `bytes` if the shared pool has them; for memory that can be done without, as a
    /// fetch can answer with less.
    pub fn try_charge(self: &Arc<Self>, bytes: usize) -> Option<Charge> {
        take_now(&self.shared, bytes).then(|| self.charged(Taken { shared: bytes, ..Taken::NONE }))
    }

    /// Charges `bytes` whatever is left: for what must come through, and whose size is bounded
    /// elsewhere.
    pub fn charge_always(self: &Arc<Self>, bytes: usize) -> Charge {
        match self.try_charge(bytes) {
            Some(charge) => charge,
            None => self.charged(Taken { beyond: bytes, ..Taken::NONE }),
        }
    }

    /// Charges `bytes`, and waits until they are there.
    pub async fn charge(self: &Arc<Self>, bytes: usize) -> Charge {
        let mut charge = self.nothing();
        charge.grow(bytes, bytes, Origin::Client).await;
        charge
    }

    /// A charge of nothing, to grow.
    pub(crate) fn nothing(self: &Arc<Self>) -> Charge {
        self.charged(Taken::NONE)
    }

    fn charged(self: &Arc<Self>, taken: Taken) -> Charge {
        self.used.inc_by(taken.bytes() as i64);
        Charge { budget: self.clone(), taken }
    }
}

/// Bytes that were taken, by pool.
#[derive(Clone, Copy, Debug)]
struct Taken {
    shared: usize,
    small: usize,
    peers: usize,
    /// Taken from no pool: within the lane, or whatever is left.
    beyond: usize,
    /// Whether the lane is held.
    lane: bool,
}

impl Taken {
    const NONE: Self = Self { shared: 0, small: 0, peers: 0, beyond: 0, lane: false };

    fn bytes(self) -> usize {
        self.shared + self.small + self.peers + self.beyond
    }
}

/// Bytes charged to a [`Budget`]; dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    budget: Arc<Budget>,
    taken: Taken,
}

impl Charge {
    /// Bytes that are charged.
    pub fn bytes(&self) -> usize {
        self.taken.bytes()
    }

    /// Charges `more` bytes of a frame of `length` bytes, and waits until they are there.
    ///
    /// Cancelling it charges nothing.
    pub(crate) async fn grow(&mut self, more: usize, length: usize, origin: Origin) {
        let budget = &self.budget;
        let is_small = length <= SMALL_MAX;
        let is_peers = origin == Origin::Peer && length <= PEER_MAX;
        if self.taken.lane {
            self.taken.beyond += more;
        } else if take_now(&budget.shared, more) {
            self.taken.shared += more;
        } else {
            tokio::select! {
                () = take(&budget.shared, more) => self.taken.shared += more,
                () = take(&budget.small, more), if is_small => self.taken.small += more,
                () = take(&budget.peers, more), if is_peers => self.taken.peers += more,
                () = take(&budget.lane, 1), if !is_small => {
                    self.taken.lane = true;
                    self.taken.beyond += more;
                }
            }
        }
        budget.used.inc_by(more as i64);
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.dec_by(self.bytes() as i64);
        self.budget.shared.add_permits(self.taken.shared);
        self.budget.small.add_permits(self.taken.small);
        self.budget.peers.add_permits(self.taken.peers);
        self.budget.lane.add_permits(usize::from(self.taken.lane));
    }
}

fn take_now(pool: &Semaphore, bytes: usize) -> bool {
    let Ok(permits) = u32::try_from(bytes) else { return false };
    pool.try_acquire_many(permits).map(tokio::sync::SemaphorePermit::forget).is_ok()
}

/// Takes bytes that are below 4 GiB: steps of a frame are.
async fn take(pool: &Semaphore, bytes: usize) {
    let permits = u32::try_from(bytes).expect("a step of a frame is below 4 GiB");
    pool.acquire_many(permits).await.expect("pools of the budget are never closed").forget();
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    const MIB: usize = 1024 * 1024;
    const CLIENT: Origin = Origin::Client;

    #[test]
    fn what_is_charged_is_given_back() {
        let budget = Budget::new(64 * MIB, MIB);
        let charge = budget.charge(10 * MIB).now_or_never().expect("there is room");
        assert_eq!(budget.used(), 10 * MIB);
        drop(charge);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn small_frames_come_through_when_large_ones_have_used_up_the_shared_pool() {
        let budget = Budget::new(16 * MIB, MIB);
        let mut held = Vec::new();
        while let Some(charge) = budget.try_charge(MIB) {
            held.push(charge);
        }
        let lane = budget.charge(MIB).now_or_never().expect("the lane is free");
        assert!(budget.charge(MIB).now_or_never().is_none(), "the lane is taken");
        assert!(budget.charge(SMALL_MAX).now_or_never().is_some());
        assert!(budget.used() <= budget.limit());
        drop(lane);
    }

    #[test]
    fn a_frame_that_has_the_lane_grows_to_its_end() {
        let budget = Budget::new(MIB, MIB);
        let mut first = budget.charge(SMALL_MAX).now_or_never().expect("there is room");
        let mut second = budget.charge(SMALL_MAX).now_or_never().expect("there is room");
        first.grow(MIB / 2, MIB, CLIENT).now_or_never().expect("the lane is free");
        assert!(second.grow(MIB / 2, MIB, CLIENT).now_or_never().is_none());
        first.grow(MIB / 2, MIB, CLIENT).now_or_never().expect("it has the lane");
        drop(first);
        second.grow(MIB / 2, MIB, CLIENT).now_or_never().expect("the lane is free again");
    }

    #[test]
    fn what_nodes_send_each_other_comes_through_when_clients_have_filled_all_else_and_is_bounded() {
        let budget = Budget::new(64 * MIB, 8 * MIB);
        let mut held = Vec::new();
        for size in [MIB, SMALL_MAX, 8 * MIB] {
            while let Some(charge) = budget.charge(size).now_or_never() {
                held.push(charge);
            }
        }
        let of_clients = budget.used();
        let ask = |length: usize| {
            let mut charge = budget.nothing();
            charge.grow(length, length, Origin::Peer).now_or_never().map(|()| charge)
        };
        assert!(ask(PEER_MAX + 1).is_none(), "no node sends so much");
        assert!(ask(PEER_MAX).is_some(), "the first fetch of a follower");
        let mut peers = Vec::new();
        while let Some(charge) = ask(SMALL_MAX) {
            peers.push(charge);
        }
        assert_eq!(budget.used() - of_clients, 4 * MIB);
        assert!(budget.used() <= budget.limit());
        drop(peers);
        assert_eq!(budget.used(), of_clients);
    }
}
