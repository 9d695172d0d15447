//! The configuration of a node once it is known to be right: typed answers to `what is KEY?`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{ConfigError, Notice, Origin, Problem};
use crate::key::{FromValue, Key};
use crate::keys;
use crate::listeners::{self, CreateTopic, HostPort, InitialController, Listener, Voter};
use crate::spec::{Scope, Spec, Update};
use crate::value::Value;

/// A value that somebody set, and where.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Setting {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
}

/// The settings of one place, by key.
pub(crate) type Layer = BTreeMap<&'static str, Setting>;

/// A node's configuration: what was set at start, and what was set at run time above that.
///
/// Cheap to clone. Every value in it has been parsed and checked.
#[derive(Debug, Clone, Default)]
pub struct Values {
    pub(crate) fixed: Arc<Layer>,
    pub(crate) cluster: Arc<Layer>,
    pub(crate) broker: Arc<Layer>,
}

impl Values {
    /// A configuration out of pairs of key and value, as a program writes it.
    ///
    /// # Errors
    /// [`ConfigError::Settings`] with every key that is unknown and every value that is not
    /// allowed.
    pub fn from_pairs<K: Into<String>, V: Into<String>>(
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError> {
        let raw = pairs
            .into_iter()
            .map(|(key, text)| (key.into(), (text.into(), Origin::Program)))
            .collect();
        crate::load::resolve(raw, &mut Vec::new()).map_err(ConfigError::Settings)
    }

    /// The value of a key: set for this broker, set for all brokers, set at start, taken from
    /// another key, or the default, in this order.
    pub fn get<T: FromValue>(&self, key: Key<T>) -> T {
        T::from_value(&self.value(key.spec()))
            .expect("the table gives every key a value of its type")
    }

    /// The value of a row, after its fallbacks.
    pub fn value(&self, spec: &Spec) -> Value {
        if let Some(setting) = self.own(spec.name) {
            return setting.value.clone();
        }
        self.fallback(spec).unwrap_or_else(|| spec.default_value())
    }

    /// The value that a row's fallbacks give.
    fn fallback(&self, spec: &Spec) -> Option<Value> {
        spec.fallbacks.iter().find_map(|fallback| {
            let value = self.value(keys::find(fallback.key)?);
            match value {
                Value::Null => None,
                // A negative time means "for ever" in every unit.
                Value::Integer(number) if number > 0 => {
                    Some(Value::Integer(number.saturating_mul(fallback.times)))
                }
                value => Some(value),
            }
        })
    }

    /// The uppermost setting of a key itself.
    pub(crate) fn own(&self, name: &str) -> Option<&Setting> {
        [&self.broker, &self.cluster, &self.fixed].into_iter().find_map(|layer| layer.get(name))
    }

    /// Whether somebody set the key itself.
    pub fn is_set<T>(&self, key: Key<T>) -> bool {
        self.own(key.name()).is_some()
    }

    /// The same configuration with what was set at run time: for all brokers, and for this one.
    ///
    /// What cannot be used (a newer node may have written it) is left out and returned.
    #[must_use]
    pub fn with_dynamic<'a>(
        &self,
        cluster: impl IntoIterator<Item = (&'a str, &'a str)>,
        broker: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> (Self, Vec<Notice>) {
        let mut notices = Vec::new();
        let cluster = dynamic_layer(cluster, &Origin::ClusterDefault, &mut notices);
        let broker = dynamic_layer(broker, &Origin::Broker, &mut notices);
        let values = Self {
            fixed: Arc::clone(&self.fixed),
            cluster: Arc::new(cluster),
            broker: Arc::new(broker),
        };
        (values, notices)
    }

    /// The node's id.
    pub fn node_id(&self) -> i32 {
        match self.get(keys::NODE_ID) {
            -1 => self.get(keys::BROKER_ID),
            id => id,
        }
    }

    /// The data folders.
    pub fn log_dirs(&self) -> Vec<PathBuf> {
        self.get(keys::LOG_DIRS).into_iter().map(PathBuf::from).collect()
    }

    /// The folder of the metadata log.
    pub fn metadata_log_dir(&self) -> PathBuf {
        match self.get(keys::METADATA_LOG_DIR) {
            Some(dir) => PathBuf::from(dir),
            None => self.log_dirs().into_iter().next().unwrap_or_default(),
        }
    }

    /// What the node listens on.
    pub fn listeners(&self) -> Vec<Listener> {
        parse_all(&self.get(keys::LISTENERS), Listener::parse)
    }

    /// What the node tells others to connect to, one for each listener that it advertises. Where no
    /// host is named it is the machine's own name; a port 0 is left for the caller to replace.
    pub fn advertised_listeners(&self) -> Vec<Listener> {
        let mut listeners = match self.get(keys::ADVERTISED_LISTENERS) {
            Some(texts) => parse_all(&texts, Listener::parse),
            None => self.listeners(),
        };
        for listener in &mut listeners {
            if matches!(listener.address.host.as_str(), "" | "0.0.0.0" | "::") {
                listener.address.host = crate::load::host_name();
            }
        }
        listeners
    }

    /// The names of the coordinators' listeners, in capitals.
    pub fn controller_listener_names(&self) -> Vec<String> {
        let names = self.get(keys::CONTROLLER_LISTENER_NAMES);
        names.into_iter().map(|name| name.to_ascii_uppercase()).collect()
    }

    /// The name of the listener that other brokers connect to.
    pub fn inter_broker_listener(&self) -> String {
        if let Some(name) = self.get(keys::INTER_BROKER_LISTENER_NAME) {
            return name.to_ascii_uppercase();
        }
        let protocol = self.get(keys::SECURITY_INTER_BROKER_PROTOCOL);
        let listeners = self.listeners();
        listeners
            .iter()
            .find(|listener| self.security_protocol(&listener.name) == protocol)
            .or(listeners.first())
            .map_or(protocol, |listener| listener.name.clone())
    }

    /// The security protocol of a listener.
    pub fn security_protocol(&self, listener: &str) -> &'static str {
        let map = self.get(keys::LISTENER_SECURITY_PROTOCOL_MAP);
        parse_all(&map, listeners::protocol_entry)
            .into_iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(listener))
            .map(|(_, protocol)| protocol)
            .or_else(|| listeners::protocol_named(listener))
            .unwrap_or("PLAINTEXT")
    }

    /// Where coordinators can be found: the bootstrap servers, then the fixed voters.
    pub fn quorum_addresses(&self) -> Vec<HostPort> {
        let servers = self.get(keys::CONTROLLER_QUORUM_BOOTSTRAP_SERVERS);
        let mut addresses = parse_all(&servers, HostPort::parse);
        for voter in self.voters() {
            if !addresses.contains(&voter.address) {
                addresses.push(voter.address);
            }
        }
        addresses
    }

    /// The fixed list of coordinators, if there is one.
    pub fn voters(&self) -> Vec<Voter> {
        parse_all(&self.get(keys::CONTROLLER_QUORUM_VOTERS), Voter::parse)
    }

    /// The coordinators that found a new quorum; empty where none is to be founded.
    pub fn initial_controllers(&self) -> Vec<InitialController> {
        parse_all(&self.get(keys::VLTAVA_INITIAL_CONTROLLERS), InitialController::parse)
    }

    /// The topics that a broker creates when it starts.
    pub fn create_topics(&self) -> Vec<CreateTopic> {
        parse_all(&self.get(keys::VLTAVA_CREATE_TOPICS), CreateTopic::parse)
    }

    /// Where the node serves metrics and probes, if it does.
    pub fn admin_listener(&self) -> Option<HostPort> {
        self.get(keys::VLTAVA_ADMIN_LISTENER).and_then(|text| HostPort::parse(&text).ok())
    }
}

