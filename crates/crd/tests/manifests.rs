//! Manifests that are right, and the exact words about those that are not.

use vltava_crd::manifest::{self, parse};
use vltava_crd::validate::{Findings, Target, validate};
use vltava_crd::{KafkaCluster, ListenerType, config};

fn with_spec(spec: &str) -> String {
    let indented: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: vltava.dev/v1alpha1\nkind: KafkaCluster\nmetadata: {{name: test}}\nspec:\n\
         {indented}"
    )
}

fn cluster(spec: &str) -> KafkaCluster {
    parse(&with_spec(spec)).expect("the manifest can be read")
}

fn findings(spec: &str) -> Findings {
    validate(&cluster(spec), Target::Local)
}

/// The words about the only thing that is wrong.
fn problem(spec: &str) -> String {
    let found = findings(spec).problems;
    assert_eq!(found.len(), 1, "{found:?}");
    found[0].to_string()
}

fn unreadable(text: &str) -> String {
    parse(text).expect_err("this is no manifest").to_string()
}

#[test]
fn the_embedded_cluster_is_right_everywhere() {
    let prague = manifest::prague();
    assert_eq!(prague.metadata.name.as_deref(), Some("prague"));
    assert_eq!((prague.spec.brokers.replicas, prague.spec.coordinators.replicas), (3, 3));
    assert_eq!(prague.spec.listeners[1].kind, ListenerType::NodePort);
    assert_eq!(prague.spec.listeners[1].node_ports, [32001, 32002, 32003]);
    for target in [Target::Local, Target::Kubernetes] {
        assert_eq!(validate(&prague, target), Findings::default());
    }
}

#[test]
fn an_empty_spec_is_three_and_three() {
    let cluster = cluster("{}");
    assert_eq!((cluster.spec.brokers.replicas, cluster.spec.coordinators.replicas), (3, 3));
    assert!(validate(&cluster, Target::Local).problems.is_empty());
}

#[test]
fn a_manifest_may_carry_other_documents_and_a_status() {
    let text = format!(
        "kind: Namespace\napiVersion: v1\n---\n{}status: {{ready: 3}}\n",
        with_spec("brokers: {replicas: 1}")
    );
    assert_eq!(parse(&text).expect("one cluster is there").spec.brokers.replicas, 1);
}

#[test]
fn what_cannot_be_read_is_named_with_its_place() {
    let text = unreadable(&with_spec("brokers: {replicas: three}"));
    assert!(text.starts_with("spec.brokers.replicas: invalid type: string \"three\""), "{text}");
    let text = unreadable(&with_spec("brokers: {replica: 3}"));
    assert!(text.starts_with("spec.brokers.replica: there is no such field"), "{text}");
    let text = unreadable(&with_spec("listeners: [{name: a, port: 1, type: Nodeport}]"));
    assert!(text.contains("spec.listeners[0].type: unknown variant `Nodeport`"), "{text}");
}

#[test]
fn a_number_may_be_a_setting_without_quotes() {
    let cluster = cluster("brokers: {config: {min.insync.replicas: 2}}");
    assert_eq!(cluster.spec.brokers.config["min.insync.replicas"], "2");
}

#[test]
fn what_is_no_cluster_is_refused() {
    assert!(unreadable("").contains("there is no KafkaCluster"));
    assert!(unreadable("kind: Kafka\napiVersion: x/v1").contains("its kind is Kafka"));
    let old = with_spec("{}").replace("v1alpha1", "v1");
    assert!(unreadable(&old).starts_with("apiVersion is vltava.dev/v1;"));
    let two = format!("{}---\n{}", with_spec("{}"), with_spec("{}"));
    assert!(unreadable(&two).starts_with("there are 2 clusters"));
    assert!(unreadable("a: [").contains("line"));
    assert!(unreadable(&" ".repeat(manifest::MAX_BYTES + 1)).contains("longer than"));
}

#[test]
fn replicas_need_brokers() {
    assert_eq!(
        problem("brokers: {replicas: 2}\ntopics: [{name: orders, replicationFactor: 3}]"),
        "spec.topics[0].replicationFactor: orders: 3 replicas need as many brokers, and there are \
         2; lower it or set brokers.replicas to 3"
    );
    assert_eq!(
        problem("brokers: {replicas: 1, config: {min.insync.replicas: \"2\"}}"),
        "spec.brokers.config.min.insync.replicas: 2 is more than there are brokers; lower it or \
         set brokers.replicas to 2"
    );
    assert!(problem("brokers: {replicas: 0}").starts_with("spec.brokers.replicas: 0 brokers"));
    let text = problem("coordinators: {replicas: 12}");
    assert!(text.ends_with("ask for 1, 3, 5, 7 or 9"), "{text}");
}

