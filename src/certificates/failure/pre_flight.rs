//! What kept us from asking the CA at all.
use std::{fmt::Display, net::IpAddr};

use chrono::{DateTime, Utc};

use super::{Code, Failure, LONGEST_WORDS, shown};
use crate::{
    certificates::decisions::budget::{Budget, Wait},
    domains::connection::RESOLVER_UNREACHABLE,
};

const BY_ITSELF: &str = "There is nothing for you to do: we go on by ourselves.";

impl Failure {
    /// What a look of the domain's connection says is wrong, with its own code: the message names the remedy.
    #[must_use]
    pub fn not_connected(cause: &str, message: &str, at: DateTime<Utc>) -> Self {
        let failure = Self {
            code: cause.to_owned(),
            ..Self::new(
                Code::AddressElsewhere,
                shown(message, LONGEST_WORDS),
                "We look again by ourselves, and obtain the certificate when this is mended.",
                at,
            )
        };
        // Not where our own resolver is at fault.
        match cause == RESOLVER_UNREACHABLE {
            true => failure,
            false => failure.theirs(),
        }
    }

    /// We asked our own name for a test answer, at `address`, as the CA would; `seen` is what came instead.
    #[must_use]
    pub fn self_test_unreached(hostname: &str, address: IpAddr, seen: &str, at: DateTime<Utc>) -> Self {
        Self::new(
            Code::SelfTestUnreached,
            format!(
                "A test of http://{hostname}/.well-known/acme-challenge/ at {address} did not reach us: {}",
                sentence(&shown(seen, LONGEST_WORDS))
            ),
            "Whoever runs Signpost, or what stands before it, must let every request for /.well-known/acme-challenge/ on port 80 through to it: no filter, no redirect, no other server. We try again by ourselves.",
            at,
        )
    }

    /// The CA would refuse one more order.
    #[must_use]
    pub fn budget_spent(hostname: &str, wait: Wait, at: DateTime<Utc>) -> Self {
        let until = minute(wait.until);
        let (message, remedy) = match wait.budget {
            Budget::Orders => (
                format!(
                    "The certificate authority takes only so many orders from us in a few hours: {hostname} waits for its turn."
                ),
                BY_ITSELF,
            ),
            Budget::OfOrganisation | Budget::OfSelfRegistered => (
                format!(
                    "The certificate authority takes only so many orders from us in a few hours, and this organisation has had its share: {hostname} waits for its turn."
                ),
                BY_ITSELF,
            ),
            Budget::OfDomain => (
                format!(
                    "The certificate authority issues only so many certificates for names of one domain in a week, and that of {hostname} has had them."
                ),
                BY_ITSELF,
            ),
            Budget::OfName => (
                format!(
                    "The certificate authority issues only so many certificates for one name in a week, and {hostname} has had them."
                ),
                BY_ITSELF,
            ),
            Budget::FailuresOfDomain => (
                format!(
                    "The certificate authority could not validate many names of the domain of {hostname} within an hour: before it loses patience, we wait."
                ),
                "Mend what its last words about those names were, if you can. We go on by ourselves.",
            ),
            Budget::Failures => (
                format!(
                    "The certificate authority could not validate {hostname} several times within an hour: before it loses patience, we wait."
                ),
                "Mend what its last words were about, if you can. We go on by ourselves.",
            ),
        };
        Self::new(
            Code::BudgetSpent,
            format!("{message} It is looked at again at {until}."),
            remedy,
            at,
        )
    }

    /// The breaker of the CA is closed.
    #[must_use]
    pub fn ca_paused(until: DateTime<Utc>, at: DateTime<Utc>) -> Self {
        Self::new(
            Code::CaPaused,
            format!(
                "The certificate authority has trouble, or asked for patience: we ask it again at {}.",
                minute(until)
            ),
            BY_ITSELF,
            at,
        )
    }
}

pub(super) fn minute(at: DateTime<Utc>) -> impl Display {
    at.format("%Y-%m-%d %H:%M UTC")
}

fn sentence(text: &str) -> String {
    match text.ends_with(['.', '…', '!', '?']) {
        true => text.to_owned(),
        false => format!("{text}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[test]
    fn a_look_before_the_order_says_what_was_seen_and_what_to_do() {
        let address = IpAddr::from([192, 0, 2, 7]);
        let wait = |budget| Wait {
            until: AT + chrono::TimeDelta::minutes(90),
            budget,
        };
        for (failure, code, words) in [
            (
                Failure::not_connected("dns_timeout", "No answer\ncame.", AT),
                "dns_timeout",
                vec!["No answer came."],
            ),
            (
                Failure::self_test_unreached("a.example", address, "status 403\u{1b}[2J", AT),
                "self_test_unreached",
                vec!["192.0.2.7", "status 403 [2J.", "/.well-known/acme-challenge/"],
            ),
            (
                Failure::budget_spent("a.example", wait(Budget::Orders), AT),
                "budget_spent",
                vec!["1970-01-01 01:30 UTC", "turn", "nothing for you to do"],
            ),
            (
                Failure::budget_spent("a.example", wait(Budget::OfOrganisation), AT),
                "budget_spent",
                vec!["its share", "nothing for you to do"],
            ),
            (
                Failure::budget_spent("a.example", wait(Budget::FailuresOfDomain), AT),
                "budget_spent",
                vec!["many names", "last words"],
            ),
            (
                Failure::budget_spent("a.example", wait(Budget::OfDomain), AT),
                "budget_spent",
                vec!["one domain"],
            ),
            (
                Failure::budget_spent("a.example", wait(Budget::OfName), AT),
                "budget_spent",
                vec!["one name"],
            ),
            (
                Failure::budget_spent("a.example", wait(Budget::Failures), AT),
                "budget_spent",
                vec!["several times", "last words"],
            ),
            (Failure::ca_paused(AT, AT), "ca_paused", vec!["1970-01-01 00:00 UTC"]),
        ] {
            assert_eq!(failure.code, code);
            let text = format!("{} {}", failure.message, failure.remedy);
            for word in words {
                assert!(text.contains(word), "{text}: no {word}");
            }
            assert!(!failure.remedy.is_empty() && !text.contains('\u{1b}'), "{text}");
        }
    }
}
