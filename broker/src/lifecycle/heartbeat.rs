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

use super::{Life, Status};

/// The pauses before a coordinator that does not answer is tried again: each is twice the one
/// before, up to the longest.
const RECONNECT_PAUSE_FIRST: Duration = Duration::from_millis(10);
const RECONNECT_PAUSE_MAX: Duration = Duration::from_millis(100);

/// Sends heartbeats to all coordinators for ever.
pub(super) async fn beat(
    interval: Duration,
    life: Arc<Life>,
    mut addresses: watch::Receiver<Vec<String>>,
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
                tokio::spawn(beat_one(address, interval, Arc::clone(&life))).abort_handle()
            });
        }
        if addresses.changed().await.is_err() {
            return;
        }
    }
}

async fn beat_one(address: String, interval: Duration, life: Arc<Life>) {
    let options = ConnectOptions {
        connect_timeout: interval.max(Duration::from_secs(1)),
        request_timeout: interval.saturating_mul(4).max(Duration::from_secs(1)),
        ..ConnectOptions::named(&format!("broker-{}", life.id))
    };
    let mut pause = RECONNECT_PAUSE_FIRST;
    loop {
        match Connection::connect(&address, &options).await {
            Ok(connection) => {
                pause = RECONNECT_PAUSE_FIRST;
                beat_on(&connection, interval, &life).await;
            }
            Err(error) => {
                tracing::debug!(%address, %error, "a coordinator cannot be reached");
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(RECONNECT_PAUSE_MAX);
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