#[test]
fn an_even_number_of_coordinators_is_refused_as_pointless() {
    assert_eq!(
        problem("coordinators: {replicas: 4}"),
        "spec.coordinators.replicas: 4 bear no more failures than 3; ask for 3"
    );
    let rules = |count: i32| findings(&format!("coordinators: {{replicas: {count}}}")).problems;
    assert!([1, 3, 5, 7, 9].into_iter().all(|count| rules(count).is_empty()));
}

#[test]
fn what_kubernetes_bounds_is_bounded_everywhere() {
    let topics: Vec<String> = (0..1001).map(|n| format!("{{name: t{n}}}")).collect();
    assert_eq!(
        problem(&format!("topics: [{}]", topics.join(", "))),
        "spec.topics: 1001 items are too many; 1000 are possible"
    );
    let annotations: Vec<String> = (0..65).map(|n| format!("a{n}: b")).collect();
    let listeners = format!(
        "listeners: [{{name: a, port: 1, type: Internal}}, {{name: b, port: 2, type: NodePort, \
         annotations: {{{}}}}}]",
        annotations.join(", ")
    );
    let text = problem(&listeners);
    assert!(text.starts_with("spec.listeners[1].annotations: 65 entries are too many"), "{text}");
}

#[test]
fn topics_are_checked_by_the_brokers_own_rules() {
    assert!(problem("topics: [{name: \"a b\"}]").contains("'a b' contains one or more characters"));
    assert!(problem("topics: [{name: a}, {name: a}]").contains("declared twice"));
    assert!(problem("topics: [{name: a.b}, {name: a_b}]").contains("differ by"));
    assert!(problem("topics: [{name: __x}]").contains("Kafka's own"));
    assert!(problem("topics: [{name: a, partitions: 0}]").contains("ask for 1 to"));
    assert_eq!(
        problem("topics: [{name: a, config: {retention.sm: \"1\"}}]"),
        "spec.topics[0].config.retention.sm: a: is unknown; did you mean `retention.ms`?"
    );
    let text = problem("topics: [{name: a, config: {cleanup.policy: compress}}]");
    assert!(text.contains("any of compact, delete"), "{text}");
    let text =
        problem("topics: [{name: a, replicationFactor: 2, config: {min.insync.replicas: \"3\"}}]");
    assert!(text.contains("3 is more than its 2 replicas"), "{text}");
}

#[test]
fn settings_are_checked_by_the_table() {
    assert_eq!(
        problem("brokers: {config: {num.partition: \"3\"}}"),
        "spec.brokers.config.num.partition: is unknown; did you mean `num.partitions`?"
    );
    let text = problem("brokers: {config: {num.partitions: many}}");
    assert!(text.contains("`many` cannot be used: allowed is an integer"), "{text}");
    let text = problem("brokers: {config: {node.id: \"7\"}}");
    assert!(text.contains("follows from the rest of the manifest"), "{text}");
}

#[test]
fn listeners_must_not_collide() {
    let internal = "{name: internal, port: 9092, type: Internal}";
    let with = |other: &str| problem(&format!("listeners: [{internal}, {other}]"));
    assert!(with("{name: Internal, port: 1, type: Internal}").contains("is taken by another"));
    assert!(with("{name: b, port: 9092, type: Internal}").contains("9092 is taken"));
    assert!(with("{name: controller, port: 1, type: Internal}").contains("coordinators' listener"));
    assert!(with("{name: b, port: 0, type: Internal}").contains("is no port"));
    assert!(with("{name: \"a:b\", port: 1, type: Internal}").contains("rename it"));
    assert!(with("{name: -b, port: 1, type: Internal}").contains("rename it"));
    assert!(with("{name: b, port: 9404, type: Internal}").contains("probes and metrics"));
    for admin in ["admin", "Admin"] {
        let text = with(&format!("{{name: {admin}, port: 1, type: Internal}}"));
        assert!(text.contains("probes and metrics; rename it"), "{text}");
    }
    let pair = "{name: a_b, port: 1, type: NodePort}, {name: A-b, port: 2, type: NodePort}";
    assert!(with(pair).contains("is taken by another"));
    let text = problem("listeners: [{name: b, port: 1, type: NodePort, nodePorts: [32001]}]");
    assert!(text.contains("none is of type Internal"), "{text}");
}

