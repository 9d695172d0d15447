//! `docs/conformance.md`, made of the results that are kept, the reasons of what fails, and the
//! comparison of Apache's tools.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::results::{self, Results, State};
use super::{Peer, librdkafka, results_folder, tools};
use crate::Outcome;

/// Tests of librdkafka that are about security, by name; they are counted apart.
pub const SECURITY: &[&str] = &[
    "0097_ssl_verify",
    "0115_producer_auth",
    "0119_consumer_auth",
    "0126_oauthbearer_oidc",
    "0135_sasl_credentials",
    "0142_reauthentication",
];

/// The columns: whom, and by which group protocol.
const COLUMNS: &[(Peer, &str)] = &[
    (Peer::Vltava, "classic"),
    (Peer::Vltava, "consumer"),
    (Peer::Kafka, "classic"),
    (Peer::Kafka, "consumer"),
];

/// Where the page lies.
pub fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/conformance.md")
}

/// Writes the page.
///
/// # Errors
/// If a file cannot be read or written.
pub fn write() -> Outcome {
    let path = path();
    std::fs::write(&path, text()?).map_err(|error| format!("{}: {error}", path.display()))
}

/// The page, from what is kept.
///
/// # Errors
/// If a file cannot be read.
pub fn text() -> Outcome<String> {
    let columns = COLUMNS
        .iter()
        .map(|(peer, protocol)| results::read(&results::file(librdkafka::SUITE, *peer, protocol)))
        .collect::<Outcome<Vec<Results>>>()?;
    let reasons = reasons("librdkafka-reasons.tsv")?;
    let mut page = String::from(
        "# Conformance\n\n\
         What suites and tools that others wrote for Kafka make of Vltava, and of Apache Kafka 4.2 \
         beside it. This page is written by\n`cargo xtask conformance` from what it found; \
         [`conformance/`](conformance) holds the results, and the reasons that people wrote.\n\n\
         ## librdkafka's own tests\n\n\
         `cargo xtask conformance --suite librdkafka [--peer kafka] [--protocol consumer]`: the \
         tests of the librdkafka whose sources the crate `rdkafka-sys`\ncarries, of which those \
         that need a broker, each against three coordinators and three brokers (Kafka: three \
         nodes that are both), topics of four\npartitions. `classic` and `consumer` say by which \
         protocol the tests' consumers join groups.\n\n",
    );
    counts(&mut page, &columns);
    rows(&mut page, &columns, &reasons);
    tools::section(&mut page)?;
    Ok(page)
}

fn is_security(name: &str) -> bool {
    SECURITY.contains(&name)
}

fn counts(page: &mut String, columns: &[Results]) {
    let _ = writeln!(page, "| | passes | fails | skipped | of security: passes | other |");
    let _ = writeln!(page, "|---|---|---|---|---|---|");
    let columns = COLUMNS.iter().zip(columns).filter(|(_, results)| !results.is_empty());
    for ((peer, protocol), results) in columns {
        let count = |state, security| {
            let of = |(name, result): &(&String, &results::Result)| {
                result.state == state && is_security(name) == security
            };
            results.iter().filter(of).count()
        };
        let passes = count(State::Passed, true);
        let other = count(State::Failed, true) + count(State::Skipped, true);
        let _ = writeln!(
            page,
            "| {}, {protocol} | {} | {} | {} | {passes} | {other} |",
            title(*peer),
            count(State::Passed, false),
            count(State::Failed, false),
            count(State::Skipped, false),
        );
    }
}

fn title(peer: Peer) -> &'static str {
    match peer {
        Peer::Vltava => "Vltava",
        Peer::Kafka => "Kafka",
    }
}

fn rows(page: &mut String, columns: &[Results], reasons: &BTreeMap<String, String>) {
    page.push_str("\n| test |");
    for (peer, protocol) in COLUMNS {
        let _ = write!(page, " {}, {protocol} |", title(*peer));
    }
    page.push_str(" why not |\n|---|---|---|---|---|---|\n");
    let names: BTreeSet<&String> = columns.iter().flat_map(BTreeMap::keys).collect();
    for name in names {
        let security = if is_security(name) { " (security)" } else { "" };
        let _ = write!(page, "| {name}{security} |");
        for results in columns {
            let word = results.get(name).map_or("not run", |result| result.state.word());
            let _ = write!(page, " {word} |");
        }
        let skipped = columns
            .iter()
            .filter_map(|results| results.get(name))
            .find_map(|result| (result.state == State::Skipped).then_some(result.said.as_str()));
        let reason = reasons.get(name).map(String::as_str).or(skipped).unwrap_or_default();
        let _ = writeln!(page, " {} |", reason.replace('|', "\\|"));
    }
}

/// What people wrote of single rows: lines of a name, a tab, and a sentence.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn reasons(file: &str) -> Outcome<BTreeMap<String, String>> {
    let path = results_folder().join(file);
    let text =
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let line = |line: &str| {
        let (name, reason) = line.split_once('\t')?;
        Some((name.to_owned(), reason.to_owned()))
    };
    Ok(text.lines().filter_map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_what_the_results_make_of_it() {
        let kept = std::fs::read_to_string(path()).expect("the page");
        assert_eq!(kept, text().expect("the results"), "run cargo xtask conformance --page");
    }

    #[test]
    fn whatever_fails_here_and_not_on_kafka_has_its_reason() {
        let reasons = reasons("librdkafka-reasons.tsv").expect("the reasons");
        for protocol in ["classic", "consumer"] {
            let read = |peer| results::read(&results::file(librdkafka::SUITE, peer, protocol));
            let (ours, theirs) = (read(Peer::Vltava), read(Peer::Kafka));
            let theirs = theirs.expect("Kafka's results");
            for (name, result) in ours.expect("our results") {
                let there = theirs.get(&name).map(|it| it.state);
                if result.state == State::Failed && there != Some(State::Failed) {
                    assert!(reasons.contains_key(&name), "why does {name} fail?");
                }
            }
        }
    }
}
