//! `docs/protocol.md` against the tables that brokers and coordinators dispatch by, and those
//! against what Apache Kafka 4.2 serves. `cargo xtask docs` has this test write the page.

#![cfg(feature = "nodes")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use vltava_broker::api::dispatch::TABLE;
use vltava_wire::{ApiKey, Versions};

/// What Apache Kafka answers when it is asked for its versions.
const KAFKA: &str = include_str!("data/kafka-4.2-api-versions.txt");

const PAGE: &str = "../docs/protocol.md";

/// What a node serves, by kind of request.
type Served = BTreeMap<i16, Versions>;

/// The two kinds of listeners, with what is served there.
struct Listeners {
    broker: Served,
    controller: Served,
}

fn ours() -> Listeners {
    let broker = TABLE.iter().map(|row| (row.key.code(), row.versions)).collect();
    let controller =
        vltava_coordinator::served().map(|(key, versions, _)| (key.code(), versions)).collect();
    Listeners { broker, controller }
}

fn kafka() -> Listeners {
    let mut listeners = Listeners { broker: Served::new(), controller: Served::new() };
    for line in KAFKA.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let listener = match words.next() {
            Some("broker") => &mut listeners.broker,
            Some("controller") => &mut listeners.controller,
            other => panic!("{other:?} is no listener"),
        };
        let mut number = || words.next().and_then(|it| it.parse().ok()).expect("a number");
        let (key, min, max) = (number(), number(), number());
        listener.insert(key, Versions { min, max });
    }
    listeners
}

fn text(versions: Option<&Versions>) -> String {
    match versions {
        None => String::new(),
        Some(Versions { min, max }) if min == max => min.to_string(),
        Some(Versions { min, max }) => format!("{min}–{max}"),
    }
}

fn name(key: i16) -> &'static str {
    ApiKey::from_code(key).map_or("", ApiKey::name)
}

fn page(ours: &Listeners, kafka: &Listeners) -> String {
    let forwarded: BTreeSet<i16> = vltava_coordinator::served()
        .filter(|(key, _, forwarded)| *forwarded && ours.broker.contains_key(&key.code()))
        .map(|(key, ..)| key.code())
        .collect();
    let mut page = String::from(
        "# Protocol\n\n\
         Which kinds of requests Vltava serves, in which versions, and what Apache Kafka 4.2 \
         serves. This page is written by `cargo xtask docs` from the tables\nthat brokers and \
         coordinators dispatch by; a test holds it to them. What is not in the table of a node is \
         not in its answer to ApiVersions.\n\n\
         *Broker* is every listener of a broker, *coordinator* that of a coordinator (Kafka's \
         controller). → marks what a broker carries to the active coordinator.\nBrokers advertise \
         Produce from version 0 on, as Kafka does (older clients look for it), and refuse those \
         below 3.\n\n\
         | key | | broker | Kafka's broker | coordinator | Kafka's controller |\n\
         |---|---|---|---|---|---|\n",
    );
    let tables = [&ours.broker, &kafka.broker, &ours.controller, &kafka.controller];
    let keys: BTreeSet<i16> = tables.iter().flat_map(|table| table.keys().copied()).collect();
    for key in keys {
        let arrow = if forwarded.contains(&key) { " →" } else { "" };
        let [broker, kafka_broker, coordinator, controller] =
            tables.map(|table| text(table.get(&key)));
        let _ = writeln!(
            page,
            "| {key} | {} | {broker}{arrow} | {kafka_broker} | {coordinator} | {controller} |",
            name(key)
        );
    }
    page
}

#[test]
fn the_page_says_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE);
    let wanted = page(&ours(), &kafka());
    if std::env::var_os("VLTAVA_WRITE_DOCS").is_some() {
        std::fs::write(&path, &wanted).expect("the page can be written");
    }
    let kept = std::fs::read_to_string(&path).expect("the page");
    assert_eq!(kept, wanted, "docs/protocol.md is not what the tables say: cargo xtask docs");
}

/// A version that Kafka does not serve would be one that no client was ever tried with.
#[test]
fn nothing_is_served_that_kafka_does_not_serve() {
    let (ours, kafka) = (ours(), kafka());
    let pairs = [(&ours.broker, &kafka.broker), (&ours.controller, &kafka.controller)];
    for (ours, kafka) in pairs {
        for (key, versions) in ours {
            let theirs = kafka.get(key).unwrap_or_else(|| panic!("{} is not Kafka's", name(*key)));
            // Kafka advertises old versions of Produce that it refuses; our table has the others.
            let min = if *key == ApiKey::Produce.code() { 3 } else { theirs.min };
            let same = (versions.min, versions.max) == (min, theirs.max);
            assert!(same, "{} {versions:?}, Kafka {theirs:?}", name(*key));
        }
    }
}
