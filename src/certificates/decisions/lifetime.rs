//! The turning points of a certificate's life. Lifetimes shrink from year to year: each is a share of the life, and no
//! number of days is written down.
use chrono::{DateTime, TimeDelta, Utc};

/// What people need at least to do something about it.
const A_DAY: TimeDelta = TimeDelta::days(1);

/// When a certificate is to be renewed unless the CA suggests otherwise: after two thirds of its life, after half if it
/// lives less than ten days (Let's Encrypt's advice for `shortlived`).
#[must_use]
pub fn renews_at(not_before: DateTime<Utc>, not_after: DateTime<Utc>) -> DateTime<Utc> {
    let life = life(not_before, not_after);
    not_before
        + if life < TimeDelta::days(10) {
            life / 2
        } else {
            life * 2 / 3
        }
}

/// From here on it expires soon: it goes before everything else, and is renewed whatever the CA suggests.
#[must_use]
pub fn urgent_at(not_before: DateTime<Utc>, not_after: DateTime<Utc>) -> DateTime<Utc> {
    not_after - life(not_before, not_after) / 6
}

/// From here on people are told: what went first has not helped. Never before it is urgent, and a day ahead where the
/// life is long enough.
#[must_use]
pub fn warns_at(not_before: DateTime<Utc>, not_after: DateTime<Utc>) -> DateTime<Utc> {
    let life = life(not_before, not_after);
    not_after - (life / 10).max(A_DAY).min(life / 6)
}

/// None if a CA has the end before the beginning: it is renewed at once.
fn life(not_before: DateTime<Utc>, not_after: DateTime<Utc>) -> TimeDelta {
    (not_after - not_before).max(TimeDelta::zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_cut_by_its_length_into_renewal_urgency_and_warning() {
        let from = DateTime::UNIX_EPOCH;
        let minutes = |hours: i64| from + TimeDelta::minutes(hours * 60);
        // Hours from the beginning: life, renewal, urgency, warning.
        for (life, renews, urgent, warns) in [
            (160, 80, 160 - 26, 160 - 24),
            (45 * 24, 30 * 24, 45 * 24 - 180, 45 * 24 - 108),
            (64 * 24, 1024, 64 * 24 - 256, 64 * 24 - 153),
            (90 * 24, 60 * 24, 75 * 24, 81 * 24),
            (240, 160, 200, 216),
            (239, 119, 239 - 39, 239 - 24),
            (24, 12, 20, 20),
            (0, 0, 0, 0),
        ] {
            let to = minutes(life);
            let within = |seen: DateTime<Utc>, expected| {
                let apart = (seen - minutes(expected)).abs();
                assert!(apart < TimeDelta::hours(1), "{life} h: {seen}, expected {expected} h");
            };
            within(renews_at(from, to), renews);
            within(urgent_at(from, to), urgent);
            within(warns_at(from, to), warns);
            assert!(renews_at(from, to) <= urgent_at(from, to), "{life} h");
            assert!(urgent_at(from, to) <= warns_at(from, to), "{life} h");
            assert!(warns_at(from, to) <= to, "{life} h");
        }
    }

    #[test]
    fn a_certificate_is_renewed_after_two_thirds_of_its_life_or_half_of_a_short_one() {
        let from = DateTime::UNIX_EPOCH;
        for (hours, expected) in [(90 * 24, 60 * 24), (45 * 24, 30 * 24), (160, 80), (240, 160)] {
            assert_eq!(
                renews_at(from, from + TimeDelta::hours(hours)),
                from + TimeDelta::hours(expected),
                "{hours} h"
            );
        }
    }

    #[test]
    fn a_certificate_that_ends_before_it_begins_is_renewed_at_once() {
        let (from, to) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH - TimeDelta::days(1));
        assert_eq!(renews_at(from, to), from);
        assert_eq!(urgent_at(from, to), to);
        assert_eq!(warns_at(from, to), to);
    }
}