#[test]
fn ports_of_nodes_are_those_that_kubernetes_gives_wherever_the_manifest_runs() {
    let internal = "{name: internal, port: 9092, type: Internal}";
    let with = |other: &str| problem(&format!("listeners: [{internal}, {other}]"));
    for port in [80, 29_999, 32_768, 34_111] {
        assert_eq!(
            with(&format!("{{name: b, port: 1, type: NodePort, nodePorts: [{port}]}}")),
            format!(
                "spec.listeners[1].nodePorts: {port} is none that Kubernetes gives; take 30000 to \
                 32767"
            )
        );
    }
    let twice = "{name: b, port: 1, type: NodePort, nodePorts: [30000, 32767, 32767]}";
    assert!(with(twice).contains("twice"));
    assert!(with("{name: b, port: 1, type: Internal, nodePorts: [30000]}").contains("has none"));
}

#[test]
fn what_clients_are_told_must_lead_to_each_broker() {
    let internal = "{name: internal, port: 9092, type: Internal}";
    let with = |other: &str| problem(&format!("listeners: [{internal}, {other}]"));
    let host = "{name: b, port: 1, type: NodePort, advertisedHost: \"h:1\"}";
    assert!(with(host).contains("`h:1` is no host"));
    let inside = "{name: b, port: 1, type: Internal, advertisedHost: h}";
    assert!(with(inside).contains("clients inside connect to the pods"));
    assert!(with("{name: b, port: 1, type: ClusterIP}").contains("of type ClusterIP it is needed"));
    let one = "{name: b, port: 1, type: LoadBalancer, advertisedHost: h}";
    assert!(with(one).contains("`h` must hold {id}"));
    for braces in ["{}", "{ID}", "b-{id}-{zone}.example.com", "{id", "{{id}}.example.com"] {
        let text =
            with(&format!("{{name: b, port: 1, type: NodePort, advertisedHost: \"{braces}\"}}"));
        assert!(text.contains("in which {id} alone is the broker's number"), "{braces}: {text}");
    }
    let same = "{name: b, port: 1, type: NodePort, advertisedHost: h, advertisedPort: 443}";
    assert!(with(same).contains("give all brokers the same address"));
    for fine in [
        "{name: b, port: 1, type: NodePort, advertisedHost: \"h{id}\", advertisedPort: 443}",
        "{name: b, port: 1, type: NodePort, advertisedHost: h}",
        "{name: b, port: 1, type: NodePort, advertisedPort: 443}",
        "{name: b, port: 1, type: NodePort, advertisedHost: \"{id}.h-{id}\"}",
    ] {
        let found = findings(&format!("listeners: [{internal}, {fine}]")).problems;
        assert!(found.is_empty(), "{fine}: {found:?}");
    }
    let one = format!("brokers: {{replicas: 1}}\nlisteners: [{internal}, {same}]");
    assert!(findings(&one).problems.is_empty(), "one broker has one address");
    let port = "{name: b, port: 1, type: NodePort, advertisedPort: 70000}";
    assert!(with(port).contains("70000 is no port"));
}

#[test]
fn what_a_pod_or_a_service_could_never_have_is_refused_before_they_are_made() {
    let ranges = |ranges: &str| {
        findings(&format!(
            "listeners: [{{name: a, port: 1, type: Internal}}, {{name: b, port: 2, type: \
             LoadBalancer, loadBalancerSourceRanges: [{ranges}]}}]"
        ))
        .problems
    };
    assert!(ranges("192.0.2.0/24, 10.0.0.1/32, \"2001:db8::/32\", \"::/0\"").is_empty());
    for bad in ["abc", "192.0.2.0", "192.0.2.0/33", "192.0.2/24", "\"::/129\"", "192.0.2.0/+1"] {
        let found = ranges(bad);
        assert_eq!(found.len(), 1, "{bad}");
        let text = found[0].to_string();
        let place = "spec.listeners[1].loadBalancerSourceRanges[0]: `";
        assert!(text.starts_with(place) && text.contains("is no network"), "{text}");
    }
    assert_eq!(
        problem("imagePullPolicy: Sometimes"),
        "spec.imagePullPolicy: `Sometimes` is none; take Always, IfNotPresent, Never"
    );
    for role in ["brokers", "coordinators"] {
        let with =
            |seconds: i64| format!("{role}: {{pod: {{terminationGracePeriodSeconds: {seconds}}}}}");
        assert!(findings(&with(0)).problems.is_empty());
        assert_eq!(
            problem(&with(-1)),
            format!(
                "spec.{role}.pod.terminationGracePeriodSeconds: -1 is no time; take 0 seconds or \
                 more"
            )
        );
    }
}

#[test]
fn names_and_sizes_are_those_of_kubernetes() {
    let named = |name: &str| {
        let text = with_spec("{}").replace("name: test", &format!("name: \"{name}\""));
        validate(&parse(&text).expect("it can be read"), Target::Kubernetes).problems
    };
    assert!(named("a-1").is_empty());
    for bad in ["", "1a", "A", "a_b", "a-", &"a".repeat(41)] {
        assert_eq!(named(bad).len(), 1, "{bad}");
    }
    assert!(problem("brokers: {storage: {size: 10GB}}").contains("write it as 10Gi"));
    assert!(findings("brokers: {storage: {size: 1.5Ti}}").problems.is_empty());
}

