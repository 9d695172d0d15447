//! Reading log files as they grow.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How much of a file is read at once, in bytes.
const READ_MAX_BYTES: u64 = 256 * 1024;
/// A line is shown in pieces of at most this, in bytes.
const LINE_MAX_BYTES: usize = 64 * 1024;

/// The place up to which a growing file has been read.
#[derive(Debug)]
pub(crate) struct Tail {
    path: PathBuf,
    position: u64,
    partial: Vec<u8>,
}

impl Tail {
    /// Reads from the beginning.
    pub(crate) fn from_start(path: PathBuf) -> Self {
        Self { path, position: 0, partial: Vec::new() }
    }

    /// Reads what is written from now on.
    pub(crate) fn from_end(path: PathBuf) -> Self {
        let position = std::fs::metadata(&path).map_or(0, |file| file.len());
        Self { path, position, partial: Vec::new() }
    }

    /// The lines that have been completed since the last time; none if the file is not there.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Ok(Some(bytes)) = self.read() {
            self.partial.extend_from_slice(&bytes);
            self.split(&mut lines);
        }
        lines
    }

    /// What is left without the end of a line.
    pub(crate) fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.partial);
        (!rest.is_empty()).then(|| text(&rest))
    }

    fn read(&mut self) -> std::io::Result<Option<Vec<u8>>> {
        let mut file = File::open(&self.path)?;
        let length = file.metadata()?.len();
        if length < self.position {
            // The file was put aside, and a new one has its name.
            self.position = 0;
        }
        if length == self.position {
            return Ok(None);
        }
        file.seek(SeekFrom::Start(self.position))?;
        let mut bytes = Vec::new();
        let read = file.take(READ_MAX_BYTES).read_to_end(&mut bytes)?;
        self.position += read as u64;
        Ok((read > 0).then_some(bytes))
    }

    fn split(&mut self, lines: &mut Vec<String>) {
        let mut start = 0;
        while let Some(length) = self.partial[start..].iter().position(|byte| *byte == b'\n') {
            lines.push(text(&self.partial[start..start + length]));
            start += length + 1;
        }
        self.partial.drain(..start);
        if self.partial.len() > LINE_MAX_BYTES {
            lines.extend(self.rest());
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\r').to_owned()
}

/// The last lines of a file, the oldest first.
pub(crate) fn last_lines(path: &Path, count: usize) -> Vec<String> {
    let mut tail = Tail::from_start(path.to_owned());
    let length = std::fs::metadata(path).map_or(0, |file| file.len());
    // Reading backwards is not worth it: a log holds some MiB, and few lines fit into this.
    let window = u64::try_from(count.saturating_mul(1024)).unwrap_or(u64::MAX).max(READ_MAX_BYTES);
    tail.position = length.saturating_sub(window);
    let cut = tail.position > 0;
    let mut lines = tail.lines();
    lines.extend(tail.rest());
    if cut && lines.len() > count {
        lines.remove(0);
    }
    let surplus = lines.len().saturating_sub(count);
    lines.split_off(surplus)
}

#[cfg(test)]
mod tests {
    use super::{LINE_MAX_BYTES, Tail, last_lines};
    use std::io::Write;

    #[test]
    fn lines_appear_once_they_are_whole() {
        let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
        let mut tail = Tail::from_start(file.path().to_owned());
        assert!(tail.lines().is_empty());
        file.write_all(b"one\ntw").expect("it can be written");
        assert_eq!(tail.lines(), ["one"]);
        file.write_all(b"o\nthree").expect("it can be written");
        assert_eq!(tail.lines(), ["two"]);
        assert_eq!(tail.rest().as_deref(), Some("three"));
    }

    #[test]
    fn a_file_that_begins_anew_is_read_from_its_beginning() {
        let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
        file.write_all(b"a long first line\n").expect("it can be written");
        let mut tail = Tail::from_end(file.path().to_owned());
        assert!(tail.lines().is_empty());
        file.as_file().set_len(0).expect("it can be emptied");
        std::fs::write(file.path(), "new\n").expect("it can be written");
        assert_eq!(tail.lines(), ["new"]);
    }

    #[test]
    fn a_line_without_end_is_shown_in_pieces() {
        let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
        file.write_all(&vec![b'x'; LINE_MAX_BYTES + 1]).expect("it can be written");
        let mut tail = Tail::from_start(file.path().to_owned());
        assert_eq!(tail.lines().len(), 1);
    }

    #[test]
    fn the_last_lines_are_those_at_the_end() {
        let mut file = tempfile::NamedTempFile::new().expect("a file can be made");
        for number in 0..50_000 {
            writeln!(file, "line {number}").expect("it can be written");
        }
        assert_eq!(last_lines(file.path(), 2), ["line 49998", "line 49999"]);
        assert_eq!(last_lines(std::path::Path::new("/nonexistent"), 2), [""; 0]);
    }
}
