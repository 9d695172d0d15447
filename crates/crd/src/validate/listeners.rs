//! How brokers are reached: what Kubernetes refuses about it (`rules.rs`), and what only the whole
//! manifest shows.

use std::net::IpAddr;

use super::{Findings, Target};
use crate::listener::{ID_MARK, Listener, ListenerType, NODE_PORTS};
use crate::resource::KafkaCluster;
use crate::{ADMIN_PORT, COORDINATOR_LISTENER};

/// The longest name of a listener, which becomes a part of a Service's name.
const MAX_NAME: usize = 40;

/// What a listener must not be called, as its port is beside that of probes and metrics.
const ADMIN_LISTENER: &str = "ADMIN";
/// The longest name of a Service.
const MAX_SERVICE: usize = 63;

pub(super) fn check(cluster: &KafkaCluster, target: Target, findings: &mut Findings) {
    let spec = &cluster.spec;
    let mut names: Vec<String> = Vec::new();
    let mut ports: Vec<i32> = Vec::new();
    let mut node_ports: Vec<i32> = Vec::new();
    for (index, listener) in spec.listeners.iter().enumerate() {
        let path = format!("spec.listeners[{index}]");
        // As Kafka's settings write it, and as names of objects do.
        let key = listener.key().replace('_', "-");
        if !is_listener_name(&listener.name) {
            let what = format!(
                "`{}` may hold letters, digits, `-` and `_` between them, {MAX_NAME} at most; \
                 rename it",
                listener.name
            );
            findings.problem(format!("{path}.name"), what);
        } else if key == COORDINATOR_LISTENER {
            let what = format!("`{}` is the coordinators' listener; rename it", listener.name);
            findings.problem(format!("{path}.name"), what);
        } else if key == ADMIN_LISTENER {
            let what = format!(
                "`{}` is the port where nodes serve probes and metrics; rename it",
                listener.name
            );
            findings.problem(format!("{path}.name"), what);
        } else if names.contains(&key) {
            let what = format!("`{}` is taken by another listener; rename one", listener.name);
            findings.problem(format!("{path}.name"), what);
        }
        names.push(key);
        port(&path, listener, &mut ports, findings);
        ports_of_nodes(&path, listener, &mut node_ports, findings);
        advertised(&path, listener, spec.brokers.replicas, findings);
        source_ranges(&path, listener, findings);
        service(&path, cluster, listener, findings);
        if target == Target::Local
            && matches!(listener.kind, ListenerType::LoadBalancer | ListenerType::ClusterIP)
        {
            let kind = listener.kind.name();
            let what = format!("type {kind} means nothing on one machine; it is left out");
            findings.notice(path, what);
        }
    }
    if !spec.listeners.iter().any(|listener| listener.kind == ListenerType::Internal) {
        let what = "none is of type Internal, by which brokers reach each other; add one";
        findings.problem("spec.listeners", what);
    }
}

/// Outside, each broker has a Service.
fn service(path: &str, cluster: &KafkaCluster, listener: &Listener, findings: &mut Findings) {
    let name = cluster.metadata.name.as_deref().unwrap_or_default();
    let longest = format!("{name}-{}-{}", listener.name, cluster.spec.brokers.replicas);
    if listener.is_outside() && longest.len() > MAX_SERVICE {
        let what = format!(
            "`{longest}` is longer than the {MAX_SERVICE} letters that a Service's name may have; \
             shorten the listener's name"
        );
        findings.problem(format!("{path}.name"), what);
    }
}

fn is_listener_name(name: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.len() <= MAX_NAME
        && end(name.chars().next())
        && end(name.chars().last())
        && name.chars().all(plain)
}

fn port(path: &str, listener: &Listener, ports: &mut Vec<i32>, findings: &mut Findings) {
    let port = listener.port;
    if !(1..=65_535).contains(&port) {
        findings.problem(format!("{path}.port"), format!("{port} is no port; take 1 to 65535"));
    } else if port == ADMIN_PORT {
        let what = format!("{port} is where nodes serve probes and metrics; take another");
        findings.problem(format!("{path}.port"), what);
    } else if ports.contains(&port) {
        let what = format!("{port} is taken by another listener; take another");
        findings.problem(format!("{path}.port"), what);
    }
    ports.push(port);
}

