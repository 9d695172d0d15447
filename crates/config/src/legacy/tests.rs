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
fn an_advertised_host_counts_beside_one_listener() {
    let (raw, notices) = read(&[
        ("listeners", "PLAINTEXT://:31882"),
        ("advertised.host.name", "192.168.0.1"),
        ("port", "1"),
    ]);
    assert_eq!(raw["listeners"].0, "PLAINTEXT://:31882");
    assert_eq!(raw["advertised.listeners"].0, "PLAINTEXT://192.168.0.1:31882");
    assert!(notices[0].what.contains("192.168.0.1:31882"), "{}", notices[0]);
    assert!(notices[1].what.contains("changes nothing"), "{}", notices[1]);

    for (host, seen) in
        [("", "host7"), ("0.0.0.0", "host7"), ("[::]", "host7"), ("[fd::1]", "[fd::1]")]
    {
        let listeners = format!("INSIDE://{host}:31882");
        let (raw, _) = read(&[("listeners", &listeners), ("advertised.port", "9094")]);
        assert_eq!(raw["advertised.listeners"].0, format!("INSIDE://{seen}:9094"));
    }
}

#[test]
fn an_advertised_host_says_nothing_where_it_is_not_clear_of_which_listener() {
    let two = ("listeners", "A://:1,B://:2");
    let named = ("advertised.listeners", "PLAINTEXT://h:1");
    for present in [two, named, ("listeners", "nonsense")] {
        let (raw, notices) = read(&[present, ("advertised.host.name", "192.168.0.1")]);
        assert_eq!(raw.len(), 1, "{present:?}");
        assert!(notices[0].what.contains("changes nothing"), "{}", notices[0]);
    }
}

#[test]
fn without_old_keys_nothing_happens() {
    let (raw, notices) = read(&[("node.id", "1")]);
    assert_eq!(raw.len(), 1);
    assert!(notices.is_empty());
}
