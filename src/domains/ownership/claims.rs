//! Which claim to a hostname holds. Pure: facts and the time in, one verdict out.
//!
//! The newest proof wins, for who writes into the domain's DNS last is who speaks for it now; but a holder is told and has
//! [`GRACE`] to put its own record there anew or to have the other removed. A record that was there before we looked
//! proves nothing against somebody who holds, or has held, the name: it may be years old.
use chrono::{DateTime, TimeDelta, Utc};

use super::proof::Proof;

/// From a newer proof to the change of hands.
pub const GRACE: TimeDelta = TimeDelta::days(3);
/// From the first look that misses the holder's record to the end of service.
pub const LOST_AFTER: TimeDelta = TimeDelta::days(7);

/// How a claim came to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// The TXT record, which must stay.
    Dns,
    /// An operator's word, which lasts.
    Operator,
}

impl Method {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Operator => "operator",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Dns, Self::Operator]
            .into_iter()
            .find(|method| method.as_str() == text)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verification {
    pub at: DateTime<Utc>,
    pub method: Method,
}

/// One organisation's claim.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Set: it holds.
    pub verification: Option<Verification>,
    pub takes_over_at: Option<DateTime<Utc>>,
    /// It, or its organisation: it may lose the name, but gains none.
    pub is_suspended: bool,
    pub proof: Proof,
}

/// What stands against a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rival {
    /// When the organisation that holds the name last proved it.
    pub held_since: Option<DateTime<Utc>>,
    /// When another organisation, that has given the name up, had proved it.
    pub given_up_since: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing changes.
    Stay,
    /// Nobody else holds the name: it is this claim's.
    Hold,
    /// The proof is newer than the holder's: the holder is told, and the name changes hands then.
    TakeOverAt(DateTime<Utc>),
    /// The grace is over, and the record was still seen then.
    TakeOver,
    /// The newer proof is gone, or the holder has made one that is newer still.
    CallOff,
    /// The holder's record has been missing for too long: service ends.
    LetGo,
}

/// When a holder last proved the name: a record that was taken out and put back counts from then.
#[must_use]
pub fn proved_at(verification: Verification, proof: &Proof) -> DateTime<Utc> {
    match (proof.seen_since, proof.absent_at) {
        (Some(seen), Some(absent)) if absent >= verification.at => verification.at.max(seen),
        _ => verification.at,
    }
}

/// Whether the record stands but may be older than what stands against it.
#[must_use]
pub fn is_stale(claim: &Claim, rival: Rival) -> bool {
    claim.verification.is_none()
        && claim.proof.seen_since.is_some()
        && rival
            .held_since
            .or(rival.given_up_since)
            .is_some_and(|since| !claim.proof.is_newer_than(since))
}

