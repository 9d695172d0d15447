//! Where each broker's listeners are reached, and what the broker is told of them.

use std::collections::{BTreeMap, BTreeSet};

use vltava_config::HostPort;
use vltava_crd::status::{BrokerAddress, ListenerStatus};
use vltava_crd::{COORDINATOR_LISTENER, ID_MARK, KafkaCluster, Listener, ListenerType};

use crate::build::inside;
use crate::dereference::{Found, ordinal};
use crate::plan::{ClusterView, Component};
use crate::{kafka, names};

/// What a broker is to be told: its per-broker settings.
pub type Told = BTreeMap<&'static str, String>;

/// Where a broker's listener is reached; `None` while that is not known.
pub fn address(
    cluster: &KafkaCluster,
    found: &Found,
    listener: &Listener,
    broker: i32,
) -> Option<(String, i32)> {
    if listener.kind == ListenerType::Internal {
        return Some((names::host(cluster, Component::Broker, broker), listener.port));
    }
    let service = found.services.get(&names::outside(cluster, listener, broker))?;
    let given =
        listener.advertised_host.as_ref().map(|host| host.replace(ID_MARK, &broker.to_string()));
    let port = |default: Option<i32>| listener.advertised_port.or(default);
    match listener.kind {
        ListenerType::Internal => None,
        ListenerType::NodePort => {
            let its = service.spec.as_ref()?.ports.as_ref()?.first()?.node_port;
            let host = given.or_else(|| host_of_node(cluster, found, broker))?;
            Some((host, port(its)?))
        }
        ListenerType::LoadBalancer => {
            let status = service.status.as_ref()?.load_balancer.as_ref()?;
            let ingress = status.ingress.as_ref()?.first()?;
            let host = given.or(ingress.hostname.clone()).or(ingress.ip.clone())?;
            Some((host, port(Some(listener.port))?))
        }
        ListenerType::ClusterIP => Some((given?, port(Some(listener.port))?)),
    }
}

/// A host and its port: an IPv6 address stands in brackets.
fn at(host: &str, port: i32) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    HostPort { host, port: u16::try_from(port).unwrap_or_default() }.to_string()
}

/// The address of the machine that a broker runs on: the outer one where it has one.
fn host_of_node(cluster: &KafkaCluster, found: &Found, broker: i32) -> Option<String> {
    let pod = found.pods.get(&names::pod(cluster, Component::Broker, broker))?;
    let node = found.nodes.get(pod.spec.as_ref()?.node_name.as_ref()?)?;
    let addresses = node.status.as_ref()?.addresses.as_ref()?;
    ["ExternalIP", "InternalIP", "Hostname"]
        .iter()
        .find_map(|kind| addresses.iter().find(|it| it.type_ == *kind).map(|it| it.address.clone()))
}

/// What a broker is to be told; nothing where its start settings say it all. One whose address is
/// not known at the moment (a Service that somebody deleted, an address that a cloud took back)
/// stays as it is on the broker: whoever is connected to it stays so.
pub fn told(cluster: &KafkaCluster, found: &Found, view: &ClusterView, broker: i32) -> Told {
    let mut parts: [Vec<String>; 3] = Default::default();
    for listener in &cluster.spec.listeners {
        let key = listener.key();
        let has = |setting: &str| {
            let value = view.brokers.get(&broker)?.config.get(setting)?.value.as_ref()?;
            let mut all = value.split(',').map(str::trim);
            all.find(|it| it.split_once("://").is_some_and(|(name, _)| name == key))
        };
        let (bind, advertised) = match address(cluster, found, listener, broker) {
            Some((host, port)) => {
                (format!("{key}://:{}", listener.port), format!("{key}://{}", at(&host, port)))
            }
            None => match has("listeners").zip(has("advertised.listeners")) {
                Some((bind, advertised)) => (bind.to_owned(), advertised.to_owned()),
                None => continue,
            },
        };
        parts[0].push(bind);
        parts[1].push(advertised);
        parts[2].push(format!("{key}:PLAINTEXT"));
    }
    parts[2].push(format!("{COORDINATOR_LISTENER}:PLAINTEXT"));
    let (first, port) = inside(cluster);
    if parts[0] == [format!("{first}://:{port}")] {
        return Told::new();
    }
    let names = ["listeners", "advertised.listeners", "listener.security.protocol.map"];
    names.into_iter().zip(parts.map(|parts| parts.join(","))).collect()
}

/// Values to set, and keys to give back.
pub type Changes<'a> = (Vec<(&'static str, &'a str)>, Vec<&'static str>);

