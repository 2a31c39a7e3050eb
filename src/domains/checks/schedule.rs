//! When a domain is looked at next. Pure.
use chrono::{DateTime, TimeDelta, Utc};

use crate::domains::{ownership::claims::LOST_AFTER, status::Status};

/// How long somebody who has just done something, or whose domain has just changed, waits at the keyboard.
const QUICK: TimeDelta = TimeDelta::days(7);
const QUICKEST: TimeDelta = TimeDelta::minutes(1);
const SLOWEST_OF_QUICK: TimeDelta = TimeDelta::hours(4);
const SETTLED: TimeDelta = TimeDelta::days(1);
/// Then nobody is at it any more.
const DORMANT_AFTER: TimeDelta = TimeDelta::days(37);

/// What the next look depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    pub status: Status,
    /// Since a person asked, or the status changed.
    pub quick_since: DateTime<Utc>,
    /// Whether it is served: then its proof is looked at for as long as it is.
    pub is_held: bool,
    /// When the claim takes the name over.
    pub takes_over_at: Option<DateTime<Utc>>,
    /// Since when the holder's record has been missing.
    pub missing_since: Option<DateTime<Utc>>,
}

/// `None`: not before somebody asks for it.
#[must_use]
pub fn next(facts: Facts, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let age = now - facts.quick_since;
    let wait = match facts.status {
        Status::Active | Status::Suspended => SETTLED,
        _ if age < QUICK => (age / 10).clamp(QUICKEST, SLOWEST_OF_QUICK),
        _ if age < DORMANT_AFTER || facts.is_held => SETTLED,
        _ => return None,
    };
    // What happens at a certain time happens at that time.
    let turning_points = [facts.takes_over_at, facts.missing_since.map(|since| since + LOST_AFTER)];
    let next = turning_points
        .into_iter()
        .flatten()
        .filter(|time| *time > now)
        .fold(now + wait, Ord::min);
    Some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(minutes * 60, 0).expect("a time")
    }

    #[test]
    fn looks_are_quick_at_first_then_daily_and_then_cease() {
        const DAY: i64 = 24 * 60;
        let pending = Facts {
            status: Status::PendingDns,
            quick_since: at(0),
            is_held: false,
            takes_over_at: None,
            missing_since: None,
        };
        let held = Facts {
            is_held: true,
            ..pending
        };
        let active = Facts {
            status: Status::Active,
            ..held
        };
        for (facts, now, wait) in [
            (pending, 0, Some(1)),
            (pending, 10, Some(1)),
            (pending, 60, Some(6)),
            (pending, 600, Some(60)),
            (pending, 2 * DAY, Some(240)),
            (pending, 7 * DAY - 1, Some(240)),
            (pending, 7 * DAY, Some(DAY)),
            (pending, 37 * DAY - 1, Some(DAY)),
            (pending, 37 * DAY, None),
            (held, 37 * DAY, Some(DAY)),
            (active, 0, Some(DAY)),
            (active, 400 * DAY, Some(DAY)),
        ] {
            assert_eq!(
                next(facts, at(now)),
                wait.map(|wait| at(now + wait)),
                "{facts:?} at {now}"
            );
        }
    }

    #[test]
    fn a_turning_point_is_not_slept_through() {
        let facts = Facts {
            status: Status::PendingOwnership,
            quick_since: at(0),
            is_held: false,
            takes_over_at: Some(at(20_000)),
            missing_since: None,
        };
        assert_eq!(next(facts, at(19_990)), Some(at(20_000)));
        let lost = Facts {
            status: Status::Attention,
            is_held: true,
            takes_over_at: None,
            missing_since: Some(at(5)),
            ..facts
        };
        assert_eq!(next(lost, at(7 * 24 * 60)), Some(at(7 * 24 * 60 + 5)));
    }
}
