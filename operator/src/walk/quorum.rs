//! Who votes among the coordinators.

use vltava_client::{Cluster, RaftVoter};
use vltava_crd::{COORDINATOR_LISTENER, FIRST_COORDINATOR_ID};

use super::Walk;
use crate::names;
use crate::plan::voters::{self, Change};
use crate::plan::{ClusterView, Component, Notice};

impl Walk<'_> {
    /// Who votes among the coordinators.
    pub(super) async fn voters(&mut self, kafka: &Cluster, view: &ClusterView) {
        let Some(quorum) = &view.quorum else { return };
        let wanted = self.cluster.spec.coordinators.replicas;
        let ids: Vec<i32> = (0..wanted).map(|index| FIRST_COORDINATOR_ID + index).collect();
        let Some(change) = voters::next(quorum, &ids) else {
            if quorum.voters.len() != ids.len() {
                let (voters, wanted) = (quorum.voters.len(), ids.len());
                self.progress("Voters", format!("{voters} coordinators vote, {wanted} are to"));
            }
            return;
        };
        let outcome = self.change(kafka, &change).await;
        match outcome {
            Ok(what) => {
                self.tell(Notice::normal("Voters", what.clone())).await;
                self.progress("Voters", what);
            }
            Err(what) => self.progress("Voters", what),
        }
    }

    async fn change(&self, kafka: &Cluster, change: &Change) -> Result<String, String> {
        let (id, directory) = change.voter();
        let directory_id =
            directory.parse().map_err(|_| format!("{directory} is no directory id"))?;
        let voter = RaftVoter { id, directory_id };
        let chain = |error| vltava_net::error_chain(&error);
        match change {
            Change::Add { .. } => {
                let ordinal = id - FIRST_COORDINATOR_ID + 1;
                let host = names::host(self.cluster, Component::Coordinator, ordinal);
                let port = u16::try_from(names::COORDINATOR_PORT).unwrap_or_default();
                let listeners = [(COORDINATOR_LISTENER, host.as_str(), port)];
                kafka.add_raft_voter(&voter, &listeners).await.map_err(chain)?;
                Ok(format!("coordinator {id} votes now"))
            }
            Change::Remove { .. } => {
                kafka.remove_raft_voter(&voter).await.map_err(chain)?;
                Ok(format!("coordinator {id} with the disk {directory} votes no more"))
            }
        }
    }
}
