//! Writes the snapshot. A failure is a warning, and the file that was in force stays: a node without a snapshot still
//! serves. It is tried again, less and less often.
use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use tokio::{task::JoinHandle, time::Instant};

use super::{CONTEXT, FRAMES, Label, MAGIC, Mark, Written, magic};
use crate::{
    frames,
    publisher::{record::Record, standing::Standing},
    sealed::Keyring,
};

/// Changes may be written behind the records until they are half as much again, and at least this.
const ROOM_FOR_CHANGES: u64 = 16 * 1024 * 1024;
/// Records in one frame: what a thread takes at once when a node starts.
const IN_A_FRAME: usize = 100;
/// A power cut costs changes of this long.
const SYNC: Duration = Duration::from_secs(1);
/// How exactly the file tells, while nothing changes, when it was last true.
const MARK: Duration = Duration::from_secs(30);
const FIRST_RETRY: Duration = Duration::from_secs(10);
const LAST_RETRY: Duration = Duration::from_secs(600);

pub struct Snapshot {
    path: PathBuf,
    keyring: Arc<Keyring>,
    standing: Arc<Standing>,
    /// The one in force, or the one that is to be. `None`: there is none that could be written on.
    file: Option<Writing>,
    /// What is in force was refused: it is kept when another comes into force.
    was_refused: bool,
    retry: Retry,
}

struct Writing {
    file: Arc<File>,
    /// Of the records, when it came into force.
    base: u64,
    length: u64,
    frames: u64,
    mark: Mark,
    marked_at: Instant,
    syncing: Option<(JoinHandle<io::Result<()>>, Mark)>,
}

struct Retry {
    at: Instant,
    pause: Duration,
}

impl Snapshot {
    #[must_use]
    pub fn new(state_dir: &Path, keyring: Arc<Keyring>, standing: Arc<Standing>) -> Self {
        Self {
            path: super::path(state_dir),
            keyring,
            standing,
            file: None,
            was_refused: false,
            retry: Retry {
                at: Instant::now(),
                pause: FIRST_RETRY,
            },
        }
    }

    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What lies there is not to be lost: somebody may want to know what happened to it.
    pub(in crate::publisher) fn keep_refused(&mut self) {
        self.was_refused = true;
    }

    /// Starts a new file beside the one in force.
    pub(in crate::publisher) fn begin(&mut self) {
        let begun = Writing::begin(&self.beside(), &self.keyring);
        self.take(begun);
    }

    pub(in crate::publisher) fn put(&mut self, records: &[Record]) {
        for records in records.chunks(IN_A_FRAME) {
            let Some(writing) = &mut self.file else { return };
            let written = writing.write(true, records);
            self.note(written);
        }
    }

    /// Puts the new file in force, which is what the database holds at `as_of`. Later changes are appended to it.
    pub(in crate::publisher) async fn finish(&mut self, as_of: i64) {
        let Some(mut writing) = self.file.take() else { return };
        let (path, beside, was_refused) = (self.path.clone(), self.beside(), self.was_refused);
        let finished = tokio::task::spawn_blocking(move || {
            writing.finish(as_of)?;
            // Somebody may have taken it away already.
            if was_refused && path.exists() {
                fs::rename(&path, path.with_extension("snapshot.refused"))?;
            }
            fs::rename(beside, &path)?;
            path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
            Ok(writing)
        });
        let finished = finished.await.map_err(io::Error::other).flatten();
        if finished.is_ok() {
            self.was_refused = false;
            self.retry.pause = FIRST_RETRY;
            self.standing.snapshot_is_written(true);
        }
        self.take(finished);
    }

    pub(in crate::publisher) fn append(&mut self, records: &[Record], gone: &[&str]) {
        let Some(writing) = &mut self.file else { return };
        let removed = gone.iter().map(|hostname| Written::Remove(hostname));
        let changes: Vec<_> = removed.chain(records.iter().map(Written::Put)).collect();
        let written = writing.write(false, &changes);
        self.note(written);
    }

    /// Brings to the disk what was appended, a moment later and without waiting for it; and notes that the file was
    /// true at `as_of`.
    pub(in crate::publisher) async fn settle(&mut self, as_of: i64) {
        let Some(writing) = &mut self.file else { return };
        let settled = writing.settle(as_of).await;
        self.note(settled);
    }

