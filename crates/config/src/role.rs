//! What a node needs to be told as a broker or as a coordinator, and what contradicts itself.

use crate::error::{Origin, Problem};
use crate::keys;
use crate::load::Raw;
use crate::values::Values;

/// Which of the two a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Holds partitions and serves clients.
    Broker,
    /// Keeps the metadata: Kafka's controller.
    Coordinator,
}

impl Role {
    /// The role's name in `process.roles`.
    pub const fn process_role(self) -> &'static str {
        match self {
            Self::Broker => "broker",
            Self::Coordinator => "controller",
        }
    }

    const fn command(self) -> &'static str {
        match self {
            Self::Broker => "vltava broker",
            Self::Coordinator => "vltava coordinator",
        }
    }
}

/// Sets `process.roles`, or sees to it that it says what the command says; and `broker.id`.
pub(crate) fn prepare(role: Role, raw: &mut Raw, problems: &mut Vec<Problem>) {
    let key = keys::PROCESS_ROLES.name();
    let wanted = role.process_role();
    match raw.get(key) {
        Some((text, origin)) if text.trim() != wanted => problems.push(Problem {
            key: key.to_owned(),
            origin: Some(origin.clone()),
            what: format!(
                "`{}` is not what `{}` runs; set it to `{wanted}` (a node has one role: run \
                 brokers and coordinators as processes of their own)",
                text.trim(),
                role.command(),
            ),
        }),
        Some(_) => {}
        None => {
            raw.insert(key.to_owned(), (wanted.to_owned(), Origin::Program));
        }
    }
    let (node, broker) = (keys::NODE_ID.name(), keys::BROKER_ID.name());
    // Two names of one setting, as Kafka has it: whoever asks finds it under both.
    if role == Role::Broker
        && !raw.contains_key(broker)
        && let Some(id) = raw.get(node).cloned()
    {
        raw.insert(broker.to_owned(), id);
    }
}

/// Checks what the keys say together.
pub(crate) fn check(role: Role, values: &Values, problems: &mut Vec<Problem>) {
    let mut checks = Checks { values, problems };
    checks.node_id();
    checks.listeners(role);
    checks.protocols();
    checks.sizes();
    match role {
        Role::Broker => {
            checks.broker();
            checks.cordons();
        }
        Role::Coordinator => checks.coordinator(),
    }
}

struct Checks<'a> {
    values: &'a Values,
    problems: &'a mut Vec<Problem>,
}

