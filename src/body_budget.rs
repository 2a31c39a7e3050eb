//! Bytes of request bodies that are being read: a bound for the whole process, beside the bound that each operation has
//! for one body.
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bodies that are being read hold at most this much together.
const MAX_BODY_BYTES: usize = 128 * 1024 * 1024;

static USED: AtomicUsize = AtomicUsize::new(0);

/// Bytes that one body holds, until it is dropped.
#[derive(Default)]
pub struct Reservation {
    bytes: usize,
}

/// Bodies that are being read hold as much as they may.
#[derive(Debug, thiserror::Error)]
#[error("the bodies that are being read hold {MAX_BODY_BYTES} bytes, the most that they may")]
pub struct Exhausted;

impl Reservation {
    /// Adds what has just arrived.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        if USED.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_BODY_BYTES {
            USED.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Exhausted);
        }
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        USED.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reserved_is_given_back_and_more_than_all_is_refused() {
        let (mut first, mut second) = (Reservation::default(), Reservation::default());
        assert!(first.grow(MAX_BODY_BYTES - 10).is_ok());
        assert!(second.grow(11).is_err());
        assert!(second.grow(10).is_ok());
        drop(first);
        assert!(second.grow(MAX_BODY_BYTES - 10).is_ok());
        drop(second);
        assert_eq!(USED.load(Ordering::Relaxed), 0);
    }
}
