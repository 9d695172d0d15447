//! The rack of a broker, where a file tells it once it is known.
//!
//! In Kubernetes the rack is the zone of the node that a pod runs on, which nobody knows before
//! the pod has been placed: whoever knows then writes it where a mounted file shows it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use vltava_wire::Str;

/// How often the file is looked at: no system tells reliably of mounted files that change.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What the file says where there is no rack.
const NO_RACK: &str = "-";
/// The longest name of a rack, in bytes: a label of Kubernetes has 63, Kafka's strings 32,767.
const RACK_BYTES_MAX: u64 = 1024;

/// The file, and how long the broker waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RackFile {
    /// Its path (`vltava.rack.file`).
    pub path: PathBuf,
    /// How long the first registration waits for it (`vltava.rack.wait.ms`).
    pub wait: Duration,
}

/// What the file says; `None` while it says nothing.
fn look(path: &Path) -> Option<Option<Str>> {
    let mut text = String::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(RACK_BYTES_MAX).read_to_string(&mut text).ok()?;
    match text.trim() {
        "" => None,
        NO_RACK => Some(None),
        rack => Some(Some(rack.into())),
    }
}

/// The rack, as soon as the file says which, or that there is none.
pub(super) async fn told(path: &Path) -> Option<Str> {
    loop {
        if let Some(rack) = look(path) {
            return rack;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_rack_counts_once_the_file_says_it() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("rack");
        let waiting = tokio::spawn({
            let path = path.clone();
            async move { told(&path).await }
        });
        tokio::time::sleep(LOOK_EVERY * 3).await;
        std::fs::write(&path, "\n").expect("written");
        tokio::time::sleep(LOOK_EVERY * 3).await;
        assert!(!waiting.is_finished(), "an empty file says nothing");
        std::fs::write(&path, "eu-1a\n").expect("written");
        assert_eq!(waiting.await.expect("the wait ends"), Some("eu-1a".into()));
        std::fs::write(&path, "-").expect("written");
        assert_eq!(told(&path).await, None, "a dash says that there is none");
    }
}
