//! `vltava logs`: what nodes have said, and what they say now.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::args::LogsArgs;
use crate::error::CliError;
use crate::local::data_dir::DataDir;
use crate::local::node_name::NodeName;
use crate::local::state::ClusterState;
use crate::local::tail::{self, Tail};
use crate::output;

/// How often log files are looked at for new lines.
pub(crate) const LOOK: Duration = Duration::from_millis(100);

/// Colours that can be told apart on dark and on bright terminals.
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];

/// Shows the log lines of nodes; with `--follow` until the command is interrupted.
///
/// # Errors
/// If there is no such cluster or node.
pub async fn run(dir: &DataDir, args: &LogsArgs) -> Result<(), CliError> {
    let state = ClusterState::existing(dir, false)?;
    let nodes: Vec<NodeName> = if args.nodes.is_empty() {
        state.nodes.keys().copied().collect()
    } else {
        args.nodes.iter().map(|name| state.find(name)).collect::<Result<_, _>>()?
    };
    let mut watched = Watched::new(dir, &nodes, nodes.len() > 1);
    match args.tail {
        Some(count) => {
            for name in &nodes {
                let lines = tail::last_lines(&dir.log_file(*name), count);
                watched.print(*name, &lines)?;
            }
        }
        None => watched.rewind(dir),
    }
    watched.show()?;
    if !args.follow {
        return watched.show_rest();
    }
    let mut interrupt = std::pin::pin!(tokio::signal::ctrl_c());
    loop {
        tokio::select! {
            result = &mut interrupt => return result.map_err(CliError::Signals),
            () = tokio::time::sleep(LOOK) => watched.show()?,
        }
    }
}

/// The logs of some nodes, read as they grow.
pub(crate) struct Watched {
    tails: BTreeMap<NodeName, Tail>,
    marked: bool,
    coloured: bool,
}

impl Watched {
    /// Watches what these nodes write from now on; each line is marked with its node.
    pub(crate) fn new(dir: &DataDir, nodes: &[NodeName], marked: bool) -> Self {
        let tails = nodes.iter().map(|name| (*name, Tail::from_end(dir.log_file(*name)))).collect();
        Self { tails, marked, coloured: output::is_terminal() }
    }

    fn rewind(&mut self, dir: &DataDir) {
        for (name, tail) in &mut self.tails {
            *tail = Tail::from_start(dir.log_file(*name));
        }
    }

    /// Prints what is new.
    pub(crate) fn show(&mut self) -> Result<(), CliError> {
        let new: Vec<(NodeName, Vec<String>)> =
            self.tails.iter_mut().map(|(name, tail)| (*name, tail.lines())).collect();
        new.iter().try_for_each(|(name, lines)| self.print(*name, lines))
    }

    fn show_rest(&mut self) -> Result<(), CliError> {
        let rest: Vec<(NodeName, Vec<String>)> = self
            .tails
            .iter_mut()
            .map(|(name, tail)| (*name, tail.rest().into_iter().collect()))
            .collect();
        rest.iter().try_for_each(|(name, lines)| self.print(*name, lines))
    }

    /// Prints lines of one node.
    pub(crate) fn print(&self, name: NodeName, lines: &[String]) -> Result<(), CliError> {
        let mark = self.mark(name);
        lines.iter().try_for_each(|line| output::line(format_args!("{mark}{line}")))
    }

    fn mark(&self, name: NodeName) -> String {
        if !self.marked {
            return String::new();
        }
        if !self.coloured {
            return format!("{name:<13} | ");
        }
        let kind = usize::from(name.is_broker()) * 3;
        let place = usize::try_from(name.index()).unwrap_or_default() + kind;
        format!("\x1b[{}m{name:<13} |\x1b[0m ", COLOURS[place % COLOURS.len()])
    }
}
