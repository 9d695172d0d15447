//! What clients did and were told, in the order in which it happened, and its form as JSON lines.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::Outcome;

/// Where an acknowledgement does not say the offset: the record was there already when it was sent
/// again.
pub const UNTOLD: i64 = -1;

/// Whether an operation begins, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It begins.
    Invoke,
    /// It was done.
    Ok,
    /// It was not done, and never will be: a transaction was aborted.
    Fail,
    /// Its client was not told.
    Info,
}

/// A record as it was polled: its partition, its offset and its value.
pub type Polled = (i32, i64, u64);

/// A part of an operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// One record is sent.
    Send {
        /// To which partition.
        partition: i32,
        /// Its value, which no other record has.
        value: u64,
        /// The offset at which it was acknowledged, or [`UNTOLD`]; nothing if it was not.
        ack: Option<i64>,
    },
    /// Records are polled for.
    Poll {
        /// The number of the assignment by which they came, among this client's: from one to the
        /// next a consumer may begin anywhere.
        assignment: u32,
        /// What came, in that order.
        records: Vec<Polled>,
    },
}

/// What a client does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Takes partitions, and reads on from these offsets.
    Assign {
        /// The number of this assignment among the client's.
        assignment: u32,
        /// Partition and offset.
        from: Vec<(i32, i64)>,
    },
    /// Steps of which each stands for itself.
    Plain {
        /// The steps, in order.
        steps: Vec<Step>,
    },
    /// Steps that are committed or aborted together.
    Transaction {
        /// Whether how far it has read is committed with it, for a group.
        consumes: bool,
        /// The steps, in order.
        steps: Vec<Step>,
    },
}

impl Operation {
    /// Its steps.
    pub fn steps(&self) -> &[Step] {
        match self {
            Self::Assign { .. } => &[],
            Self::Plain { steps } | Self::Transaction { steps, .. } => steps,
        }
    }
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// When, in ms since the history began.
    pub at_ms: u64,
    /// Whose operation it is; a client does one at a time.
    pub client: u32,
    /// Whether it begins or how it ended.
    pub kind: Kind,
    /// The operation; as it ends, with what came of it.
    pub operation: Operation,
}

/// Takes down what all clients do.
#[derive(Debug)]
pub struct Recorder {
    start: Instant,
    events: Mutex<Vec<Event>>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self { start: Instant::now(), events: Mutex::default() }
    }
}

impl Recorder {
    /// Adds a line: before the client does what begins, after it was told how it ended.
    pub fn note(&self, client: u32, kind: Kind, operation: Operation) {
        let mut events = self.events.lock().expect("no holder panics");
        let at_ms = self.start.elapsed().as_millis() as u64;
        events.push(Event { at_ms, client, kind, operation });
    }

    /// All lines so far.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().expect("no holder panics").clone()
    }
}

/// Writes a history, one event a line.
///
/// # Errors
/// If the file cannot be written.
pub fn write(path: &Path, history: &[Event]) -> Outcome {
    let mut text = String::new();
    for event in history {
        text.push_str(&serde_json::to_string(event).map_err(|error| error.to_string())?);
        text.push('\n');
    }
    fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}

/// Reads a history that was written.
///
/// # Errors
/// If the file cannot be read, or a line of it is no event.
pub fn read(path: &Path) -> Outcome<Vec<Event>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let parse = |(number, line): (usize, &str)| {
        let failed = |error| format!("{}:{}: {error}", path.display(), number + 1);
        serde_json::from_str(line).map_err(failed)
    };
    text.lines().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let recorder = Recorder::default();
        let steps = vec![
            Step::Send { partition: 1, value: 7, ack: Some(UNTOLD) },
            Step::Poll { assignment: 2, records: vec![(0, 5, 6)] },
        ];
        recorder.note(3, Kind::Invoke, Operation::Assign { assignment: 2, from: vec![(0, 5)] });
        recorder.note(3, Kind::Info, Operation::Plain { steps: steps.clone() });
        recorder.note(3, Kind::Fail, Operation::Transaction { consumes: true, steps });
        let file = tempfile::NamedTempFile::new().expect("a file");
        write(file.path(), &recorder.events()).expect("written");
        assert_eq!(read(file.path()), Ok(recorder.events()));
    }
}
