//! Whether a CA is asked at all. One that is down, busy or talks nonsense is left alone for a while, by all nodes, and
//! then one order finds out whether it is back. Serving knows nothing of it.
//!
//! Only the CA's own trouble counts (`Culprit::Ca`): that it refuses a name is an answer, and so a success.
use chrono::{DateTime, TimeDelta, Utc};

/// So many failures in a row, and the CA is left alone also without being told to.
const PATIENCE: i32 = 3;
const FIRST: TimeDelta = TimeDelta::minutes(1);
const LONGEST: TimeDelta = TimeDelta::minutes(30);
/// As far as a `Retry-After` is believed.
const LONGEST_TOLD: TimeDelta = TimeDelta::days(1);
/// For how long others wait for the one that tries. Longer than an order takes to tell.
const PROBE: TimeDelta = TimeDelta::minutes(2);

/// One for each CA, in the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Breaker {
    /// In a row.
    pub failures: i32,
    /// Stays when it is over: until somebody has tried and succeeded.
    pub paused_until: Option<DateTime<Utc>>,
}

/// Whether an order may be placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// As many as there are.
    Open,
    /// One, to find out. Whoever wants to be it stores [`Breaker::probing`] first, against what it read.
    OneProbe,
    /// None before then.
    Closed(DateTime<Utc>),
}

impl Breaker {
    #[must_use]
    pub fn admits(&self, now: DateTime<Utc>) -> Admission {
        match self.paused_until {
            None => Admission::Open,
            Some(until) if until > now => Admission::Closed(until),
            Some(_) => Admission::OneProbe,
        }
    }

    /// While one tries; should it die, another does.
    #[must_use]
    pub fn probing(self, now: DateTime<Utc>) -> Self {
        Self {
            paused_until: Some(now + PROBE),
            ..self
        }
    }

    /// Whoever was to try asked nothing: another may. What the CA asked for meanwhile holds.
    #[must_use]
    pub fn unprobed(self, now: DateTime<Utc>) -> Self {
        let is_a_probe = |until: &DateTime<Utc>| *until <= now + PROBE;
        Self {
            paused_until: self
                .paused_until
                .map(|until| if is_a_probe(&until) { now.min(until) } else { until }),
            ..self
        }
    }

    /// After a failure of somebody who was `admitted`. `retry_at`: when the CA will be asked again, if it said so.
    #[must_use]
    pub fn after_failure(self, retry_at: Option<DateTime<Utc>>, admitted: Admission, now: DateTime<Utc>) -> Self {
        let told = retry_at.map(|at| at.min(now + LONGEST_TOLD)).filter(|at| *at > now);
        let failures = match (admitted, self.admits(now)) {
            (Admission::OneProbe, _) => self.failures.saturating_add(1).max(PATIENCE),
            (Admission::Open | Admission::Closed(_), Admission::Open) => self.failures.saturating_add(1),
            // Sent off before it was known, with others that failed likewise: one trouble, counted once.
            (Admission::Open | Admission::Closed(_), Admission::OneProbe | Admission::Closed(_)) => {
                return Self {
                    paused_until: self.paused_until.max(told),
                    ..self
                };
            }
        };
        let own = (failures >= PATIENCE).then(|| now + pause(failures - PATIENCE));
        Self {
            failures,
            paused_until: own.max(told),
        }
    }

    /// After any answer that could be read.
    #[must_use]
    pub fn after_success(self, admitted: Admission, now: DateTime<Utc>) -> Self {
        match (admitted, self.admits(now)) {
            // What the CA asked for meanwhile holds: this answer was on its way before.
            (Admission::Open | Admission::Closed(_), Admission::Closed(_)) => self,
            (Admission::OneProbe, _) | (_, Admission::Open | Admission::OneProbe) => Self::default(),
        }
    }
}

