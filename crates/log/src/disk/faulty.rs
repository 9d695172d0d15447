//! A disk in memory with a page cache and a platter, for tests of all that must survive a crash.
//!
//! Everything written goes to the page cache. Only an fsync of a file brings its bytes to the
//! platter, and only an fsync of a folder brings its names there. [`FaultyDisk::crash`] leaves
//! what is on the platter, and of the rest any part that a real disk may have written by then:
//! nothing, all of it, the first few changes, or any pieces of any changes, with zeros where a
//! file grew without its bytes.
//!
//! It is deterministic: the same seed and the same calls leave the same bytes.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Component, Path};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Disk, DiskFile, FolderEntry, FolderError, OpenMode, SyncKind};

/// A disk in memory that forgets what was not synced. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct FaultyDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    random: Random,
    /// How often the disk has crashed; files opened before are dead.
    crashes: u64,
    inodes: Vec<Inode>,
    /// The first one is the root.
    folders: Vec<Names>,
    capacity: u64,
    short_writes: bool,
    skipped: Option<SyncKind>,
    failing: Option<(SyncKind, u64)>,
    folders_stay_closed: bool,
    /// How many changes there were.
    changes: u64,
    /// How many changes more there are before the power goes.
    fuse: Option<u64>,
    is_off: bool,
    syncs: BTreeMap<SyncKind, u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    File(usize),
    Folder(usize),
}

/// The bytes of a file.
#[derive(Debug, Default)]
struct Inode {
    cached: Vec<u8>,
    platter: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

/// The names in a folder.
#[derive(Debug, Default)]
struct Names {
    cached: BTreeMap<String, Node>,
    platter: BTreeMap<String, Node>,
    unsynced: Vec<NameChange>,
}

#[derive(Clone, Debug)]
enum NameChange {
    Set(String, Node),
    Remove(String),
    Rename(String, String, Node),
}

impl NameChange {
    fn apply(self, names: &mut BTreeMap<String, Node>) {
        match self {
            Self::Set(name, node) => _ = names.insert(name, node),
            Self::Remove(name) => _ = names.remove(&name),
            Self::Rename(from, to, node) => {
                names.remove(&from);
                names.insert(to, node);
            }
        }
    }
}

impl Names {
    fn change(&mut self, change: NameChange) {
        change.clone().apply(&mut self.cached);
        self.unsynced.push(change);
    }
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(position, written) => put(bytes, *position, written),
            Self::SetLen(len) => bytes.resize(*len, 0),
        }
    }
}

fn put(bytes: &mut Vec<u8>, position: usize, written: &[u8]) {
    let end = position + written.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[position..end].copy_from_slice(written);
}

/// SplitMix64: small, and the same everywhere.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Which of some changes have reached the platter by the time of a crash.
enum Kept {
    Nothing,
    Everything,
    First(usize),
    Any,
}

impl Random {
    fn kept(&mut self, changes: usize) -> Kept {
        match self.below(4) {
            0 => Kept::Nothing,
            1 => Kept::Everything,
            2 => Kept::First(self.below(changes + 1)),
            _ => Kept::Any,
        }
    }
}

impl Inode {
    fn crash(&mut self, random: &mut Random) {
        let kept = random.kept(self.unsynced.len());
        for (index, change) in std::mem::take(&mut self.unsynced).into_iter().enumerate() {
            match (&kept, change) {
                (Kept::Everything, change) => change.apply(&mut self.platter),
                (Kept::First(count), change) if index < *count => change.apply(&mut self.platter),
                (Kept::Any, Change::Write(position, bytes)) => {
                    let piece = [16, 64, 512][random.below(3)];
                    for (index, bytes) in bytes.chunks(piece).enumerate() {
                        if random.below(2) == 0 {
                            put(&mut self.platter, position + index * piece, bytes);
                        }
                    }
                }
                (Kept::Any, change) if random.below(2) == 0 => change.apply(&mut self.platter),
                _ => {}
            }
        }
        self.cached.clone_from(&self.platter);
    }
}

