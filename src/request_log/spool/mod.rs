//! The request log's front: each worker writes what it answers to files in the state directory, before the answer
//! leaves, so that neither a slow database nor a `kill -9` loses what was asked. Once a second they are handed to the
//! disk: a loss of power costs no more than that.
//!
//! Files are segments of frames (`frames`), each written by one worker (`lane`). Whoever ships reads them from
//! positions that are stored with what was shipped; see `shipper`. A segment stays a while after it was shipped: a
//! database that fails over to a replica may have lost the last that it said it had.
pub mod reading;
pub mod segment;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{positions::Positions, record::Record};
use reading::Read;
use segment::Segment;

/// What lies on disk may take this much; then newer requests are not kept, and counted.
const MAX_BACKLOG: u64 = 1024 * 1024 * 1024;
/// What was shipped is kept for so long, and takes no more than this.
const KEPT: Duration = Duration::from_secs(10 * 60);
const MAX_KEPT: u64 = 128 * 1024 * 1024;

/// What was read of one segment.
#[derive(Debug)]
pub struct Taken {
    pub segment: u64,
    /// The byte behind it.
    pub to: u64,
    pub read: Read<Record<'static>>,
}

/// A file, and how far it has come.
#[derive(Default)]
struct Known {
    /// While a worker writes to it.
    live: Option<Arc<Segment>>,
    /// Where it ends. One of an earlier run may do so before.
    end: u64,
    /// Since when it is known to be shipped to its end.
    done: Option<Instant>,
}

impl Known {
    fn end(&self) -> u64 {
        self.live.as_ref().map_or(self.end, |segment| segment.written())
    }

    /// What it takes of the disk. Those of earlier versions may take less.
    fn size(&self) -> u64 {
        self.end().max(segment::SIZE)
    }
}

/// What both ends know of the spool.
pub struct Spool {
    directory: PathBuf,
    id: Uuid,
    /// The number of the next segment.
    next: AtomicU64,
    segments: Mutex<BTreeMap<u64, Known>>,
}

