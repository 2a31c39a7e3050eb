//! What a plot spans.
use chrono::{DateTime, NaiveTime, TimeDelta, Utc};

use crate::request_log::totals::Step;

/// More bars than this can't be told apart.
const MOST_STEPS: i64 = 92;
const HOURS_UP_TO: TimeDelta = TimeDelta::hours(72);

/// Full hours or full days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub since: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub step: Step,
}

impl Window {
    #[must_use]
    pub fn last_24_hours(now: DateTime<Utc>) -> Self {
        let until = hour(now) + TimeDelta::hours(1);
        Self {
            since: until - TimeDelta::hours(24),
            until,
            step: Step::Hour,
        }
    }

    #[must_use]
    pub fn last_30_days(now: DateTime<Utc>) -> Self {
        let until = day(now) + TimeDelta::days(1);
        Self {
            since: until - TimeDelta::days(30),
            until,
            step: Step::Day,
        }
    }

    /// Hours of a short time, days of a longer one; of a time that is too long, its end.
    #[must_use]
    pub fn between(since: DateTime<Utc>, until: DateTime<Utc>) -> Self {
        let step = match until - since <= HOURS_UP_TO {
            true => Step::Hour,
            false => Step::Day,
        };
        let round = |at| match step {
            Step::Hour => hour(at),
            Step::Day => day(at),
        };
        let last = round(until - TimeDelta::microseconds(1)).max(round(since));
        let until = last + length(step);
        let most = length(step) * i32::try_from(MOST_STEPS).unwrap_or(1);
        Self {
            since: round(since).max(until - most),
            until,
            step,
        }
    }

    pub(super) fn steps(self) -> Vec<DateTime<Utc>> {
        let next = |at: &DateTime<Utc>| Some(*at + length(self.step)).filter(|at| *at < self.until);
        std::iter::successors(Some(self.since), next).collect()
    }
}

fn length(step: Step) -> TimeDelta {
    match step {
        Step::Hour => TimeDelta::hours(1),
        Step::Day => TimeDelta::days(1),
    }
}

pub(super) fn hour(at: DateTime<Utc>) -> DateTime<Utc> {
    day(at) + TimeDelta::hours((at - day(at)).num_hours())
}

pub(super) fn day(at: DateTime<Utc>) -> DateTime<Utc> {
    at.date_naive().and_time(NaiveTime::MIN).and_utc()
}
