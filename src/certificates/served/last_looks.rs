//! The last look at each name, for metrics, and to say once what has changed.
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};

use super::{Looked, State};

/// Of this node's own listener.
#[derive(Default)]
pub struct Served(Mutex<HashMap<Box<str>, Last>>);

struct Last {
    state: State,
    not_after: Option<DateTime<Utc>>,
    at: DateTime<Utc>,
}

/// How many names are in which state, and when the first certificate that was shown ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    by_state: [u64; State::ALL.len()],
    pub soonest_not_after: Option<DateTime<Utc>>,
}

impl Counts {
    #[must_use]
    pub fn of(&self, state: State) -> u64 {
        self.by_state[state as usize]
    }
}

impl Served {
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for last in self.lock().values() {
            counts.by_state[last.state as usize] += 1;
            let soonest = counts.soonest_not_after.into_iter().chain(last.not_after).min();
            counts.soonest_not_after = soonest;
        }
        counts
    }

    /// Returns the state before.
    pub(super) fn remember(&self, looked: &Looked) -> Option<State> {
        let last = Last {
            state: looked.state,
            not_after: looked.not_after(),
            at: looked.at.get(),
        };
        let before = self.lock().insert(looked.hostname.as_str().into(), last);
        before.map(|before| before.state)
    }

    /// The name is no longer to be served.
    pub(super) fn forget(&self, hostname: &str) {
        self.lock().remove(hostname);
    }

    pub(super) fn forget_before(&self, at: DateTime<Utc>) {
        self.lock().retain(|_, last| last.at >= at);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::{super::Shown, *};
    use crate::clock::DatabaseTime;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test chooses the time")]
    fn the_last_look_at_each_name_counts_and_the_soonest_end_is_known() {
        let served = Served::default();
        let start = DateTime::UNIX_EPOCH;
        let look = |hostname: &str, state, days: Option<i64>, second| {
            served.remember(&Looked {
                hostname: hostname.to_owned(),
                address: String::new(),
                state,
                shown: days.map_or(Shown::Nothing, |days| Shown::Leaf {
                    fingerprint: vec![1],
                    not_after: Some(start + TimeDelta::days(days)),
                }),
                at: DatabaseTime::assumed(start + TimeDelta::seconds(second)),
            })
        };
        assert_eq!(look("a", State::Outdated, Some(3), 1), None);
        assert_eq!(look("a", State::Current, Some(90), 2), Some(State::Outdated));
        look("b", State::Current, Some(40), 3);
        look("c", State::None, None, 4);
        let counts = served.counts();
        assert_eq!(State::ALL.map(|state| counts.of(state)), [2, 0, 0, 1, 0]);
        assert_eq!(counts.soonest_not_after, Some(start + TimeDelta::days(40)));
        served.forget_before(start + TimeDelta::seconds(4));
        served.forget("d");
        assert_eq!(State::ALL.map(|state| served.counts().of(state)), [0, 0, 0, 1, 0]);
    }
}