/// The same ports are possible everywhere: a manifest that runs on one machine is to run on
/// Kubernetes too.
fn ports_of_nodes(path: &str, listener: &Listener, taken: &mut Vec<i32>, findings: &mut Findings) {
    let place = format!("{path}.nodePorts");
    if listener.kind != ListenerType::NodePort && !listener.node_ports.is_empty() {
        let kind = listener.kind.name();
        findings.problem(&place, format!("a listener of type {kind} has none; take them out"));
    }
    for port in &listener.node_ports {
        if !NODE_PORTS.contains(port) {
            let (first, last) = (NODE_PORTS.start(), NODE_PORTS.end());
            let what = format!("{port} is none that Kubernetes gives; take {first} to {last}");
            findings.problem(&place, what);
        } else if taken.contains(port) {
            findings.problem(&place, format!("{port} is named twice; every broker needs its own"));
        }
        taken.push(*port);
    }
}

/// What clients are told.
fn advertised(path: &str, listener: &Listener, brokers: i32, findings: &mut Findings) {
    let place = format!("{path}.advertisedHost");
    match listener.advertised_host.as_deref() {
        Some(_) if listener.kind == ListenerType::Internal => {
            let what = "clients inside connect to the pods, so an Internal one has none; take it \
                        out";
            findings.problem(place, what);
        }
        Some(host) if !is_host(host) => {
            let what = format!(
                "`{host}` is no host; write a name or an address, without a port, in which \
                 {ID_MARK} alone is the broker's number"
            );
            findings.problem(place, what);
        }
        Some(host) if !host.contains(ID_MARK) && listener.needs_a_host_each() => {
            let what = format!(
                "`{host}` must hold {ID_MARK}, the number of the broker, so that clients reach \
                 each of them, as broker-{ID_MARK}.kafka.example.com"
            );
            findings.problem(place, what);
        }
        Some(host)
            if !host.contains(ID_MARK)
                && brokers > 1
                && listener.kind == ListenerType::NodePort
                && listener.advertised_port.is_some() =>
        {
            let what = format!(
                "`{host}` and one advertisedPort give all brokers the same address; put {ID_MARK} \
                 into the host, or take out advertisedPort"
            );
            findings.problem(place, what);
        }
        None if listener.kind == ListenerType::ClusterIP => {
            let what = format!(
                "of type ClusterIP it is needed: the name that your ingress has for each broker, \
                 as broker-{ID_MARK}.kafka.example.com"
            );
            findings.problem(place, what);
        }
        _ => {}
    }
    let place = format!("{path}.advertisedPort");
    match listener.advertised_port {
        Some(_) if listener.kind == ListenerType::Internal => {
            findings.problem(place, "is for listeners outside; take it out");
        }
        Some(port) if !(1..=65_535).contains(&port) => {
            findings.problem(place, format!("{port} is no port; take 1 to 65535"));
        }
        _ => {}
    }
}

/// Who may connect to a load balancer.
fn source_ranges(path: &str, listener: &Listener, findings: &mut Findings) {
    for (index, range) in listener.load_balancer_source_ranges.iter().enumerate() {
        if !is_network(range) {
            let what =
                format!("`{range}` is no network; write it as 192.0.2.0/24 or 2001:db8::/32");
            findings.problem(format!("{path}.loadBalancerSourceRanges[{index}]"), what);
        }
    }
}

fn is_network(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let longest = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    let is_number = length.bytes().all(|it| it.is_ascii_digit());
    is_number && length.parse::<u8>().is_ok_and(|length| length <= longest)
}

fn is_host(host: &str) -> bool {
    let host = host.replace(ID_MARK, "0");
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-".contains(c);
    end(host.chars().next()) && end(host.chars().last()) && host.chars().all(plain)
}
