//! Who comes first when not all can: what expires soon, then what has no certificate yet, then renewals in time.
use chrono::{DateTime, Utc};

/// In this order; `certificate_leases.urgency` has the same numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    ExpiringSoon = 0,
    New = 1,
    Routine = 2,
}

/// `urgent_at` of the certificate in force; `None` without one. An expired one is the most urgent of all: its domain
/// worked until then.
#[must_use]
pub fn priority(urgent_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Priority {
    match urgent_at {
        None => Priority::New,
        Some(at) if at <= now => Priority::ExpiringSoon,
        Some(_) => Priority::Routine,
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::certificates::decisions::lifetime::{renews_at, urgent_at};

    #[test]
    fn what_expires_soon_goes_before_what_is_new_and_that_before_what_has_time() {
        assert!(Priority::ExpiringSoon < Priority::New && Priority::New < Priority::Routine);
        let from = DateTime::UNIX_EPOCH;
        for hours in [160, 45 * 24, 64 * 24, 90 * 24] {
            let to = from + TimeDelta::hours(hours);
            let urgent = urgent_at(from, to);
            for (now, expected) in [
                (renews_at(from, to), Priority::Routine),
                (urgent - TimeDelta::seconds(1), Priority::Routine),
                (urgent, Priority::ExpiringSoon),
                (to, Priority::ExpiringSoon),
                (to + TimeDelta::days(1000), Priority::ExpiringSoon),
            ] {
                assert_eq!(priority(Some(urgent), now), expected, "{hours} h at {now}");
            }
            assert_eq!(priority(None, to), Priority::New);
        }
    }
}
