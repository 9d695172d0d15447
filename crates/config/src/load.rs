//! From a file and the environment to [`Values`]: which key is known, and which value allowed.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use crate::environment;
use crate::error::{ConfigError, Notice, Origin, Problem};
use crate::foreign::{self, Foreign};
use crate::keys;
use crate::legacy;
use crate::properties;
use crate::role::{self, Role};
use crate::values::{Layer, Setting, Values};

/// The largest configuration file, in bytes: Kafka's own example is 7 KiB.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// Settings before anybody knows whether they are right, by key.
pub(crate) type Raw = BTreeMap<String, (String, Origin)>;

/// A configuration, and what is worth saying about it.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub values: Values,
    /// What a person should know: settings that change nothing here, and what replaces them.
    pub notices: Vec<Notice>,
}

/// Loads the configuration of a node: a `.properties` file, and `KAFKA_…` variables above it.
///
/// # Errors
/// [`ConfigError`] if the file cannot be read, or with everything in the settings that cannot be
/// used: unknown keys, values that are not allowed, and settings that contradict each other.
pub fn load(
    role: Role,
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigError> {
    let mut notices = Vec::new();
    let mut raw = match file {
        Some(path) => read_file(path)?,
        None => Raw::new(),
    };
    environment::apply(variables, &mut raw, &mut notices, &host_name);
    legacy::apply(&mut raw, &mut notices, &host_name);
    let mut problems = Vec::new();
    role::prepare(role, &mut raw, &mut problems);
    match resolve(raw, &mut notices) {
        Ok(values) if problems.is_empty() => {
            role::check(role, &values, &mut problems);
            if problems.is_empty() {
                return Ok(Loaded { values, notices });
            }
        }
        Ok(_) => {}
        Err(found) => problems.extend(found),
    }
    Err(ConfigError::Settings(problems))
}

/// The machine's own name.
pub(crate) fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn read_file(path: &Path) -> Result<Raw, ConfigError> {
    let failed = |source| ConfigError::ReadFile { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(ConfigError::FileTooLong { path: path.to_owned(), limit: MAX_FILE_BYTES });
    }
    let origin = |line| Origin::File { path: path.to_owned(), line };
    let properties = properties::parse(&text).map_err(|bad| {
        ConfigError::Settings(vec![Problem {
            key: bad.escape.clone(),
            origin: Some(origin(bad.line)),
            what: "is no escape; write \\u and four hexadecimal digits, or \\\\".to_owned(),
        }])
    })?;
    Ok(properties
        .into_iter()
        .map(|property| (property.key, (property.value, origin(property.line))))
        .collect())
}

/// Looks every key up and parses every value.
pub(crate) fn resolve(raw: Raw, notices: &mut Vec<Notice>) -> Result<Values, Vec<Problem>> {
    let mut layer = Layer::new();
    let mut problems = Vec::new();
    for (key, (text, origin)) in raw {
        let Some(spec) = keys::find(&key) else {
            match foreign::judge(&key, &text) {
                Foreign::Accepted(what) => {
                    notices.push(Notice { key, origin, what, debug: false });
                }
                Foreign::Refused(what) => {
                    problems.push(Problem { key, origin: Some(origin), what });
                }
            }
            continue;
        };
        match spec.parse(&text) {
            Ok(value) => {
                layer.insert(spec.name, Setting { value, origin });
            }
            Err(bad) => {
                let shown = if spec.is_sensitive() { "its value" } else { &*format!("`{text}`") };
                let what = format!("{shown} cannot be used: {bad}");
                problems.push(Problem { key, origin: Some(origin), what });
            }
        }
    }
    if problems.is_empty() {
        Ok(Values { fixed: Arc::new(layer), ..Values::default() })
    } else {
        Err(problems)
    }
}