/// 1 min, 2, 4 … 30.
fn pause(doublings: i32) -> TimeDelta {
    (FIRST * (1 << doublings.clamp(0, 5))).min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 60;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    /// One that failed `times`, each the moment that it was let through.
    fn failed(times: usize) -> (Breaker, DateTime<Utc>) {
        (0..times).fold((Breaker::default(), at(0)), |(breaker, now), _| {
            let now = breaker.paused_until.unwrap_or(now);
            let admitted = breaker.admits(now);
            let probing = match admitted {
                Admission::OneProbe => breaker.probing(now),
                Admission::Open | Admission::Closed(_) => breaker,
            };
            (probing.after_failure(None, admitted, now), now)
        })
    }

    #[test]
    fn who_tried_nothing_lets_another_try_and_forgets_nothing_that_the_ca_asked_for() {
        let (closed, now) = failed(3);
        let over = at(2);
        let probing = closed.probing(over);
        assert!(now < over && matches!(probing.admits(over), Admission::Closed(_)));
        assert_eq!(probing.unprobed(over).admits(over), Admission::OneProbe);
        assert_eq!(probing.unprobed(over).failures, closed.failures);
        let told = probing.after_failure(Some(at(60)), Admission::Open, over);
        assert_eq!(told.unprobed(over), told, "an hour was asked for meanwhile");
        assert_eq!(Breaker::default().unprobed(over), Breaker::default());
    }

    #[test]
    fn it_closes_after_three_failures_and_for_longer_each_time() {
        for (times, minutes) in [
            (0, None),
            (1, None),
            (2, None),
            (3, Some(1)),
            (4, Some(2)),
            (5, Some(4)),
            (6, Some(8)),
            (7, Some(16)),
            (8, Some(30)),
            (50, Some(30)),
        ] {
            let (breaker, now) = failed(times);
            let pause = breaker.paused_until.map(|until| until - now);
            assert_eq!(pause, minutes.map(TimeDelta::minutes), "after {times}");
        }
    }

    #[test]
    fn a_ca_that_says_when_is_obeyed_at_once_within_a_day() {
        for (times, told, expected) in [
            (0, 5, Some(5)),
            (0, 3 * 60, Some(3 * 60)),
            (0, 365 * DAY, Some(DAY)),
            (0, 100_000 * DAY, Some(DAY)),
            (0, -5, None),
            (0, 0, None),
            // The longer of both.
            (2, 0, Some(1)),
            (2, 20, Some(20)),
        ] {
            let (breaker, now) = failed(times);
            let after = breaker.after_failure(Some(now + TimeDelta::minutes(told)), Admission::Open, now);
            let pause = after.paused_until.map(|until| until - now);
            assert_eq!(
                pause,
                expected.map(TimeDelta::minutes),
                "{times} failures, told {told} min"
            );
        }
    }

    #[test]
    fn after_the_pause_one_order_finds_out() {
        let (breaker, now) = failed(3);
        let over = now + TimeDelta::minutes(1);
        assert_eq!(breaker.admits(now), Admission::Closed(over));
        assert_eq!(breaker.admits(over), Admission::OneProbe);
        let probing = breaker.probing(over);
        assert_eq!(probing.admits(over), Admission::Closed(over + PROBE));
        assert_eq!(probing.after_success(Admission::OneProbe, over), Breaker::default());
        let again = probing.after_failure(None, Admission::OneProbe, over);
        assert_eq!(again.admits(over), Admission::Closed(over + TimeDelta::minutes(2)));
        // Whoever tried and died is followed by another.
        assert_eq!(probing.admits(over + PROBE), Admission::OneProbe);
    }

    #[test]
    fn a_failed_probe_closes_it_also_if_it_was_the_cas_own_wish_before() {
        let told = Breaker::default().after_failure(Some(at(10)), Admission::Open, at(0));
        assert_eq!((told.failures, told.admits(at(10))), (1, Admission::OneProbe));
        let probed = told.probing(at(10)).after_failure(None, Admission::OneProbe, at(10));
        assert_eq!(probed.admits(at(10)), Admission::Closed(at(11)));
    }

    #[test]
    fn orders_that_failed_together_count_once() {
        let (breaker, now) = failed(3);
        let after = (0..100).fold(breaker, |breaker, _| breaker.after_failure(None, Admission::Open, now));
        assert_eq!(after, breaker);
        let told = breaker.after_failure(Some(now + TimeDelta::minutes(9)), Admission::Open, now);
        assert_eq!(
            told.paused_until,
            Some(now + TimeDelta::minutes(9)),
            "what the CA says counts"
        );
        let shorter = told.after_failure(Some(now + TimeDelta::minutes(3)), Admission::Open, now);
        assert_eq!(shorter, told, "a pause is never cut");
    }

    #[test]
    fn a_success_opens_it_but_not_against_the_cas_word() {
        let (twice, now) = failed(2);
        assert_eq!(twice.after_success(Admission::Open, now), Breaker::default());
        let told = twice.after_failure(Some(now + TimeDelta::minutes(9)), Admission::Open, now);
        assert_eq!(
            told.after_success(Admission::Open, now),
            told,
            "it was on its way before"
        );
        let over = now + TimeDelta::minutes(9);
        assert_eq!(told.after_success(Admission::Open, over), Breaker::default());
    }
}