#[must_use]
pub fn judge(claim: &Claim, rival: Rival, now: DateTime<Utc>) -> Verdict {
    if let Some(verification) = claim.verification {
        // To the last look that got an answer: one that got none ends nobody's service.
        let is_lost = match (verification.method, claim.proof.missing_since, claim.proof.absent_at) {
            (Method::Dns, Some(since), Some(absent)) => absent - since >= LOST_AFTER,
            _ => false,
        };
        return if is_lost { Verdict::LetGo } else { Verdict::Stay };
    }
    let is_proved = claim.proof.seen_since.is_some() && !is_stale(claim, rival) && !claim.is_suspended;
    let is_seen_at = |when| claim.proof.checked_at.is_some_and(|checked| checked >= when);
    match (is_proved, rival.held_since, claim.takes_over_at) {
        (true, None, _) => Verdict::Hold,
        (true, Some(_), None) => Verdict::TakeOverAt(now + GRACE),
        (true, Some(_), Some(when)) if is_seen_at(when) => Verdict::TakeOver,
        (true, Some(_), Some(_)) => Verdict::Stay,
        (false, _, Some(_)) => Verdict::CallOff,
        (false, _, None) => Verdict::Stay,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn at(days: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(days * DAY, 0).expect("a time")
    }

    /// The record was missing until `absent` and there since `seen`.
    fn seen(absent: Option<i64>, seen: i64) -> Proof {
        seen_until(absent, seen, seen)
    }

    fn seen_until(absent: Option<i64>, seen: i64, until: i64) -> Proof {
        Proof {
            checked_at: Some(at(until)),
            seen_since: Some(at(seen)),
            missing_since: None,
            absent_at: absent.map(at),
        }
    }

    fn missing(since: i64, until: i64) -> Proof {
        Proof {
            checked_at: Some(at(until)),
            seen_since: None,
            missing_since: Some(at(since)),
            absent_at: Some(at(until)),
        }
    }

    fn claim(proof: Proof) -> Claim {
        Claim {
            proof,
            ..Claim::default()
        }
    }

    fn holds(since: i64, method: Method, proof: Proof) -> Claim {
        Claim {
            verification: Some(Verification { at: at(since), method }),
            ..claim(proof)
        }
    }

    fn taking_over(when: i64, proof: Proof) -> Claim {
        Claim {
            takes_over_at: Some(at(when)),
            ..claim(proof)
        }
    }

    fn suspended(claim: Claim) -> Claim {
        Claim {
            is_suspended: true,
            ..claim
        }
    }

    fn held(since: i64) -> Rival {
        Rival {
            held_since: Some(at(since)),
            ..Rival::default()
        }
    }

    fn given_up(since: i64) -> Rival {
        Rival {
            given_up_since: Some(at(since)),
            ..Rival::default()
        }
    }

    #[test]
    fn every_claim_is_judged_by_what_was_seen_and_who_stands_against_it() {
        let nobody = Rival::default();
        for (name, claim, rival, now, expected) in [
            ("never looked", claim(Proof::default()), nobody, 1, Verdict::Stay),
            ("no record", claim(missing(1, 1)), nobody, 1, Verdict::Stay),
            ("a record, nobody else", claim(seen(None, 1)), nobody, 1, Verdict::Hold),
            (
                "a record that was there before",
                claim(seen(None, 9)),
                held(5),
                9,
                Verdict::Stay,
            ),
            (
                "seen missing, but before the holder's proof",
                claim(seen(Some(4), 9)),
                held(5),
                9,
                Verdict::Stay,
            ),
            (
                "a newer record",
                claim(seen(Some(8), 9)),
                held(5),
                9,
                Verdict::TakeOverAt(at(12)),
            ),
            (
                "in the grace",
                taking_over(12, seen(Some(8), 9)),
                held(5),
                11,
                Verdict::Stay,
            ),
            (
                "after the grace",
                taking_over(12, seen_until(Some(8), 9, 12)),
                held(5),
                12,
                Verdict::TakeOver,
            ),
            (
                "the newer record is gone",
                taking_over(12, missing(11, 11)),
                held(5),
                11,
                Verdict::CallOff,
            ),
            (
                "the holder has proved anew",
                taking_over(12, seen(Some(8), 9)),
                held(10),
                11,
                Verdict::CallOff,
            ),
            (
                "the holder has left in the grace",
                taking_over(12, seen(Some(8), 9)),
                nobody,
                10,
                Verdict::Hold,
            ),
            (
                "an old record for a name that another gave up",
                claim(seen(None, 9)),
                given_up(5),
                9,
                Verdict::Stay,
            ),
            (
                "a new record for a name that another gave up",
                claim(seen(Some(8), 9)),
                given_up(5),
                9,
                Verdict::Hold,
            ),
            ("holds", holds(1, Method::Dns, seen(None, 1)), nobody, 99, Verdict::Stay),
            (
                "lost six days ago",
                holds(1, Method::Dns, missing(10, 16)),
                nobody,
                16,
                Verdict::Stay,
            ),
            (
                "lost seven days ago",
                holds(1, Method::Dns, missing(10, 17)),
                nobody,
                17,
                Verdict::LetGo,
            ),
            (
                "an operator's word needs no record",
                holds(1, Method::Operator, missing(2, 2)),
                nobody,
                99,
                Verdict::Stay,
            ),
        ] {
            assert_eq!(judge(&claim, rival, at(now)), expected, "{name}");
        }
    }

    #[test]
    fn silence_changes_nothing_and_who_is_suspended_gains_nothing() {
        let nobody = Rival::default();
        for (name, claim, rival, now, expected) in [
            (
                "lost, and no answer since",
                holds(1, Method::Dns, missing(10, 16)),
                nobody,
                99,
                Verdict::Stay,
            ),
            (
                "after the grace, and no answer since it began",
                taking_over(12, seen(Some(8), 9)),
                held(5),
                99,
                Verdict::Stay,
            ),
            (
                "a record, nobody else, but suspended",
                suspended(claim(seen(None, 1))),
                nobody,
                1,
                Verdict::Stay,
            ),
            (
                "a newer record of one who is suspended",
                suspended(claim(seen(Some(8), 9))),
                held(5),
                9,
                Verdict::Stay,
            ),
            (
                "suspended in the grace",
                suspended(taking_over(12, seen_until(Some(8), 9, 12))),
                held(5),
                12,
                Verdict::CallOff,
            ),
        ] {
            assert_eq!(judge(&claim, rival, at(now)), expected, "{name}");
        }
    }

    #[test]
    fn a_holder_that_puts_its_record_there_anew_has_the_newer_proof() {
        let verification = Verification {
            at: at(5),
            method: Method::Dns,
        };
        for (proof, expected) in [
            (seen(Some(4), 5), 5),
            (seen(None, 5), 5),
            (seen(Some(10), 11), 11),
            (missing(10, 10), 5),
        ] {
            assert_eq!(proved_at(verification, &proof), at(expected), "{proof:?}");
        }
    }

    #[test]
    fn a_stale_record_is_told_from_a_missing_one() {
        for (proof, rival, expected) in [
            (seen(None, 9), held(5), true),
            (seen(None, 9), given_up(5), true),
            (seen(None, 9), Rival::default(), false),
            (seen(Some(8), 9), held(5), false),
            (missing(9, 9), held(5), false),
        ] {
            assert_eq!(is_stale(&claim(proof), rival), expected);
        }
    }
}
