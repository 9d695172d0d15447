//! The folders of replicas that move between log directories, as Kafka calls them:
//! `<topic>-<index>.<32 hex digits>-future` (KIP-113).

use std::path::PathBuf;

use vltava_log::checkpoint::{CheckpointError, Offsets};
use vltava_wire::PartitionId;

use super::{LogDir, parse_folder};
use crate::partition::replica::{PartitionName, Position};

/// What the name of a folder ends with whose log is a copy that is to take the place of another.
const FUTURE: &str = "-future";

/// Hex digits that tell the folders of several moves apart.
const RANDOM_DIGITS: usize = 32;

/// The longest name that a folder may have, in bytes.
const NAME_MAX: usize = 255;

/// Whether the folder of such a partition's copy could not be made, as its name would be too long.
pub fn is_too_long(topic: &str, index: i32) -> bool {
    format!("{topic}-{index}.").len() + RANDOM_DIGITS + FUTURE.len() > NAME_MAX
}

/// The partition whose copy a folder holds; `None` for what holds none.
pub(super) fn parse(name: &str) -> Option<(String, PartitionId)> {
    let (of, random) = name.strip_suffix(FUTURE)?.rsplit_once('.')?;
    let is_random =
        random.len() == RANDOM_DIGITS && random.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_random.then(|| parse_folder(of))?
}

impl LogDir {
    /// A new folder for a copy of a partition's log.
    pub fn future_folder(&self, topic: &str, index: i32, random: u128) -> PathBuf {
        self.path.join(format!("{topic}-{index}.{random:032x}{FUTURE}"))
    }

    /// Notes durably what is known of a log that is about to be moved here.
    ///
    /// # Errors
    /// A checkpoint cannot be written.
    pub fn expect(&self, name: &PartitionName, at: &Position) -> Result<(), CheckpointError> {
        let key = (name.topic.to_string(), PartitionId(name.index));
        let note = |offset| {
            let key = key.clone();
            move |noted: &mut Offsets| _ = noted.insert(key, offset)
        };
        self.change(&mut self.recovery_points.lock().written, note(at.flushed))?;
        let mut other = self.other.lock();
        self.change(&mut other.high_watermarks, note(at.high_watermark))?;
        self.change(&mut other.log_starts, note(at.log_start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_copy_s_folder_is_one() {
        let random = "0123456789abcdef0123456789abcdef";
        let cases = [
            (format!("my-topic-12.{random}-future"), Some(("my-topic", 12))),
            (format!("a.b-0.{random}-future"), Some(("a.b", 0))),
            (format!("my-topic-12.{random}-delete"), None),
            (format!("my-topic-12.{}-future", &random[1..]), None),
            (format!("my-topic-x.{random}-future"), None),
            ("my-topic-12-future".to_owned(), None),
        ];
        for (name, expected) in cases {
            let expected = expected.map(|(topic, index)| (topic.to_owned(), PartitionId(index)));
            assert_eq!(parse(&name), expected, "{name}");
        }
    }

    #[test]
    fn a_name_fits_the_file_system() {
        assert!(!is_too_long(&"t".repeat(212), 0));
        assert!(is_too_long(&"t".repeat(214), 0));
        assert!(is_too_long(&"t".repeat(212), 100));
    }
}
