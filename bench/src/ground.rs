//! Where scenarios run: the clusters of one shape, started when first used, and their topics.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use vltava_e2e::Outcome;

use crate::client;
use crate::subject::{Side, Subject};
use crate::system::System;

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// Bytes of a load that is measured by what a GB costs.
    pub flood_bytes: u64,
    /// How long a load of a given rate lasts.
    pub paced: Duration,
    /// Partitions where there are many.
    pub partitions_many: i32,
    /// Partitions on one broker where there are as many as it shall bear.
    pub partitions_most: i32,
    /// Connections where there are many.
    pub connections: usize,
    /// Producers where there are many.
    pub producers: usize,
    /// Members of a large group.
    pub members: usize,
    /// How long nothing is done, to see what that costs.
    pub idle: Duration,
}

impl Scale {
    /// What figures come from.
    pub const fn full() -> Self {
        Self {
            flood_bytes: 1_000_000_000,
            paced: Duration::from_secs(10),
            partitions_many: 1000,
            partitions_most: 10_000,
            connections: 1000,
            producers: 50,
            members: 50,
            idle: Duration::from_secs(10),
        }
    }

    /// Enough to see that a scenario works.
    pub const fn quick() -> Self {
        Self {
            flood_bytes: 10_000_000,
            paced: Duration::from_secs(1),
            partitions_many: 20,
            partitions_most: 100,
            connections: 50,
            producers: 5,
            members: 5,
            idle: Duration::from_secs(1),
        }
    }
}

/// Clusters of one shape. Dropping it ends them and removes their data.
pub struct Ground {
    systems: BTreeMap<Side, System>,
    filled: BTreeSet<(Side, String)>,
    folder: TempDir,
    brokers: usize,
    /// How much is done.
    pub scale: Scale,
    topics: usize,
}

impl Ground {
    /// A ground on which nothing runs yet.
    ///
    /// # Errors
    /// If there is no folder to be had.
    pub fn new(data: Option<&Path>, brokers: usize, scale: Scale) -> Outcome<Self> {
        let folder = match data {
            Some(data) => tempfile::tempdir_in(data),
            None => tempfile::tempdir(),
        };
        Ok(Self {
            systems: BTreeMap::new(),
            filled: BTreeSet::new(),
            folder: folder.map_err(|error| format!("a folder for data: {error}"))?,
            brokers,
            scale,
            topics: 0,
        })
    }

    /// How many brokers each cluster has.
    pub fn brokers(&self) -> usize {
        self.brokers
    }

    /// The cluster of a side, started if it does not run.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn system(&mut self, side: Side) -> Outcome<&System> {
        if !self.systems.contains_key(&side) {
            let folder = self.new_folder(side);
            self.systems.insert(side, System::start(side, self.brokers, &folder)?);
        }
        Ok(&self.systems[&side])
    }

    /// The cluster of a side, to stop and start it.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn system_mut(&mut self, side: Side) -> Outcome<&mut System> {
        self.system(side)?;
        Ok(self.systems.get_mut(&side).expect("started above"))
    }

    fn new_folder(&mut self, side: Side) -> PathBuf {
        self.topics += 1;
        self.folder.path().join(format!("{side:?}-{}", self.topics))
    }

    /// Where the clients of a side begin.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn bootstrap(&mut self, side: Side) -> Outcome<String> {
        self.system(side).map(System::bootstrap)
    }

    /// The nodes of a side.
    ///
    /// # Errors
    /// What kept it from starting.
    pub fn pids(&mut self, side: Side) -> Outcome<Vec<i32>> {
        self.system(side)?.pids()
    }

    /// A new topic, of as many replicas as there are brokers up to three, and min ISR 2 then.
    ///
    /// # Errors
    /// What the broker said.
    pub fn new_topic(&mut self, subject: Subject, partitions: i32) -> Outcome<String> {
        self.topics += 1;
        let name = format!("bench-{}-{}", subject.short(), self.topics);
        let (bootstrap, replicas) = (self.bootstrap(subject.side)?, self.brokers.min(3) as i32);
        client::create_topic(&bootstrap, &name, partitions, replicas, subject.flush_messages())?;
        Ok(name)
    }

    /// Removes a topic; a cluster that still removes it does so in the background.
    ///
    /// # Errors
    /// What the broker said.
    pub fn remove_topic(&mut self, subject: Subject, name: &str) -> Outcome {
        client::delete_topic(&self.bootstrap(subject.side)?, name)
    }

    /// A topic that is made and filled once for each side.
    ///
    /// # Errors
    /// What the broker said, or the filling.
    pub fn filled(
        &mut self,
        side: Side,
        name: &str,
        partitions: i32,
        fill: impl FnOnce(&str) -> Outcome,
    ) -> Outcome {
        if self.filled.contains(&(side, name.to_owned())) {
            return Ok(());
        }
        let (bootstrap, replicas) = (self.bootstrap(side)?, self.brokers.min(3) as i32);
        let never = Subject { side, synced: false }.flush_messages();
        client::create_topic(&bootstrap, name, partitions, replicas, never)?;
        fill(&bootstrap)?;
        self.filled.insert((side, name.to_owned()));
        Ok(())
    }
}
