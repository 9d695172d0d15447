//! Addresses in configuration: listeners, voters, plain `host:port`, and topics to create.

use std::fmt;

/// What `listeners` allows, for a person.
pub(crate) const FORM: &str = "NAME://host:port, separated by commas";
/// What `listener.security.protocol.map` allows, for a person.
pub(crate) const MAP_FORM: &str =
    "NAME:PROTOCOL, separated by commas, with PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL";

const PROTOCOLS: &[&str] = &["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"];

/// A host and a port; an empty host means all addresses of the machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPort {
    /// The name or address, an IPv6 one without its brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`, `[address]:port` or `:port`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (host, port) =
            text.rsplit_once(':').ok_or_else(|| format!("`{text}` has no `:port`"))?;
        let port =
            port.parse().map_err(|_| format!("`{port}` in `{text}` is no port (0 to 65535)"))?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains([':', '/', '@', ' ']) {
            return Err(format!("`{host}` in `{text}` is no host; an IPv6 address needs [ ]"));
        }
        Ok(Self { host: bare.unwrap_or(host).to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A named address: one element of `listeners` or `advertised.listeners`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Listener {
    /// The listener's name, in capitals.
    pub name: String,
    /// Where it listens, or what it advertises.
    pub address: HostPort,
}

impl Listener {
    /// Reads `NAME://host:port`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, address) = text
            .trim()
            .split_once("://")
            .ok_or_else(|| format!("`{text}` is not NAME://host:port"))?;
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        {
            return Err(format!("`{name}` is no name of a listener (letters, digits, - _ .)"));
        }
        Ok(Self { name: name.to_ascii_uppercase(), address: HostPort::parse(address)? })
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.name, self.address)
    }
}

/// A coordinator of `controller.quorum.voters`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Voter {
    /// Its node id.
    pub id: i32,
    /// Where it listens.
    pub address: HostPort,
}

impl Voter {
    /// Reads `id@host:port`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (id, address) =
            text.trim().split_once('@').ok_or_else(|| format!("`{text}` is not id@host:port"))?;
        let id = id.parse().ok().filter(|id| *id >= 0);
        let id = id.ok_or_else(|| format!("`{text}` does not start with a node id"))?;
        Ok(Self { id, address: HostPort::parse(address)? })
    }
}

/// A coordinator of `vltava.initial.controllers`: a founding member of the quorum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitialController {
    /// Its node id.
    pub id: i32,
    /// Where it listens.
    pub address: HostPort,
    /// The id of its data folder, in Kafka's base64.
    pub directory_id: String,
}

impl InitialController {
    /// Reads `id@host:port:directoryId`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (voter, directory) = text
            .rsplit_once(':')
            .ok_or_else(|| format!("`{text}` is not id@host:port:directoryId"))?;
        check_uuid(directory)?;
        let Voter { id, address } = Voter::parse(voter)?;
        Ok(Self { id, address, directory_id: directory.to_owned() })
    }
}

impl fmt::Display for InitialController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.id, self.address, self.directory_id)
    }
}

/// A topic of `vltava.create.topics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreateTopic {
    /// The topic's name.
    pub name: String,
    /// How many partitions it gets.
    pub partitions: i32,
    /// How many replicas it gets.
    pub replication_factor: i16,
    /// Its `cleanup.policy`, where one is named.
    pub cleanup_policy: Option<String>,
}

impl CreateTopic {
    /// Reads `name:partitions:replicas[:policy]`.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').map(str::trim).collect();
        let (name, partitions, replicas, policy) = match parts[..] {
            [name, partitions, replicas] => (name, partitions, replicas, ""),
            [name, partitions, replicas, policy] => (name, partitions, replicas, policy),
            _ => return Err(format!("`{text}` is not name:partitions:replicas")),
        };
        crate::topic::check_name(name)?;
        let partitions = partitions.parse().ok().filter(|n| *n >= 1).ok_or_else(|| {
            format!("`{partitions}` in `{text}` is no number of partitions (1 or more)")
        })?;
        let replication_factor = replicas.parse().ok().filter(|n| *n >= 1).ok_or_else(|| {
            format!("`{replicas}` in `{text}` is no number of replicas (1 or more)")
        })?;
        Ok(Self {
            name: name.to_owned(),
            partitions,
            replication_factor,
            cleanup_policy: Some(policy.to_owned()).filter(|policy| !policy.is_empty()),
        })
    }
}

