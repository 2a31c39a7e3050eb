//! What each node really serves, checked from outside: a handshake over TCP with its own listener, and a look at the
//! certificate that comes. The table says what should be served, and a node's memory what it means to serve; only a
//! handshake says what a device gets. Changes nothing: it reports.
mod handshake;
mod last_looks;
mod look;
mod public;
mod schedule;
pub mod store;
pub mod watch;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use crate::clock::DatabaseTime;

pub use last_looks::{Counts, Served};
pub use look::{Looker, Names};
pub use public::Public;

/// A certificate that was just stored is on its way to every node.
const ON_ITS_WAY: TimeDelta = TimeDelta::seconds(10);

/// What should be served for a name: what was stored last.
#[derive(Clone)]
pub struct Expected {
    pub certificate_id: Uuid,
    pub hostname: String,
    /// SHA-256 of the leaf.
    pub fingerprint: Vec<u8>,
    pub stored_at: DateTime<Utc>,
}

/// What a handshake showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    Leaf {
        fingerprint: Vec<u8>,
        /// `None`: it can't be read.
        not_after: Option<DateTime<Utc>>,
    },
    /// The handshake failed.
    Nothing,
    /// There was nobody to shake hands with, or no answer in time.
    Unreachable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Current,
    /// Another certificate than the one that was stored last.
    Outdated,
    Expired,
    None,
    Unreachable,
}

impl State {
    pub const ALL: [Self; 5] = [
        Self::Current,
        Self::Outdated,
        Self::Expired,
        Self::None,
        Self::Unreachable,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Outdated => "outdated",
            Self::Expired => "expired",
            Self::None => "none",
            Self::Unreachable => "unreachable",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Is(State),
    /// Not what is expected, which is too new to be expected yet.
    TooEarly,
}

#[must_use]
pub fn judge(shown: &Shown, expected: &Expected, now: DateTime<Utc>) -> Verdict {
    let state = match shown {
        Shown::Unreachable => return Verdict::Is(State::Unreachable),
        Shown::Nothing => State::None,
        Shown::Leaf { fingerprint, not_after } => {
            let is_over = not_after.is_some_and(|not_after| not_after <= now);
            match (is_over, *fingerprint == expected.fingerprint) {
                (false, true) => return Verdict::Is(State::Current),
                // What was stored was over then already: there is nothing to wait for.
                (true, true) => return Verdict::Is(State::Expired),
                (true, false) => State::Expired,
                (false, false) => State::Outdated,
            }
        }
    };
    match now - expected.stored_at <= ON_ITS_WAY {
        true => Verdict::TooEarly,
        false => Verdict::Is(state),
    }
}

/// A look that came to a verdict.
pub struct Looked {
    pub hostname: String,
    /// Empty for the node's own listener.
    pub address: String,
    pub state: State,
    pub shown: Shown,
    pub at: DatabaseTime,
}

impl Looked {
    fn fingerprint(&self) -> Option<Vec<u8>> {
        match &self.shown {
            Shown::Leaf { fingerprint, .. } => Some(fingerprint.clone()),
            Shown::Nothing | Shown::Unreachable => None,
        }
    }

    fn not_after(&self) -> Option<DateTime<Utc>> {
        match &self.shown {
            Shown::Leaf { not_after, .. } => *not_after,
            Shown::Nothing | Shown::Unreachable => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_judged_by_what_was_stored_last_and_by_the_clock() {
        let now = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let leaf = |fingerprint: u8, days| Shown::Leaf {
            fingerprint: vec![fingerprint; 32],
            not_after: Some(now + TimeDelta::days(days)),
        };
        let unreadable = Shown::Leaf {
            fingerprint: vec![7; 32],
            not_after: None,
        };
        for (shown, stored_seconds_ago, expected) in [
            (leaf(1, 30), 0, Verdict::Is(State::Current)),
            (leaf(1, 30), 3600, Verdict::Is(State::Current)),
            (leaf(1, 0), 3600, Verdict::Is(State::Expired)),
            (leaf(1, -1), 5, Verdict::Is(State::Expired)),
            (leaf(2, 30), 10, Verdict::TooEarly),
            (leaf(2, 30), 11, Verdict::Is(State::Outdated)),
            (leaf(2, -1), 10, Verdict::TooEarly),
            (leaf(2, -1), 11, Verdict::Is(State::Expired)),
            (unreadable, 11, Verdict::Is(State::Outdated)),
            (Shown::Nothing, 10, Verdict::TooEarly),
            (Shown::Nothing, 11, Verdict::Is(State::None)),
            (Shown::Unreachable, 0, Verdict::Is(State::Unreachable)),
        ] {
            let stored = Expected {
                certificate_id: Uuid::nil(),
                hostname: "contoso.com".to_owned(),
                fingerprint: vec![1; 32],
                stored_at: now - TimeDelta::seconds(stored_seconds_ago),
            };
            assert_eq!(judge(&shown, &stored, now), expected, "{shown:?} {stored_seconds_ago}");
        }
    }
}
