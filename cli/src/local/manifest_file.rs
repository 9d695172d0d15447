//! Which manifest a command means, and what it says.

use std::io::Read;
use std::path::Path;

use vltava_crd::validate::{Target, validate};
use vltava_crd::{KafkaCluster, manifest};

use crate::error::CliError;
use crate::local::data_dir::{DataDir, write_whole};
use crate::output;

/// A manifest that can be run here.
#[derive(Debug)]
pub(crate) struct Manifest {
    /// What it says.
    pub(crate) cluster: KafkaCluster,
}

/// Reads the manifest that was named, or the one that the folder's cluster was made from, or the
/// embedded one, and checks that it is possible. Says what is possible but better known.
///
/// # Errors
/// [`CliError::Manifest`] or [`CliError::Impossible`], with all that is wrong.
pub(crate) fn read(dir: &DataDir, named: Option<&Path>) -> Result<Manifest, CliError> {
    let stored = dir.manifest_file();
    let (file, text) = match named {
        Some(path) if path == Path::new("-") => {
            ("standard input".to_owned(), read_bounded(std::io::stdin(), path)?)
        }
        Some(path) => (path.display().to_string(), read_file(path)?),
        None if dir.has_cluster() && stored.exists() => {
            (stored.display().to_string(), read_file(&stored)?)
        }
        None => ("the default manifest".to_owned(), manifest::PRAGUE.to_owned()),
    };
    let cluster = manifest::parse(&text)
        .map_err(|reason| CliError::Manifest { file: file.clone(), reason })?;
    let findings = validate(&cluster, Target::Local);
    if !findings.problems.is_empty() {
        let problems: Vec<String> = findings.problems.iter().map(ToString::to_string).collect();
        return Err(CliError::Impossible { file, problems: problems.join("; ") });
    }
    for notice in &findings.notices {
        output::notice(format_args!("{file}: {notice}"));
    }
    Ok(Manifest { cluster })
}

fn read_file(path: &Path) -> Result<String, CliError> {
    let failed = |source| CliError::ReadFile { path: path.to_owned(), source };
    read_bounded(std::fs::File::open(path).map_err(failed)?, path)
}

/// Reads one byte more than a manifest may have, so that a longer one is seen to be too long.
fn read_bounded(source: impl Read, path: &Path) -> Result<String, CliError> {
    let mut text = String::new();
    source
        .take(manifest::MAX_BYTES as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|source| CliError::ReadFile { path: path.to_owned(), source })?;
    Ok(text)
}

/// The manifest as it was last applied, as far as the cluster took it; `None` if there was none, or
/// it can no longer be read.
pub(crate) fn last_applied(dir: &DataDir) -> Option<KafkaCluster> {
    let read = |path: &Path| manifest::parse(&read_file(path).ok()?).ok();
    read(&dir.applied_file()).or_else(|| read(&dir.manifest_file()))
}

/// Remembers what was asked for, and what of it is applied, where that is not the same.
pub(crate) fn remember(
    dir: &DataDir,
    wanted: &KafkaCluster,
    applied: &KafkaCluster,
) -> Result<(), CliError> {
    let text = |cluster| serde_norway::to_string(cluster).expect("a manifest is plain data");
    let path = dir.applied_file();
    if applied != wanted {
        write_whole(&path, &text(applied))?;
    } else if path.exists() {
        std::fs::remove_file(&path).map_err(|source| CliError::WriteFile { path, source })?;
    }
    write_whole(&dir.manifest_file(), &text(wanted))
}