/// The elements of a list whose form was checked when it was loaded.
fn parse_all<T>(texts: &[String], parse: impl Fn(&str) -> Result<T, String>) -> Vec<T> {
    texts.iter().filter(|text| !text.is_empty()).filter_map(|text| parse(text).ok()).collect()
}

fn dynamic_layer<'a>(
    pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    origin: &Origin,
    notices: &mut Vec<Notice>,
) -> Layer {
    let mut layer = Layer::new();
    for (key, text) in pairs {
        match dynamic_value(key, text, *origin == Origin::ClusterDefault) {
            Ok((spec, value)) => {
                layer.insert(spec.name, Setting { value, origin: origin.clone() });
            }
            Err(problem) => notices.push(Notice {
                key: problem.key,
                origin: origin.clone(),
                what: problem.what,
                debug: false,
            }),
        }
    }
    layer
}

/// Checks a value that somebody wants to set at run time on a broker, or on all of them.
///
/// # Errors
/// [`Problem`] if the key is unknown, cannot change at run time (or not for all brokers at once),
/// or does not allow the value. Kafka answers INVALID_REQUEST to these.
pub fn check_dynamic(key: &str, text: &str, all_brokers: bool) -> Result<(), Problem> {
    dynamic_value(key, text, all_brokers).map(|_| ())
}

fn dynamic_value(
    key: &str,
    text: &str,
    all_brokers: bool,
) -> Result<(&'static Spec, Value), Problem> {
    let problem = |what: String| Problem { key: key.to_owned(), origin: None, what };
    let Some(spec) = keys::find(key).filter(|spec| spec.scope != Scope::Topic) else {
        let what = crate::foreign::accepted(key).map(|why| format!("cannot be set: {why}"));
        return Err(problem(what.unwrap_or_else(|| crate::foreign::unknown(key))));
    };
    match spec.update {
        Update::ReadOnly => Err(problem(
            "cannot change while the broker runs; set it in its file and restart it".to_owned(),
        )),
        Update::PerBroker if all_brokers => Err(problem(
            "belongs to one broker; set it on each broker by its id instead".to_owned(),
        )),
        Update::PerBroker | Update::ClusterWide => match spec.parse(text) {
            Ok(value) => Ok((spec, value)),
            Err(bad) => Err(problem(format!("`{text}` cannot be used: {bad}"))),
        },
    }
}
