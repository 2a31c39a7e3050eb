//! The request log's front: each worker writes what it answers to files in the state directory, before the answer
//! leaves, so that neither a slow database nor a `kill -9` loses what was asked. Once a second they are handed to the
//! disk: a loss of power costs no more than that.
//!
//! Files are segments of frames (`frames`), each written by one worker. Whoever ships reads them from positions that
//! are stored with what was shipped; see `shipper`. A segment stays a while after it was shipped: a database that fails
//! over to a replica may have lost the last that it said it had.
mod lane;
mod segment;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, BufReader, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::record::Record;
use crate::frames;
use segment::Segment;

/// What lies on disk may take this much; then newer requests are not kept, and counted.
const MAX_BACKLOG: u64 = 1024 * 1024 * 1024;
/// What was shipped is kept for so long, and takes no more than this.
const KEPT: Duration = Duration::from_secs(10 * 60);
const MAX_KEPT: u64 = 128 * 1024 * 1024;
/// After a failure, until the disk is asked for room again.
const REST_MICROS: i64 = 1_000_000;
/// Requests for unknown domains that are kept row by row, each minute and node; all are counted.
pub const STRANGERS_A_MINUTE: u32 = 60;

/// Records that are shipped at once.
pub const BATCH: usize = 4_000;

/// How far each segment was shipped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Positions {
    /// Segments before this are done.
    pub floor: u64,
    /// The byte in it where what is next begins; those that are missing were not begun.
    pub segments: BTreeMap<u64, u64>,
}

impl Positions {
    fn of(&self, segment: u64) -> u64 {
        match segment < self.floor {
            true => u64::MAX,
            false => self.segments.get(&segment).copied().unwrap_or(0),
        }
    }
}

/// What was read of one segment.
#[derive(Debug)]
pub struct Taken {
    pub segment: u64,
    /// The byte behind it.
    pub to: u64,
    pub records: Vec<Record<'static>>,
}

/// How far a segment has come.
enum State {
    /// A worker writes to it.
    Live(Arc<Segment>),
    /// Nobody will write to it again. It may end in a torn frame.
    Over,
    /// Shipped up to its end, which is this byte, and seen to be so then.
    Done(u64, Instant),
}

/// What both ends know of the spool.
pub struct Spool {
    directory: PathBuf,
    id: Uuid,
    /// Of the next segment.
    next: AtomicU64,
    segments: Mutex<BTreeMap<u64, State>>,
    /// Of the files.
    bytes: AtomicU64,
    has_new: AtomicBool,
    dropped: AtomicU64,
    is_failing: AtomicBool,
    /// Microseconds since 1970.
    failed_at: AtomicI64,
    stranger_minute: AtomicI64,
    stranger_permits: AtomicU32,
}

impl Spool {
    /// Opens the spool of `state_dir`, made at the first call.
    pub fn open(state_dir: &Path) -> io::Result<Arc<Self>> {
        let directory = state_dir.join("spool");
        fs::create_dir_all(&directory)?;
        let id = id_of(&directory)?;
        let mut segments = BTreeMap::new();
        let mut bytes = 0;
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if let Some(number) = number_of(&entry.file_name().to_string_lossy()) {
                bytes += entry.metadata()?.len();
                segments.insert(number, State::Over);
            }
        }
        let next = segments.last_key_value().map_or(1, |(last, _)| last + 1);
        Ok(Arc::new(Self {
            directory,
            id,
            next: AtomicU64::new(next),
            segments: Mutex::new(segments),
            bytes: AtomicU64::new(bytes),
            has_new: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            failed_at: AtomicI64::new(i64::MIN),
            stranger_minute: AtomicI64::new(i64::MIN),
            stranger_permits: AtomicU32::new(0),
        }))
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

    /// Records that could not be kept.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The oldest segment that is there, or the next one.
    #[must_use]
    pub fn oldest(&self) -> u64 {
        let oldest = self.segments().first_key_value().map(|(number, _)| *number);
        oldest.unwrap_or_else(|| self.next.load(Ordering::Relaxed))
    }

    /// Bytes that lie behind `positions`; the last segments of an earlier run count as full.
    #[must_use]
    pub fn unshipped(&self, positions: &Positions) -> u64 {
        let behind = |(number, state): (&u64, &State)| {
            let end = match state {
                State::Live(segment) => segment.written(),
                State::Over => segment::SIZE,
                State::Done(end, _) => *end,
            };
            end.saturating_sub(positions.of(*number))
        };
        self.segments().iter().map(behind).sum()
    }

    /// Reads what comes after `positions`, the oldest segments first; about `most` records.
    pub fn read(&self, positions: &Positions, most: usize) -> io::Result<Vec<Taken>> {
        let mut taken = Vec::new();
        let mut left = most;
        for (segment, is_over) in self.unread(positions) {
            if left == 0 {
                break;
            }
            let from = positions.of(segment);
            let (records, to) = read(&self.path(segment), from, left)?;
            left = left.saturating_sub(records.len());
            if !records.is_empty() {
                taken.push(Taken { segment, to, records });
            } else if is_over {
                self.segments().insert(segment, State::Done(from, Instant::now()));
            }
        }
        Ok(taken)
    }

