//! A power cut of a disk that has what was synced, and of the rest any part or nothing.
//!
//! Nodes that were built for it (`power-cut`) keep beside their files what was synced of them:
//! `files/INODE`, `folders/INODE`, and `held/INODE` as a link to each file. At the cut the files
//! are put together anew: what was synced is in them, what was not is there, or not, or torn.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rand::Rng;
use rand::rngs::StdRng;

use crate::Outcome;
use crate::cluster::Cluster;

/// What is on the platter of a data folder.
pub(super) struct Platter {
    data: PathBuf,
    at: PathBuf,
}

/// Which of the things that nobody synced are there after a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Nothing.
    Nothing,
    /// All of some files and folders, nothing of others, and of others again any part.
    Some,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    is_folder: bool,
    inode: u64,
}

type Names = BTreeMap<String, Node>;

impl Platter {
    pub(super) fn create(folder: &Path, data: &Path) -> Outcome<Self> {
        let at = folder.join("platter");
        fs::create_dir_all(&at).map_err(|error| error.to_string())?;
        Ok(Self { data: data.to_path_buf(), at })
    }

    /// What the nodes must find in their environment.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let of = |path: &Path| path.display().to_string();
        vec![
            ("VLTAVA_PLATTER".to_owned(), of(&self.at)),
            ("VLTAVA_PLATTER_OF".to_owned(), of(&self.data)),
        ]
    }

    /// Cuts the power of every node.
    pub(super) fn cut(&self, cluster: &Cluster, random: &mut StdRng, kept: Kept) -> Outcome {
        super::end(&super::stop(cluster)?)?;
        let next = self.data.with_extension("next");
        let mut rebuild = Rebuild { at: &self.at, random, kept, cached: HashMap::new() };
        let failed = |error: std::io::Error| format!("putting the files together anew: {error}");
        rebuild.note(&self.data).map_err(failed)?;
        let root = fs::metadata(&self.data).map_err(failed)?.ino();
        rebuild.folder(root, &next).map_err(failed)?;
        fs::remove_dir_all(&self.data).map_err(failed)?;
        fs::rename(&next, &self.data).map_err(failed)?;
        for folder in ["files", "folders", "held"] {
            fs::remove_dir_all(self.at.join(folder)).map_err(failed)?;
            fs::create_dir(self.at.join(folder)).map_err(failed)?;
        }
        self.all_is_synced(&self.data).map_err(failed)
    }

    /// Time goes by while no node runs: the system brings all there is to the disk.
    pub(super) fn rest(&self) -> Outcome {
        self.all_is_synced(&self.data).map_err(|error| format!("all to the disk: {error}"))
    }

    /// What lies there after a cut lies on the platter.
    fn all_is_synced(&self, folder: &Path) -> std::io::Result<()> {
        let mut names = String::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let inode = entry.metadata()?.ino().to_string();
            let kind = if entry.metadata()?.is_dir() {
                self.all_is_synced(&entry.path())?;
                'd'
            } else {
                fs::copy(entry.path(), self.at.join("files").join(&inode))?;
                let held = self.at.join("held").join(&inode);
                match fs::hard_link(entry.path(), held) {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                }
                'f'
            };
            names.push_str(&format!("{kind} {inode} {}\n", entry.file_name().display()));
        }
        let inode = fs::metadata(folder)?.ino().to_string();
        fs::write(self.at.join("folders").join(inode), names)
    }
}

/// Puts the files together.
struct Rebuild<'a> {
    at: &'a Path,
    random: &'a mut StdRng,
    kept: Kept,
    /// Every file and folder that has a name, by inode.
    cached: HashMap<u64, PathBuf>,
}

/// How much there is of one file's or folder's changes.
enum Part {
    Nothing,
    All,
    Any,
}

impl Rebuild<'_> {
    fn note(&mut self, path: &Path) -> std::io::Result<()> {
        let metadata = fs::metadata(path)?;
        self.cached.insert(metadata.ino(), path.to_path_buf());
        if metadata.is_dir() {
            for entry in fs::read_dir(path)? {
                self.note(&entry?.path())?;
            }
        }
        Ok(())
    }

    fn part(&mut self) -> Part {
        match (self.kept, self.random.random_range(0..3)) {
            (Kept::Nothing, _) | (Kept::Some, 0) => Part::Nothing,
            (Kept::Some, 1) => Part::All,
            (Kept::Some, _) => Part::Any,
        }
    }

    fn folder(&mut self, inode: u64, to: &Path) -> std::io::Result<()> {
        fs::create_dir(to)?;
        for (name, node) in self.names(inode)? {
            let path = to.join(name);
            if node.is_folder {
                self.folder(node.inode, &path)?;
            } else {
                fs::write(path, self.bytes(node.inode)?)?;
            }
        }
        Ok(())
    }

    fn names(&mut self, inode: u64) -> std::io::Result<Names> {
        let mut cached = Names::new();
        // A folder that was removed has no names left.
        if let Some(path) = self.cached.get(&inode) {
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                let metadata = entry.metadata()?;
                let node = Node { is_folder: metadata.is_dir(), inode: metadata.ino() };
                cached.insert(entry.file_name().to_string_lossy().into_owned(), node);
            }
        }
        // A folder that the nodes never touch is as it is.
        let listing = self.at.join("folders").join(inode.to_string());
        let Ok(text) = fs::read_to_string(listing) else { return Ok(cached) };
        let mut names: Names = text.lines().filter_map(parse).collect();
        let part = self.part();
        let all: Vec<String> = cached.keys().chain(names.keys()).cloned().collect();
        for name in all {
            let is_kept = match part {
                Part::Nothing => false,
                Part::All => true,
                Part::Any => self.random.random(),
            };
            match cached.get(&name) {
                // A file that the nodes did not open to write is none of theirs.
                Some(node) if is_kept || !node.is_folder && !self.is_held(node.inode) => {
                    names.insert(name, *node);
                }
                None if is_kept => _ = names.remove(&name),
                _ => {}
            }
        }
        Ok(names)
    }

    fn is_held(&self, inode: u64) -> bool {
        self.at.join("held").join(inode.to_string()).exists()
    }

    fn bytes(&mut self, inode: u64) -> std::io::Result<Vec<u8>> {
        let held = self.at.join("held").join(inode.to_string());
        if !held.exists() {
            return self.cached.get(&inode).map_or(Ok(Vec::new()), fs::read);
        }
        let synced = fs::read(self.at.join("files").join(inode.to_string())).unwrap_or_default();
        let cached = fs::read(held)?;
        if synced == cached {
            return Ok(synced);
        }
        Ok(match self.part() {
            Part::Nothing => synced,
            Part::All => cached,
            Part::Any => self.torn(synced, &cached),
        })
    }

    /// Some sectors of the cached bytes over the synced ones.
    fn torn(&mut self, mut synced: Vec<u8>, cached: &[u8]) -> Vec<u8> {
        if self.random.random() {
            synced.resize(cached.len(), 0);
        }
        let sector = [16, 64, 512][self.random.random_range(0..3)];
        for (old, new) in synced.chunks_mut(sector).zip(cached.chunks(sector)) {
            if self.random.random() {
                let count = old.len().min(new.len());
                old[..count].copy_from_slice(&new[..count]);
            }
        }
        synced
    }
}

fn parse(line: &str) -> Option<(String, Node)> {
    let mut words = line.splitn(3, ' ');
    let is_folder = words.next()? == "d";
    let inode = words.next()?.parse().ok()?;
    Some((words.next()?.to_owned(), Node { is_folder, inode }))
}