impl Names {
    fn crash(&mut self, random: &mut Random) {
        let kept = random.kept(self.unsynced.len());
        for (index, change) in std::mem::take(&mut self.unsynced).into_iter().enumerate() {
            let keep = match kept {
                Kept::Nothing => false,
                Kept::Everything => true,
                Kept::First(count) => index < count,
                Kept::Any => random.below(2) == 0,
            };
            if keep {
                change.apply(&mut self.platter);
            }
        }
        self.cached.clone_from(&self.platter);
    }
}

impl FaultyDisk {
    /// An empty disk without faults, whose crashes follow from `seed`.
    pub fn new(seed: u64) -> Self {
        let state = State {
            random: Random(seed),
            crashes: 0,
            inodes: Vec::new(),
            folders: vec![Names::default()],
            capacity: u64::MAX,
            short_writes: false,
            skipped: None,
            failing: None,
            folders_stay_closed: false,
            changes: 0,
            fuse: None,
            is_off: false,
            syncs: BTreeMap::new(),
        };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Cuts the power: what was not synced is lost, or torn. Files that are open stop working.
    pub fn crash(&self) {
        self.state.lock().crash();
    }

    /// Lets the power go when so many changes have been made from now on (writes, syncs and changes
    /// of names); nothing works from then on until [`switch_on`](Self::switch_on).
    pub fn cut_power_after(&self, changes: u64) {
        self.state.lock().fuse = Some(changes);
    }

    /// Brings the power back, or keeps it from going; says whether it was gone.
    pub fn switch_on(&self) -> bool {
        let mut state = self.state.lock();
        state.fuse = None;
        std::mem::take(&mut state.is_off)
    }

    /// How many changes were made so far.
    pub fn change_count(&self) -> u64 {
        self.state.lock().changes
    }

    /// Lets crashes from now on follow from another seed.
    pub fn reseed(&self, seed: u64) {
        self.state.lock().random = Random(seed);
    }

    /// Makes the disk full once its files have so many bytes together.
    pub fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = bytes;
    }

    /// Makes the disk full once its files have so many bytes more than now.
    pub fn fill_up(&self, room: u64) {
        let mut state = self.state.lock();
        state.capacity = state.used() + room;
    }

    /// Lets each write write any part of what it is given.
    pub fn set_short_writes(&self, short_writes: bool) {
        self.state.lock().short_writes = short_writes;
    }

    /// Makes every fsync of that kind do nothing, and say that all went well.
    pub fn skip_sync(&self, kind: Option<SyncKind>) {
        self.state.lock().skipped = kind;
    }

    /// Lets the fsync of that kind fail, `after` of them have gone well. As with a real disk,
    /// what it should have brought to the platter is lost, and is still read until the crash.
    pub fn fail_sync(&self, kind: SyncKind, after: u64) {
        self.state.lock().failing = Some((kind, after));
    }

    /// Lets no folder be opened, as when descriptors have run out, or lets them be opened again.
    pub fn keep_folders_closed(&self, closed: bool) {
        self.state.lock().folders_stay_closed = closed;
    }

    /// How many fsyncs of that kind there were.
    pub fn sync_count(&self, kind: SyncKind) -> u64 {
        self.state.lock().syncs.get(&kind).copied().unwrap_or(0)
    }
}

impl State {
    fn crash(&mut self) {
        self.crashes += 1;
        for inode in &mut self.inodes {
            inode.crash(&mut self.random);
        }
        for names in &mut self.folders {
            names.crash(&mut self.random);
        }
    }

    fn check_power(&self) -> io::Result<()> {
        if self.is_off { Err(io::Error::other("the power is gone")) } else { Ok(()) }
    }

    /// A change is about to be made, unless the power goes before.
    fn begin_change(&mut self) -> io::Result<()> {
        if self.fuse == Some(0) {
            (self.fuse, self.is_off) = (None, true);
            self.crash();
        }
        self.check_power()?;
        self.changes += 1;
        self.fuse = self.fuse.map(|left| left - 1);
        Ok(())
    }

    /// Counts an fsync; says whether it is to be done.
    fn sync(&mut self, kind: SyncKind) -> Done {
        *self.syncs.entry(kind).or_default() += 1;
        if let Some((failing, after)) = &mut self.failing
            && *failing == kind
        {
            if *after == 0 {
                self.failing = None;
                return Done::Lost;
            }
            *after -= 1;
        }
        if self.skipped == Some(kind) { Done::Nothing } else { Done::Synced }
    }

