//! What our looks at the TXT record add up to. Pure.
use chrono::{DateTime, Utc};

use crate::dns::verification::Look;

/// What is known of one claim's record after every look so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proof {
    /// The last look that got an answer.
    pub checked_at: Option<DateTime<Utc>>,
    /// Since when every answer has had our value.
    pub seen_since: Option<DateTime<Utc>>,
    /// Since when no answer has had it.
    pub missing_since: Option<DateTime<Utc>>,
    /// The last time that it was not there, for ever.
    pub absent_at: Option<DateTime<Utc>>,
}

impl Proof {
    #[must_use]
    pub fn after(self, look: &Look, now: DateTime<Utc>) -> Self {
        match look {
            Look::Present { .. } => Self {
                checked_at: Some(now),
                seen_since: self.seen_since.or(Some(now)),
                missing_since: None,
                absent_at: self.absent_at,
            },
            Look::Absent { .. } => Self {
                checked_at: Some(now),
                seen_since: None,
                missing_since: self.missing_since.or(Some(now)),
                absent_at: Some(now),
            },
            Look::Undetermined(_) => self,
        }
    }

    /// Whether the record was made after `since`: it stands now, and we saw with our own eyes that it
    /// did not after `since`. DNS itself tells no record's age.
    #[must_use]
    pub fn is_newer_than(&self, since: DateTime<Utc>) -> bool {
        self.seen_since.is_some() && self.absent_at.is_some_and(|absent| absent >= since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Failure;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    #[test]
    fn an_answer_that_says_nothing_changes_nothing() {
        let proof = Proof::default().after(&Look::Present { observed: Vec::new() }, at(1));
        for failure in [Failure::Timeout, Failure::ServerFailure, Failure::Refused] {
            assert_eq!(proof.clone().after(&Look::Undetermined(failure), at(9)), proof);
        }
    }

    #[test]
    fn a_proof_is_newer_only_if_its_absence_was_seen_since() {
        let present = Look::Present { observed: Vec::new() };
        let absent = Look::Absent {
            observed: Vec::new(),
            misplaced: None,
        };
        let history = |looks: &[(&Look, i64)]| {
            looks
                .iter()
                .fold(Proof::default(), |proof, (look, when)| proof.after(look, at(*when)))
        };
        for (looks, expected) in [
            (&[(&present, 20)][..], false),
            (&[(&absent, 5), (&present, 20)], false),
            (&[(&absent, 10), (&present, 20)], true),
            (&[(&absent, 15), (&present, 20)], true),
            (&[(&present, 5), (&absent, 15), (&present, 20)], true),
            (&[(&absent, 15), (&present, 20), (&absent, 30)], false),
        ] {
            assert_eq!(history(looks).is_newer_than(at(10)), expected, "{looks:?}");
        }
    }
}
