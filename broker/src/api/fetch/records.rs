//! Records on their way out: from their file where that pays, and where they do not stall the
//! thread that sends them.

use std::fs::File;
use std::io::IoSliceMut;

use rustix::io::{ReadWriteFlags, preadv2};
use vltava_log::Slice;
use vltava_net::Region;

/// From so many bytes on, records go out from their file. Below, the two system calls more that a
/// region takes cost as much as two copies.
const REGION_MIN: usize = 16 << 10;

/// How far apart the bytes lie that are asked for to find out whether a slice is in memory: the
/// system reads files ahead in pieces of about that size.
const PROBE_EVERY: usize = 64 << 10;

/// A slice whose file is there.
struct Lying(Slice);

impl AsRef<File> for Lying {
    fn as_ref(&self) -> &File {
        self.0.as_file().expect("only slices of real files become regions")
    }
}

/// Whether a slice goes out from its file; if not, it takes memory.
pub fn is_region(slice: &Slice) -> bool {
    slice.len() >= REGION_MIN && slice.as_file().is_some()
}

/// The slice as a region, if it goes out from its file.
pub fn region(slice: &Slice) -> Option<Region> {
    let lying = || Region::new(Lying(slice.clone()), slice.position(), slice.len());
    is_region(slice).then(lying)
}

/// Whether all of a slice is in the page cache, as far as probes can tell; they never wait for
/// the disk.
pub fn is_cached(slice: &Slice) -> bool {
    probes(slice, ReadWriteFlags::NOWAIT)
}

/// Brings a slice into the page cache; takes as long as the disk takes.
pub fn load(slice: &Slice) {
    if let Some(file) = slice.as_file() {
        let len = std::num::NonZeroU64::new(slice.len() as u64);
        // Where that fails, sending the slice does so, or waits for the disk.
        let _ = rustix::fs::fadvise(file, slice.position(), len, rustix::fs::Advice::WillNeed);
        probes(slice, ReadWriteFlags::empty());
    }
}

/// Reads a byte here and there; `false` as soon as one cannot be had.
fn probes(slice: &Slice, flags: ReadWriteFlags) -> bool {
    let Some(file) = slice.as_file() else { return false };
    let last = slice.len() - 1;
    let mut byte = [0];
    (0..last).step_by(PROBE_EVERY).chain([last]).all(|at| {
        let mut buffers = [IoSliceMut::new(&mut byte)];
        matches!(preadv2(file, &mut buffers, slice.position() + at as u64, flags), Ok(1))
    })
}
