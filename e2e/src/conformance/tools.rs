//! Apache's command line tools, each run on a cluster of ours and on Apache Kafka, output against
//! output: one story of many steps, told on both in turn.

mod story;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use regex::Regex;

use super::page::reasons;
use super::{Peer, Subject, results_folder};
use crate::{Outcome, kafka};
use story::{STORY, Step};

/// What is kept of the comparison: a line a step.
const RESULTS: &str = "tools.tsv";
/// Why a step differs: a line each, written by people.
const REASONS: &str = "tools-reasons.tsv";
/// What both printed where that differs, for a person to look at.
const DIFFERENCES: &str = "target/conformance/tools.txt";

/// Runs the steps of these tools, or of all, on both, and writes down which differ.
///
/// # Errors
/// If a cluster does not start or a tool cannot be run. A difference is a result.
pub fn run(only: &[String]) -> Outcome {
    let ours = tell(Peer::Vltava, only)?;
    let theirs = tell(Peer::Kafka, only)?;
    let mut verdicts = read()?;
    let mut differences = String::new();
    for step in steps(only) {
        let (ours, theirs) = (&ours[step.name], &theirs[step.name]);
        let same = ours.compared == theirs.compared;
        verdicts.insert(step.name.to_owned(), same);
        println!("{}: {}", step.name, if same { "the same" } else { "differs" });
        if !same {
            let _ = writeln!(
                differences,
                "==== {}\n---- vltava\n{}\n---- kafka\n{}\n",
                step.name,
                ours.printed.trim_end(),
                theirs.printed.trim_end()
            );
        }
    }
    let path = Path::new(DIFFERENCES);
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, differences))
        .map_err(|error| format!("{DIFFERENCES}: {error}"))?;
    let word = |same: bool| if same { "same" } else { "differs" };
    let lines = verdicts.iter().map(|(name, same)| format!("{name}\t{}\n", word(*same)));
    let path = results_folder().join(RESULTS);
    std::fs::write(&path, lines.collect::<String>())
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn steps(only: &[String]) -> impl Iterator<Item = &'static Step> {
    // Whatever prepares what others look at is run in any case.
    STORY.iter().filter(move |step| {
        only.is_empty() || step.prepares || only.iter().any(|tool| tool == step.tool)
    })
}

fn read() -> Outcome<BTreeMap<String, bool>> {
    let path = results_folder().join(RESULTS);
    let Ok(text) = std::fs::read_to_string(&path) else { return Ok(BTreeMap::new()) };
    let line = |line: &str| {
        let (name, word) = line.split_once('\t').ok_or(format!("{}: {line}", path.display()))?;
        Ok((name.to_owned(), word == "same"))
    };
    text.lines().map(line).collect()
}

/// What a tool printed, and the same without what differs from run to run.
struct Told {
    printed: String,
    compared: String,
}

fn tell(peer: Peer, only: &[String]) -> Outcome<BTreeMap<&'static str, Told>> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let cluster = Subject::start(peer, &folder.path().join("cluster"), &[])?;
    let files = folder.path().join("files");
    story::write_files(&files, &cluster)?;
    let scene = Scene { jars: kafka::jars()?, bootstrap: cluster.bootstrap(), files };
    let mut told = BTreeMap::new();
    for step in steps(only) {
        let (log, metadata) = (cluster.segment("lines-0")?, cluster.metadata_segment()?);
        let printed = scene.play(step, &log, &metadata)?;
        let compared = comparable(&printed, step.numbers);
        told.insert(step.name, Told { printed, compared });
    }
    Ok(told)
}

struct Scene {
    jars: PathBuf,
    bootstrap: String,
    files: PathBuf,
}

