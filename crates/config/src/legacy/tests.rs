//! Hosts and ports as older compose files set them.

use super::apply;
use crate::error::{Notice, Origin};
use crate::load::Raw;

fn read(settings: &[(&str, &str)]) -> (Raw, Vec<Notice>) {
    let origin = |key: &str| Origin::Variable(format!("KAFKA_{key}"));
    let mut raw: Raw = settings
        .iter()
        .map(|(key, text)| ((*key).to_owned(), ((*text).to_owned(), origin(key))))
        .collect();
    let mut notices = Vec::new();
    apply(&mut raw, &mut notices, &|| "host7".to_owned());
    (raw, notices)
}

#[test]
fn an_advertised_host_alone_moves_only_what_clients_are_told() {
    let (raw, notices) = read(&[("advertised.host.name", "127.0.0.1")]);
    assert_eq!(raw["listeners"].0, "PLAINTEXT://:9092");
    assert_eq!(raw["advertised.listeners"].0, "PLAINTEXT://127.0.0.1:9092");
    assert_eq!(notices.len(), 1);
}

#[test]
fn two_protocol_names_are_two_listeners() {
    let (raw, notices) = read(&[
        ("advertised.protocol.name", "OUTSIDE"),
        ("advertised.port", "9094"),
        ("protocol.name", "INSIDE"),
        ("port", "9092"),
    ]);
    assert_eq!(raw["listeners"].0, "OUTSIDE://:9094,INSIDE://:9092");
    assert_eq!(raw["advertised.listeners"].0, "OUTSIDE://host7:9094,INSIDE://host7:9092");
    assert_eq!(raw["inter.broker.listener.name"].0, "INSIDE");
    assert_eq!(notices.len(), 4);
    assert!(!raw.contains_key("port"));
}

#[test]
fn present_names_win() {
    let (raw, notices) = read(&[("listeners", "PLAINTEXT://:1234"), ("port", "9092")]);
    assert_eq!(raw["listeners"].0, "PLAINTEXT://:1234");
    assert!(!raw.contains_key("advertised.listeners"));
    assert!(notices[0].what.contains("changes nothing"), "{}", notices[0]);
}

#[test]
fn without_old_keys_nothing_happens() {
    let (raw, notices) = read(&[("node.id", "1")]);
    assert_eq!(raw.len(), 1);
    assert!(notices.is_empty());
}
