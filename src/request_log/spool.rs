//! The request log's front: a thread that empties the queue to files in the state directory, so that
//! neither a slow database nor a `kill -9` loses what was asked.
//!
//! Files are segments of frames (`frames`), each frame one batch. Whoever ships reads them from a
//! position that is stored with what was shipped; see `shipper`.
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::record::Record;
use crate::{discovery::hit::Queue, frames};

const SEGMENT: u64 = 8 * 1024 * 1024;
/// What is not shipped may take this much disk; then newer requests are dropped, and counted.
const MAX_BACKLOG: u64 = 1024 * 1024 * 1024;
const TICK: Duration = Duration::from_millis(25);
/// Records in one frame: what a shipper takes at once.
pub const BATCH: usize = 4_000;

/// A place in the spool: a segment and the byte in it where the next frame starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub segment: u64,
    pub offset: u64,
}

/// What both ends know of the spool.
pub struct Spool {
    directory: PathBuf,
    id: Uuid,
    stopping: AtomicBool,
    bytes: AtomicU64,
    dropped: AtomicU64,
    written: AtomicU64,
}

impl Spool {
    /// Opens the spool of `state_dir`, made at the first call.
    pub fn open(state_dir: &Path) -> io::Result<Arc<Self>> {
        let directory = state_dir.join("spool");
        fs::create_dir_all(&directory)?;
        let id_file = directory.join("id");
        let id = match fs::read_to_string(&id_file) {
            Ok(text) => text
                .trim()
                .parse()
                .map_err(|_| io::Error::other(format!("{} holds no UUID", id_file.display())))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let id = Uuid::now_v7();
                fs::write(&id_file, id.to_string())?;
                id
            }
            Err(error) => return Err(error),
        };
        let spool = Self {
            directory,
            id,
            stopping: AtomicBool::new(false),
            bytes: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            written: AtomicU64::new(0),
        };
        let bytes = spool.segments()?.into_iter().map(|(_, length)| length).sum();
        spool.bytes.store(bytes, Ordering::Relaxed);
        Ok(Arc::new(spool))
    }

    /// Tells this node's spool from another's.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Bytes on disk, shipped or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Records written since the start.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Records that found no room.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Empties `queue` until [`Spool::stop`], and then once more. For a thread of its own: disks stall.
    pub fn run(&self, queue: &Queue) -> io::Result<()> {
        let mut writer = self.writer()?;
        let mut minute = Instant::now();
        loop {
            // Read before draining: what is pushed before the stop is written.
            let is_last = self.stopping.load(Ordering::Acquire);
            if minute.elapsed() >= Duration::from_secs(60) {
                minute = Instant::now();
                queue.renew_stranger_permits();
            }
            while let Some(batch) = drain(queue) {
                writer.append(self, &batch);
            }
            if is_last {
                return Ok(());
            }
            std::thread::sleep(TICK);
        }
    }

    /// Lets [`Spool::run`] return after it has written what is queued.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Reads the next frame at or after `from`; returns it with the position behind it.
    pub fn read(&self, from: Position) -> io::Result<Option<(Vec<Record>, Position)>> {
        let segments = self.segments()?;
        for (segment, length) in segments.iter().copied().filter(|(segment, _)| *segment >= from.segment) {
            let offset = if segment == from.segment { from.offset } else { 0 };
            if offset >= length {
                continue;
            }
            let mut file = File::open(self.path(segment))?;
            file.seek(SeekFrom::Start(offset))?;
            let mut reader = BufReader::new(file);
            if let Some(records) = frames::read(&mut reader)? {
                return Ok(Some((
                    records,
                    Position {
                        segment,
                        offset: reader.stream_position()?,
                    },
                )));
            }
            // The end of what is whole. Only in the newest segment can the rest still come.
            if segments.last().is_none_or(|(newest, _)| *newest == segment) {
                return Ok(None);
            }
        }
        Ok(None)
    }

    /// Deletes the segments before `position`.
    pub fn forget_before(&self, position: Position) -> io::Result<()> {
        for (segment, length) in self
            .segments()?
            .into_iter()
            .filter(|(segment, _)| *segment < position.segment)
        {
            fs::remove_file(self.path(segment))?;
            self.bytes.fetch_sub(length, Ordering::Relaxed);
        }
        Ok(())
    }

    /// `(number, length)`, oldest first.
    fn segments(&self) -> io::Result<Vec<(u64, u64)>> {
        let mut segments = Vec::new();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name
                .to_str()
                .and_then(|name| name.strip_suffix(".log"))
                .and_then(|number| number.parse().ok());
            if let Some(number) = number {
                segments.push((number, entry.metadata()?.len()));
            }
        }
        segments.sort_unstable();
        Ok(segments)
    }

    /// A new segment at every start: the last one may end in a torn frame.
    fn writer(&self) -> io::Result<Writer> {
        let number = self.segments()?.last().map_or(1, |(newest, _)| newest + 1);
        Writer::create(self, number)
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.directory.join(format!("{segment:016}.log"))
    }
}

