//! `Retry-After` (RFC 9110 §10.2.3): seconds, or a date. How long to wait in the end is decided elsewhere.
use std::time::Duration;

use chrono::{DateTime, Utc};

/// Longer than any limit of a CA or a receiver, and short enough to calculate with.
const LONGEST: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// What can't be read says nothing; what is past says "now".
pub fn parse(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are a long time.
        let seconds = text.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
    Some((bounded(date, now) - now).to_std().unwrap_or_default())
}

/// Not so far away that a stranger could put us off for good.
pub fn bounded(at: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
    at.min(now + LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_to_wait_is_seconds_or_a_date_and_has_an_end() {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        for (text, expected) in [
            ("0", seconds(0)),
            ("21600", seconds(21_600)),
            (" 5 ", seconds(5)),
            ("99999999999999999999999999", Some(LONGEST)),
            ("Mon, 23 Nov 2026 12:01:00 GMT", seconds(60)),
            ("Mon, 23 Nov 2026 11:00:00 GMT", seconds(0)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(LONGEST)),
            ("", None),
            ("-5", None),
            ("+5", None),
            ("1.5", None),
            ("soon", None),
            ("2026-11-23T12:01:00Z", None),
            ("Mon, 99 Nov 2026 12:01:00 GMT", None),
        ] {
            assert_eq!(parse(text, now), expected, "{text}");
        }
    }
}
