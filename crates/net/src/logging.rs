//! Log lines: for people or as JSON, to standard error or standard output.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::writer::BoxMakeWriter;

use crate::loggers;

/// The variable that chooses the format: `human` or `json`.
pub const FORMAT_VARIABLE: &str = "VLTAVA_LOG_FORMAT";

/// The variable that says what is logged, such as `info` or `info,vltava_broker=debug`.
pub const FILTER_VARIABLE: &str = "VLTAVA_LOG";

/// How a line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// `2026-01-31T12:00:00.123456Z  INFO target: message field=value`.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Where lines go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogOutput {
    /// Standard error.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
}

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The format is neither of the two.
    #[error("{FORMAT_VARIABLE}={0:?} is not a log format: it is human or json")]
    Format(String),
    /// The filter makes no sense.
    #[error("{FILTER_VARIABLE}={filter:?} is not a log filter")]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// There is a log already.
    #[error("the log is set up already")]
    Twice,
}

/// What is logged, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// How a line looks.
    pub format: LogFormat,
    /// Which lines are written.
    pub filter: String,
    /// Where they go.
    pub output: LogOutput,
}

impl LogConfig {
    /// What the environment says; its defaults are lines for people, from `info` on.
    ///
    /// # Errors
    /// If the format is neither of the two.
    pub fn from_env(output: LogOutput) -> Result<Self, LogError> {
        let format = match std::env::var(FORMAT_VARIABLE).as_deref() {
            Ok("json") => LogFormat::Json,
            Ok("human" | "") | Err(_) => LogFormat::Human,
            Ok(other) => return Err(LogError::Format(other.to_owned())),
        };
        let filter = std::env::var(FILTER_VARIABLE)
            .ok()
            .filter(|filter| !filter.is_empty())
            .unwrap_or_else(|| "info".to_owned());
        Ok(Self { format, filter, output })
    }

    /// Sets up the log of this process.
    ///
    /// # Errors
    /// If the filter makes no sense, or there is a log already.
    pub fn init(&self) -> Result<(), LogError> {
        let filter = EnvFilter::try_new(&self.filter)
            .map_err(|source| LogError::Filter { filter: self.filter.clone(), source })?;
        let (writer, terminal) = match self.output {
            LogOutput::Stderr => {
                (BoxMakeWriter::new(std::io::stderr), std::io::stderr().is_terminal())
            }
            LogOutput::Stdout => {
                (BoxMakeWriter::new(std::io::stdout), std::io::stdout().is_terminal())
            }
        };
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(writer)
            .with_ansi(terminal)
            // A line that cannot be written would be told of on standard error, whose own failure
            // is a panic of whoever logs: lines are lost where the disk is full, and nothing else.
            .log_internal_errors(false);
        // A log that is gone has no level.
        macro_rules! init {
            ($builder:expr) => {{
                let builder = $builder.with_filter_reloading();
                let handle = builder.reload_handle();
                let reload = move |filter| drop(handle.reload(filter));
                builder.try_init().map(|()| loggers::begin(&self.filter, Box::new(reload)))
            }};
        }
        match self.format {
            LogFormat::Human => init!(builder),
            LogFormat::Json => init!(builder.json().flatten_event(true).with_ansi(false)),
        }
        .map_err(|_| LogError::Twice)
    }
}

/// An error with all that caused it, in one line.
pub fn error_chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