fn drain(queue: &Queue) -> Option<Vec<Record>> {
    let mut batch: Vec<Record> = std::iter::from_fn(|| queue.pop())
        .take(BATCH)
        .map(Record::from)
        .collect();
    batch.extend(std::iter::from_fn(|| queue.pop_stranger()).map(Record::from));
    let at = crate::clock::now().timestamp_micros();
    batch.extend(
        queue
            .take_stranger_counts()
            .map(|(asked, count)| Record::stranger_count(at, asked, count)),
    );
    (!batch.is_empty()).then_some(batch)
}

struct Writer {
    file: File,
    number: u64,
    length: u64,
    is_failing: bool,
}

impl Writer {
    fn create(spool: &Spool, number: u64) -> io::Result<Self> {
        let file = OpenOptions::new()
            .create_new(true)
            .append(true)
            .mode(0o600)
            .open(spool.path(number))?;
        Ok(Self {
            file,
            number,
            length: 0,
            is_failing: false,
        })
    }

    /// A disk that refuses costs the batch, not the service: it is counted, said once, and tried again.
    fn append(&mut self, spool: &Spool, batch: &[Record]) {
        if spool.bytes() >= MAX_BACKLOG {
            spool.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
            return;
        }
        let result = self.try_append(spool, batch);
        if let Err(error) = &result {
            spool.dropped.fetch_add(batch.len() as u64, Ordering::Relaxed);
            if !self.is_failing {
                tracing::error!(%error, "the request log can't be written to disk: requests are served and not logged");
            }
        }
        self.is_failing = result.is_err();
    }

    fn try_append(&mut self, spool: &Spool, batch: &[Record]) -> io::Result<()> {
        // After a failure the segment may end in half a frame: go on in a new one.
        if self.length >= SEGMENT || self.is_failing {
            *self = Self {
                is_failing: self.is_failing,
                ..Self::create(spool, self.number + 1)?
            };
        }
        let mut frame = Vec::with_capacity(batch.len() * 200);
        let length = frames::write(&mut frame, &batch)?;
        self.file.write_all(&frame)?;
        self.length += length;
        spool.bytes.fetch_add(length, Ordering::Relaxed);
        spool.written.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::query::Asked;

    fn drain_all(spool: &Spool) -> Vec<Record> {
        let mut position = Position { segment: 0, offset: 0 };
        let mut all = Vec::new();
        while let Some((records, next)) = spool.read(position).expect("readable") {
            assert!(next > position);
            all.extend(records);
            position = next;
        }
        all
    }

    #[test]
    fn what_was_written_is_read_once_in_order_across_restarts_and_torn_frames() {
        let directory = std::env::temp_dir().join(format!("signpost-spool-{}", Uuid::now_v7()));
        let record = |count| Record::stranger_count(1, Asked::None, count);
        for start in 0..3 {
            let spool = Spool::open(&directory).expect("opens");
            let mut writer = spool.writer().expect("writable");
            writer.append(&spool, &[record(start * 2)]);
            writer.append(&spool, &[record(start * 2 + 1)]);
            // A crash in the middle of a frame.
            writer.file.write_all(&[9, 0, 0, 0, 1]).expect("written");
        }
        let spool = Spool::open(&directory).expect("opens");
        assert_eq!(drain_all(&spool), (0..6).map(record).collect::<Vec<_>>());
        spool
            .forget_before(Position { segment: 3, offset: 0 })
            .expect("deleted");
        assert_eq!(drain_all(&spool), (4..6).map(record).collect::<Vec<_>>());
        fs::remove_dir_all(directory).expect("removed");
    }
}
