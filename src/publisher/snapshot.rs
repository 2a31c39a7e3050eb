//! The last directory on disk, so that a node can start and answer while the database is away.
//!
//! A file of frames: the records of the last full load, then every change since. A torn or damaged
//! frame ends the reading; what stands before it is good. Private keys in it are sealed.
use std::{
    fs::{self, File},
    io::{self, BufReader, BufWriter, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::frames;

/// Changes may be written behind the records until they are as much again, and at least this.
const ROOM_FOR_CHANGES: u64 = 16 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
enum Change {
    Put(Record),
    Remove(String),
}

/// Writes the snapshot. An error is a warning: a node without a snapshot still serves.
pub struct Snapshot {
    path: PathBuf,
    file: Option<BufWriter<File>>,
    base: u64,
    written: u64,
}

impl Snapshot {
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Self {
            path: state_dir.join("directory.snapshot"),
            file: None,
            base: 0,
            written: 0,
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts a new file beside the one in force.
    pub(super) fn begin(&mut self) {
        let opened = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(self.beside());
        self.file = warn(opened).map(BufWriter::new);
        self.written = 0;
    }

    pub(super) fn put(&mut self, records: &[Record]) {
        self.write(records.iter().cloned().map(Change::Put));
    }

    /// Puts the new file in force. Later changes are appended to it.
    pub(super) fn finish(&mut self) {
        let Some(file) = &mut self.file else { return };
        let result = file
            .flush()
            .and_then(|()| file.get_ref().sync_data())
            .and_then(|()| fs::rename(self.beside(), &self.path));
        if warn(result).is_none() {
            self.file = None;
        }
        self.base = self.written;
    }

    pub(super) fn append(&mut self, records: &[Record], gone: &[&str]) {
        let removed = gone.iter().map(|hostname| Change::Remove((*hostname).to_owned()));
        self.write(removed.chain(records.iter().cloned().map(Change::Put)));
        if let Some(file) = &mut self.file
            && warn(file.flush()).is_none()
        {
            self.file = None;
        }
    }

    /// Whether a new full load would make it much smaller.
    pub(super) fn is_overgrown(&self) -> bool {
        self.written > self.base * 2 + ROOM_FOR_CHANGES
    }

    fn write(&mut self, changes: impl Iterator<Item = Change>) {
        let Some(file) = &mut self.file else { return };
        for change in changes {
            match frames::write(file, &change) {
                Ok(length) => self.written += length,
                Err(error) => {
                    warn::<()>(Err(error));
                    self.file = None;
                    return;
                }
            }
        }
    }

    fn beside(&self) -> PathBuf {
        self.path.with_extension("snapshot.new")
    }
}

/// Reads a snapshot in order. Returns how many records it held; a missing file holds none.
pub(super) fn replay(path: &Path, mut put: impl FnMut(Record), mut remove: impl FnMut(&str)) -> io::Result<usize> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut reader: BufReader<Box<dyn Read>> = BufReader::new(Box::new(file));
    let mut records = 0;
    while let Some(change) = frames::read::<Change>(&mut reader)? {
        match change {
            Change::Put(record) => {
                records += 1;
                put(record);
            }
            Change::Remove(hostname) => remove(&hostname),
        }
    }
    Ok(records)
}

fn warn<T>(result: io::Result<T>) -> Option<T> {
    result
        .inspect_err(|error| tracing::warn!(%error, "the snapshot of the directory can't be written"))
        .ok()
}
