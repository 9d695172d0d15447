//! What came of each test: a file of lines, one a test, for each suite, peer and protocol.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::{Peer, results_folder};
use crate::Outcome;

/// What came of one test.
#[derive(Clone, Debug, PartialEq)]
pub struct Result {
    /// How it ended.
    pub state: State,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// What the test said of its failure, or why it was skipped; one line.
    pub said: String,
}

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It found what it wanted.
    Passed,
    /// It did not, or did not end.
    Failed,
    /// It was not for such a cluster, or for such an environment.
    Skipped,
}

impl State {
    /// The word in the file and on the page.
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passes",
            Self::Failed => "fails",
            Self::Skipped => "skipped",
        }
    }

    fn of_word(word: &str) -> Option<Self> {
        [Self::Passed, Self::Failed, Self::Skipped].into_iter().find(|it| it.word() == word)
    }
}

/// The results of one suite against one peer, by test.
pub type Results = BTreeMap<String, Result>;

/// The file of the results of a suite against a peer; `variant` is the group protocol, for suites
/// that have two.
pub fn file(suite: &str, peer: Peer, variant: &str) -> PathBuf {
    results_folder().join(format!("{suite}-{}-{variant}.tsv", peer.name()))
}

/// Reads a file of results; one that is not there has none.
///
/// # Errors
/// A line that is no result.
pub fn read(path: &PathBuf) -> Outcome<Results> {
    let Ok(text) = std::fs::read_to_string(path) else { return Ok(Results::new()) };
    text.lines().map(|line| parse(line).ok_or(format!("{}: {line}", path.display()))).collect()
}

fn parse(line: &str) -> Option<(String, Result)> {
    let mut parts = line.splitn(4, '\t');
    let (name, state, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let result = Result {
        state: State::of_word(state)?,
        seconds: seconds.parse().ok()?,
        said: parts.next().unwrap_or_default().to_owned(),
    };
    Some((name.to_owned(), result))
}

/// Writes results over those of the same tests in a file; the others stay.
///
/// # Errors
/// If the file cannot be read or written.
pub fn merge(path: &PathBuf, new: &Results) -> Outcome {
    let mut all = read(path)?;
    all.extend(new.iter().map(|(name, result)| (name.clone(), result.clone())));
    let mut text = String::new();
    for (name, Result { state, seconds, said }) in &all {
        let _ = writeln!(text, "{name}\t{}\t{seconds:.1}\t{said}", state.word());
    }
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_what_was_not_run_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("suite.tsv");
        let result = |state, said: &str| Result { state, seconds: 1.5, said: said.to_owned() };
        let first = Results::from([
            ("one".to_owned(), result(State::Failed, "no answer")),
            ("two".to_owned(), result(State::Passed, "")),
        ]);
        merge(&path, &first).expect("it can be written");
        let again = Results::from([("one".to_owned(), result(State::Passed, ""))]);
        merge(&path, &again).expect("it can be written");
        let read = read(&path).expect("it can be read");
        assert_eq!(read["one"], result(State::Passed, ""));
        assert_eq!(read["two"], first["two"]);
    }
}
