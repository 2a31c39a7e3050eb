//! Reads a snapshot twice: first all of it, whether it may be believed; then what it holds, on all cores. Nothing is
//! handed out before the whole is known to be good.
use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, Read},
    num::NonZeroUsize,
    os::unix::fs::FileExt,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use chrono::{DateTime, Utc};

use super::{CONTEXT, Change, FRAMES, Label, MAGIC, MARK, Mark, NAME, Refusal, magic};
use crate::{
    frames,
    publisher::record::Record,
    sealed::{Keyring, SealError},
};

/// Changed records that one thread takes at a time.
const CHUNK: usize = 500;

/// What there is on the disk.
pub enum Found {
    Nothing,
    Refused(Refusal),
    Good(Contents),
}

/// A snapshot that was looked through.
pub struct Contents {
    file: File,
    base: Vec<Place>,
    changes: Vec<Place>,
    /// Seconds since 1970: then it was the same as the database.
    pub as_of: i64,
    /// Behind what is surely on the disk there was a frame that is not whole.
    pub is_torn: bool,
}

/// A frame's payload, behind its label.
#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    length: usize,
}

pub fn find(path: &Path, keyring: &Keyring) -> Found {
    match File::open(path)
        .map_err(Refusal::from)
        .and_then(|file| check(file, keyring))
    {
        Ok(contents) => Found::Good(contents),
        Err(Refusal::Unreadable(error)) if error.kind() == io::ErrorKind::NotFound => Found::Nothing,
        Err(refusal) => Found::Refused(refusal),
    }
}

fn check(file: File, keyring: &Keyring) -> Result<Contents, Refusal> {
    let length = file.metadata()?.len();
    let mark = mark(&file, length)?;
    let mut reader = BufReader::with_capacity(1 << 20, file.try_clone()?);
    io::copy(&mut (&mut reader).take(FRAMES), &mut io::sink())?;
    let mut contents = Contents {
        file,
        base: Vec::new(),
        changes: Vec::new(),
        as_of: mark.as_of,
        is_torn: false,
    };
    let (mut offset, mut number, mut payload) = (FRAMES, 0, Vec::new());
    while offset < length {
        let whole = frames::read_payload(&mut reader, length - offset, &mut payload)?;
        let Some(end) = whole.map(|size| offset + size) else {
            break;
        };
        if offset == FRAMES {
            authenticate(&payload, keyring)?;
        } else if contents.note(&payload, number, end).is_none() {
            break;
        } else {
            number += 1;
        }
        offset = end;
    }
    contents.is_torn = offset < length;
    // A frame that is not whole where all is known to have been on the disk.
    match offset < mark.synced {
        true => Err(Refusal::Damaged(offset)),
        false => Ok(contents),
    }
}

fn mark(file: &File, length: u64) -> Result<Mark, Refusal> {
    let mut head = [0; MAGIC + MARK];
    if length < FRAMES {
        return Err(Refusal::CutOff);
    }
    file.read_exact_at(&mut head, 0)?;
    if head[..MAGIC] != magic() {
        // What another version wrote may be good for that one.
        return Err(match head.starts_with(NAME.as_bytes()) {
            true => Refusal::OtherVersion,
            false => Refusal::Damaged(0),
        });
    }
    let bytes = head[MAGIC..].try_into().map_err(io::Error::other)?;
    let mark = Mark::parse(bytes).ok_or(Refusal::Damaged(MAGIC as u64))?;
    match mark.synced {
        // It was never put in force by us.
        ..=FRAMES => Err(Refusal::Damaged(MAGIC as u64)),
        synced if synced > length => Err(Refusal::CutOff),
        _ => Ok(mark),
    }
}

fn authenticate(payload: &[u8], keyring: &Keyring) -> Result<(), Refusal> {
    let sealed: Vec<u8> = postcard::from_bytes(payload).map_err(|_| Refusal::Damaged(FRAMES))?;
    match keyring.open(CONTEXT, &sealed) {
        Ok(_) => Ok(()),
        Err(SealError::UnknownKey) => Err(Refusal::OtherInstallation),
        Err(SealError::Malformed | SealError::Forged) => Err(Refusal::Damaged(FRAMES)),
    }
}