/// What of it the broker does not know yet: values to set, and keys to give back.
pub fn changes<'a>(told: &'a Told, view: &ClusterView, broker: i32) -> Option<Changes<'a>> {
    let known = &view.brokers.get(&broker).filter(|it| !it.fenced)?.config;
    if known.is_empty() {
        return None;
    }
    let names = ["listeners", "advertised.listeners", "listener.security.protocol.map"];
    let dynamic =
        |name: &str| known.get(name).filter(|it| it.dynamic).and_then(|it| it.value.as_deref());
    let set: Vec<(&str, &str)> = told
        .iter()
        .filter(|(name, value)| dynamic(name) != Some(value.as_str()))
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let reset: Vec<&str> = names
        .into_iter()
        .filter(|name| !told.contains_key(name) && dynamic(name).is_some())
        .collect();
    (!set.is_empty() || !reset.is_empty()).then_some((set, reset))
}

/// The ports at which brokers listen, by what their pods were started with and by what they say
/// themselves. While one of them cannot be asked, all that the policy lets through are among them.
pub fn ports(cluster: &KafkaCluster, found: &Found, view: Option<&ClusterView>) -> BTreeSet<i32> {
    let set = names::set(cluster, Component::Broker);
    let is_one = |name: &str| name.rsplit_once('-').is_some_and(|(of, _)| of == set);
    let pods = || found.pods.iter().filter(|(name, _)| is_one(name));
    let mut ports: BTreeSet<i32> = pods().filter_map(|(_, pod)| kafka::port_of(pod)).collect();
    let mut is_known = true;
    for (name, _) in pods() {
        let says = || {
            let broker = view?.brokers.get(&ordinal(name)?)?;
            broker.config.get("listeners")?.value.as_deref()
        };
        let Some(listeners) = says() else {
            is_known = false;
            continue;
        };
        let all = listeners.split(',').filter_map(|it| it.rsplit_once(':')?.1.trim().parse().ok());
        ports.extend::<Vec<i32>>(all.collect());
    }
    if !is_known && let Some(live) = found.live("NetworkPolicy", &set) {
        let live = live["spec"]["ingress"][0]["ports"].as_array().into_iter().flatten();
        ports.extend(live.filter_map(|it| i32::try_from(it["port"].as_i64()?).ok()));
    }
    ports
}

/// The first broker of these that is not known to have opened what it is to be told.
pub fn closed(cluster: &KafkaCluster, found: &Found, view: &ClusterView) -> Option<i32> {
    (1..=cluster.spec.brokers.replicas).find(|id| {
        let known = view.brokers.get(id).filter(|it| !it.fenced && !it.config.is_empty());
        known.is_none() || changes(&told(cluster, found, view, *id), view, *id).is_some()
    })
}

