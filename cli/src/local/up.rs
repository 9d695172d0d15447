//! `vltava up`: a manifest becomes a running cluster, or a running cluster what its manifest says.

use std::collections::BTreeMap;
use std::process::Child;
use std::time::{Duration, Instant};

use vltava_client::Cluster;
use vltava_crd::KafkaClusterSpec;

use crate::args::UpArgs;
use crate::cluster::bootstrap;
use crate::error::CliError;
use crate::local::assign::{Assigned, assign, taken};
use crate::local::control::check_ports;
use crate::local::data_dir::DataDir;
use crate::local::foreground::{self, ASKED, Ends, IN_VAIN};
use crate::local::logs::Watched;
use crate::local::manifest_file::{self, Manifest};
use crate::local::node_name::NodeName;
use crate::local::ports::FreePorts;
use crate::local::refusals::Refusals;
use crate::local::state::{ClusterState, NodeState};
use crate::local::voters::{self, Disks};
use crate::local::{process, readiness, replicas, settings, shutdown, topics};
use crate::output;

/// How long coordinators that have a majority take at most to elect a leader.
const ELECTION: Duration = Duration::from_secs(15);

/// Runs a cluster.
///
/// # Errors
/// If the manifest is impossible, a port is taken, the folder is of another cluster, or a node does
/// not become ready. Nothing that did not run before runs then.
pub async fn run(dir: &DataDir, args: &UpArgs) -> Result<(), CliError> {
    let mut ends = Ends::new()?;
    let manifest = manifest_file::read(dir, args.file.as_deref())?;
    let lock = dir.create_locked().await?;
    let within = Duration::from_secs(args.timeout);
    let up = Up::prepare(dir, &manifest).inspect_err(|_| dir.remove_unused())?;
    let watched = Watched::new(dir, &up.all(), true);
    let mut children = BTreeMap::new();
    let started = tokio::select! {
        result = up.start(&manifest, within, &mut children) => Some(result),
        () = ends.next() => None,
    };
    let refused = match started {
        Some(Ok(refused)) => refused,
        Some(Err(error)) => {
            // Why it is undone is what must be told in the end.
            let _ = foreground::in_order(IN_VAIN, (dir, &up.down), up.undo(), &mut ends).await;
            return Err(error);
        }
        None => {
            foreground::in_order(ASKED, (dir, &up.down), up.undo(), &mut ends).await?;
            // Who waits for a cluster in the background has none; in the foreground it was the end
            // that was asked for.
            let interrupted = CliError::Refused("interrupted".to_owned());
            return if args.detach { Err(interrupted) } else { Ok(()) };
        }
    };
    let shown = up.show().and_then(|()| output::line("ready"));
    drop(lock);
    if args.detach {
        return shown.and(refused.outcome());
    }
    foreground::run(dir, &up.state, children, watched, &mut ends).await?;
    refused.outcome()
}

/// A cluster on its way up.
struct Up<'a> {
    dir: &'a DataDir,
    state: ClusterState,
    /// Brokers that are to go. They stay noted until they are gone.
    surplus: BTreeMap<NodeName, NodeState>,
    /// Nodes that do not run yet.
    down: Vec<NodeName>,
    /// How the coordinators' disks are.
    disks: Disks,
}

impl<'a> Up<'a> {
    /// Decides about everything that can be refused, before anything is written or started.
    fn prepare(dir: &'a DataDir, manifest: &Manifest) -> Result<Self, CliError> {
        let old = ClusterState::read(dir)?;
        let taken = taken(&manifest.cluster, old.as_ref());
        let mut ports = FreePorts::new(rand::random(), taken);
        let Assigned { state, surplus } =
            assign(&manifest.cluster, old, &mut ports, &mut rand::random::<u128>)?;
        let running = |name: &NodeName| process::is_running(dir, *name);
        let down: Vec<NodeName> =
            state.nodes.keys().copied().filter(|name| !running(name)).collect();
        let disks = voters::disks(dir, &state);
        if disks == Disks::Lost {
            return Err(voters::lost(dir, &state));
        }
        check_ports(&state, &down)?;
        Ok(Self { dir, state, surplus, down, disks })
    }

    fn all(&self) -> Vec<NodeName> {
        self.state.nodes.keys().copied().collect()
    }

    /// Starts what does not run, all at once, and makes the cluster what the manifest says.
    async fn start(
        &self,
        manifest: &Manifest,
        within: Duration,
        children: &mut BTreeMap<NodeName, Child>,
    ) -> Result<Refusals, CliError> {
        let dir = self.dir;
        if !self.surplus.is_empty() {
            replicas::drain(dir, &manifest.cluster.spec, &self.leaving(), within).await?;
        }
        let before = manifest_file::last_applied(dir);
        self.note(self.state.clone())?;
        let mut outdated = settings::write_all(dir, &self.state, &manifest.cluster)?;
        outdated.retain(|name, _| !self.down.contains(name));
        for name in &self.down {
            children.insert(*name, process::start(dir, *name)?);
        }
        let deadline = Instant::now() + within;
        self.until_quorum(within).await?;
        self.until_ready(within, children).await?;
        self.note_founded(manifest)?;
        let cluster = bootstrap::to(&self.state.bootstrap())?;
        let founded = ClusterState { founded: true, ..self.state.clone() };
        let settled = voters::settle(dir, &cluster, &founded, deadline).await?;
        if settled != founded {
            self.note(settled.clone())?;
        }
        self.remove_surplus(&settled).await?;
        let old = before.as_ref().map(|before| &before.spec);
        let refused = self.apply(&cluster, &manifest.cluster.spec, old, deadline).await?;
        settings::say_outdated(&outdated)?;
        let applied = refused.applied(&manifest.cluster, old);
        manifest_file::remember(dir, &manifest.cluster, &applied)?;
        Ok(refused)
    }

