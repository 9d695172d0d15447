//! Heartbeats: one connection to every coordinator, so that each sees it close when this dies.
//!
//! Only the active coordinator acts on a heartbeat; the others answer NOT_CONTROLLER, but remember
//! whose connection it is. If this process dies together with the active coordinator, the next one
//! knows at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::AbortHandle;
use vltava_client::{ConnectOptions, Connection};
use vltava_wire::ErrorCode;
use vltava_wire::messages::{BrokerHeartbeatRequest, BrokerHeartbeatResponse};

use super::coordinators::Active;
use super::{Life, Status};

/// The pauses before a coordinator that does not answer is tried again: each is twice the one
/// before, up to the longest.
const RECONNECT_PAUSE_FIRST: Duration = Duration::from_millis(10);
const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(100);

/// After so long without an answer a coordinator is tried seldom: it may have been removed, of
/// which the metadata say nothing, and each try asks for its name several times.
const GONE_AFTER: Duration = Duration::from_secs(60);
const RECONNECT_PAUSE_OF_GONE: Duration = Duration::from_secs(10);

/// Sends heartbeats to all coordinators for ever.
pub(super) async fn beat(
    interval: Duration,
    life: Arc<Life>,
    mut addresses: watch::Receiver<Vec<String>>,
    active: &watch::Receiver<Option<Active>>,
) {
    let mut tasks: HashMap<String, AbortHandle> = HashMap::new();
    loop {
        let wanted = addresses.borrow_and_update().clone();
        tasks.retain(|address, task| {
            let stays = wanted.contains(address);
            if !stays {
                task.abort();
            }
            stays
        });
        for address in wanted {
            tasks.entry(address.clone()).or_insert_with(|| {
                let beating = beat_one(address, interval, Arc::clone(&life), active.clone());
                tokio::spawn(beating).abort_handle()
            });
        }
        if addresses.changed().await.is_err() {
            return;
        }
    }
}

async fn beat_one(
    address: String,
    interval: Duration,
    life: Arc<Life>,
    mut active: watch::Receiver<Option<Active>>,
) {
    let options = ConnectOptions {
        connect_timeout: interval.max(Duration::from_secs(1)),
        request_timeout: interval.saturating_mul(4).max(Duration::from_secs(1)),
        ..ConnectOptions::named(&format!("broker-{}", life.id))
    };
    let mut retry = Retry::default();
    loop {
        match Connection::connect(&address, &options).await {
            Ok(connection) => {
                retry = Retry::default();
                beat_on(&connection, interval, &life).await;
            }
            Err(error) => {
                tracing::debug!(%address, %error, "a coordinator cannot be reached");
            }
        }
        let is_active = is_at(active.borrow_and_update().as_ref(), &address);
        let pause = retry.pause(is_active, Instant::now());
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = becomes_active(&mut active, &address) => {}
        }
    }
}

fn is_at(active: Option<&Active>, address: &str) -> bool {
    active.is_some_and(|active| active.address == address)
}

/// Waits until the coordinator at that address is the active one, and was not before.
async fn becomes_active(active: &mut watch::Receiver<Option<Active>>, address: &str) {
    while active.changed().await.is_ok() {
        if is_at(active.borrow_and_update().as_ref(), address) {
            return;
        }
    }
    // The broker ends, and nobody will say who is active.
    std::future::pending::<()>().await;
}

/// When a coordinator that does not answer is tried again.
#[derive(Debug, Default)]
struct Retry {
    last: Option<Duration>,
    lost_at: Option<Instant>,
}

impl Retry {
    /// The pause before the next try. The active coordinator is tried often for as long as it is
    /// one: without heartbeats the broker is fenced.
    fn pause(&mut self, is_active: bool, now: Instant) -> Duration {
        let lost_at = *self.lost_at.get_or_insert(now);
        let is_gone = !is_active && now.saturating_duration_since(lost_at) >= GONE_AFTER;
        let most = if is_gone { RECONNECT_PAUSE_OF_GONE } else { RECONNECT_PAUSE_MAX };
        let pause = self.last.map_or(RECONNECT_PAUSE_FIRST, |last| (last * 2).min(most));
        self.last = Some(pause);
        pause
    }
}

