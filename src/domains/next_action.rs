//! The one next step of a domain, who must take it, and what works but looks wrong. Pure.
use chrono::{DateTime, Utc};

use super::{
    Domain,
    connection::{self, Connection, Expected, Fault, RESOLVER_UNREACHABLE, Verdict},
    ownership::{
        claims::{self, LOST_AFTER},
        record_name, record_value,
    },
    status::{Status, is_contested, is_proof_lost, status, verdict},
};

/// Who has to do the next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    Client,
    Msp,
    Signpost,
}

impl Who {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Msp => "msp",
            Self::Signpost => "signpost",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextAction {
    pub code: &'static str,
    /// What made it necessary, by the names of the probe's codes.
    pub cause: Option<String>,
    pub who: Who,
    pub message: String,
}

impl NextAction {
    fn new(code: &'static str, who: Who, message: impl Into<String>) -> Self {
        Self {
            code,
            cause: None,
            who,
            message: message.into(),
        }
    }

    fn because(self, cause: impl Into<String>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..self
        }
    }
}

/// What is to be done next, and by whom; `None` when nothing is.
#[must_use]
pub fn next_action(domain: &Domain, expected: &Expected, now: DateTime<Utc>) -> Option<NextAction> {
    match status(domain, expected, now) {
        Status::Suspended => Some(NextAction::new(
            "contact_operator",
            Who::Msp,
            "Service for this domain is suspended. Ask the operator of this Signpost why.",
        )),
        Status::PendingOwnership => Some(prove(domain)),
        Status::Attention if is_contested(domain) => Some(contested(domain)),
        Status::Attention if is_proof_lost(domain) => Some(restore(domain)),
        Status::Active => None,
        Status::PendingDns | Status::PendingCertificate | Status::Attention => Some(connect(domain, expected)),
    }
}

fn prove(domain: &Domain) -> NextAction {
    let record = record(domain);
    if let Some(when) = domain.claim.takes_over_at {
        let message = format!(
            "Your proof is newer than that of the organisation that holds {}: the domain is yours on {}. Until then they may object. Leave the TXT record where it is.",
            domain.hostname,
            date(when)
        );
        return NextAction::new("wait_for_take_over", Who::Signpost, message).because("held_by_another");
    }
    if claims::is_stale(&domain.claim, domain.rival) {
        let message = format!(
            "Another organisation holds, or held, {}, and your TXT record was there before we first looked, so it may be older than their proof. Remove it, run a check, and add it again: {record}.",
            domain.hostname
        );
        return NextAction::new("renew_ownership_record", Who::Client, message).because("record_may_be_old");
    }
    if let Some(failure) = domain.seen.ownership_failure {
        let message = format!(
            "We can't see whether the TXT record {} is there: {failure}. We go on trying; check that the domain's name servers answer. The record must be: {record}.",
            record_name(&domain.hostname)
        );
        return NextAction::new("add_ownership_record", Who::Client, message).because(connection::cause_of(failure));
    }
    if let Some(name) = &domain.seen.ownership_misplaced {
        let message = format!(
            "Your TXT record stands at {name}: that is not its name. It must be: {record}. Many DNS hosts append the domain by themselves; there, enter what stands before it."
        );
        return NextAction::new("add_ownership_record", Who::Client, message).because("record_misplaced");
    }
    let observed = &domain.seen.ownership_observed;
    let others = observed.iter().any(|text| text.contains("signpost-verification="));
    let (cause, seen) = match (domain.claim.proof.checked_at, observed.is_empty()) {
        (None, _) => (None, String::new()),
        (Some(_), true) => (
            Some("record_missing"),
            " We looked, and no TXT record is there.".to_owned(),
        ),
        (Some(_), false) if is_miswritten(domain) => (
            Some("record_wrong"),
            format!(
                " There is {}: your value, but not as it must be. Copy it whole, with nothing in it or beside it.",
                quoted(observed)
            ),
        ),
        (Some(_), false) if others => (
            Some("record_of_another"),
            format!(
                " There is {}, which proves another organisation's claim, or an old one; yours may stand beside it.",
                quoted(observed)
            ),
        ),
        (Some(_), false) => (
            Some("record_wrong"),
            format!(" There is {}, which is not it.", quoted(observed)),
        ),
    };
    let message = format!("Add a TXT record at your DNS host: {record}. It proves that the domain is yours.{seen}");
    NextAction {
        cause: cause.map(Into::into),
        ..NextAction::new("add_ownership_record", Who::Client, message)
    }
}

