//! One file of the spool, made once and written from the front by one worker.
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::{Errno, retry_on_intr},
};

/// Of a file. Taken from the disk at once: whether there is room is known before anything is written.
pub const SIZE: u64 = 4 * 1024 * 1024;

pub struct Segment {
    file: File,
    written: AtomicU64,
    synced: AtomicU64,
}

impl Segment {
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().create_new(true).write(true).mode(0o600).open(path)?;
        match retry_on_intr(|| fallocate(&file, FallocateFlags::empty(), 0, SIZE)) {
            // A file system that can't is one on which room is found as it is needed.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(Self {
                file,
                written: AtomicU64::new(0),
                synced: AtomicU64::new(0),
            }),
            Err(error) => {
                fs::remove_file(path)?;
                Err(error.into())
            }
        }
    }

    /// Hands a frame to the operating system: it outlives this process from here on. For the one worker whose it is,
    /// and not again after an error.
    pub fn append(&self, frame: &[u8]) -> io::Result<()> {
        let at = self.written.load(Ordering::Relaxed);
        self.file.write_all_at(frame, at)?;
        self.written.store(at + frame.len() as u64, Ordering::Release);
        Ok(())
    }

    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub fn synced(&self) -> u64 {
        self.synced.load(Ordering::Relaxed)
    }

    /// Hands it to the disk: what is written outlives a loss of power from here on.
    pub fn sync(&self) -> io::Result<()> {
        let written = self.written();
        if self.synced() < written {
            self.file.sync_data()?;
            self.synced.store(written, Ordering::Relaxed);
        }
        Ok(())
    }
}
