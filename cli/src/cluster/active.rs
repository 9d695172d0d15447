//! Whether an active coordinator answers, for commands that change something: without one they
//! would wait for as long as they may, and then say no more than that nobody answered.

use std::time::Duration;

use vltava_client::Cluster;

use crate::args::Bootstrap;
use crate::cluster::quorum;
use crate::error::CliError;
use crate::local::{self, DataDir};

/// How long a command may wait before it is asked why: an election takes less.
const PATIENCE: Duration = Duration::from_secs(4);
/// How long brokers are asked for the quorum's leader.
const ASK: Duration = Duration::from_secs(3);
/// How long a broker may take to answer for itself.
const REACH: Duration = Duration::from_secs(3);

/// Watches whether anybody decides while a command waits.
#[derive(Debug, Clone)]
pub(crate) struct Active {
    cluster: Cluster,
    /// Where the coordinators' processes are known.
    dir: Option<DataDir>,
}

impl Active {
    /// For commands to that cluster.
    pub(crate) fn new(dir: &DataDir, bootstrap: &Bootstrap, cluster: &Cluster) -> Self {
        let dir = bootstrap.servers.is_empty().then(|| dir.clone());
        Self { cluster: cluster.clone(), dir }
    }

    /// Waits for something that an active coordinator must decide.
    ///
    /// # Errors
    /// The work's own, or [`CliError::NoActive`] once brokers answer and none of them finds one.
    pub(crate) async fn watch<T, E: Into<CliError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, CliError> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                outcome = &mut work => return outcome.map_err(Into::into),
                () = tokio::time::sleep(PATIENCE) => {}
            }
            let mut missing = std::pin::pin!(self.is_missing());
            let (outcome, is_missing) = tokio::select! {
                outcome = &mut work => match outcome {
                    Ok(value) => return Ok(value),
                    // What failed may have failed for want of one.
                    Err(error) => (Some(error), missing.await),
                },
                is_missing = &mut missing => (None, is_missing),
            };
            match (outcome, is_missing) {
                (_, true) => return Err(self.none()),
                (Some(error), false) => return Err(error.into()),
                (None, false) => {}
            }
        }
    }

    /// Whether brokers answer, and find no active coordinator.
    async fn is_missing(&self) -> bool {
        // Over connections of their own each time: a broker answers in order, and what waits for
        // a coordinator would hold up what the broker knows itself.
        let asked = self.cluster.with_own_connections();
        if asked.retry_within(ASK, || quorum::leader(&asked)).await.is_ok() {
            return false;
        }
        let asked = self.cluster.with_own_connections();
        asked.retry_within(REACH, || asked.metadata(Some(&[]), false)).await.is_ok()
    }

    fn none(&self) -> CliError {
        let told = self.dir.as_ref().and_then(|dir| local::leaderless(dir).ok().flatten());
        CliError::NoActive { what: told.unwrap_or_else(|| "see `vltava quorum status`".to_owned()) }
    }
}