fn contested(domain: &Domain) -> NextAction {
    let until = domain.contested_until.map(date).unwrap_or_default();
    let message = format!(
        "Another organisation has proved {} more recently than you, and takes it over on {until}. If that is right, delete the domain here. If not, have their TXT record at {} removed, or take yours out, run a check, and add it again: {}.",
        domain.hostname,
        record_name(&domain.hostname),
        record(domain)
    );
    NextAction::new("settle_ownership", Who::Msp, message).because("newer_proof_of_another")
}

fn restore(domain: &Domain) -> NextAction {
    let until = domain.claim.proof.missing_since.map(|since| date(since + LOST_AFTER));
    let message = format!(
        "The TXT record that proves the domain is gone. Put it back before {}, when service ends: {}.",
        until.unwrap_or_default(),
        record(domain)
    );
    NextAction::new("restore_ownership_record", Who::Client, message).because("record_missing")
}

/// Ownership is settled: what stands between a device and the answer?
fn connect(domain: &Domain, expected: &Expected) -> NextAction {
    let fix = match domain.connection {
        Connection::Direct => "fix_dns",
        Connection::Redirect | Connection::Proxy => "fix_website",
    };
    match verdict(domain, expected) {
        None => NextAction::new(
            "wait_for_check",
            Who::Signpost,
            "We are looking at the domain from outside. There is nothing for you to do.",
        ),
        Some(Verdict::Wrong(Fault { cause, message })) => NextAction::new(fix, Who::Client, message).because(cause),
        Some(Verdict::Undetermined(Fault { cause, message })) if cause == RESOLVER_UNREACHABLE => {
            NextAction::new("wait_for_check", Who::Signpost, message).because(cause)
        }
        Some(Verdict::Undetermined(Fault { cause, message })) if domain.seen.connected_at.is_none() => {
            NextAction::new(fix, Who::Client, message).because(cause)
        }
        Some(Verdict::Connected | Verdict::Undetermined(_)) => certificate(domain, expected),
    }
}

fn certificate(domain: &Domain, expected: &Expected) -> NextAction {
    match domain.certificate(expected) {
        None => match domain.certificate_failure(expected) {
            // The remedy says what to do, if anything is for the domain's people.
            Some(failed) => NextAction::new(
                "wait_for_certificate",
                if failed.is_theirs { Who::Client } else { Who::Signpost },
                format!("{} {}", failed.message, failed.remedy),
            )
            .because(&failed.code),
            None => NextAction::new(
                "wait_for_certificate",
                Who::Signpost,
                "We are obtaining the certificate for this domain. There is nothing for you to do.",
            ),
        },
        Some(_) => NextAction::new(
            "renew_certificate",
            Who::Signpost,
            "The certificate has expired and is being renewed.",
        ),
    }
}

fn record(domain: &Domain) -> String {
    format!(
        "name {}, value {}",
        record_name(&domain.hostname),
        record_value(&domain.ownership_key, &domain.hostname)
    )
}

/// Whether a part of the domain's own value stands there, so long that it can be nobody else's: cut off, without its
/// beginning, in capitals, or with something that sticks to it.
fn is_miswritten(domain: &Domain) -> bool {
    const TELLING: usize = 12;
    let value = record_value(&domain.ownership_key, &domain.hostname).to_ascii_lowercase();
    let secret = value.rsplit('=').next().unwrap_or_default();
    let parts = [
        secret.get(..TELLING),
        secret.get(secret.len().saturating_sub(TELLING)..),
    ];
    domain.seen.ownership_observed.iter().any(|text| {
        let text = text.to_ascii_lowercase();
        parts.iter().flatten().any(|part| text.contains(part))
    })
}

