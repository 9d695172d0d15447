//! What is said of a command that cannot be read: one line, and where its help is.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser};

use crate::args::Cli;
use crate::output;

/// How a process ends that was started with arguments which make no sense, as in sysexits and clap.
const USAGE: u8 = 2;
/// What kinds of commands are called in what is said: people call them commands.
const WORDS: [(&str, &str); 2] =
    [("unrecognized subcommand", "there is no command"), ("subcommand", "command")];

/// What was typed, or how the process ends: with help and version on standard output, or after one
/// line that says what is wrong.
pub(crate) fn read() -> Result<Cli, ExitCode> {
    let error = match Cli::try_parse() {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        // Who closes the pipe early has seen what he wanted.
        let _ = error.print();
        return Err(ExitCode::SUCCESS);
    }
    let typed: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let text = line(&error, &typed);
    output::notice(text.lines().map(str::trim).collect::<Vec<_>>().join(" "));
    Err(ExitCode::from(USAGE))
}

/// The one line.
fn line(error: &clap::Error, typed: &[String]) -> String {
    let command = command(typed);
    let mut path = vec!["vltava".to_owned()];
    path.extend(command.iter().map(|(name, _)| name.clone()));
    let path = path.join(" ");
    let what = match error.kind() {
        // Help would be printed here; it is one word away.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            let verbs = command.last().map_or_else(|| verbs(&Cli::command()), |(_, it)| verbs(it));
            format!("{path} what? Its commands are {verbs}")
        }
        _ => in_words(error),
    };
    format!("{what}; see '{path} --help'")
}

/// The commands that were named, from the outermost in, as far as they are known.
fn command(typed: &[String]) -> Vec<(String, clap::Command)> {
    let mut found: Vec<(String, clap::Command)> = Vec::new();
    let mut at = Cli::command();
    for word in typed {
        let Some(next) = at.find_subcommand(word).cloned() else { continue };
        found.push((word.clone(), next.clone()));
        at = next;
    }
    found
}

fn verbs(command: &clap::Command) -> String {
    let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
    let names: Vec<&str> = shown.map(clap::Command::get_name).collect();
    names.join(", ")
}

/// What clap says over several lines, without its usage and its hints about `--`.
fn in_words(error: &clap::Error) -> String {
    let text = error.render().to_string();
    let mut paragraphs = text.split("\n\n");
    let first = paragraphs.next().unwrap_or_default();
    let first = first.strip_prefix("error: ").unwrap_or(first);
    let mut parts: Vec<&str> =
        first.lines().map(str::trim).filter(|part| !part.is_empty()).collect();
    // `…were not provided:` and what it lists belong together.
    let head = parts.remove(0);
    let mut what = match parts.as_slice() {
        [] => head.to_owned(),
        rest => format!("{head} {}", rest.join(", ")),
    };
    for (from, to) in WORDS {
        what = what.replacen(from, to, 1);
    }
    let near =
        [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    let near = near.into_iter().find_map(|kind| error.get(kind)).map(names);
    match near.filter(|names| !names.is_empty()) {
        Some(names) => format!("{what} (did you mean {names}?)"),
        None => what,
    }
}

fn names(value: &ContextValue) -> String {
    match value {
        ContextValue::String(name) => format!("'{name}'"),
        ContextValue::Strings(names) => {
            let names: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
            names.join(" or ")
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::line;
    use crate::args::Cli;
    use clap::Parser;

    fn said(text: &str) -> String {
        let typed: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        let all = std::iter::once("vltava".to_owned()).chain(typed.iter().cloned());
        let error = Cli::try_parse_from(all).expect_err("it cannot be typed");
        line(&error, &typed)
    }

    #[test]
    fn verbs_and_options_that_are_not_there_are_said_with_the_nearest() {
        for (typed, expected) in [
            ("frobnicate", "there is no command 'frobnicate'; see 'vltava --help'"),
            (
                "topic creat a",
                "there is no command 'creat' (did you mean 'create'?); see 'vltava topic --help'",
            ),
            (
                "topic create a --partition 3",
                "unexpected argument '--partition' found (did you mean '--partitions'?); see \
                 'vltava topic create --help'",
            ),
            ("ps -x", "unexpected argument '-x' found; see 'vltava ps --help'"),
        ] {
            assert_eq!(said(typed), expected);
        }
    }

    #[test]
    fn what_is_missing_or_bad_is_named() {
        for (typed, expected) in [
            (
                "topic create",
                "the following required arguments were not provided: <TOPIC>; see 'vltava topic \
                 create --help'",
            ),
            (
                "topic create a --partitions 0",
                "invalid value '0' for '--partitions <PARTITIONS>': 0 is not in 1..=2147483647; \
                 see 'vltava topic create --help'",
            ),
            (
                "topic create a --config b",
                "invalid value 'b' for '--config <KEY=VALUE>': write it as key=value; see 'vltava \
                 topic create --help'",
            ),
            (
                "topic",
                "vltava topic what? Its commands are create, list, describe, alter, delete; see \
                 'vltava topic --help'",
            ),
            (
                "group reset-offsets g -t a --to earlier",
                "invalid value 'earlier' for '--to <TO>' [possible values: earliest, latest] (did \
                 you mean 'earliest'?); see 'vltava group reset-offsets --help'",
            ),
        ] {
            assert_eq!(said(typed), expected);
        }
        for typed in ["", "quorum", "start", "config describe topic", "up --timeout x"] {
            assert_eq!(said(typed).lines().count(), 1, "{typed}");
        }
    }
}