impl Contents {
    /// Where the frame is that ends at `end`. `None`: it does not belong there.
    fn note(&mut self, payload: &[u8], number: u64, end: u64) -> Option<()> {
        let (label, rest) = postcard::take_from_bytes::<Label>(payload).ok()?;
        let place = Place {
            offset: end - rest.len() as u64,
            length: rest.len(),
        };
        match (label.is_base, self.changes.is_empty()) {
            _ if label.number != number => return None,
            (true, true) => self.base.push(place),
            (true, false) => return None,
            (false, _) => self.changes.push(place),
        }
        Some(())
    }

    pub fn as_of(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.as_of, 0).unwrap_or_default()
    }

    /// Hands out every hostname once, as it was last, on all cores. Returns how many there are. After an error some
    /// were handed out already.
    pub fn publish(&self, put: impl Fn(Record) + Sync) -> Result<usize, Refusal> {
        let changed = self.changed()?;
        let count = AtomicUsize::new(0);
        let hand_out = |record: Record| {
            count.fetch_add(1, Ordering::Relaxed);
            put(record);
        };
        on_all_cores(&self.base, |place| {
            let records: Vec<Record> = self.read(*place)?;
            let is_unchanged = |record: &Record| !changed.contains_key(record.hostname.as_str());
            records.into_iter().filter(is_unchanged).for_each(hand_out);
            Ok(())
        })?;
        let mut records: Vec<Record> = changed.into_values().flatten().collect();
        let mut chunks = Vec::new();
        while !records.is_empty() {
            chunks.push(Mutex::new(records.split_off(records.len().saturating_sub(CHUNK))));
        }
        on_all_cores(&chunks, |chunk| {
            let records = std::mem::take(&mut *chunk.lock().unwrap_or_else(PoisonError::into_inner));
            records.into_iter().for_each(hand_out);
            Ok(())
        })?;
        Ok(count.into_inner())
    }

    /// What is known of each hostname that changed; `None`: it is gone.
    fn changed(&self) -> Result<HashMap<String, Option<Record>>, Refusal> {
        let mut changed = HashMap::new();
        for place in &self.changes {
            for change in self.read::<Change>(*place)? {
                match change {
                    Change::Put(record) => changed.insert(record.hostname.clone(), Some(record)),
                    Change::Remove(hostname) => changed.insert(hostname, None),
                };
            }
        }
        Ok(changed)
    }

    fn read<T: serde::de::DeserializeOwned>(&self, place: Place) -> Result<Vec<T>, Refusal> {
        let mut payload = vec![0; place.length];
        self.file.read_exact_at(&mut payload, place.offset)?;
        postcard::from_bytes(&payload).map_err(|_| Refusal::Damaged(place.offset))
    }
}

/// Does `work` on all of `items`, each once, or on as many as come before one fails.
fn on_all_cores<T: Sync>(items: &[T], work: impl Fn(&T) -> Result<(), Refusal> + Sync) -> Result<(), Refusal> {
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
            work(item)?;
        }
        Ok(())
    };
    let cores = thread::available_parallelism()
        .map_or(1, NonZeroUsize::get)
        .min(items.len());
    thread::scope(|scope| {
        let others: Vec<_> = (1..cores).map(|_| scope.spawn(run)).collect();
        let own = run();
        others.into_iter().fold(own, |result, other| {
            let other = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            result.and(other)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_with_any_bit_turned_is_damaged() {
        let mark = Mark {
            synced: 123_456,
            as_of: 1_800_000_000,
        };
        let bytes = mark.to_bytes();
        assert_eq!(Mark::parse(&bytes), Some(mark));
        for bit in 0..MARK * 8 {
            let mut turned = bytes;
            turned[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Mark::parse(&turned), None, "bit {bit}");
        }
        assert_eq!(magic().len(), MAGIC);
    }
}
