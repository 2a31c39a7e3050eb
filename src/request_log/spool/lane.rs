//! One worker's way into the spool. No lock and no wait between workers: each writes to a file of its own.
use std::{cell::RefCell, io, sync::Arc};

use super::{Spool, segment::Segment};
use crate::{
    discovery::hit::{Hit, Log, Logs, Stranger},
    frames,
    request_log::record::Record,
};

/// The longest record is a hostname, a user agent of 120 bytes that may become three times as long, and some ids.
const LONGEST: usize = 1024;

pub struct Lane {
    spool: Arc<Spool>,
    segment: RefCell<Option<Arc<Segment>>>,
}

impl Logs for Arc<Spool> {
    fn of_worker(&self) -> Box<dyn Log> {
        Box::new(Lane {
            spool: self.clone(),
            segment: RefCell::new(None),
        })
    }
}

impl Log for Lane {
    fn hit(&self, hit: &Hit<'_>) {
        self.keep(&Record::from(hit), hit.about.at);
    }

    fn stranger(&self, stranger: &Stranger<'_>) {
        let about = &stranger.about;
        self.keep(&Record::stranger_count(about.at, about.asked, 1), about.at);
        if self.spool.may_keep_stranger(about.at) {
            self.keep(&Record::from(stranger), about.at);
        }
    }
}

impl Lane {
    fn keep(&self, record: &Record<'_>, now: i64) {
        let mut room = [0; LONGEST];
        // A sequence of one: a frame may hold more.
        let Some(length) = frames::encode(&mut room, &[record].as_slice()) else {
            return self.spool.lost(None);
        };
        let is_begun = self.segment.borrow().is_some();
        if !is_begun && self.spool.is_resting(now) {
            return self.spool.lost(None);
        }
        match self.append(&room[..length]) {
            Ok(()) => self.spool.kept(),
            Err(error) => self.spool.lost(Some((error, now))),
        }
    }

    fn append(&self, frame: &[u8]) -> io::Result<()> {
        let mut own = self.segment.borrow_mut();
        let segment = match own.take().filter(|segment| segment.has_room_for(frame)) {
            Some(segment) => segment,
            None => self.spool.next_segment()?,
        };
        // After a failure another one is begun.
        segment.append(frame)?;
        *own = Some(segment);
        Ok(())
    }
}
