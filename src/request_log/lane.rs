//! One worker's way into the spool. No lock and no wait between workers: each writes to a file of its own.
use std::{
    cell::RefCell,
    io,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering},
    },
};

use super::{
    record::Record,
    spool::{
        Spool,
        segment::{SIZE, Segment},
    },
};
use crate::{
    discovery::hit::{Hit, Log, Logs, Stranger},
    frames,
};

/// Requests for unknown domains that are kept row by row, each minute and node; all are counted.
pub const STRANGERS_A_MINUTE: u32 = 60;

/// The longest frame is of a hostname, a user agent of 120 bytes that may become three times as long, and some ids.
const LONGEST: usize = 1024;

/// After the disk has refused, until it is asked for room again.
const REST_MICROS: u64 = 1_000_000;
const NEVER: i64 = i64::MIN;

/// What the workers of a node share.
pub struct Lanes {
    spool: Arc<Spool>,
    strangers: Strangers,
    dropped: AtomicU64,
    /// When the disk refused, in microseconds since 1970.
    refused_at: AtomicI64,
}

struct Lane {
    shared: Arc<Lanes>,
    segment: RefCell<Option<Arc<Segment>>>,
}

impl Lanes {
    #[must_use]
    pub fn new(spool: Arc<Spool>) -> Arc<Self> {
        Arc::new(Self {
            spool,
            strangers: Strangers::default(),
            dropped: AtomicU64::new(0),
            refused_at: AtomicI64::new(NEVER),
        })
    }

    /// Requests that could not be kept.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// `None`: the disk refuses, or has just done so and is not asked for each request again.
    fn next_segment(&self, now: i64) -> Option<Arc<Segment>> {
        let refused_at = self.refused_at.load(Ordering::Relaxed);
        if refused_at != NEVER && now.abs_diff(refused_at) < REST_MICROS {
            return None;
        }
        let made = self.spool.begin().inspect_err(|error| self.rest(error, now)).ok()?;
        if self.refused_at.swap(NEVER, Ordering::Relaxed) != NEVER {
            tracing::info!("the request log is written again");
        }
        Some(made)
    }

    /// A disk that refuses costs what is asked meanwhile, not the service: it is said once, and tried again.
    fn rest(&self, error: &io::Error, now: i64) {
        if self.refused_at.swap(now, Ordering::Relaxed) == NEVER {
            tracing::error!(%error, "the request log can't be written to disk: requests are served and not logged");
        }
    }
}

impl Logs for Arc<Lanes> {
    fn of_worker(&self) -> Box<dyn Log> {
        Box::new(Lane {
            shared: self.clone(),
            segment: RefCell::default(),
        })
    }
}

impl Log for Lane {
    fn hit(&self, hit: &Hit<'_>) {
        self.keep(&[Record::from(hit)], hit.about.at);
    }

    fn stranger(&self, stranger: &Stranger<'_>) {
        let at = stranger.about.at;
        let count = Record::stranger_count(at, stranger.about.asked, 1);
        match self.shared.strangers.may_be_kept(at) {
            true => self.keep(&[count, Record::from(stranger)], at),
            false => self.keep(&[count], at),
        }
    }
}

impl Lane {
    /// What belongs to one request, in one frame: all of it is kept, or nothing.
    fn keep(&self, records: &[Record<'_>], now: i64) {
        let mut room = [0; LONGEST];
        let is_kept = match frames::encode(&mut room, &records) {
            Some(length) => self.append(&room[..length], now),
            None => false,
        };
        if !is_kept {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn append(&self, frame: &[u8], now: i64) -> bool {
        let mut own = self.segment.borrow_mut();
        let segment = own
            .take()
            .filter(|segment| segment.written() + frame.len() as u64 <= SIZE);
        let Some(segment) = segment.or_else(|| self.shared.next_segment(now)) else {
            return false;
        };
        match segment.append(frame) {
            Ok(()) => {
                *own = Some(segment);
                true
            }
            // Half a frame may stand there: what comes next goes to another file.
            Err(error) => {
                self.shared.rest(&error, now);
                false
            }
        }
    }
}

/// How many more of the unknown may be kept in this minute.
#[derive(Default)]
struct Strangers {
    minute: AtomicI64,
    left: AtomicU32,
}

impl Strangers {
    fn may_be_kept(&self, at: i64) -> bool {
        let minute = at / 60_000_000;
        if self.minute.load(Ordering::Relaxed) != minute && self.minute.swap(minute, Ordering::Relaxed) != minute {
            self.left.store(STRANGERS_A_MINUTE, Ordering::Relaxed);
        }
        let take = |left: u32| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }
}