    /// Bytes of the files that have a name.
    fn used(&self) -> u64 {
        let nodes = self.folders.iter().flat_map(|names| names.cached.values());
        nodes
            .map(|node| match node {
                Node::File(inode) => self.inodes[*inode].cached.len() as u64,
                Node::Folder(_) => 0,
            })
            .sum()
    }

    fn folder(&self, path: &Path) -> io::Result<usize> {
        let mut folder = 0;
        for component in path.components() {
            let Component::Normal(name) = component else { continue };
            match self.find(folder, name)? {
                Node::Folder(inner) => folder = inner,
                Node::File(_) => return Err(ErrorKind::NotADirectory.into()),
            }
        }
        Ok(folder)
    }

    fn find(&self, folder: usize, name: &OsStr) -> io::Result<Node> {
        let name = name.to_str().ok_or(ErrorKind::InvalidInput)?;
        self.folders[folder].cached.get(name).copied().ok_or(ErrorKind::NotFound.into())
    }

    /// The folder that holds a path's last name, and the name.
    fn place(&self, path: &Path) -> io::Result<(usize, String)> {
        let name = path.file_name().and_then(OsStr::to_str).ok_or(ErrorKind::InvalidInput)?;
        let parent = path.parent().unwrap_or(Path::new(""));
        Ok((self.folder(parent)?, name.to_owned()))
    }
}

enum Done {
    Synced,
    Nothing,
    Lost,
}

fn io_error() -> io::Error {
    io::Error::other("the disk failed")
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    inode: usize,
    crashes: u64,
    writable: bool,
}

impl FaultyFile {
    fn state(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let state = self.disk.state.lock();
        if state.crashes != self.crashes {
            return Err(io::Error::other("the power was cut since the file was opened"));
        }
        Ok(state)
    }

    fn state_to_change(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        let mut state = self.state()?;
        state.begin_change()?;
        Ok(state)
    }

    fn state_to_write(&self) -> io::Result<parking_lot::MutexGuard<'_, State>> {
        if self.writable { self.state_to_change() } else { Err(ErrorKind::PermissionDenied.into()) }
    }
}

