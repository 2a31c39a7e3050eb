//! TXT records by which a domain's owner proves something: what one lookup of such a record says.
use super::{Dns, Failure, Lookup};

/// Maximum number of texts of one answer that are kept, and of characters of each: enough to see a mistake.
const MAX_KEPT_TEXTS: usize = 16;
const MAX_KEPT_CHARACTERS: usize = 255;
/// Exists as long as the DNS does.
const ALWAYS_EXISTS: &str = "a.root-servers.net";

/// The result of one lookup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    Present {
        observed: Vec<String>,
    },
    Absent {
        observed: Vec<String>,
        /// Another name, at which our value was put by mistake.
        misplaced: Option<String>,
    },
    /// The answer says nothing about the record: a proof stays as it was.
    Undetermined(Failure),
}

impl Look {
    /// A record may hold several values, separated by white space, and a value may be in quotation marks
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
            .take(MAX_KEPT_TEXTS)
            .map(|text| {
                text.chars()
                    .filter(|character| !character.is_control())
                    .take(MAX_KEPT_CHARACTERS)
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

/// Whether one of the values of one of the records is `value`.
#[must_use]
fn holds(value: &str, texts: &[String]) -> bool {
    let is_ours = |word: &str| word.trim_matches('"') == value;
    texts.iter().any(|text| text.split_whitespace().any(is_ours))
}

/// A TXT record that somebody is asked to add.
#[derive(Clone, Copy, Debug)]
pub struct VerificationRecord<'a> {
    /// The domain that it proves something about.
    pub hostname: &'a str,
    /// Where the record has to be, below `hostname`.
    pub name: &'a str,
    pub value: &'a str,
}

impl Dns {
    /// Looks a record up. `is_relied_on`: something ends if it is absent, so the answer must be the domain's and not that
    /// of a resolver that has lost its way to the internet.
    pub async fn verification(&self, record: VerificationRecord<'_>, is_relied_on: bool) -> Look {
        match Look::new(record.value, self.txt(record.name).await) {
            Look::Absent { .. } if is_relied_on && self.denies_everything().await => {
                Look::Undetermined(Failure::Unreachable)
            }
            Look::Absent { observed, .. } => Look::Absent {
                observed,
                misplaced: self.misplaced(record).await,
            },
            look => look,
        }
    }

    /// Some resolvers say that no name exists when they can't ask.
    async fn denies_everything(&self) -> bool {
        matches!(self.addresses(ALWAYS_EXISTS).await.a, Err(Failure::NoSuchName))
    }

    /// The two usual mistakes: the record at the domain itself, and the domain appended by the DNS host once more.
    async fn misplaced(&self, record: VerificationRecord<'_>) -> Option<String> {
        let names = [
            record.hostname.to_owned(),
            format!("{}.{}", record.name, record.hostname),
        ];
        let texts = futures_util::future::join_all(names.iter().map(|name| self.txt(name))).await;
        names
            .into_iter()
            .zip(texts)
            .find(|(_, texts)| texts.as_ref().is_ok_and(|found| holds(record.value, &found.records)))
            .map(|(name, _)| name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::Found;

    const VALUE: &str = "signpost-verification=abc";

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
    fn a_failed_lookup_determines_nothing() {
        for failure in [Failure::Timeout, Failure::ServerFailure, Failure::Refused] {
            assert_eq!(Look::new(VALUE, Err(failure)), Look::Undetermined(failure));
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
}
