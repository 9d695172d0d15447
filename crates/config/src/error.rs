//! What can be wrong with a configuration, and what is worth saying about it.

use std::fmt;
use std::path::PathBuf;

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file.
    File {
        /// The file.
        path: PathBuf,
        /// The line on which the setting starts, counted from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// The program itself.
    Program,
    /// A dynamic configuration of all brokers (KIP-226).
    ClusterDefault,
    /// A dynamic configuration of one broker (KIP-226).
    Broker,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "environment variable {name}"),
            Self::Program => f.write_str("built-in setting"),
            Self::ClusterDefault => f.write_str("dynamic configuration of all brokers"),
            Self::Broker => f.write_str("dynamic configuration of this broker"),
        }
    }
}

/// One setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key.
    pub key: String,
    /// Where it is set; `None` if the problem is that it is not.
    pub origin: Option<Origin>,
    /// What is wrong and what to do.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(origin) = &self.origin {
            write!(f, "{origin}: ")?;
        }
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// Why a configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}", path = path.display())]
    ReadFile {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is too long to be a configuration.
    #[error("{} is longer than {limit} bytes: it is no configuration file", path.display())]
    FileTooLong {
        /// The file.
        path: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Settings that cannot be used; all of them, not only the first.
    #[error("{}", lines(.0))]
    Settings(Vec<Problem>),
}

impl ConfigError {
    /// The settings that cannot be used; empty where the file as a whole could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Settings(problems) => problems,
            _ => &[],
        }
    }
}

fn lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// Something about a configuration that a person should know, though it stops nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// The key or variable.
    pub key: String,
    /// Where it is set.
    pub origin: Origin,
    /// What became of it, and what replaces it.
    pub what: String,
    /// Whether it is of interest only to those who look for it.
    pub debug: bool,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Variable(name) => write!(f, "{name}: {}", self.what),
            origin => write!(f, "{origin}: {}: {}", self.key, self.what),
        }
    }
}