/// The elements of a list that is read as one text.
fn elements(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

pub(crate) fn check_list(text: &str) -> Result<(), String> {
    let mut addresses = Vec::new();
    for Listener { address, .. } in named_once(text)? {
        if address.port != 0 && addresses.contains(&address) {
            return Err(format!("{address} is used twice"));
        }
        addresses.push(address);
    }
    Ok(())
}

/// Several may share an address, as one load balancer may stand before all of them.
pub(crate) fn check_advertised(text: &str) -> Result<(), String> {
    named_once(text).map(|_| ())
}

/// The listeners of a list, which has at least one, and none twice.
pub(crate) fn named_once(text: &str) -> Result<Vec<Listener>, String> {
    let mut listeners: Vec<Listener> = Vec::new();
    for element in elements(text) {
        let listener = Listener::parse(element)?;
        if listeners.iter().any(|other| other.name == listener.name) {
            return Err(format!("the listener {} is named twice", listener.name));
        }
        listeners.push(listener);
    }
    if listeners.is_empty() { Err("no listener is named".to_owned()) } else { Ok(listeners) }
}

pub(crate) fn check_protocol_map(text: &str) -> Result<(), String> {
    elements(text).try_for_each(|element| protocol_entry(element).map(|_| ()))
}

/// Splits `NAME:PROTOCOL`, both in capitals.
pub(crate) fn protocol_entry(text: &str) -> Result<(String, &'static str), String> {
    let (name, protocol) =
        text.split_once(':').ok_or_else(|| format!("`{text}` is not NAME:PROTOCOL"))?;
    let known = protocol_named(protocol.trim());
    let protocol = known.ok_or_else(|| format!("`{protocol}` is no security protocol"))?;
    Ok((name.trim().to_ascii_uppercase(), protocol))
}

/// The security protocol of this name, if there is one.
pub(crate) fn protocol_named(name: &str) -> Option<&'static str> {
    PROTOCOLS.iter().find(|known| known.eq_ignore_ascii_case(name)).copied()
}

pub(crate) fn check_addresses(text: &str) -> Result<(), String> {
    elements(text).try_for_each(check_target)
}

pub(crate) fn check_address(text: &str) -> Result<(), String> {
    HostPort::parse(text).map(|_| ())
}

/// `http://host:port`, with or without a path.
pub(crate) fn check_http(text: &str) -> Result<(), String> {
    let rest = text.strip_prefix("http://");
    let rest = rest.ok_or_else(|| format!("`{text}` does not begin with http://"))?;
    check_target(rest.split('/').next().unwrap_or_default())
}

fn check_target(text: &str) -> Result<(), String> {
    let address = HostPort::parse(text)?;
    if address.host.is_empty() {
        return Err(format!("`{text}` names no host"));
    }
    Ok(())
}

pub(crate) fn check_voters(text: &str) -> Result<(), String> {
    elements(text).try_for_each(|element| Voter::parse(element).map(|_| ()))
}

pub(crate) fn check_initial(text: &str) -> Result<(), String> {
    elements(text).try_for_each(|element| InitialController::parse(element).map(|_| ()))
}

pub(crate) fn check_create_topics(text: &str) -> Result<(), String> {
    elements(text).try_for_each(|element| CreateTopic::parse(element).map(|_| ()))
}

pub(crate) fn check_uuid(text: &str) -> Result<(), String> {
    const LENGTH: usize = 22; // 128 bits in base64 without padding
    let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    // The last character carries two bits, so four letters can end an id.
    let whole = text.ends_with(['A', 'Q', 'g', 'w']);
    if text.len() == LENGTH && plain && whole { Ok(()) } else { Err(format!("`{text}` is no id")) }
}