impl Scene {
    fn play(&self, step: &Step, log: &Path, metadata: &Path) -> Outcome<String> {
        let first = self.bootstrap.split(',').next().unwrap_or_default();
        let filled = |word: &str| {
            word.replace("{B}", &self.bootstrap)
                .replace("{B1}", first)
                .replace("{FILES}", &self.files.display().to_string())
                .replace("{LOG}", &log.display().to_string())
                .replace("{METADATA}", &metadata.display().to_string())
        };
        let output = self.files.join("output");
        let failed = |error: std::io::Error| format!("{}: {error}", step.name);
        let written = std::fs::File::create(&output).map_err(failed)?;
        let input = self.files.join("input");
        std::fs::write(&input, &step.input).map_err(failed)?;
        let mut child = Command::new("java")
            .args(["-Xmx256M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
            .arg(format!("-Dlog4j2.configurationFile={}", kafka::tools_logger().display()))
            .arg("-cp")
            .arg(format!("{}/*", self.jars.display()))
            .arg(story::class(step.tool)?)
            .args(step.arguments.split_whitespace().map(filled))
            .stdin(std::fs::File::open(&input).map_err(failed)?)
            .stdout(written.try_clone().map_err(failed)?)
            .stderr(written)
            .spawn()
            .map_err(failed)?;
        let start = Instant::now();
        let ended = loop {
            match child.try_wait().map_err(failed)? {
                Some(status) => break format!("exit code {}", status.code().unwrap_or(-1)),
                None if start.elapsed() > Duration::from_secs(step.seconds_max) => {
                    let _ = child.kill();
                    let _ = child.wait();
                    break "still running".to_owned();
                }
                None => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        let text = std::fs::read(&output).map_err(failed)?;
        Ok(format!("{}{ended}\n", String::from_utf8_lossy(&text)))
    }
}

/// The lines in order, without what is another on every cluster: addresses, ids, times, paths.
fn comparable(text: &str, numbers: bool) -> String {
    static MASKS: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let mask = |pattern: &str, mask| (Regex::new(pattern).expect("a pattern"), mask);
        vec![
            mask(r"(127\.0\.0\.1|localhost):\d+", "HOST:PORT"),
            mask(r"/tmp/[^\s,;:'\])}]+", "PATH"),
            mask(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,:]?\d*Z?", "TIME"),
            mask(r"\b1[6-9]\d{11}\b", "TIME"),
            mask(r"console-consumer-\d+", "console-consumer-N"),
            mask(r"\b(PORT|HOST:PORT) +\(\d+\)", "$1 (N)"),
            mask(r"\bLocal controller \d+", "Local controller N"),
            mask(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID"),
            mask(r"(TopicId|topicId|CLUSTER-ID|Cluster ID|ClusterId|DirectoryId): ?\S+", "$1: ID"),
            mask(r"[ \t]+", " "),
            mask(r"-{3,}", "---"),
        ]
    });
    static NUMBERS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\d+").expect("a pattern"));
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            let masked = MASKS
                .iter()
                .fold(line.to_owned(), |line, (what, by)| what.replace_all(&line, *by).into());
            match numbers {
                true => masked,
                false => NUMBERS.replace_all(&masked, "N").into(),
            }
        })
        .map(|line| line.trim().to_owned())
        .filter(|line| !line.is_empty())
        .collect();
    lines.sort();
    // Tools that go on until they are ended say the same again and again.
    lines.dedup();
    lines.join("\n")
}

/// The page's part: every step, and why it differs.
///
/// # Errors
/// If a file cannot be read.
pub(super) fn section(page: &mut String) -> Outcome {
    let verdicts = read()?;
    let reasons = reasons(REASONS)?;
    let same = verdicts.values().filter(|same| **same).count();
    let _ = write!(
        page,
        "\n## Apache's command line tools\n\n\
         `cargo xtask conformance --suite tools`: each step below is run on a new cluster of ours \
         and on a new one of Apache Kafka, and what was printed is compared\nline by line, without \
         regard to the order and number of lines and to what is another on every cluster \
         (addresses, ids, times, paths). Left out: jmx (there is no JVM),\nacls, \
         delegation-tokens, the \
         configuration of users, streams-groups. {same} of {} steps print the same.\n\n\
         | step | command | | what differs |\n|---|---|---|---|\n",
        verdicts.len()
    );
    for step in STORY.iter() {
        let Some(same) = verdicts.get(step.name) else { continue };
        let reason = reasons.get(step.name).map(String::as_str).unwrap_or_default();
        let (word, reason) = if *same { ("same", "") } else { ("differs", reason) };
        let arguments = step
            .arguments
            .split_whitespace()
            .filter(|it| !it.starts_with("{B") && !it.ends_with("-server"));
        let arguments: Vec<&str> = arguments.collect();
        let command = format!("{} {}", step.tool, arguments.join(" ")).replace('|', "\\|");
        let _ = writeln!(page, "| {} | `{command}` | {word} | {reason} |", step.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_have_names_of_their_own_and_tools_that_there_are() {
        let names: std::collections::BTreeSet<&str> = STORY.iter().map(|it| it.name).collect();
        assert_eq!(names.len(), STORY.len());
        for step in STORY.iter() {
            assert!(story::class(step.tool).is_ok(), "{}", step.tool);
        }
    }

    #[test]
    fn whatever_differs_has_its_reason() {
        let reasons = reasons(REASONS).expect("the reasons");
        for (name, same) in read().expect("the results") {
            assert!(same || reasons.contains_key(&name), "why does {name} differ?");
        }
    }

    #[test]
    fn what_is_another_on_every_cluster_is_not_compared() {
        let ours = "Topic: a TopicId: AAAAAAAAAAAAAAAAAAAAAA\nid 127.0.0.1:30123 1764342000123\n";
        let theirs =
            "id   127.0.0.1:20001 1764342999999\nTopic: a\tTopicId: BBBBBBBBBBBBBBBBBBBBBB";
        assert_eq!(comparable(ours, true), comparable(theirs, true));
        assert_ne!(comparable("lag 3", true), comparable("lag 4", true));
        assert_eq!(comparable("lag 3", false), comparable("lag 4", false));
    }
}