impl Checks<'_> {
    fn problem(&mut self, key: &str, what: String) {
        let origin = self.values.own(key).map(|setting| setting.origin.clone());
        self.problems.push(Problem { key: key.to_owned(), origin, what });
    }

    fn node_id(&mut self) {
        let (node, broker) = (self.values.get(keys::NODE_ID), self.values.get(keys::BROKER_ID));
        if node < 0 && broker < 0 {
            let what = "is not set; give the node a number of its own, 0 or more".to_owned();
            self.problem("node.id", what);
        } else if node >= 0 && broker >= 0 && node != broker {
            let what = format!("{broker} is not what node.id says, {node}; remove one of them");
            self.problem("broker.id", what);
        }
    }

    fn listeners(&mut self, role: Role) {
        let listeners = self.values.listeners();
        let advertised = self.values.advertised_listeners();
        for listener in &advertised {
            let known = listeners.iter().any(|other| other.name == listener.name)
                || (role == Role::Broker && self.is_controller_listener(&listener.name));
            if !known {
                let what = format!(
                    "{} is not among `listeners`; add it there, or take it out here",
                    listener.name
                );
                self.problem("advertised.listeners", what);
            }
        }
        let texts = self.values.get(keys::ADVERTISED_LISTENERS).unwrap_or_default();
        for text in texts.iter().filter(|text| text.contains("://0.0.0.0:")) {
            let what = format!("nobody can connect to `{text}`; name the host that clients see");
            self.problem("advertised.listeners", what);
        }
    }

    fn is_controller_listener(&self, name: &str) -> bool {
        self.values.controller_listener_names().iter().any(|other| other == name)
    }

    fn protocols(&mut self) {
        for listener in self.values.listeners() {
            let protocol = self.values.security_protocol(&listener.name);
            if protocol != "PLAINTEXT" {
                let what = format!(
                    "{listener} is {protocol}, but there is no TLS and no SASL yet; map {} to \
                     PLAINTEXT in listener.security.protocol.map",
                    listener.name
                );
                self.problem("listeners", what);
            }
        }
    }

    fn cordons(&mut self) {
        if !self.values.get(keys::CORDONED_LOG_DIRS).is_empty() {
            let what = "is set at run time alone, where coordinators see it; take it out here, and \
                        set it on the running broker by IncrementalAlterConfigs";
            self.problem("cordoned.log.dirs", what.to_owned());
        }
    }

    fn sizes(&mut self) {
        let budget = self.values.get(keys::VLTAVA_MEMORY_BUDGET_BYTES);
        let frame = i64::from(self.values.get(keys::SOCKET_REQUEST_MAX_BYTES));
        if budget < frame {
            let what = format!(
                "{budget} is less than the largest request, socket.request.max.bytes = {frame}; \
                 raise it or lower that one"
            );
            self.problem("vltava.memory.budget.bytes", what);
        }
        let heartbeat = self.values.get(keys::BROKER_HEARTBEAT_INTERVAL_MS);
        let session = self.values.get(keys::BROKER_SESSION_TIMEOUT_MS);
        if heartbeat >= session {
            let what = format!(
                "{heartbeat} is not less than broker.session.timeout.ms = {session}; a broker \
                 would be fenced between two heartbeats: a third of the session or less is right"
            );
            self.problem("broker.heartbeat.interval.ms", what);
        }
    }

    fn broker(&mut self) {
        let inter_broker = self.values.inter_broker_listener();
        let listeners = self.values.listeners();
        if !listeners.iter().any(|listener| listener.name == inter_broker) {
            let what = format!("{inter_broker} is not among `listeners`; name one of them");
            self.problem("inter.broker.listener.name", what);
        }
        let between = keys::SECURITY_INTER_BROKER_PROTOCOL;
        if self.values.get(between) != "PLAINTEXT" {
            let what = format!(
                "no listener has the protocol {}, as there is no TLS and no SASL yet; PLAINTEXT is \
                 allowed",
                self.values.get(between)
            );
            self.problem(between.name(), what);
        }
        if let Some(listener) =
            listeners.iter().find(|listener| self.is_controller_listener(&listener.name))
        {
            let what = format!(
                "{listener} is a coordinator's listener (controller.listener.names); a broker does \
                 not listen on it, so take it out"
            );
            self.problem("listeners", what);
        }
        if self.values.quorum_addresses().is_empty() {
            let what = "is not set; name the coordinators as host:port, separated by commas";
            self.problem("controller.quorum.bootstrap.servers", what.to_owned());
        }
        let (least, most) = (
            self.values.get(keys::GROUP_MIN_SESSION_TIMEOUT_MS),
            self.values.get(keys::GROUP_MAX_SESSION_TIMEOUT_MS),
        );
        if least > most {
            let what = format!("{least} exceeds group.max.session.timeout.ms, {most}; lower it");
            self.problem("group.min.session.timeout.ms", what);
        }
    }

    fn coordinator(&mut self) {
        let names = self.values.controller_listener_names();
        let listeners = self.values.listeners();
        if !listeners.iter().any(|listener| names.contains(&listener.name)) {
            let what = format!(
                "none of controller.listener.names ({}) is among them; a coordinator needs one, \
                 for example {}://:9093",
                names.join(", "),
                names.first().map_or("CONTROLLER", String::as_str),
            );
            self.problem("listeners", what);
        }
        let founders = self.values.initial_controllers();
        if self.values.quorum_addresses().is_empty() && founders.is_empty() {
            let what = "is not set; name the coordinators as host:port, separated by commas";
            self.problem("controller.quorum.bootstrap.servers", what.to_owned());
        }
        let id = self.values.node_id();
        if !founders.is_empty() && !founders.iter().any(|founder| founder.id == id) {
            let what = format!(
                "names coordinators, but not this one ({id}); add it, or leave the key out to join \
                 a quorum that exists"
            );
            self.problem("vltava.initial.controllers", what);
        }
    }
}