impl Spool {
    /// Opens the spool of `state_dir`, made at the first call. For one process at a time.
    pub fn open(state_dir: &Path) -> io::Result<Arc<Self>> {
        let directory = state_dir.join("spool");
        fs::create_dir_all(&directory)?;
        let mut segments = BTreeMap::<u64, Known>::new();
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(number) = name.strip_suffix(".log").and_then(|number| number.parse().ok()) {
                segments.entry(number).or_default().end = entry.metadata()?.len();
            }
        }
        // By the time, so that no number comes again if the directory is set back or emptied: what was said to be
        // shipped of a number is never said of another file.
        let next = segments.last_key_value().map_or(1, |(last, _)| last + 1);
        #[expect(clippy::disallowed_methods, reason = "the spool asks no database")]
        let now = u64::try_from(crate::clock::now().timestamp_micros()).unwrap_or_default();
        Ok(Arc::new(Self {
            id: id_of(&directory, segments.is_empty())?,
            directory,
            next: AtomicU64::new(next.max(now)),
            segments: Mutex::new(segments),
        }))
    }

    /// Tells this node's spool from another's.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Bytes that it takes on disk, shipped or not.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.segments().values().map(Known::size).sum()
    }

    /// The oldest segment that is there, or the next one.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        let segments = self.segments();
        let oldest = segments.first_key_value().map(|(number, _)| *number);
        oldest.unwrap_or_else(|| self.next.load(Ordering::Relaxed))
    }

    /// Bytes that lie behind `positions`; the last segments of an earlier run count as full.
    #[must_use]
    pub fn unshipped(&self, positions: &Positions) -> u64 {
        let behind = |(number, known): (&u64, &Known)| known.end().saturating_sub(positions.of(*number));
        self.segments().iter().map(behind).sum()
    }

    /// Reads what comes after `positions`, the oldest segments first; about `most` records. A file that can't be read
    /// does not stand in the way of the others.
    pub fn read(&self, positions: &Positions, most: usize) -> io::Result<Vec<Taken>> {
        let ends: Vec<_> = self
            .segments()
            .iter()
            .map(|(number, known)| (*number, known.end()))
            .collect();
        let (mut taken, mut left, mut failed) = (Vec::new(), most, None);
        for (segment, end) in ends {
            let from = positions.of(segment);
            if from >= end || left == 0 {
                continue;
            }
            match self.read_one(segment, from, end, left) {
                Ok(one) => {
                    left = left.saturating_sub(one.read.records.len());
                    taken.push(one);
                }
                Err(error) => failed = Some(error),
            }
        }
        match failed {
            Some(error) if taken.is_empty() => Err(error),
            _ => Ok(taken),
        }
    }

    fn read_one(&self, segment: u64, from: u64, end: u64, most: usize) -> io::Result<Taken> {
        let mut bytes = Vec::new();
        match File::open(self.path(segment)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            file => {
                let mut file = file?;
                file.seek(SeekFrom::Start(from))?;
                file.take(end - from).read_to_end(&mut bytes)?;
            }
        }
        let mut read = reading::read(&bytes, most);
        read.damaged += u64::from(from + (bytes.len() as u64) < end);
        let is_all = read.length == bytes.len();
        let to = if is_all { end } else { from + read.length as u64 };
        Ok(Taken { segment, to, read })
    }

    /// Hands what was written to the disk. Once a second.
    pub fn sync(&self) -> io::Result<()> {
        let live: Vec<_> = self
            .segments()
            .values()
            .filter_map(|known| known.live.clone())
            .collect();
        if live.iter().any(|segment| segment.synced() == 0) {
            File::open(&self.directory)?.sync_all()?;
        }
        let result = live.iter().map(|segment| segment.sync()).fold(Ok(()), io::Result::and);
        drop(live);
        for known in self.segments().values_mut() {
            // Its worker has another one, or is no more: nobody will write to it again.
            known.live.take_if(|segment| {
                Arc::get_mut(segment).is_some_and(|segment| {
                    known.end = segment.written();
                    segment.synced() == known.end
                })
            });
        }
        result
    }

    /// Deletes what was shipped a while ago. Never the newest file: its number tells the next start where to go on.
    pub fn forget_shipped(&self, positions: &Positions, now: Instant) -> io::Result<()> {
        let (mut gone, mut kept) = (Vec::new(), 0);
        for (number, known) in self.segments().iter_mut().rev().skip(1) {
            let is_done = known.live.is_none() && positions.of(*number) >= known.end;
            known.done = is_done.then_some(known.done.unwrap_or(now));
            if let Some(since) = known.done {
                kept += known.size();
                if kept > MAX_KEPT || now.saturating_duration_since(since) >= KEPT {
                    gone.push(*number);
                }
            }
        }
        for number in gone {
            match fs::remove_file(self.path(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.segments().remove(&number),
            };
        }
        Ok(())
    }

    /// Begins another segment. One at a time: none may be missing when a newer one, and so the oldest, is known.
    pub fn begin(&self) -> io::Result<Arc<Segment>> {
        let mut segments = self.segments();
        if segments.values().map(Known::size).sum::<u64>() + segment::SIZE > MAX_BACKLOG {
            return Err(io::Error::other("the spool has reached its limit of 1 GiB"));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let segment = Arc::new(Segment::create(&self.path(number))?);
        segments.entry(number).or_default().live = Some(segment.clone());
        Ok(segment)
    }

    fn segments(&self) -> MutexGuard<'_, BTreeMap<u64, Known>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.directory.join(format!("{segment:016}.log"))
    }
}

/// Made once, whole or not at all. Not beside segments: under another id all would be shipped again.
fn id_of(directory: &Path, is_empty: bool) -> io::Result<Uuid> {
    let file = directory.join("id");
    if is_empty && !file.try_exists()? {
        let beside = directory.join("id.new");
        fs::write(&beside, Uuid::now_v7().to_string())?;
        File::open(&beside)?.sync_all()?;
        fs::rename(beside, &file)?;
        File::open(directory)?.sync_all()?;
    }
    fs::read_to_string(&file)
        .and_then(|text| text.trim().parse().map_err(io::Error::other))
        .map_err(|error| io::Error::other(format!("{}: {error}", file.display())))
}

#[cfg(test)]
mod tests;