    /// The same at once, for the end of a run.
    pub(in crate::publisher) async fn settle_now(&mut self, as_of: i64) {
        let Some(writing) = &mut self.file else { return };
        let settled = writing.settle_now(as_of).await;
        self.note(settled);
    }

    /// Whether a new full load would make it much smaller, or make one where there is none.
    pub(in crate::publisher) fn is_to_be_renewed(&self) -> bool {
        match &self.file {
            Some(writing) => writing.length > writing.base * 3 / 2 + ROOM_FOR_CHANGES,
            None => self.retry.at <= Instant::now(),
        }
    }

    fn take(&mut self, writing: io::Result<Writing>) {
        match writing {
            Ok(writing) => self.file = Some(writing),
            Err(error) => self.note(Err(error)),
        }
    }

    fn note(&mut self, result: io::Result<()>) {
        let Err(error) = result else { return };
        tracing::warn!(%error, "the snapshot of the directory can't be written: the last one stays");
        self.standing.snapshot_is_written(false);
        self.file = None;
        // What there is of a new one would only fill the disk.
        fs::remove_file(self.beside()).ok();
        self.retry.at = Instant::now() + self.retry.pause;
        self.retry.pause = (self.retry.pause * 2).min(LAST_RETRY);
    }

    fn beside(&self) -> PathBuf {
        self.path.with_extension("snapshot.new")
    }
}

impl Writing {
    fn begin(path: &Path, keyring: &Keyring) -> io::Result<Self> {
        let opened = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path);
        let mut file = opened?;
        let mark = Mark { synced: 0, as_of: 0 };
        file.write_all(&magic())?;
        file.write_all(&mark.to_bytes())?;
        let mut frame = Vec::new();
        frames::write(&mut frame, &keyring.seal(CONTEXT, &crate::sealed::random::<16>()))?;
        file.write_all(&frame)?;
        Ok(Self {
            file: Arc::new(file),
            base: 0,
            length: FRAMES + frame.len() as u64,
            frames: 0,
            mark,
            marked_at: Instant::now(),
            syncing: None,
        })
    }

    fn write(&mut self, is_base: bool, content: &[impl Serialize]) -> io::Result<()> {
        let label = Label {
            number: self.frames,
            is_base,
        };
        let mut frame = Vec::new();
        self.length += frames::write(&mut frame, &(label, content))?;
        self.frames += 1;
        (&*self.file).write_all(&frame)
    }

    fn finish(&mut self, as_of: i64) -> io::Result<()> {
        self.base = self.length;
        self.file.sync_data()?;
        self.set_mark(Mark {
            synced: self.length,
            as_of,
        })?;
        self.file.sync_data()
    }

    async fn settle(&mut self, as_of: i64) -> io::Result<()> {
        if self.syncing.as_ref().is_some_and(|(syncing, _)| syncing.is_finished()) {
            self.end_sync().await?;
        }
        let is_time = |pause| self.marked_at.elapsed() >= pause;
        match self.length > self.mark.synced {
            true if self.syncing.is_none() && is_time(SYNC) => {
                self.begin_sync(as_of);
                Ok(())
            }
            false if is_time(MARK) => self.set_mark(Mark { as_of, ..self.mark }),
            _ => Ok(()),
        }
    }

    async fn settle_now(&mut self, as_of: i64) -> io::Result<()> {
        self.end_sync().await?;
        self.begin_sync(as_of);
        self.end_sync().await
    }

    fn begin_sync(&mut self, as_of: i64) {
        let (file, synced) = (self.file.clone(), self.length);
        let syncing = tokio::task::spawn_blocking(move || file.sync_data());
        self.syncing = Some((syncing, Mark { synced, as_of }));
    }

    async fn end_sync(&mut self) -> io::Result<()> {
        let Some((syncing, mark)) = self.syncing.take() else {
            return Ok(());
        };
        syncing.await.map_err(io::Error::other)??;
        self.set_mark(mark)
    }

    fn set_mark(&mut self, mark: Mark) -> io::Result<()> {
        self.file.write_all_at(&mark.to_bytes(), MAGIC as u64)?;
        self.mark = mark;
        self.marked_at = Instant::now();
        Ok(())
    }
}
