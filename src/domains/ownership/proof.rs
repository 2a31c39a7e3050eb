//! What our looks at the TXT record add up to. Pure.
use chrono::{DateTime, Utc};

use crate::dns::{Failure, Lookup};

/// How many texts of one look are kept, and how much of each: enough to see a mistake by.
const KEPT_TEXTS: usize = 16;
const KEPT_CHARACTERS: usize = 255;

/// What stood at the record's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    Present {
        observed: Vec<String>,
    },
    Absent {
        observed: Vec<String>,
        /// Another name, at which our value stands by mistake.
        misplaced: Option<String>,
    },
    /// No answer that says anything about the record: the proof stays as it was.
    Undetermined(Failure),
}

impl Look {
    /// A record may hold several values, apart by white space, and a value may stand in quotation marks
    /// that a DNS host's form took for text.
    #[must_use]
    pub fn new(value: &str, texts: Lookup<String>) -> Self {
        let texts = match texts {
            Ok(found) => found.records,
            Err(Failure::NoSuchName) => Vec::new(),
            Err(failure) => return Self::Undetermined(failure),
        };
        let is_present = holds(value, &texts);
        let observed = texts
            .iter()
            .take(KEPT_TEXTS)
            .map(|text| {
                text.chars()
                    .filter(|character| !character.is_control())
                    .take(KEPT_CHARACTERS)
                    .collect()
            })
            .collect();
        match is_present {
            true => Self::Present { observed },
            false => Self::Absent {
                observed,
                misplaced: None,
            },
        }
    }
}

/// Whether one of the values of one of the records is ours.
#[must_use]
pub fn holds(value: &str, texts: &[String]) -> bool {
    let is_ours = |word: &str| word.trim_matches('"') == value;
    texts.iter().any(|text| text.split_whitespace().any(is_ours))
}

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
    use crate::dns::Found;

    const VALUE: &str = "signpost-verification=abc";

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    #[expect(clippy::unnecessary_wraps, reason = "a look-up is a result")]
    fn texts(texts: &[&str]) -> Lookup<String> {
        Ok(Found {
            aliases: Vec::new(),
            records: texts.iter().map(|text| (*text).to_owned()).collect(),
        })
    }

    #[test]
    fn a_record_proves_if_one_of_its_values_is_ours_to_the_letter() {
        for (given, is_present) in [
            (texts(&[]), false),
            (texts(&["signpost-verification=abc"]), true),
            (texts(&["signpost-verification=other"]), false),
            (
                texts(&[
                    "v=spf1 -all",
                    "signpost-verification=other",
                    "signpost-verification=abc",
                ]),
                true,
            ),
            (texts(&["signpost-verification=other signpost-verification=abc"]), true),
            (texts(&["\"signpost-verification=abc\""]), true),
            (texts(&["signpost-verification=abcd"]), false),
            (texts(&["xsignpost-verification=abc"]), false),
            (texts(&["SIGNPOST-VERIFICATION=ABC"]), false),
            (Err(Failure::NoSuchName), false),
        ] {
            let look = Look::new(VALUE, given.clone());
            assert_eq!(matches!(look, Look::Present { .. }), is_present, "{given:?}");
            assert_eq!(matches!(look, Look::Absent { .. }), !is_present, "{given:?}");
        }
    }

    #[test]
    fn an_answer_that_says_nothing_changes_nothing() {
        let proof = Proof::default().after(&Look::Present { observed: Vec::new() }, at(1));
        for failure in [Failure::Timeout, Failure::ServerFailure, Failure::Refused] {
            let look = Look::new(VALUE, Err(failure));
            assert_eq!(look, Look::Undetermined(failure));
            assert_eq!(proof.clone().after(&look, at(9)), proof);
        }
    }

    #[test]
    fn what_a_hostile_answer_holds_is_kept_short_and_clean() {
        let long = format!("\u{1b}[31m{}", "x".repeat(10_000));
        let many: Vec<&str> = std::iter::repeat_n(long.as_str(), 500).collect();
        let Look::Absent { observed, .. } = Look::new(VALUE, texts(&many)) else {
            panic!("absent")
        };
        assert_eq!((observed.len(), observed[0].len()), (16, 255));
        assert!(!observed[0].contains('\u{1b}'));
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
