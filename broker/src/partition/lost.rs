//! Replicas whose logs cannot be used: those that could not be opened are opened again, and those
//! whose records are lost begin anew.

use std::sync::Arc;

use vltava_log::Log;
use vltava_metadata::PartitionRegistration;

use super::dirs::LogDir;
use super::moving::Leftover;
use super::opening::{self, Again};
use super::registry::Partitions;
use super::replica::Partition;

impl Partitions {
    /// Gives a replica that is offline a log again, if that can be. One whose records are lost
    /// begins anew only if it is out of the ISR and another leads: its folder is kept aside, and
    /// all is fetched again.
    pub(super) fn restore(&self, partition: &Partition, registration: &PartitionRegistration) {
        let dir = partition.dir();
        if dir.failure().is_some() {
            return;
        }
        let Some(reason) = partition.offline_reason() else { return };
        let is_needed = registration.isr.contains(&self.me) || registration.leader().is_none();
        let log = match reopen(&dir, partition) {
            Again::Whole(log) => Ok(*log),
            Again::Lost if is_needed => return,
            Again::Lost => {
                partition.end_move(Leftover::Removed);
                partition.cleaning.end();
                self.begin_anew(&dir, partition, &reason)
            }
            Again::Unknown(reason) => Err(reason),
        };
        match log {
            Ok(log) => partition.replace_log(log),
            Err(reason) => {
                let partition = &partition.name;
                tracing::error!(%partition, %reason, "the log stays offline");
            }
        }
    }

    /// Puts a log that is lost aside, and makes an empty one.
    fn begin_anew(
        &self,
        dir: &LogDir,
        partition: &Partition,
        reason: &str,
    ) -> Result<Log, Arc<str>> {
        let name = &partition.name;
        let aside = dir.set_aside_if_there(&dir.folder(&name.topic, name.index), rand::random());
        let aside = aside.map_err(|error| Arc::<str>::from(vltava_net::error_chain(&error)))?;
        tracing::error!(
            partition = %name, %reason, ?aside,
            "the log is fetched anew from the leader; what was here is kept aside"
        );
        self.create_log(dir, name, partition.settings())
    }
}

/// Opens a log that could not be opened at the start.
fn reopen(dir: &LogDir, partition: &Partition) -> Again {
    // One that failed in use is lost: what was read of it was wrong.
    if !partition.state().may_reopen {
        return Again::Lost;
    }
    let name = &partition.name;
    let config = partition.settings().log;
    let again = opening::open_again(dir, &name.topic, name.topic_id, name.index, config);
    match again {
        Again::Whole(_) => tracing::info!(partition = %name, "the log can be used after all"),
        // It is not read whenever something changes.
        Again::Lost => partition.state().may_reopen = false,
        Again::Unknown(_) => {}
    }
    again
}
