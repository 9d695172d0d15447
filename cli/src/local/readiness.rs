//! Waiting until nodes say that they are ready.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::error::CliError;
use crate::local::data_dir::DataDir;
use crate::local::node_name::NodeName;
use crate::local::process;
use crate::local::state::ClusterState;
use crate::local::tail;

/// How often nodes are asked: starting takes some hundred milliseconds.
const ASK: Duration = Duration::from_millis(10);
/// How long one answer may take; a node that is ready answers at once.
const ANSWER: Duration = Duration::from_secs(1);
/// The longest answer that is read, in bytes: a line of text.
const ANSWER_MAX_BYTES: u64 = 4096;

/// Waits until every one of these nodes is ready, and tells of each as it becomes so.
///
/// # Errors
/// [`CliError::NodeEnded`] if one ends, [`CliError::NotReady`] if one is not ready in time.
pub(crate) async fn wait(
    dir: &DataDir,
    state: &ClusterState,
    nodes: &[NodeName],
    within: Duration,
    mut tell: impl FnMut(NodeName) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let deadline = Instant::now() + within;
    let mut waiting = nodes.to_vec();
    loop {
        let mut still = Vec::new();
        for name in waiting {
            let Some(node) = state.nodes.get(&name) else { continue };
            match ask(node.admin_port).await {
                Ok(()) => tell(name)?,
                Err(_) if !process::is_running(dir, name) => {
                    return Err(CliError::NodeEnded { node: name, last: last_words(dir, name) });
                }
                Err(last) if Instant::now() >= deadline => {
                    let seconds = within.as_secs();
                    return Err(CliError::NotReady { node: name, seconds, last });
                }
                Err(_) => still.push(name),
            }
        }
        if still.is_empty() {
            return Ok(());
        }
        waiting = still;
        tokio::time::sleep(ASK).await;
    }
}

fn last_words(dir: &DataDir, name: NodeName) -> String {
    let lines = tail::last_lines(&dir.log_file(name), 1);
    let last = lines.into_iter().next().unwrap_or_else(|| "it said nothing".to_owned());
    // Who tells it begins in the same words.
    let bare = last.strip_prefix("vltava: ").unwrap_or(&last);
    bare.strip_prefix("the node failed: ").unwrap_or(bare).to_owned()
}

/// Asks a node whether it is ready. The error says why it is not.
pub(crate) async fn ask(admin_port: u16) -> Result<(), String> {
    match tokio::time::timeout(ANSWER, request(admin_port)).await {
        Ok(Ok(answer)) => judge(&answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("it does not answer".to_owned()),
    }
}

async fn request(admin_port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", admin_port)).await?;
    let request = "GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_MAX_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn judge(answer: &str) -> Result<(), String> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let code = head.split_whitespace().nth(1).unwrap_or_default();
    match code {
        "200" => Ok(()),
        _ => Err(body.lines().next().unwrap_or("it does not say why").trim().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{ask, judge};

    #[test]
    fn only_200_is_ready() {
        assert_eq!(judge("HTTP/1.1 200 OK\r\nA: b\r\n\r\nok\n"), Ok(()));
        let busy = "HTTP/1.1 503 Service Unavailable\r\n\r\nrecovering 3 of 7 logs\n";
        assert_eq!(judge(busy), Err("recovering 3 of 7 logs".to_owned()));
        assert!(judge("").is_err());
    }

    #[tokio::test]
    async fn a_node_that_does_not_listen_is_not_ready() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        drop(listener);
        assert!(ask(port).await.is_err());
    }
}
