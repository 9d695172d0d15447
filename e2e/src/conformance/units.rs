//! The tests of librdkafka's runner: which there are, and running those of one number at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::results::{Result, Results, State};
use crate::Outcome;

/// The longest that the tests of one number may take together; each has a limit of its own.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// The longest text of a failure that is kept, in characters.
const SAID_MAX: usize = 240;

/// A test as the runner's table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name: `0039_event_dr`.
    pub name: String,
    /// The scenarios in which it runs, separated by commas.
    pub scenario: String,
}

impl Entry {
    /// The number that its name begins with.
    pub fn number(&self) -> &str {
        self.name.split('_').next().unwrap_or_default()
    }
}

/// The tests that share a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    number: String,
    names: Vec<String>,
}

/// The entries of the table in `test.c` that need a broker.
///
/// # Errors
/// If the file cannot be read.
pub fn entries(path: &Path) -> Outcome<Vec<Entry>> {
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(parse(&text))
}

fn parse(text: &str) -> Vec<Entry> {
    let table = text.split_once("struct test tests[]").map_or("", |(_, rest)| rest);
    let table = table.split_once("{NULL}").map_or(table, |(table, _)| table);
    let entry = |text: &str| {
        let name: String =
            text.chars().take_while(|it| it.is_ascii_alphanumeric() || *it == '_').collect();
        let scenario = text.split_once(".scenario = \"").and_then(|(_, rest)| rest.split_once('"'));
        Entry { name, scenario: scenario.map_or("default", |(it, _)| it).to_owned() }
    };
    table
        .split("_TEST(")
        .skip(1)
        .filter(|text| !text.contains("TEST_F_LOCAL") && !text.contains("TEST_F_MANUAL"))
        .map(entry)
        .collect()
}

/// The entries of a scenario, by number.
pub fn units(entries: &[Entry], scenario: &str) -> Vec<Unit> {
    let mut units: BTreeMap<String, Unit> = BTreeMap::new();
    for entry in entries.iter().filter(|it| it.scenario.contains(scenario)) {
        let number = entry.number().to_owned();
        let unit = || Unit { number: number.clone(), names: Vec::new() };
        units.entry(number.clone()).or_insert_with(unit).names.push(entry.name.clone());
    }
    units.into_values().collect()
}

/// Runs units, so many at a time; `keep` is given what came of each as it ends.
///
/// # Errors
/// If a unit cannot be started, or its results cannot be kept.
pub fn run(
    units: Vec<Unit>,
    jobs: usize,
    logs: &Path,
    command: impl Fn() -> Command + Sync,
    keep: impl Fn(&Results) -> Outcome + Sync,
) -> Outcome<Results> {
    let total = units.len();
    let queue = Mutex::new(units.into_iter().enumerate());
    let all = Mutex::new(Results::new());
    let work = || -> Outcome {
        loop {
            let next = queue.lock().map_err(|error| error.to_string())?.next();
            let Some((at, unit)) = next else { return Ok(()) };
            let results = run_unit(&unit, logs, command())?;
            let mut all = all.lock().map_err(|error| error.to_string())?;
            keep(&results)?;
            for (name, result) in &results {
                let Result { state, seconds, said } = result;
                let word = state.word();
                println!("{}/{total} {name}: {word} ({seconds:.1} s) {said}", at + 1);
            }
            all.extend(results);
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs.max(1)).map(|_| scope.spawn(work)).collect();
        let mut ended = workers.into_iter().map(|worker| worker.join());
        ended.try_for_each(|it| it.unwrap_or_else(|_| Err("a worker died".into())))
    })?;
    all.into_inner().map_err(|error| error.to_string())
}

fn run_unit(unit: &Unit, logs: &Path, mut command: Command) -> Outcome<Results> {
    let path = logs.join(format!("{}.log", unit.number));
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let log = std::fs::File::create(&path).map_err(failed)?;
    let errors = log.try_clone().map_err(failed)?;
    let start = Instant::now();
    let mut child = command
        .env("TESTS", &unit.number)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("test {}: {error}", unit.number))?;
    let ended = loop {
        match child.try_wait().map_err(failed)? {
            Some(status) => break Some(status),
            None if start.elapsed() > LIMIT => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    };
    let text = std::fs::read(&path).map_err(failed)?;
    let text = String::from_utf8_lossy(&text);
    let rows = rows(&text);
    let result = |name: &String| {
        let row = rows.iter().rev().find(|(row, _)| row == name).map(|(_, row)| row.clone());
        row.unwrap_or_else(|| missing(&text, name, ended, start.elapsed()))
    };
    Ok(unit.names.iter().map(|name| (name.clone(), result(name))).collect())
}

