//! When the CA would like a certificate to be renewed (RFC 9773), and how far it is believed.
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::lifetime::{renews_at, urgent_at};

/// Longer than any certificate that browsers accept lives: who suggests a time after this is mistaken.
const FARTHEST: TimeDelta = TimeDelta::days(400);
/// Between two questions for one certificate (RFC 9773 §4.3).
const ASKED_AGAIN: TimeDelta = TimeDelta::hours(6);
const SOONEST: TimeDelta = TimeDelta::minutes(1);
const LATEST: TimeDelta = TimeDelta::days(1);
/// A new certificate is kept for this long at least, a short-lived one for an eighth of its life.
const KEPT: TimeDelta = TimeDelta::hours(6);

/// A window in which the CA would like the certificate to be renewed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suggestion {
    pub start: DateTime<Utc>,
    pub end: DateTime<Utc>,
    /// A page for people that says why, if it is other than usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation_url: Option<String>,
}

impl Suggestion {
    /// Whether the CA says the same as it did: then the time that was drawn stays. Another explanation moves nothing.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.start, self.end) == (other.start, other.end)
    }

    /// A window in the past makes sense ("now"); one that ends before it begins, or is years away, does not.
    fn makes_sense(&self, now: DateTime<Utc>) -> bool {
        self.end > self.start && self.start - now < FARTHEST
    }
}

/// A time in the window, each as likely as the other; a window that is over, or a time in it that is, means now (RFC
/// 9773 §4.2). `None`: the suggestion makes no sense, and is as none.
#[must_use]
pub fn choose(suggestion: &Suggestion, draw: u64, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if !suggestion.makes_sense(now) {
        return None;
    }
    let length = (suggestion.end - suggestion.start)
        .min(FARTHEST)
        .num_seconds()
        .max(1)
        .unsigned_abs();
    // The upper half of the product: without a bias that anybody could measure.
    let into = (u128::from(draw) * u128::from(length)) >> 64;
    let into = TimeDelta::seconds(i64::try_from(into).unwrap_or(i64::MAX / 1_000_000));
    Some((suggestion.start + into).max(now))
}

/// When it is to be renewed: as suggested, and in an emergency whatever is suggested.
#[must_use]
pub fn due_at(renews_at: DateTime<Utc>, urgent_at: DateTime<Utc>) -> DateTime<Utc> {
    renews_at.min(urgent_at)
}

/// The same from the certificate's own times; `chosen` by [`choose`], or none.
///
/// A CA that says "now" of every fresh certificate would have us order without end, since orders that replace count
/// against no limit: each is kept for a while.
#[must_use]
pub fn settle(chosen: Option<DateTime<Utc>>, (not_before, not_after): (DateTime<Utc>, DateTime<Utc>)) -> DateTime<Utc> {
    let kept = ((not_after - not_before) / 8).clamp(TimeDelta::zero(), KEPT);
    let wanted = chosen.unwrap_or_else(|| renews_at(not_before, not_after));
    due_at(wanted.max(not_before + kept), urgent_at(not_before, not_after))
}

