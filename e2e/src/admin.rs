//! The admin port of a node: metrics, `/livez` and `/readyz`.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::Outcome;
use crate::cluster::Node;

/// The answer to one GET: status and body.
///
/// # Errors
/// If the node does not answer within five seconds.
pub fn get(address: &str, path: &str) -> Outcome<(u16, String)> {
    let failed = |error: std::io::Error| format!("http://{address}{path}: {error}");
    let mut stream = TcpStream::connect(address).map_err(failed)?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(failed)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    match (status, body) {
        (Some(status), Some(body)) => Ok((status, body)),
        _ => Err(format!("http://{address}{path}: not HTTP: {answer:?}")),
    }
}

/// The metrics of a node: name with labels → value.
///
/// # Errors
/// If the node has no admin port or does not answer.
pub fn metrics(node: &Node) -> Outcome<BTreeMap<String, f64>> {
    let address = node.admin.as_deref();
    let address = address.ok_or_else(|| format!("{} has no admin port", node.name))?;
    let (_, body) = get(address, "/metrics")?;
    let sample = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(body.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
}

/// Resident memory of a process, in KiB.
///
/// # Errors
/// If the process is gone.
pub fn resident_kib(pid: i32) -> Outcome<u64> {
    let path = format!("/proc/{pid}/status");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.ok_or_else(|| format!("{path} says nothing of VmRSS"))
}

/// CPU time that a process has used, in clock ticks of 10 ms.
///
/// # Errors
/// If the process is gone.
pub fn cpu_ticks(pid: i32) -> Outcome<u64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    // The name of the program may hold blanks; what follows its bracket does not.
    let fields: Vec<&str> = text.rsplit(") ").next().unwrap_or("").split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok(user + system),
        _ => Err(format!("{path} has no times: {text}")),
    }
}

/// The quorum's epoch, as a coordinator knows it; 0 before the first.
///
/// # Errors
/// As [`metrics`].
pub fn quorum_epoch(node: &Node) -> Outcome<i64> {
    Ok(metrics(node)?.get("vltava_quorum_epoch").copied().unwrap_or(0.0) as i64)
}