/// What the status says of the listeners.
pub fn status(cluster: &KafkaCluster, found: &Found) -> Vec<ListenerStatus> {
    let of = |listener: &Listener| {
        let brokers: Vec<BrokerAddress> = (1..=cluster.spec.brokers.replicas)
            .filter_map(|id| {
                let (host, port) = address(cluster, found, listener, id)?;
                Some(BrokerAddress { id, address: at(&host, port) })
            })
            .collect();
        let missing = usize::try_from(cluster.spec.brokers.replicas).unwrap_or(0) - brokers.len();
        let addresses: Vec<&str> = brokers.iter().map(|it| it.address.as_str()).collect();
        let bootstrap = match listener.kind {
            ListenerType::Internal => format!(
                "{}.{}.svc:{}",
                names::bootstrap(cluster),
                names::namespace(cluster),
                listener.port
            ),
            _ => addresses.join(","),
        };
        let message = (missing > 0)
            .then(|| format!("{missing} brokers have no address yet; see their Services and pods"));
        ListenerStatus {
            name: listener.name.clone(),
            kind: listener.kind.name().to_owned(),
            bootstrap,
            brokers,
            message,
        }
    };
    cluster.spec.listeners.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use vltava_crd::KafkaCluster;

    use super::{changes, closed, ports, status, told};
    use crate::dereference::Found;
    use crate::plan::{BrokerView, ClusterView, ConfigValue};

    fn cluster(names: &[&str]) -> KafkaCluster {
        let mut listeners = vec![json!({"name": "internal", "port": 9092, "type": "Internal"})];
        for (name, port) in names.iter().zip(9094..) {
            listeners.push(json!({"name": name, "port": port, "type": "LoadBalancer"}));
        }
        serde_json::from_value(json!({
            "apiVersion": "vltava.dev/v1alpha1", "kind": "KafkaCluster",
            "metadata": {"name": "a", "namespace": "b"}, "spec": {"listeners": listeners},
        }))
        .expect("a manifest")
    }

    /// What was found where the cloud has given these addresses.
    fn found(addresses: &[(&str, &str)]) -> Found {
        let mut found = Found::default();
        for (name, ip) in addresses {
            let status: Value = match *ip {
                "" => json!({"loadBalancer": {}}),
                ip => json!({"loadBalancer": {"ingress": [{"ip": ip}]}}),
            };
            let service = serde_json::from_value(json!({"status": status})).expect("a Service");
            found.services.insert(format!("a-{name}-1"), service);
        }
        found
    }

    #[test]
    fn the_ports_that_brokers_listen_on_are_known_once_all_of_them_say_so() {
        let (one, mut found) = (cluster(&["east"]), Found::default());
        for (name, port) in [("a-broker-1", 9092), ("a-coordinator-1", 9093)] {
            let env = json!([{"name": "KAFKA_LISTENERS", "value": format!("INTERNAL://:{port}")}]);
            let pod = json!({"spec": {"containers": [{"name": "a", "env": env}]}});
            found.pods.insert(name.to_owned(), serde_json::from_value(pod).expect("a pod"));
        }
        let policy = json!({"spec": {"podSelector": {}, "ingress": [{"ports": [{"port": 9099}]}]}});
        let policy = serde_json::from_value(policy).expect("a policy");
        found.policies.insert("a-broker".to_owned(), policy);
        let says = [("listeners", "INTERNAL://:9092,EAST://:9094".to_owned())].into();
        let known = ports(&one, &found, Some(&knows(&says)));
        assert_eq!(known, [9092, 9094].into(), "none of coordinators, none that is let through");
        let silent = ClusterView::default();
        for view in [None, Some(&silent)] {
            assert_eq!(ports(&one, &found, view), [9092, 9099].into(), "it may listen there still");
        }
    }

    #[test]
    fn an_address_of_ipv6_stands_in_brackets() {
        let mut one = cluster(&["east"]);
        one.spec.brokers.replicas = 1;
        for (host, expected) in [
            ("2001:db8::5", "[2001:db8::5]:9094"),
            ("[2001:db8::5]", "[2001:db8::5]:9094"),
            ("192.0.2.1", "192.0.2.1:9094"),
            ("kafka.example.com", "kafka.example.com:9094"),
        ] {
            let found = found(&[("east", host)]);
            let told = told(&one, &found, &ClusterView::default(), 1);
            let (_, advertised) = told["advertised.listeners"].split_once(',').expect("two");
            assert_eq!(advertised, format!("EAST://{expected}"));
            for listener in told["advertised.listeners"].split(',') {
                vltava_config::Listener::parse(listener).expect("a broker reads it");
            }
            assert_eq!(status(&one, &found)[1].brokers[0].address, expected);
        }
    }

    /// A broker that was told all of what is given.
    fn knows(told: &super::Told) -> ClusterView {
        let set = |(key, value): (&&str, &String)| {
            ((*key).to_owned(), ConfigValue { value: Some(value.clone()), dynamic: true })
        };
        let config = told.iter().map(set).collect();
        let broker = BrokerView { config, ..BrokerView::default() };
        ClusterView { brokers: [(1, broker)].into(), ..ClusterView::default() }
    }

    #[test]
    fn a_listener_whose_address_is_not_known_for_a_while_stays_open() {
        let two = cluster(&["east", "west"]);
        let whole = found(&[("east", "192.0.2.1"), ("west", "192.0.2.2")]);
        let told_first = told(&two, &whole, &ClusterView::default(), 1);
        assert!(told_first["advertised.listeners"].ends_with("WEST://192.0.2.2:9095"));
        let view = knows(&told_first);
        for lacking in [found(&[("east", "192.0.2.1")]), found(&[("east", ""), ("west", "")])] {
            let now = told(&two, &lacking, &view, 1);
            assert_eq!(changes(&now, &view, 1), None, "{now:?}");
        }
        // What is known is told all the same, and what is declared no longer goes.
        let moved = told(&two, &found(&[("east", "192.0.2.9")]), &view, 1);
        let expected = "INTERNAL://a-broker-1.a-broker.b.svc:9092,EAST://192.0.2.9:9094,\
                        WEST://192.0.2.2:9095";
        assert_eq!(moved["advertised.listeners"], expected);
        let one = told(&cluster(&["east"]), &found(&[]), &view, 1);
        assert_eq!(one["listeners"], "INTERNAL://:9092,EAST://:9094");
        // What the first broker knows, all of them must.
        let mut single = cluster(&["east", "west"]);
        single.spec.brokers.replicas = 1;
        assert_eq!(closed(&single, &whole, &view), None);
        let other = found(&[("east", "192.0.2.9"), ("west", "192.0.2.2")]);
        assert_eq!(closed(&single, &other, &view), Some(1), "it is told another address");
        assert_eq!(closed(&single, &whole, &ClusterView::default()), Some(1));
        single.spec.brokers.replicas = 2;
        assert_eq!(closed(&single, &whole, &view), Some(2));
        // One that never had an address is not opened.
        let none = told(&two, &found(&[]), &ClusterView::default(), 1);
        assert!(none.is_empty(), "{none:?}");
    }
}