/// Sends heartbeats on one connection until it ends.
async fn beat_on(connection: &Connection, interval: Duration, life: &Life) {
    loop {
        let changed = life.changed.notified();
        tokio::pin!(changed);
        // From here on a change wakes us, also one that comes while the heartbeat is under way.
        changed.as_mut().enable();
        if life.epoch().get() >= 0 {
            let request = request(life);
            match connection.call(&request).await {
                Ok(response) => take(life, &request, &response),
                Err(error) => {
                    let address = connection.address();
                    tracing::debug!(%address, %error, "a heartbeat was not answered");
                    connection.close();
                    return;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(life.pause(interval)) => {}
            () = changed => {}
            () = connection.closed() => return,
        }
    }
}

fn request(life: &Life) -> BrokerHeartbeatRequest {
    BrokerHeartbeatRequest {
        broker_id: life.id.get(),
        broker_epoch: life.epoch().get(),
        current_metadata_offset: life.applied().get(),
        want_fence: !life.ready.load(Ordering::Acquire),
        want_shut_down: life.stopping.get().is_some(),
        offline_log_dirs: life.offline_directories.borrow().clone(),
    }
}

fn take(life: &Life, request: &BrokerHeartbeatRequest, response: &BrokerHeartbeatResponse) {
    match response.error_code {
        ErrorCode::NONE => {
            *life.heard.lock() = Instant::now();
            let status = Status {
                fenced: response.is_fenced,
                // An answer to a heartbeat that did not ask yet says nothing.
                should_shut_down: response.should_shut_down && request.want_shut_down,
            };
            life.status.send_if_modified(|old| {
                let differs = *old != status;
                if old.fenced != status.fenced {
                    let state = if status.fenced { "fenced" } else { "unfenced" };
                    tracing::info!(epoch = request.broker_epoch, "the broker is {state}");
                }
                *old = status;
                differs
            });
        }
        ErrorCode::STALE_BROKER_EPOCH | ErrorCode::BROKER_ID_NOT_REGISTERED
            if request.broker_epoch == life.epoch().get() =>
        {
            tracing::warn!(code = %response.error_code, "the registration is no longer valid");
            life.stale.notify_one();
        }
        // The coordinator is not the active one, or on its way in or out.
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use vltava_wire::NodeId;

    use super::*;

    fn at(address: &str) -> Option<Active> {
        Some(Active { id: NodeId(11), address: address.to_owned() })
    }

    /// How often a coordinator that never answers is tried in so long a time.
    fn tries(is_active: bool, time: Duration) -> u32 {
        let (mut retry, start) = (Retry::default(), Instant::now());
        let (mut now, mut tries) = (start, 0);
        while now - start < time {
            tries += 1;
            now += retry.pause(is_active, now);
        }
        tries
    }

    #[test]
    fn a_coordinator_that_does_not_come_back_is_tried_seldom() {
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
        assert!((500..=700).contains(&tries(false, minute)), "it may be back at once");
        let later = tries(false, hour) - tries(false, minute);
        assert!((350..=370).contains(&later), "six a minute from then on: {later}");
        assert!(tries(true, hour) > 35_000, "the active one is needed");
    }

    #[tokio::test]
    async fn one_that_is_elected_is_not_waited_for_any_longer() {
        let (news, mut active) = watch::channel(at("c:9093"));
        active.mark_unchanged();
        {
            let elected = becomes_active(&mut active, "c:9093");
            tokio::pin!(elected);
            let soon = tokio::time::timeout(Duration::from_millis(50), &mut elected).await;
            soon.expect_err("that it was active before is no reason to try at once");
            news.send_replace(at("d:9093"));
            let soon = tokio::time::timeout(Duration::from_millis(50), &mut elected).await;
            soon.expect_err("another one is");
            news.send_replace(at("c:9093"));
            elected.await;
        }
    }
}
