//! `kubectl`, `helm` and `docker`, run as a user runs them.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::Outcome;
use crate::feed::fed;

/// How often kubectl is run again where the API server was busy, and how long it is left alone.
const AGAIN_MAX: u32 = 5;
const BETWEEN: Duration = Duration::from_secs(2);

/// What kubectl can be asked twice whatever came of it the first time.
const HARMLESS: [&str; 4] = ["get", "apply", "label", "patch"];

/// Whether kubectl failed as the API server was busy, and can be run again.
fn is_busy(arguments: &[&str], error: &str) -> bool {
    // Nothing was asked yet.
    if error.contains("TLS handshake timeout") {
        return true;
    }
    let harmless = verb(arguments).is_some_and(|verb| HARMLESS.contains(&verb));
    let undecided = ["etcdserver: request timed out", "i/o timeout"];
    harmless && undecided.iter().any(|words| error.contains(words))
}

/// What kubectl is to do, which may come after a namespace.
fn verb<'a>(arguments: &[&'a str]) -> Option<&'a str> {
    match arguments {
        ["-n", _, rest @ ..] => verb(rest),
        [first, ..] => Some(first),
        [] => None,
    }
}

/// Programs that act on one Kubernetes.
#[derive(Clone, Debug)]
pub struct Shell {
    kubeconfig: Option<PathBuf>,
}

impl Shell {
    /// With this kubeconfig, or with kubectl's own choice.
    pub const fn new(kubeconfig: Option<PathBuf>) -> Self {
        Self { kubeconfig }
    }

    /// A program that finds the cluster by its environment.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if let Some(path) = &self.kubeconfig {
            command.env("KUBECONFIG", path);
        }
        command
    }

    /// Runs a program with this on its standard input; returns what it printed. `kubectl` is run
    /// again where the API server was too busy for it, and it does no harm.
    ///
    /// # Errors
    /// What it said, if it failed.
    pub fn run_with(&self, program: &str, arguments: &[&str], input: &str) -> Outcome<String> {
        let line = format!("{program} {}", arguments.join(" "));
        let mut left = AGAIN_MAX;
        loop {
            match fed(self.command(program).args(arguments), &line, input) {
                Err(error) if left > 0 && program == "kubectl" && is_busy(arguments, &error) => {
                    left -= 1;
                    std::thread::sleep(BETWEEN);
                }
                outcome => return outcome,
            }
        }
    }

    /// Runs a program; returns what it printed.
    ///
    /// # Errors
    /// What it said, if it failed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Outcome<String> {
        self.run_with(program, arguments, "")
    }

    /// `kubectl` with these words.
    ///
    /// # Errors
    /// What it said, if it failed.
    pub fn kubectl(&self, arguments: &[&str]) -> Outcome<String> {
        self.run("kubectl", arguments)
    }

    /// `kubectl` with these words and `-o json`, read.
    ///
    /// # Errors
    /// What it said, if it failed.
    pub fn json(&self, arguments: &[&str]) -> Outcome<Value> {
        let mut all = arguments.to_vec();
        all.extend(["-o", "json"]);
        let text = self.kubectl(&all)?;
        serde_json::from_str(&text)
            .map_err(|error| format!("kubectl {}: {error}", arguments.join(" ")))
    }

    /// `kubectl apply` of a text.
    ///
    /// # Errors
    /// What it said, if it was refused.
    pub fn apply(&self, namespace: &str, text: &str) -> Outcome<String> {
        self.run_with("kubectl", &["apply", "-n", namespace, "-f", "-"], text)
    }

    /// Starts a program that goes on printing.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn stream(&self, program: &str, arguments: &[&str]) -> Outcome<Child> {
        self.command(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{program}: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::is_busy;

    #[test]
    fn what_may_have_been_done_is_asked_again_only_where_that_does_no_harm() {
        let (shake, late) = ("net/http: TLS handshake timeout", "etcdserver: request timed out");
        for (arguments, error, again) in [
            (["-n", "a", "get", "pods"].as_slice(), late, true),
            (&["apply", "-n", "a", "-f", "-"], "dial tcp 127.0.0.1:6443: i/o timeout", true),
            (&["-n", "get", "delete", "pod"], late, false),
            (&["-n", "a", "exec", "get", "--", "apply"], "i/o timeout", false),
            (&["delete", "pod", "a"], shake, true),
            (&["get", "pods"], "NotFound", false),
        ] {
            assert_eq!(is_busy(arguments, error), again, "{arguments:?}: {error}");
        }
    }
}
