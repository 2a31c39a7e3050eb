//! When a name that failed is tried again. A CA counts failures (Let's Encrypt: five a name and hour); a look of our own
//! before the order costs it nothing.
use chrono::{DateTime, TimeDelta, Utc};

const PRE_FLIGHT_FIRST: TimeDelta = TimeDelta::minutes(5);
const PRE_FLIGHT_LAST: TimeDelta = TimeDelta::hours(6);
/// A CA may ask for patience, and no more of it than this.
const LONGEST: TimeDelta = TimeDelta::days(7);
/// With the jitter still less than a day.
const LONGEST_IF_URGENT: TimeDelta = TimeDelta::hours(20);
/// Of the wait: names that failed together come back one by one.
const JITTER: i32 = 10;

/// What failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// An order: the CA was asked.
    Order,
    /// A look of our own before an order.
    PreFlight,
}

/// What the next attempt depends on.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    pub hostname: &'a str,
    pub failed: Failed,
    /// In a row and of this kind, this one among them.
    pub failures: u32,
    /// When the CA will have it again.
    pub retry_at: Option<DateTime<Utc>>,
    /// The certificate in force expires soon.
    pub is_urgent: bool,
}

/// Never earlier than the CA said, in so far as what it says has a measure.
#[must_use]
pub fn next_attempt(facts: &Facts<'_>, now: DateTime<Utc>) -> DateTime<Utc> {
    let own = match facts.failed {
        Failed::Order => after_order(facts.failures),
        Failed::PreFlight => after_pre_flight(facts.failures),
    };
    let said = facts.retry_at.map_or(TimeDelta::zero(), |at| at - now);
    let longest = match facts.is_urgent {
        true => LONGEST_IF_URGENT,
        false => LONGEST,
    };
    let wait = own.max(said).min(longest);
    now + wait + jitter(facts.hostname, wait / JITTER)
}

fn after_order(failures: u32) -> TimeDelta {
    match failures {
        0 | 1 => TimeDelta::minutes(1),
        2 => TimeDelta::minutes(10),
        3 => TimeDelta::minutes(100),
        _ => TimeDelta::days(1),
    }
}

fn after_pre_flight(failures: u32) -> TimeDelta {
    // 5 min doubled seven times is past the last already.
    let doublings = failures.saturating_sub(1).min(7);
    (PRE_FLIGHT_FIRST * (1 << doublings)).min(PRE_FLIGHT_LAST)
}

/// The same for one name each time, so that a test and a reader of the log can tell it.
fn jitter(hostname: &str, most: TimeDelta) -> TimeDelta {
    // FNV-1a: spreads names well enough, and is the same on every node and in every version.
    let hash = hostname.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let most = most.num_milliseconds().max(1).unsigned_abs();
    TimeDelta::milliseconds(i64::try_from(hash % most).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60;
    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn facts(failed: Failed, failures: u32) -> Facts<'static> {
        Facts {
            hostname: "contoso.com",
            failed,
            failures,
            retry_at: None,
            is_urgent: false,
        }
    }

    /// From `base` up to a tenth more.
    fn assert_about(facts: &Facts<'_>, base: i64) {
        let wait = next_attempt(facts, at(0)) - at(0);
        let (least, most) = (TimeDelta::seconds(base), TimeDelta::seconds(base + base / 10));
        assert!((least..=most).contains(&wait), "{facts:?}: {wait}, expected {base} s");
    }

    #[test]
    fn after_each_failure_the_wait_is_longer() {
        for (failed, failures, base) in [
            (Failed::Order, 1, MINUTE),
            (Failed::Order, 2, 10 * MINUTE),
            (Failed::Order, 3, 100 * MINUTE),
            (Failed::Order, 4, DAY),
            (Failed::Order, u32::MAX, DAY),
            (Failed::Order, 0, MINUTE),
            (Failed::PreFlight, 0, 5 * MINUTE),
            (Failed::PreFlight, 1, 5 * MINUTE),
            (Failed::PreFlight, 2, 10 * MINUTE),
            (Failed::PreFlight, 6, 160 * MINUTE),
            (Failed::PreFlight, 7, 320 * MINUTE),
            (Failed::PreFlight, 8, 6 * HOUR),
            (Failed::PreFlight, u32::MAX, 6 * HOUR),
        ] {
            assert_about(&facts(failed, failures), base);
        }
    }

    #[test]
    fn the_ca_is_obeyed_and_a_mad_ca_is_not() {
        for (failures, retry_at, is_urgent, base) in [
            (1, 30, false, MINUTE),
            (1, 3 * HOUR, false, 3 * HOUR),
            (1, 34 * HOUR, false, 34 * HOUR),
            (1, 365 * DAY, false, 7 * DAY),
            (1, 100_000 * DAY, false, 7 * DAY),
            (1, -DAY, false, MINUTE),
            (1, 365 * DAY, true, 20 * HOUR),
            (4, 0, true, 20 * HOUR),
            (1, 3 * HOUR, true, 3 * HOUR),
        ] {
            let facts = Facts {
                retry_at: Some(at(retry_at)),
                is_urgent,
                ..facts(Failed::Order, failures)
            };
            assert_about(&facts, base);
            let wait = next_attempt(&facts, at(0)) - at(0);
            assert!(
                !is_urgent || wait < TimeDelta::days(1),
                "an urgent name tries daily: {wait}"
            );
        }
    }

    #[test]
    fn within_an_hour_a_name_asks_the_ca_at_most_three_times() {
        let mut now = at(0);
        let mut asked = Vec::new();
        for failures in 1..10 {
            asked.push(now);
            now = next_attempt(&facts(Failed::Order, failures), now);
        }
        let worst = asked.iter().map(|from| {
            let within = |at: &&DateTime<Utc>| (*from..*from + TimeDelta::hours(1)).contains(*at);
            asked.iter().filter(within).count()
        });
        assert_eq!(worst.max(), Some(3));
    }

    #[test]
    fn names_that_failed_together_come_back_one_by_one_each_at_its_own_time() {
        let hostnames: Vec<_> = (0..10_000).map(|number| format!("customer{number}.example")).collect();
        let attempt = |hostname: &String| {
            let facts = Facts {
                hostname,
                ..facts(Failed::Order, 2)
            };
            assert_eq!(next_attempt(&facts, at(0)), next_attempt(&facts, at(0)));
            next_attempt(&facts, at(0)).timestamp()
        };
        let mut a_second = std::collections::HashMap::new();
        for hostname in &hostnames {
            *a_second.entry(attempt(hostname)).or_insert(0) += 1;
        }
        assert!(a_second.len() >= 59, "spread over {} seconds", a_second.len());
        assert!(a_second.values().all(|count| *count < 400), "{a_second:?}");
    }
}