    /// Writes down the cluster as it is to be, and the brokers that are still to go.
    fn note(&self, mut state: ClusterState) -> Result<(), CliError> {
        state.nodes.extend(self.surplus.clone());
        state.write(self.dir)
    }

    fn leaving(&self) -> Vec<NodeName> {
        self.surplus.keys().copied().collect()
    }

    /// Stops brokers that are to go, and forgets them once they are gone.
    async fn remove_surplus(&self, settled: &ClusterState) -> Result<(), CliError> {
        if self.surplus.is_empty() {
            return Ok(());
        }
        topics::remove_surplus(self.dir, settled, &self.leaving()).await?;
        settled.write(self.dir)
    }

    /// Makes the running cluster what the manifest says, as far as it lets itself be told.
    async fn apply(
        &self,
        cluster: &Cluster,
        spec: &KafkaClusterSpec,
        before: Option<&KafkaClusterSpec>,
        deadline: Instant,
    ) -> Result<Refusals, CliError> {
        let mut refused = Refusals::default();
        let brokers: Vec<i32> =
            self.state.nodes.keys().filter(|name| name.is_broker()).map(|name| name.id()).collect();
        let present = topics::registered(cluster, brokers.len(), deadline).await?;
        settings::tell(cluster, &brokers, spec, before, &mut refused).await?;
        topics::apply(cluster, &present, spec, before, deadline, &mut refused).await?;
        Ok(refused)
    }

    /// Waits until the coordinators know a leader, where the disks of a majority may be lost: none
    /// will ever be elected then, and that is said sooner than that a node is not ready.
    async fn until_quorum(&self, within: Duration) -> Result<(), CliError> {
        if self.disks != Disks::Doubtful {
            return Ok(());
        }
        let coordinators: Vec<NodeName> = self.state.coordinators().map(|(name, _)| name).collect();
        let within = within.min(ELECTION);
        match readiness::wait(self.dir, &self.state, &coordinators, within, |_| Ok(())).await {
            Err(CliError::NotReady { .. }) => Err(voters::lost(self.dir, &self.state)),
            outcome => outcome,
        }
    }

    /// Waits until every node is ready. A node that ran before, and ends meanwhile, was on its way
    /// out (killed a moment ago, say): it is started like those that did not run.
    async fn until_ready(
        &self,
        within: Duration,
        children: &mut BTreeMap<NodeName, Child>,
    ) -> Result<(), CliError> {
        let begun = Instant::now();
        let mut started = self.down.clone();
        let mut told = Vec::new();
        loop {
            let left = within.saturating_sub(begun.elapsed());
            let tell = |name: NodeName| {
                if started.contains(&name) && !told.contains(&name) {
                    told.push(name);
                    let took = begun.elapsed().as_millis();
                    output::line(format_args!("{name} is up ({took} ms)"))?;
                }
                Ok(())
            };
            match readiness::wait(self.dir, &self.state, &self.all(), left, tell).await {
                Err(CliError::NodeEnded { node, .. }) if !started.contains(&node) => {
                    children.insert(node, process::start(self.dir, node)?);
                    started.push(node);
                }
                outcome => return outcome,
            }
        }
    }

    /// Once the quorum exists nobody may found another one in its place, so the instruction goes.
    fn note_founded(&self, manifest: &Manifest) -> Result<(), CliError> {
        if self.state.founded {
            return Ok(());
        }
        let founded = ClusterState { founded: true, ..self.state.clone() };
        self.note(founded.clone())?;
        settings::write_all(self.dir, &founded, &manifest.cluster).map(|_| ())
    }

    /// Stops what was started, since the cluster did not become ready.
    async fn undo(&self) -> Result<(), CliError> {
        for brokers in [true, false] {
            let nodes: Vec<NodeName> =
                self.down.iter().copied().filter(|name| name.is_broker() == brokers).collect();
            // The reason why it is undone is told; what goes wrong here is less.
            let _ = shutdown::together(self.dir, &self.state, &nodes).await;
        }
        Ok(())
    }

    fn show(&self) -> Result<(), CliError> {
        let rows: Vec<[String; 4]> = self
            .state
            .nodes
            .iter()
            .map(|(name, node)| {
                let admin = format!("http://127.0.0.1:{}", node.admin_port);
                [name.to_string(), name.id().to_string(), node.shown().join(" "), admin]
            })
            .collect();
        output::line("")?;
        output::table(["NODE", "ID", "LISTENERS", "METRICS AND PROBES"], &rows)?;
        output::line("")
    }
}