/// The first few, so that the sentence stays one.
fn quoted(texts: &[String]) -> String {
    let shown: Vec<_> = texts.iter().take(3).map(|text| format!("`{text}`")).collect();
    match texts.len().saturating_sub(3) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn date(time: DateTime<Utc>) -> String {
    time.format("%-d %B %Y, %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dns::Failure,
        domains::{
            ownership::{claims::Method, proof::Proof},
            status::tests::{active, address, at, expected, first_seen, new, records, seen, verified},
        },
    };

    fn looked(observed: &[&str]) -> Domain {
        let mut domain = new();
        domain.claim.proof = Proof {
            checked_at: Some(at(2)),
            missing_since: Some(at(2)),
            ..Proof::default()
        };
        domain.seen.ownership_observed = observed.iter().map(|text| (*text).to_owned()).collect();
        domain
    }

    #[test]
    fn every_state_has_one_next_step_and_one_who_must_take_it() {
        let mut misplaced = looked(&[]);
        misplaced.seen.ownership_misplaced = Some("contoso.com".into());
        let mut unreachable = new();
        unreachable.seen.ownership_failure = Some(Failure::ServerFailure);
        let mut old = looked(&[]);
        old.claim.proof = Proof {
            seen_since: Some(at(2)),
            ..Proof::default()
        };
        old.rival.held_since = Some(at(1));
        let mut waiting = new();
        waiting.claim.takes_over_at = Some(at(9));
        let mut lost = active();
        lost.claim.proof.missing_since = Some(at(3));
        let mut contested = active();
        contested.contested_until = Some(at(9));
        let mut uncertified = active();
        uncertified.certificates.clear();
        let mut suspended = new();
        suspended.suspended_at = Some(at(1));
        let connected = |seen| Domain {
            seen,
            ..verified(Method::Dns)
        };
        for (domain, code, cause, who) in [
            (new(), "add_ownership_record", None, Who::Client),
            (looked(&[]), "add_ownership_record", Some("record_missing"), Who::Client),
            (misplaced, "add_ownership_record", Some("record_misplaced"), Who::Client),
            (
                looked(&["v=spf1"]),
                "add_ownership_record",
                Some("record_wrong"),
                Who::Client,
            ),
            (
                looked(&["signpost-verification=x"]),
                "add_ownership_record",
                Some("record_of_another"),
                Who::Client,
            ),
            (
                unreachable,
                "add_ownership_record",
                Some("dns_server_failure"),
                Who::Client,
            ),
            (old, "renew_ownership_record", Some("record_may_be_old"), Who::Client),
            (waiting, "wait_for_take_over", Some("held_by_another"), Who::Signpost),
            (lost, "restore_ownership_record", Some("record_missing"), Who::Client),
            (contested, "settle_ownership", Some("newer_proof_of_another"), Who::Msp),
            (verified(Method::Dns), "wait_for_check", None, Who::Signpost),
            (
                connected(first_seen(records(address("198.51.100.7")))),
                "fix_dns",
                Some("address_elsewhere"),
                Who::Client,
            ),
            (
                connected(first_seen(records(Err(Failure::Timeout)))),
                "fix_dns",
                Some("dns_timeout"),
                Who::Client,
            ),
            (
                connected(first_seen(records(Err(Failure::Unreachable)))),
                "wait_for_check",
                Some("resolver_unreachable"),
                Who::Signpost,
            ),
            (
                connected(seen(records(address("198.51.100.7")))),
                "fix_dns",
                Some("address_elsewhere"),
                Who::Client,
            ),
            (uncertified, "wait_for_certificate", None, Who::Signpost),
            (suspended, "contact_operator", None, Who::Msp),
        ] {
            let action = next_action(&domain, &expected(), at(3)).expect("a next action");
            assert_eq!((action.code, action.cause.as_deref(), action.who), (code, cause, who));
        }
        assert_eq!(next_action(&active(), &expected(), at(3)), None);
        let expired = next_action(&active(), &expected(), at(100)).expect("a next action");
        assert_eq!((expired.code, expired.who), ("renew_certificate", Who::Signpost));
    }

    #[test]
    fn a_value_of_ones_own_that_is_miswritten_is_not_taken_for_anothers() {
        let domain = looked(&[]);
        let value = record_value(&domain.ownership_key, &domain.hostname);
        let cut = value.get(..value.len() - 2).expect("ASCII").to_owned();
        let secret = value.rsplit('=').next().expect("a value").to_owned();
        for text in [
            cut,
            secret,
            value.to_ascii_uppercase(),
            format!("{value};"),
            format!("\u{200b}{value}"),
        ] {
            let action = next_action(&looked(&[&text]), &expected(), at(3)).expect("a next action");
            assert_eq!(action.cause.as_deref(), Some("record_wrong"), "{text}");
            assert!(action.message.contains("Copy it whole"), "{}", action.message);
        }
        let another = record_value(b"another", &domain.hostname);
        let action = next_action(&looked(&[&another]), &expected(), at(3)).expect("a next action");
        assert_eq!(action.cause.as_deref(), Some("record_of_another"));
    }

    #[test]
    fn the_message_names_the_record_to_add_and_what_stands_there_instead() {
        let message = |domain: &Domain| next_action(domain, &expected(), at(3)).expect("a next action").message;
        let text = message(&looked(&["v=spf1 -all", "a", "b", "c", "d"]));
        for part in [
            "_signpost.contoso.com",
            "signpost-verification=",
            "`v=spf1 -all`",
            "and 2 more",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