/// When the CA is asked for its suggestion again (RFC 9773 §4.3): as it says, within reason.
#[must_use]
pub fn ask_again_at(retry_after: Option<Duration>, now: DateTime<Utc>) -> DateTime<Utc> {
    let wait = match retry_after {
        Some(wait) => TimeDelta::from_std(wait).unwrap_or(LATEST),
        None => ASKED_AGAIN,
    };
    now + wait.clamp(SOONEST, LATEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;
    const DAY: i64 = 24 * HOUR;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    fn window(start: i64, end: i64) -> Suggestion {
        Suggestion {
            start: at(start),
            end: at(end),
            explanation_url: None,
        }
    }

    #[test]
    fn a_time_is_drawn_evenly_from_the_window() {
        let two_days = window(10 * DAY, 12 * DAY);
        for (draw, expected) in [
            (0, 10 * DAY),
            (u64::MAX / 2 + 1, 11 * DAY),
            (u64::MAX / 4 + 1, 10 * DAY + DAY / 2),
            (u64::MAX, 12 * DAY - 1),
        ] {
            assert_eq!(choose(&two_days, draw, at(0)), Some(at(expected)), "{draw}");
        }
    }

    #[test]
    fn what_is_past_means_now_and_nonsense_means_nothing() {
        for (suggestion, now, expected) in [
            (window(0, DAY), 2 * DAY, Some(2 * DAY)),
            (window(0, 4 * DAY), 3 * DAY, Some(3 * DAY)),
            (window(-4000 * DAY, -3999 * DAY), 0, Some(0)),
            (window(DAY, DAY), 0, None),
            (window(2 * DAY, DAY), 0, None),
            (window(401 * DAY, 402 * DAY), 0, None),
            (window(3_000_000 * DAY, 3_000_001 * DAY), 0, None),
            (window(0, 1), 0, Some(0)),
            (window(0, 3_000_000 * DAY), 0, Some(0)),
        ] {
            assert_eq!(
                choose(&suggestion, 0, at(now)),
                expected.map(at),
                "{suggestion:?} at {now}"
            );
        }
        assert!(choose(&window(0, 3_000_000 * DAY), u64::MAX, at(0)) <= Some(at(400 * DAY)));
    }

    #[test]
    fn a_suggestion_moves_the_renewal_but_not_past_the_emergency_nor_into_the_first_hours() {
        for (life, chosen, expected) in [
            // Hours of life, the suggestion's, the renewal's.
            (160, None, 80),
            (160, Some(100), 100),
            (160, Some(150), 160 - 27),
            (160, Some(0), 6),
            (24, Some(0), 3),
            (45 * 24, None, 30 * 24),
            (45 * 24, Some(700), 700),
            (45 * 24, Some(44 * 24), 45 * 24 - 180),
            (64 * 24, Some(60 * 24), 64 * 24 - 256),
            (90 * 24, Some(10 * 24), 10 * 24),
            (90 * 24, Some(-5), 6),
        ] {
            let chosen = chosen.map(|hours| at(hours * HOUR));
            let settled = settle(chosen, (at(0), at(life * HOUR)));
            let apart = (settled - at(expected * HOUR)).abs();
            assert!(apart < TimeDelta::hours(1), "{life} h, {chosen:?}: {settled}");
        }
        assert_eq!(due_at(at(5), at(4)), at(4));
        assert_eq!(due_at(at(3), at(4)), at(3));
    }

    #[test]
    fn the_ca_says_when_to_ask_again_within_reason() {
        for (said, expected) in [
            (None, 6 * HOUR),
            (Some(0), 60),
            (Some(59), 60),
            (Some(3 * 3600), 3 * HOUR),
            (Some(7 * 86_400), DAY),
            (Some(u64::MAX), DAY),
        ] {
            let said = said.map(Duration::from_secs);
            assert_eq!(ask_again_at(said, at(0)), at(expected), "{said:?}");
        }
    }

    #[test]
    fn a_window_that_stays_keeps_its_time_also_with_another_explanation() {
        let first = window(0, DAY);
        let explained = Suggestion {
            explanation_url: Some("https://ca.example/why".into()),
            ..first.clone()
        };
        assert!(first.is_same(&explained));
        assert!(!first.is_same(&window(0, DAY + 1)));
        assert!(!first.is_same(&window(1, DAY)));
    }

    #[test]
    fn a_suggestion_is_read_as_it_was_written() {
        let suggestion = Suggestion {
            explanation_url: Some("https://ca.example/why".into()),
            ..window(0, DAY)
        };
        let text = serde_json::to_string(&suggestion).expect("JSON");
        assert_eq!(
            serde_json::from_str::<Suggestion>(&text).expect("a suggestion"),
            suggestion
        );
        let bare = r#"{"start":"1970-01-01T00:00:00Z","end":"1970-01-02T00:00:00Z","later":1}"#;
        assert_eq!(
            serde_json::from_str::<Suggestion>(bare).expect("a suggestion"),
            window(0, DAY)
        );
    }
}
