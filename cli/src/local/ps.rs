//! `vltava ps`: the nodes of the cluster on this machine.

use serde::Serialize;

use crate::args::PsArgs;
use crate::error::CliError;
use crate::local::data_dir::DataDir;
use crate::local::process::{self, NodeStatus};
use crate::local::state::ClusterState;
use crate::output;

/// One node, as `--json` shows it.
#[derive(Debug, Serialize)]
struct Row {
    name: String,
    role: &'static str,
    node_id: i32,
    pid: Option<i32>,
    state: &'static str,
    listeners: Vec<String>,
    admin: String,
    data_dir: String,
}

/// Lists the nodes.
///
/// # Errors
/// If there is no cluster in the folder.
pub fn run(dir: &DataDir, args: &PsArgs) -> Result<(), CliError> {
    let state = ClusterState::existing(dir, false)?;
    let rows: Vec<Row> = state
        .nodes
        .iter()
        .map(|(name, node)| {
            let (pid, status) = match process::status(dir, *name) {
                NodeStatus::Running(pid) => (Some(pid), "running"),
                NodeStatus::Stopped => (None, "stopped"),
                NodeStatus::Dead => (None, "dead"),
            };
            Row {
                name: name.to_string(),
                role: name.kind(),
                node_id: name.id(),
                pid,
                state: status,
                listeners: node.shown(),
                admin: format!("127.0.0.1:{}", node.admin_port),
                data_dir: dir.data(*name).display().to_string(),
            }
        })
        .collect();
    if args.json {
        return output::json(&rows);
    }
    let rows: Vec<[String; 6]> = rows
        .into_iter()
        .map(|row| {
            let pid = row.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
            let id = row.node_id.to_string();
            [row.name, row.role.to_owned(), id, pid, row.state.to_owned(), row.listeners.join(" ")]
        })
        .collect();
    output::table(["NAME", "ROLE", "ID", "PID", "STATE", "LISTENERS"], &rows)
}
