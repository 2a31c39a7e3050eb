//! When it is looked at which name: a walk over all of them, again and again, and those that have changed in between.
use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use super::Expected;

/// Between two looks, at least.
pub const PACE: Duration = Duration::from_millis(50);
/// Between two looks of the first walk: each costs this node both sides of a handshake.
const FIRST: Duration = Duration::from_millis(200);
/// Between two looks of a walk, at most.
const LEISURE: Duration = Duration::from_secs(30);
/// A walk takes no longer, up to 432,000 names.
const WALK: Duration = Duration::from_secs(6 * 3600);
/// A certificate that was on its way is looked at again.
const AGAIN: Duration = Duration::from_secs(3);
/// Beyond this, changes are left to the walk.
const ROOM: usize = 2_000;
/// Longer than a certificate counts as just stored.
const REMEMBERED: Duration = Duration::from_secs(120);

/// Between two looks of a walk over `names`. The first walk over few is brisk: until then nothing is known.
pub fn pace(names: i64, is_first: bool) -> Duration {
    match u32::try_from(names) {
        _ if is_first => FIRST,
        Ok(0) => LEISURE,
        Ok(names) => (WALK / names).clamp(PACE, LEISURE),
        Err(_) => PACE,
    }
}

/// Certificates that were just stored, each to be looked at soon.
#[derive(Default)]
pub struct Changed {
    waiting: VecDeque<(Instant, Expected)>,
    known: HashMap<Uuid, Instant>,
}

impl Changed {
    /// Takes in those that are new among `recent`, the last first.
    pub fn add(&mut self, recent: Vec<Expected>, now: Instant) {
        self.known.retain(|_, at| now - *at < REMEMBERED);
        let mut newer = HashSet::new();
        for expected in recent {
            let is_new = self.known.insert(expected.certificate_id, now).is_none();
            if is_new && newer.insert(expected.hostname.clone()) && self.waiting.len() < ROOM {
                self.waiting.push_back((now, expected));
            }
        }
    }

    pub fn again(&mut self, expected: Expected, now: Instant) {
        if self.waiting.len() < ROOM {
            self.waiting.push_back((now + AGAIN, expected));
        }
    }

    /// The next that is due.
    pub fn next(&mut self, now: Instant) -> Option<Expected> {
        let at = self.waiting.iter().position(|(due, _)| *due <= now)?;
        self.waiting.remove(at).map(|(_, expected)| expected)
    }

    pub fn due(&self) -> Option<Instant> {
        self.waiting.iter().map(|(due, _)| *due).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_is_done_in_six_hours_and_never_hurries() {
        for (names, expected) in [
            (0, 30_000),
            (10, 30_000),
            (1_000, 21_600),
            (100_000, 216),
            (1_000_000, 50),
            (10_000_000_000, 50),
        ] {
            assert_eq!(pace(names, false), Duration::from_millis(expected), "{names}");
        }
        assert_eq!(pace(10, true), FIRST);
        // At most 20 a second: a million names are walked in a day.
        assert!(PACE * 1_000_000 < Duration::from_secs(86_400));
    }

    #[test]
    fn a_change_is_looked_at_once_and_again_only_if_it_was_too_early() {
        let now = Instant::now();
        let expected = |id, hostname: &str| Expected {
            certificate_id: Uuid::from_u128(id),
            hostname: hostname.to_owned(),
            fingerprint: vec![],
            stored_at: chrono::DateTime::UNIX_EPOCH,
        };
        let mut changed = Changed::default();
        changed.add(vec![expected(2, "b"), expected(1, "a")], now);
        changed.add(vec![expected(3, "c"), expected(2, "b"), expected(1, "a")], now);
        let mut next = || changed.next(now).map(|expected| expected.hostname);
        assert_eq!(
            [next(), next(), next(), next()].map(Option::unwrap_or_default),
            ["b", "a", "c", ""]
        );
        changed.again(expected(1, "a"), now);
        assert!(changed.next(now).is_none());
        assert_eq!(changed.due(), Some(now + AGAIN));
        assert!(changed.next(now + AGAIN).is_some());
        let many = (10..10_000).map(|id| expected(id, &id.to_string())).collect();
        changed.add(many, now);
        assert_eq!(changed.waiting.len(), ROOM);
    }
}
