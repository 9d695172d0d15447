//! `cargo xtask tidy`: the house rules that neither the compiler nor clippy holds.
//!
//! A rule that a place must break is listed in `xtask/tidy.allow` with its reason; an entry that
//! is no longer needed is an error too, so the list only shrinks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{process, say};

/// The most lines that a file may have without its tests.
const FILE_LINES_MAX: usize = 600;
/// The most lines that a function may have.
const FUNCTION_LINES_MAX: usize = 70;
/// The most columns that a line may have.
const COLUMNS_MAX: usize = 100;
/// File names that say nothing.
const EMPTY_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "manager", "misc"];
/// Words that mark what was left undone. Split, so that this file does not hold them.
const LEFTOVERS: &[&str] = &[
    concat!("to", "do!("),
    concat!("unimpl", "emented!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
];

/// A broken rule: where, which, and what to do.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    file: String,
    line: usize,
    rule: &'static str,
    text: String,
}

/// Checks every Rust file of the workspace.
pub fn run() -> Result<(), String> {
    let root = process::root();
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    let mut findings = Vec::new();
    for file in &files {
        let text = fs::read_to_string(file)
            .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let name = file.strip_prefix(&root).unwrap_or(file).display().to_string();
        check(&name, &text, &mut findings);
    }
    findings.sort();
    let stale = allow(&root, &mut findings)?;
    for finding in &findings {
        let Finding { file, line, rule, text } = finding;
        say(&format!("{file}:{line}: {rule}: {text}"));
    }
    for entry in &stale {
        say(&format!("xtask/tidy.allow: no longer needed, take it out: {entry}"));
    }
    match findings.len() + stale.len() {
        0 => Ok(()),
        count => Err(format!("tidy: {count} findings in {} files", files.len())),
    }
}

/// Takes out the findings that are allowed and returns the entries that allow nothing.
fn allow(root: &Path, findings: &mut Vec<Finding>) -> Result<Vec<String>, String> {
    let list = fs::read_to_string(root.join("xtask/tidy.allow"))
        .map_err(|error| format!("xtask/tidy.allow cannot be read: {error}"))?;
    let mut used = BTreeSet::new();
    let entries: Vec<(&str, &str, &str)> = list
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| {
            let mut words = line.splitn(3, ' ');
            let file = words.next().unwrap_or_default();
            (file, words.next().unwrap_or_default(), words.next().unwrap_or_default())
        })
        .collect();
    if let Some((file, rule, _)) = entries.iter().find(|(_, _, reason)| reason.is_empty()) {
        return Err(format!("xtask/tidy.allow: {file} {rule} has no reason"));
    }
    findings.retain(|finding| {
        let entry = entries
            .iter()
            .position(|(file, rule, _)| *file == finding.file && *rule == finding.rule);
        entry.is_none_or(|entry| {
            used.insert(entry);
            false
        })
    });
    let stale = entries.iter().enumerate().filter(|(index, _)| !used.contains(index));
    Ok(stale.map(|(_, (file, rule, _))| format!("{file} {rule}")).collect())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), String> {
    let entries = fs::read_dir(folder)
        .map_err(|error| format!("{} cannot be read: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with('.') || name == "target" || name == "vltava-data" {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else if name.ends_with(".rs") {
            files.push(path);
        }
    }
    Ok(())
}

fn check(file: &str, text: &str, findings: &mut Vec<Finding>) {
    let mut find = |line: usize, rule: &'static str, text: String| {
        findings.push(Finding { file: file.to_owned(), line, rule, text });
    };
    let stem = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
    if stem == "mod" || EMPTY_NAMES.contains(&stem.as_ref()) {
        find(1, "name", format!("a file called {stem} does not say what it holds"));
    }
    if !text.starts_with("//!") {
        find(1, "header", "the file does not begin with //! and what it is for".to_owned());
    }
    let is_test = stem == "tests" || stem.ends_with("_test") || file.contains("/tests/");
    let code = text.lines().take_while(|line| line.trim_end() != "#[cfg(test)]").count();
    if !is_test && code > FILE_LINES_MAX {
        find(1, "file-length", format!("{code} lines without tests, at most {FILE_LINES_MAX}"));
    }
    for (index, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        if columns > COLUMNS_MAX && !line.contains("http") {
            find(index + 1, "columns", format!("{columns} columns, at most {COLUMNS_MAX}"));
        }
        if let Some(word) = LEFTOVERS.iter().find(|word| line.contains(*word)) {
            find(index + 1, "leftover", format!("{word} left in the code"));
        }
        if line.trim() == "#[ignore]" {
            find(index + 1, "ignore", "a test is left out without a reason".to_owned());
        }
    }
    for (line, name, length) in functions(text) {
        if length > FUNCTION_LINES_MAX {
            let text = format!("{name} has {length} lines, at most {FUNCTION_LINES_MAX}");
            find(line, "function-length", text);
        }
    }
}

/// The functions of a file: line, name, and length from `fn` to the closing brace.
///
/// rustfmt puts the closing brace of an item into the column where the item begins, so the
/// indentation tells where a function ends; no parser is needed.
fn functions(text: &str) -> Vec<(usize, String, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", " ".repeat(indent));
        let signature_end = lines[start..]
            .iter()
            .position(|line| line.ends_with('{') || line.ends_with(';') || line.ends_with('}'));
        let Some(body) = signature_end.map(|end| start + end) else { continue };
        if !lines[body].ends_with('{') {
            continue;
        }
        if let Some(end) = lines[body..].iter().position(|line| *line == closing) {
            found.push((start + 1, name, body + end - start + 1));
        }
    }
    found
}

fn function_name(line: &str) -> Option<String> {
    let mut words = line.split_whitespace().peekable();
    while let Some(word) = words.next() {
        match word {
            "fn" => {
                let name = words.next()?;
                return Some(name.split(['(', '<']).next()?.to_owned());
            }
            "pub" | "const" | "async" | "unsafe" | "extern" | "\"C\"" => {}
            _ if word.starts_with("pub(") => {}
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(file: &str, text: &str) -> Vec<&'static str> {
        let mut findings = Vec::new();
        check(file, text, &mut findings);
        findings.into_iter().map(|finding| finding.rule).collect()
    }

    #[test]
    fn a_tidy_file_has_no_findings() {
        assert!(rules("a/src/log.rs", "//! What it is for.\n\nfn f() {\n}\n").is_empty());
    }

    #[test]
    fn each_rule_bites() {
        assert_eq!(rules("a/src/log.rs", "fn f() {}\n"), ["header"]);
        assert_eq!(rules("a/src/utils.rs", "//! x\n"), ["name"]);
        let long_line = format!("//! {}\n", "x".repeat(COLUMNS_MAX));
        assert_eq!(rules("a/src/log.rs", &long_line), ["columns"]);
        let long_file = format!("//! x\n{}", "\n".repeat(FILE_LINES_MAX));
        assert_eq!(rules("a/src/log.rs", &long_file), ["file-length"]);
        let leftover = format!("//! x\n// {}: later\n", LEFTOVERS[2]);
        assert_eq!(rules("a/src/log.rs", &leftover), ["leftover"]);
        let long_function =
            format!("//! x\npub async fn f(\n) {{\n{}}}\n", "    g();\n".repeat(70));
        assert_eq!(rules("a/src/log.rs", &long_function), ["function-length"]);
    }

    #[test]
    fn tests_do_not_count_as_length() {
        let tested = format!("//! x\n#[cfg(test)]\nmod tests {{}}\n{}", "\n".repeat(700));
        assert!(rules("a/src/log.rs", &tested).is_empty());
    }
}