    /// Which segments may hold more, and whether each is over: asked before they are read, for what is written later
    /// is read later.
    fn unread(&self, positions: &Positions) -> Vec<(u64, bool)> {
        let may_hold_more = |(number, state): (&u64, &State)| match state {
            _ if *number < positions.floor => None,
            State::Live(segment) => (segment.written() > positions.of(*number)).then_some((*number, false)),
            State::Over => Some((*number, true)),
            State::Done(end, _) => (*end > positions.of(*number)).then_some((*number, true)),
        };
        self.segments().iter().filter_map(may_hold_more).collect()
    }

    /// Hands what was written to the disk. Once a second.
    pub fn sync(&self) -> io::Result<()> {
        let live: Vec<_> = self.segments().values().filter_map(State::live).collect();
        for segment in &live {
            segment.sync()?;
        }
        drop(live);
        if self.has_new.swap(false, Ordering::Relaxed) {
            File::open(&self.directory)?.sync_all()?;
        }
        for state in self.segments().values_mut() {
            // Its worker has another one, or is no more.
            if matches!(state, State::Live(segment) if Arc::strong_count(segment) == 1 && segment.is_synced()) {
                *state = State::Over;
            }
        }
        Ok(())
    }

    /// Deletes what was shipped a while ago.
    pub fn forget_shipped(&self, now: Instant) -> io::Result<()> {
        let mut segments = self.segments();
        let done = |state: &State| match state {
            State::Done(_, since) => Some(*since),
            State::Live(_) | State::Over => None,
        };
        let mut kept = segments.values().filter_map(done).count() as u64 * segment::SIZE;
        let numbers: Vec<_> = segments.keys().copied().collect();
        for number in numbers {
            let Some(since) = segments.get(&number).and_then(done) else {
                continue;
            };
            if kept > MAX_KEPT || now.saturating_duration_since(since) >= KEPT {
                let path = self.path(number);
                let length = fs::metadata(&path)?.len();
                fs::remove_file(&path)?;
                segments.remove(&number);
                self.bytes.fetch_sub(length, Ordering::Relaxed);
                kept -= segment::SIZE;
            }
        }
        Ok(())
    }

    fn next_segment(&self) -> io::Result<Arc<Segment>> {
        if self.bytes() >= MAX_BACKLOG {
            return Err(io::Error::other("the spool has reached its limit of 1 GiB"));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let segment = Arc::new(Segment::create(&self.path(number))?);
        self.bytes.fetch_add(segment::SIZE, Ordering::Relaxed);
        self.segments().insert(number, State::Live(segment.clone()));
        self.has_new.store(true, Ordering::Relaxed);
        Ok(segment)
    }

    /// Whether the disk has just refused: it is not asked for each request again.
    fn is_resting(&self, now: i64) -> bool {
        now.saturating_sub(self.failed_at.load(Ordering::Relaxed)) < REST_MICROS
    }

    fn kept(&self) {
        if self.is_failing.load(Ordering::Relaxed) && self.is_failing.swap(false, Ordering::Relaxed) {
            tracing::info!("the request log is written again");
        }
    }

    /// A disk that refuses costs the record, not the service: it is counted, said once, and tried again.
    fn lost(&self, why: Option<(io::Error, i64)>) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if let Some((error, now)) = why {
            self.failed_at.store(now, Ordering::Relaxed);
            if !self.is_failing.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "the request log can't be written to disk: requests are served and not logged");
            }
        }
    }

    fn may_keep_stranger(&self, at: i64) -> bool {
        let minute = at / 60_000_000;
        if self.stranger_minute.swap(minute, Ordering::Relaxed) != minute {
            self.stranger_permits.store(STRANGERS_A_MINUTE, Ordering::Relaxed);
        }
        let take = |left: u32| left.checked_sub(1);
        self.stranger_permits
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    fn segments(&self) -> MutexGuard<'_, BTreeMap<u64, State>> {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, segment: u64) -> PathBuf {
        self.directory.join(format!("{segment:016}.log"))
    }
}

impl State {
    fn live(&self) -> Option<Arc<Segment>> {
        match self {
            Self::Live(segment) => Some(segment.clone()),
            Self::Over | Self::Done(..) => None,
        }
    }
}

fn id_of(directory: &Path) -> io::Result<Uuid> {
    let file = directory.join("id");
    match fs::read_to_string(&file) {
        Ok(text) => text
            .trim()
            .parse()
            .map_err(|_| io::Error::other(format!("{} holds no UUID", file.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = Uuid::now_v7();
            fs::write(&file, id.to_string())?;
            Ok(id)
        }
        Err(error) => Err(error),
    }
}

fn number_of(name: &str) -> Option<u64> {
    name.strip_suffix(".log")?.parse().ok()
}

/// Whole frames from `from` on, and the byte behind them.
fn read(path: &Path, from: u64, most: usize) -> io::Result<(Vec<Record<'static>>, u64)> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut reader = BufReader::new(file);
    let (mut all, mut to) = (Vec::new(), from);
    while all.len() < most
        && let Some(records) = frames::read::<Vec<Record<'static>>>(&mut reader)?
    {
        all.extend(records);
        to = reader.stream_position()?;
    }
    Ok((all, to))
}

#[cfg(test)]
mod tests;
