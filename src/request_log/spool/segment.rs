//! One file of the spool, made once and written from the front by one worker.
use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

/// Of a file. Taken from the disk at once: whether there is room is known before anything is written.
pub const SIZE: u64 = 4 * 1024 * 1024;

#[derive(Debug)]
pub struct Segment {
    file: File,
    written: AtomicU64,
    synced: AtomicU64,
}

impl Segment {
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path)?;
        let made = match fallocate(&file, FallocateFlags::empty(), 0, SIZE) {
            // A file system that can't is one on which room is found as it is needed.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            other => other.map_err(io::Error::from),
        };
        if let Err(error) = made {
            std::fs::remove_file(path)?;
            return Err(error);
        }
        Ok(Self {
            file,
            written: AtomicU64::new(0),
            synced: AtomicU64::new(0),
        })
    }

    pub fn has_room_for(&self, frame: &[u8]) -> bool {
        self.written() + frame.len() as u64 <= SIZE
    }

    /// Hands a frame to the operating system: it outlives this process from here on. For the one worker whose it is.
    /// After an error nothing of it counts, and what comes next takes its place.
    pub fn append(&self, frame: &[u8]) -> io::Result<()> {
        let at = self.written.load(Ordering::Relaxed);
        self.file.write_all_at(frame, at)?;
        self.written.store(at + frame.len() as u64, Ordering::Release);
        Ok(())
    }

    /// How far it is written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Hands it to the disk: it outlives a loss of power from here on.
    pub fn sync(&self) -> io::Result<()> {
        let written = self.written();
        if self.synced.load(Ordering::Relaxed) < written {
            self.file.sync_data()?;
            self.synced.store(written, Ordering::Relaxed);
        }
        Ok(())
    }

    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Relaxed) == self.written()
    }
}
