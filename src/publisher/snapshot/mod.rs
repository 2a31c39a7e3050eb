//! The last directory on disk, so that a node can start and answer while the database is away. Keys in it are sealed.
//!
//! A file: the magic, a mark, and frames. The first frame says under which secret key all this was written; then come
//! the records of the last full load, many in a frame, and then one frame for every change since. The mark is the one
//! place that is written anew: up to where the file is known to be on the disk, and when it was last true.
//!
//! What the mark covers must be whole, or nothing of the file is believed: a domain that was suspended, and whose
//! frame is damaged, would be served again. Behind it lies what a crash may have torn, the changes of about a second;
//! there the first frame that is not whole ends the reading.
mod reader;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::record::Record;

pub(super) use reader::{Found, find};
pub use writer::Snapshot;

const NAME: &str = "signpost.snapshot";
/// Ends the magic. Another number is another format, and is not read.
const VERSION: &[u8] = b".2\n    ";
const MAGIC: usize = 24;
const MARK: usize = 24;
/// Where the first frame begins.
const FRAMES: u64 = (MAGIC + MARK) as u64;
/// What the first frame seals, and for what.
const CONTEXT: &str = "directory.snapshot";

#[must_use]
pub fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("directory.snapshot")
}

/// The first bytes of a file.
fn magic() -> Vec<u8> {
    [NAME.as_bytes(), VERSION].concat()
}

/// How much of a file may be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// Up to here it is on the disk.
    synced: u64,
    /// Seconds since 1970: then it was the same as the database.
    as_of: i64,
}

impl Mark {
    fn to_bytes(self) -> [u8; MARK] {
        let mut bytes = [0; MARK];
        bytes[..8].copy_from_slice(&self.synced.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.as_of.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..16]);
        bytes[16..20].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// `None`: it is damaged.
    fn parse(bytes: &[u8; MARK]) -> Option<Self> {
        let mark = Self {
            synced: u64::from_le_bytes(bytes[..8].try_into().ok()?),
            as_of: i64::from_le_bytes(bytes[8..16].try_into().ok()?),
        };
        (mark.to_bytes() == *bytes).then_some(mark)
    }
}

/// Stands at the head of every frame but the first.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Label {
    /// Counts the frames from 0: none is missing, none is there twice.
    number: u64,
    /// Records of the full load, each of another hostname. Else changes, in their order.
    is_base: bool,
}

#[derive(Deserialize)]
enum Change {
    Put(Record),
    Remove(String),
}

/// The same, written without a copy.
#[derive(Serialize)]
enum Written<'a> {
    Put(&'a Record),
    Remove(&'a str),
}

/// Why a snapshot is not believed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("it is damaged at byte {0}")]
    Damaged(u64),
    #[error("it is cut off")]
    CutOff,
    #[error("it is no snapshot of this version of Signpost")]
    OtherVersion,
    #[error("it was written under a secret key that is not in the secret key file")]
    OtherInstallation,
    #[error("it can't be read: {0}")]
    Unreadable(#[from] io::Error),
}
