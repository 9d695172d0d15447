//! From files and variables to a node's configuration, and what a person is told on the way.

use std::io::Write;

use vltava_config::{ConfigError, Loaded, Role, Values, describe, keys, load};

const BROKER: &str = "node.id=1\ncontroller.quorum.bootstrap.servers=127.0.0.1:9093\n";

fn load_text(role: Role, text: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let mut file = tempfile::Builder::new().suffix(".properties").tempfile().expect("a file");
    file.write_all(text.as_bytes()).expect("a file can be written");
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    load(role, Some(file.path()), variables)
}

fn broker(text: &str) -> Result<Loaded, ConfigError> {
    load_text(Role::Broker, &format!("{BROKER}{text}"), &[])
}

fn refused(text: &str) -> String {
    broker(text).expect_err("this must be refused").to_string()
}

#[test]
fn a_small_file_is_enough_for_a_broker() {
    let values = broker("").expect("the file is right").values;
    assert_eq!(values.node_id(), 1);
    assert_eq!(values.get(keys::BROKER_ID), 1, "the older name of the same");
    assert_eq!(values.get(keys::PROCESS_ROLES), ["broker"]);
    assert_eq!(values.inter_broker_listener(), "PLAINTEXT");
    assert_eq!(values.quorum_addresses()[0].to_string(), "127.0.0.1:9093");
    assert_eq!(values.get(keys::BROKER_SESSION_TIMEOUT_MS), 9_000);
    assert!(!values.advertised_listeners()[0].address.host.is_empty());
}

#[test]
fn a_small_file_is_enough_for_a_coordinator() {
    let text = "node.id=3001\nlisteners=CONTROLLER://127.0.0.1:9093\nlog.dirs=/a,/b\n\
                vltava.initial.controllers=3001@127.0.0.1:9093:4L6g3nShT-eMCtK--X86sw\n";
    let values = load_text(Role::Coordinator, text, &[]).expect("the file is right").values;
    assert_eq!(values.initial_controllers()[0].id, 3001);
    assert_eq!(values.metadata_log_dir(), std::path::Path::new("/a"));
}

#[test]
fn a_misspelt_key_is_refused_with_its_line_and_the_nearest_key() {
    let text = refused("# two\nmin.insync.replica=2\n");
    assert!(text.contains(".properties:4: min.insync.replica: is unknown"), "{text}");
    assert!(text.ends_with("did you mean `min.insync.replicas`?"), "{text}");
}

#[test]
fn a_bad_value_is_refused_with_what_is_allowed() {
    let text = refused("num.partitions=many\n");
    let end = "num.partitions: `many` cannot be used: allowed is an integer from 1 to 2147483647";
    assert!(text.ends_with(end), "{text}");
}

#[test]
fn every_problem_is_told_at_once() {
    let error = broker("num.partitions=0\nlog.dirz=/x\nauto.create.topics.enable=yes\n");
    assert_eq!(error.expect_err("this must be refused").problems().len(), 3);
}

#[test]
fn a_variable_is_named_when_it_is_the_culprit() {
    let error = load_text(Role::Broker, BROKER, &[("KAFKA_NUM_PARTITIONS", "none")]);
    let text = error.expect_err("this must be refused").to_string();
    assert!(
        text.starts_with("environment variable KAFKA_NUM_PARTITIONS: num.partitions"),
        "{text}"
    );
}

#[test]
fn keys_for_java_are_accepted_with_a_line() {
    let loaded = broker("num.network.threads=3\nzookeeper.connect=zoo:2181\n");
    let lines: Vec<String> =
        loaded.expect("the file is right").notices.iter().map(ToString::to_string).collect();
    assert!(lines[0].contains("num.network.threads: threads and queues size themselves"));
    assert!(lines[1].contains("controller.quorum.bootstrap.servers"), "{lines:?}");
}

#[test]
fn what_guards_a_cluster_is_not_ignored() {
    let text = refused("authorizer.class.name=org.example.Authorizer\n");
    assert!(text.contains("no authorisation yet"), "{text}");
    assert!(broker("authorizer.class.name=\n").is_ok());
    let text = refused("listeners=SSL://:9093\nsecurity.inter.broker.protocol=SSL\n");
    assert!(text.contains("there is no TLS"), "{text}");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    for (text, end) in [
        ("broker.id=2\n", "is not what node.id says"),
        ("inter.broker.listener.name=INSIDE\n", "INSIDE is not among `listeners`"),
        ("advertised.listeners=OTHER://h:1\n", "OTHER is not among `listeners`"),
        ("advertised.listeners=PLAINTEXT://0.0.0.0:9092\n", "nobody can connect"),
        ("listeners=PLAINTEXT://:1,CONTROLLER://:2\n", "is a coordinator's listener"),
        ("process.roles=broker,controller\n", "a node has one role"),
        ("broker.heartbeat.interval.ms=9000\n", "a third of the session"),
        ("vltava.memory.budget.bytes=1048576\n", "socket.request.max.bytes"),
        ("security.inter.broker.protocol=SASL_SSL\n", "no listener has the protocol SASL_SSL"),
        ("listeners=A://:1,B://:1\nlistener.security.protocol.map=A:PLAINTEXT\n", "used twice"),
    ] {
        let found = refused(text);
        assert!(found.contains(end), "{text}: {found}");
    }
}