/// What is said of a test of which no summary says anything: the runner aborts where threads of
/// librdkafka outlive a failure.
fn missing(text: &str, name: &str, ended: Option<ExitStatus>, took: Duration) -> Result {
    let seconds = took.as_secs_f64();
    if text.contains(&format!("= Test {name} PASSED =")) {
        return Result { state: State::Passed, seconds, said: String::new() };
    }
    let begin = format!("### Test \"{name}");
    let failure = text.lines().skip_while(|line| !line.contains(&begin)).nth(1);
    let said = match ended {
        _ if failure.is_some() => short(failure.unwrap_or_default()),
        Some(status) => format!("the runner ended without a word of it: {status}"),
        None => format!("it did not end within {} s", LIMIT.as_secs()),
    };
    Result { state: State::Failed, seconds, said }
}

/// The rows of the runner's summary.
fn rows(text: &str) -> Vec<(String, Result)> {
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<(String, Result)> {
    let plain = without_colours(line);
    let mut cells = plain.strip_prefix('|')?.splitn(4, '|').map(str::trim);
    let (name, state, seconds) = (cells.next()?, cells.next()?, cells.next()?);
    let state = match state {
        "PASSED" => State::Passed,
        "SKIPPED" => State::Skipped,
        "FAILED" | "RUNNING" => State::Failed,
        _ => return None,
    };
    let seconds = seconds.trim_end_matches('s').trim().parse().ok()?;
    let said = short(cells.next().unwrap_or_default());
    Some((name.to_owned(), Result { state, seconds, said }))
}

/// The beginning of a text, as the file of results may hold it.
fn short(text: &str) -> String {
    let text: String = without_colours(text).chars().take(SAID_MAX).collect();
    text.replace('\t', " ").trim().to_owned()
}

/// The text without what a terminal takes for colours.
fn without_colours(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "struct test tests[] = {\n\
        {.name = \"<MAIN>\", .flags = TEST_F_LOCAL},\n\
        _TEST(0004_conf, TEST_F_LOCAL),\n    _TEST(0039_event_dr, 0),\n\
        _TEST(0045_subscribe_update, 0, TEST_BRKVER(0, 9, 0, 0)),\n\
        _TEST(0045_topic_remove,\n 0,\n .scenario = \"noautocreate\"),\n\
        _TEST(0103_transactions,\n .scenario = \"default,ak23\"),\n\
        _TEST(8000_idle, TEST_F_MANUAL),\n    {NULL}};\n_TEST(0099_no_part_of_it, 0)";

    #[test]
    fn the_table_of_the_runner_is_read() {
        let entries = parse(TABLE);
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let wanted =
            ["0039_event_dr", "0045_subscribe_update", "0045_topic_remove", "0103_transactions"];
        assert_eq!(names, wanted);
        let default = units(&entries, "default");
        let numbers: Vec<&str> = default.iter().map(|unit| unit.number.as_str()).collect();
        assert_eq!(numbers, ["0039", "0045", "0103"]);
        assert_eq!(units(&entries, "noautocreate")[0].names, ["0045_topic_remove"]);
    }

    #[test]
    fn a_runner_that_aborts_has_told_what_it_found() {
        let text = "================= Test 0045_a PASSED =================\n\
                    ### Test \"0045_b (x:9)\" failed at y.c:1 ###\nexpected 1, got 2\n";
        let found = |name: &str| missing(text, name, None, Duration::from_secs(2));
        assert_eq!(found("0045_a").state, State::Passed);
        assert_eq!(found("0045_b").said, "expected 1, got 2");
        assert_eq!(found("0045_c").said, "it did not end within 900 s");
    }

    #[test]
    fn rows_of_the_summary_are_read() {
        let text = "|\u{1b}[32m 0039_event_dr          |     PASSED |   1.234s \u{1b}[0m|\n\
                    |\u{1b}[31m 0040_io_event          |     FAILED |  30.001s \u{1b}[0m|\
                    \u{1b}[31m expected 1\u{1b}[0m\n#=====#\n| something else |";
        let rows = rows(text);
        let passed = Result { state: State::Passed, seconds: 1.234, said: String::new() };
        assert_eq!(rows[0], ("0039_event_dr".to_owned(), passed));
        assert_eq!((rows[1].1.state, rows[1].1.said.as_str()), (State::Failed, "expected 1"));
        assert_eq!(rows.len(), 2);
    }
}
