//! The TXT record that lets an organisation's provider sign in people of a mail domain, and what lookups of it add up to.
//! No I/O.
use aws_lc_rs::hmac;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use chrono::{DateTime, TimeDelta, Utc};

use crate::dns::verification::Look;

/// From the first lookup that misses a record which was there to the end of single sign-on for the domain.
pub const LOST_AFTER: TimeDelta = TimeDelta::days(3);

/// Checks of a record that is there.
const PROVED_CHECK_INTERVAL: TimeDelta = TimeDelta::hours(24);
/// Checks of a record that is not, in the first hour after the domain was added, in the first day, and later.
const FIRST_CHECK_INTERVAL: TimeDelta = TimeDelta::minutes(1);
const EARLY_CHECK_INTERVAL: TimeDelta = TimeDelta::minutes(10);
const LATER_CHECK_INTERVAL: TimeDelta = TimeDelta::hours(6);

/// Where the record is. Not the one for discovery: a client who lets an MSP answer devices does not let it say who
/// the client's people are.
#[must_use]
pub fn record_name(hostname: &str) -> String {
    format!("_signpost-sso.{hostname}")
}

/// What the record says: the same for one organisation and hostname at all times.
#[must_use]
pub fn record_value(ownership_key: &[u8], hostname: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, ownership_key);
    // No hostname has a space: the value is never that of the ownership record of another name.
    let tag = hmac::sign(&key, format!("single sign-on {hostname}").as_bytes());
    format!(
        "signpost-sso-verification={}",
        BASE64_URL_SAFE_NO_PAD.encode(&tag.as_ref()[..20])
    )
}

/// What is known of one domain's record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordState {
    /// Set: the record was found, and has not been missing for [`LOST_AFTER`].
    pub proved_at: Option<DateTime<Utc>>,
    pub missing_since: Option<DateTime<Utc>>,
}

/// What a lookup changes for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    None,
    Proved,
    Lost,
}

impl RecordState {
    /// A lookup without an answer changes nothing.
    #[must_use]
    pub fn after(self, look: &Look, now: DateTime<Utc>) -> (Self, Change) {
        match look {
            Look::Undetermined(_) => (self, Change::None),
            Look::Present { .. } => {
                let change = match self.proved_at {
                    Some(_) => Change::None,
                    None => Change::Proved,
                };
                let state = Self {
                    proved_at: self.proved_at.or(Some(now)),
                    missing_since: None,
                };
                (state, change)
            }
            Look::Absent { .. } => {
                let missing_since = self.missing_since.unwrap_or(now);
                let is_lost = self.proved_at.is_some() && now - missing_since >= LOST_AFTER;
                let state = Self {
                    proved_at: self.proved_at.filter(|_| !is_lost),
                    missing_since: Some(missing_since),
                };
                (state, if is_lost { Change::Lost } else { Change::None })
            }
        }
    }

    #[must_use]
    pub fn next_check_at(self, added_at: DateTime<Utc>, now: DateTime<Utc>) -> DateTime<Utc> {
        let age = now - added_at;
        let interval = match (self.proved_at, self.missing_since) {
            (Some(_), None) => PROVED_CHECK_INTERVAL,
            // A record that has gone is looked for often enough to be sure of its absence.
            (Some(_), Some(_)) => LATER_CHECK_INTERVAL,
            (None, _) if age < TimeDelta::hours(1) => FIRST_CHECK_INTERVAL,
            (None, _) if age < TimeDelta::days(1) => EARLY_CHECK_INTERVAL,
            (None, _) => LATER_CHECK_INTERVAL,
        };
        now + interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Failure;

    fn at(hours: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::hours(hours)
    }

    #[test]
    fn the_value_is_of_one_organisation_one_hostname_and_one_purpose() {
        let value = record_value(b"key", "contoso.com");
        assert_eq!(value, record_value(b"key", "contoso.com"));
        assert_ne!(value, record_value(b"other", "contoso.com"));
        assert_ne!(value, record_value(b"key", "fabrikam.com"));
        let (_, tag) = value.split_once('=').unwrap();
        assert_eq!(tag.len(), 27);
    }

    #[test]
    fn a_record_proves_at_once_and_is_lost_after_three_days_of_answers_without_it() {
        let present = Look::Present { observed: Vec::new() };
        let absent = Look::Absent {
            observed: Vec::new(),
            misplaced: None,
        };
        let failed = Look::Undetermined(Failure::ServerFailure);
        let history: &[(&Look, i64, bool, Change)] = &[
            (&absent, 0, false, Change::None),
            (&failed, 1, false, Change::None),
            (&present, 2, true, Change::Proved),
            (&present, 26, true, Change::None),
            (&absent, 50, true, Change::None),
            // Failures end nothing, however long they last.
            (&failed, 500, true, Change::None),
            (&present, 501, true, Change::None),
            (&absent, 510, true, Change::None),
            (&absent, 510 + 71, true, Change::None),
            (&absent, 510 + 72, false, Change::Lost),
            (&absent, 510 + 96, false, Change::None),
            (&present, 700, true, Change::Proved),
        ];
        let mut state = RecordState::default();
        for (look, when, is_proved, expected) in history {
            let (after, change) = state.after(look, at(*when));
            assert_eq!((after.proved_at.is_some(), change), (*is_proved, *expected), "{when}");
            state = after;
        }
    }

    #[test]
    fn a_record_that_is_not_there_yet_is_looked_for_often_at_first() {
        let missing = RecordState {
            proved_at: None,
            missing_since: Some(at(0)),
        };
        let proved = RecordState {
            proved_at: Some(at(0)),
            missing_since: None,
        };
        let gone = RecordState {
            proved_at: Some(at(0)),
            missing_since: Some(at(1)),
        };
        for (state, age_hours, expected_minutes) in [
            (RecordState::default(), 0, 1),
            (missing, 0, 1),
            (missing, 2, 10),
            (missing, 30, 360),
            (proved, 0, 1440),
            (proved, 900, 1440),
            (gone, 900, 360),
        ] {
            let next = state.next_check_at(at(0), at(age_hours));
            assert_eq!(
                (next - at(age_hours)).num_minutes(),
                expected_minutes,
                "{state:?}, {age_hours}"
            );
        }
    }
}