#[test]
fn one_load_balancer_may_stand_before_several_listeners() {
    let text = "listeners=INSIDE://:1,OUTSIDE://:2\ninter.broker.listener.name=INSIDE\n\
                advertised.listeners=INSIDE://lb:9092,OUTSIDE://lb:9092\n";
    let values = broker(text).expect("names alone must differ").values;
    let told: Vec<String> = values.advertised_listeners().iter().map(ToString::to_string).collect();
    assert_eq!(told, ["INSIDE://lb:9092", "OUTSIDE://lb:9092"]);
    let twice = "listeners=A://:1,B://:2\nadvertised.listeners=A://lb:1,a://lb:2\n";
    assert!(refused(twice).contains("the listener A is named twice"));
}

#[test]
fn what_is_missing_is_named() {
    let error = load_text(Role::Broker, "", &[]).expect_err("a broker needs more");
    let keys: Vec<&str> = error.problems().iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["node.id", "controller.quorum.bootstrap.servers"]);
    let error = load_text(Role::Coordinator, "node.id=1\n", &[]).expect_err("it needs more");
    let keys: Vec<&str> = error.problems().iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["listeners", "controller.quorum.bootstrap.servers"]);
}

#[test]
fn a_swarm_of_old_images_finds_its_listeners() {
    let loaded = load_text(
        Role::Broker,
        "",
        &[
            ("HOSTNAME_COMMAND", "docker info | grep ^Name: | cut -d' ' -f 2"),
            ("KAFKA_ZOOKEEPER_CONNECT", "zookeeper:2181"),
            ("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "INSIDE:PLAINTEXT,OUTSIDE:PLAINTEXT"),
            ("KAFKA_ADVERTISED_PROTOCOL_NAME", "OUTSIDE"),
            ("KAFKA_ADVERTISED_PORT", "9094"),
            ("KAFKA_PROTOCOL_NAME", "INSIDE"),
            ("KAFKA_PORT", "9092"),
            ("KAFKA_CREATE_TOPICS", "myTopic:3:3,anotherTopic:2:2"),
            ("KAFKA_BROKER_ID", "2"),
            ("KAFKA_CONTROLLER_QUORUM_BOOTSTRAP_SERVERS", "coordinator-1:9093"),
        ],
    )
    .expect("the variables are right");
    let values = loaded.values;
    assert_eq!(values.node_id(), 2);
    assert_eq!(values.inter_broker_listener(), "INSIDE");
    let ports: Vec<u16> = values.listeners().iter().map(|one| one.address.port).collect();
    assert_eq!(ports, [9094, 9092]);
    let topics = values.create_topics();
    assert_eq!((topics[1].name.as_str(), topics[1].partitions), ("anotherTopic", 2));
    let lines: Vec<String> = loaded.notices.iter().map(ToString::to_string).collect();
    assert!(lines.iter().any(|line| line.starts_with("KAFKA_ZOOKEEPER_CONNECT: ")), "{lines:?}");
}

#[test]
fn an_old_compose_file_with_jmx_starts() {
    let loaded = load_text(
        Role::Broker,
        BROKER,
        &[
            ("KAFKA_ADVERTISED_HOST_NAME", "127.0.0.1"),
            ("KAFKA_ZOOKEEPER_CONNECT", "zookeeper:2181"),
            ("KAFKA_JMX_OPTS", "-Dcom.sun.management.jmxremote"),
            ("JMX_PORT", "1099"),
        ],
    )
    .expect("the variables are right");
    let advertised = loaded.values.advertised_listeners();
    assert_eq!(advertised[0].to_string(), "PLAINTEXT://127.0.0.1:9092");
}

#[test]
fn a_file_that_is_no_configuration_is_refused() {
    let long = "#".repeat(1024 * 1024 + 1);
    assert!(matches!(broker(&long), Err(ConfigError::FileTooLong { .. })));
    let missing = load(Role::Broker, Some("/nonexistent".as_ref()), []);
    assert!(matches!(missing, Err(ConfigError::ReadFile { .. })));
}

#[test]
fn describing_shows_where_a_value_comes_from() {
    let values = Values::from_pairs([("min.insync.replicas", "2")]).expect("it is right");
    let (values, _) = values.with_dynamic([("min.insync.replicas", "3")], []);
    let all = describe::node(&values, Role::Broker);
    let one = all.iter().find(|one| one.spec.name == "min.insync.replicas").expect("it is there");
    assert_eq!(one.value.as_deref(), Some("3"));
    let sources: Vec<describe::Source> = one.synonyms.iter().map(|one| one.source).collect();
    use describe::Source::{Default, DynamicDefaultBroker, StaticBroker};
    assert_eq!(sources, [DynamicDefaultBroker, StaticBroker, Default]);
    assert_eq!(describe::cluster_default(&values).len(), 1);

    let null = all.iter().find(|one| one.spec.name == "log.retention.ms").expect("it is there");
    assert_eq!((null.value.as_deref(), null.synonyms.len()), (None, 0));

    let own = [("min.insync.replicas".to_owned(), "1".to_owned())].into();
    let topic = describe::topic(&values, &own);
    let one = topic.iter().find(|one| one.spec.name == "min.insync.replicas").expect("it is there");
    assert_eq!((one.value.as_deref(), one.source), (Some("1"), describe::Source::Topic));
    let one = topic.iter().find(|one| one.spec.name == "retention.ms").expect("it is there");
    assert_eq!((one.value.as_deref(), one.source), (Some("604800000"), Default));
}
