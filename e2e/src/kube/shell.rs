//! `kubectl`, `helm` and `docker`, run as a user runs them.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::Outcome;
use crate::feed::fed;

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

    /// Runs a program with this on its standard input; returns what it printed.
    ///
    /// # Errors
    /// What it said, if it failed.
    pub fn run_with(&self, program: &str, arguments: &[&str], input: &str) -> Outcome<String> {
        let line = format!("{program} {}", arguments.join(" "));
        fed(self.command(program).args(arguments), &line, input)
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