impl DiskFile for FaultyFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let state = self.state()?;
        let bytes = &state.inodes[self.inode].cached;
        let bytes = bytes.get(position as usize..).unwrap_or_default();
        let read = bytes.len().min(buffer.len());
        buffer[..read].copy_from_slice(&bytes[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<usize> {
        let mut state = self.state_to_write()?;
        let position = position as usize;
        let mut len = bytes.len();
        if state.short_writes && len > 1 {
            len = 1 + state.random.below(len);
        }
        let room = state.capacity.saturating_sub(state.used()) as usize;
        let end = state.inodes[self.inode].cached.len() + room;
        len = len.min(end.saturating_sub(position));
        if len == 0 && !bytes.is_empty() {
            return Err(ErrorKind::StorageFull.into());
        }
        let inode = &mut state.inodes[self.inode];
        put(&mut inode.cached, position, &bytes[..len]);
        inode.unsynced.push(Change::Write(position, bytes[..len].to_vec()));
        Ok(len)
    }

    fn sync_data(&self, kind: SyncKind) -> io::Result<()> {
        let mut state = self.state_to_change()?;
        let done = state.sync(kind);
        let inode = &mut state.inodes[self.inode];
        match done {
            Done::Nothing => return Ok(()),
            Done::Synced => inode.platter.clone_from(&inode.cached),
            Done::Lost => {}
        }
        inode.unsynced.clear();
        if matches!(done, Done::Lost) { Err(io_error()) } else { Ok(()) }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.state_to_write()?;
        let inode = &mut state.inodes[self.inode];
        let change = Change::SetLen(len as usize);
        change.apply(&mut inode.cached);
        inode.unsynced.push(change);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.state()?.inodes[self.inode].cached.len() as u64)
    }

    fn as_file(&self) -> Option<&File> {
        None
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let state = &mut *self.state.lock();
        state.check_power()?;
        if matches!(mode, OpenMode::Create | OpenMode::Replace) {
            state.begin_change()?;
        }
        let (folder, name) = state.place(path)?;
        let inode = match state.folders[folder].cached.get(&name) {
            Some(Node::File(inode)) => *inode,
            Some(Node::Folder(_)) => return Err(ErrorKind::IsADirectory.into()),
            None if matches!(mode, OpenMode::Read | OpenMode::Write) => {
                return Err(ErrorKind::NotFound.into());
            }
            None => {
                state.inodes.push(Inode::default());
                let inode = state.inodes.len() - 1;
                state.folders[folder].change(NameChange::Set(name, Node::File(inode)));
                inode
            }
        };
        if mode == OpenMode::Replace {
            let inode = &mut state.inodes[inode];
            inode.cached.clear();
            inode.unsynced.push(Change::SetLen(0));
        }
        let (disk, crashes) = (self.clone(), state.crashes);
        Ok(Arc::new(FaultyFile { disk, inode, crashes, writable: mode != OpenMode::Read }))
    }

    fn create_synced(&self, path: &Path, kind: SyncKind) -> Result<Arc<dyn DiskFile>, FolderError> {
        if self.state.lock().folders_stay_closed {
            return Err(FolderError::Open(io_error()));
        }
        let file = self.open(path, OpenMode::Replace).map_err(FolderError::Open)?;
        self.sync_folder(path.parent().unwrap_or(Path::new("/")), kind)?;
        Ok(file)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<FolderEntry>> {
        let state = self.state.lock();
        state.check_power()?;
        let names = &state.folders[state.folder(folder)?];
        let entry = |(name, node): (&String, &Node)| FolderEntry {
            name: name.clone(),
            len: match node {
                Node::File(inode) => state.inodes[*inode].cached.len() as u64,
                Node::Folder(_) => 0,
            },
            is_folder: matches!(node, Node::Folder(_)),
        };
        Ok(names.cached.iter().map(entry).collect())
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.begin_change()?;
        if folder.file_name().is_none() {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let (parent, name) = state.place(folder)?;
        if state.folders[parent].cached.contains_key(&name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        state.folders.push(Names::default());
        let node = Node::Folder(state.folders.len() - 1);
        state.folders[parent].change(NameChange::Set(name, node));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.begin_change()?;
        let (from_folder, from_name) = state.place(from)?;
        let (to_folder, to_name) = state.place(to)?;
        let node = state.find(from_folder, OsStr::new(&from_name))?;
        if from_folder == to_folder {
            state.folders[to_folder].change(NameChange::Rename(from_name, to_name, node));
        } else {
            state.folders[to_folder].change(NameChange::Set(to_name, node));
            state.folders[from_folder].change(NameChange::Remove(from_name));
        }
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.begin_change()?;
        let (folder, name) = state.place(path)?;
        match state.find(folder, OsStr::new(&name))? {
            Node::Folder(_) => Err(ErrorKind::IsADirectory.into()),
            Node::File(_) => {
                state.folders[folder].change(NameChange::Remove(name));
                Ok(())
            }
        }
    }

    fn remove_folder(&self, folder: &Path) -> io::Result<()> {
        let state = &mut *self.state.lock();
        state.begin_change()?;
        let (parent, name) = state.place(folder)?;
        let Node::Folder(inner) = state.find(parent, OsStr::new(&name))? else {
            return Err(ErrorKind::NotADirectory.into());
        };
        if !state.folders[inner].cached.is_empty() {
            return Err(ErrorKind::DirectoryNotEmpty.into());
        }
        state.folders[parent].change(NameChange::Remove(name));
        Ok(())
    }

    fn sync_folder(&self, folder: &Path, kind: SyncKind) -> Result<(), FolderError> {
        let state = &mut *self.state.lock();
        if state.folders_stay_closed {
            return Err(FolderError::Open(io_error()));
        }
        state.begin_change()?;
        let folder = state.folder(folder)?;
        let done = state.sync(kind);
        let names = &mut state.folders[folder];
        match done {
            Done::Nothing => return Ok(()),
            Done::Synced => names.platter.clone_from(&names.cached),
            Done::Lost => {}
        }
        names.unsynced.clear();
        if matches!(done, Done::Lost) { Err(io_error().into()) } else { Ok(()) }
    }
}