#[test]
fn nodes_get_their_share_of_the_settings() {
    let mut spec = manifest::prague().spec;
    spec.coordinators.config = [("num.partitions".to_owned(), "9".to_owned())].into();
    spec.brokers.config.insert("log.retention.ms".to_owned(), "5".to_owned());
    let coordinators = config::of_role(&spec, vltava_config::Role::Coordinator);
    assert_eq!(coordinators["min.insync.replicas"], "2");
    assert_eq!(coordinators["num.partitions"], "9");
    assert!(!coordinators.contains_key("log.retention.ms"));
    let brokers = config::of_role(&spec, vltava_config::Role::Broker);
    assert_eq!(brokers["log.retention.ms"], "5");

    let one = cluster("brokers: {replicas: 1}").spec;
    let brokers = config::of_role(&one, vltava_config::Role::Broker);
    assert_eq!(brokers["offsets.topic.replication.factor"], "1");
    assert_eq!(brokers["transaction.state.log.replication.factor"], "1");
    assert_eq!(brokers["share.coordinator.state.topic.replication.factor"], "1");
    for key in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
        let key = format!("{key}.replication.factor");
        let text = with_spec(&format!("brokers: {{replicas: 2, config: {{{key}: \"3\"}}}}"));
        let cluster = parse(&text).expect("it can be read");
        let problems = validate(&cluster, Target::Local).problems;
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].path, format!("spec.brokers.config.{key}"));
    }

    let (session, heartbeat) = ("broker.session.timeout.ms", "broker.heartbeat.interval.ms");
    assert_eq!((&*brokers[session], &*brokers[heartbeat]), ("3000", "500"), "sooner than Kafka's");
    let coordinators = config::of_role(&one, vltava_config::Role::Coordinator);
    assert_eq!(coordinators[session], "3000");
    assert!(!coordinators.contains_key(heartbeat), "which only brokers read");
    let slow = cluster("brokers: {config: {broker.session.timeout.ms: 18000}}").spec;
    assert_eq!(config::of_role(&slow, vltava_config::Role::Broker)[session], "18000");
}

#[test]
fn the_services_of_a_listener_have_names_that_are_short_enough() {
    let problems = |listener: usize, kind: &str, brokers: i32| {
        let name = "l".repeat(listener);
        let text = with_spec(&format!(
            "brokers: {{replicas: {brokers}}}\nlisteners: [{{name: a, port: 1, type: Internal}}, \
             {{name: {name}, port: 2, type: {kind}}}]"
        ));
        let text = text.replace("name: test", &format!("name: {}", "c".repeat(30)));
        validate(&parse(&text).expect("it can be read"), Target::Kubernetes).problems
    };
    assert!(problems(30, "NodePort", 9).is_empty());
    assert!(problems(31, "Internal", 9).is_empty(), "it has none");
    for (listener, brokers) in [(31, 9), (30, 10)] {
        let found = problems(listener, "NodePort", brokers);
        assert!(found[0].what.contains("shorten the listener's name"), "{found:?}");
    }
}

#[test]
fn the_image_of_coordinators_follows_from_the_one_of_brokers_or_is_named() {
    let named = |image: &str| {
        let spec = cluster(&format!("image: \"{image}\"")).spec;
        spec.coordinator_image()
    };
    for (image, expected) in [
        ("vltava-broker:2", "vltava-coordinator:2"),
        (
            "brokers.example.com:5000/broker/vltava-broker",
            "brokers.example.com:5000/broker/vltava-coordinator",
        ),
        ("a/vltava-broker:broker-1", "a/vltava-coordinator:broker-1"),
    ] {
        assert_eq!(named(image).as_deref(), Some(expected), "{image}");
        assert!(findings(&format!("image: \"{image}\"")).problems.is_empty(), "{image}");
    }
    for image in [
        "",
        "kafka:2",
        "broker/kafka:2",
        "a/kafka:broker",
        "vltava-broker@sha256:ab",
        "vltava-broker:",
    ] {
        assert_eq!(named(image), None, "{image}");
        assert!(
            problem(&format!("image: \"{image}\"")).contains("name that in coordinators.image")
        );
        let both = format!("image: \"{image}\"\ncoordinators: {{image: \"c@sha256:cd\"}}");
        assert_eq!(cluster(&both).spec.coordinator_image().as_deref(), Some("c@sha256:cd"));
        assert!(findings(&both).problems.is_empty(), "{image}");
    }
}
