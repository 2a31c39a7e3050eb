//! One derived word for how far a domain is. Pure, and the only derivation: what lists are made of (`domain_statuses`) is
//! what this module derived a moment ago.
use chrono::{DateTime, Utc};

use super::{
    Domain,
    connection::{self, Connection, Expected, Verdict},
    ownership::claims::Method,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    PendingOwnership,
    PendingDns,
    PendingCertificate,
    Active,
    /// Was active, something broke; still served.
    Attention,
    Suspended,
}

impl Status {
    pub const ALL: [Self; 6] = [
        Self::PendingOwnership,
        Self::PendingDns,
        Self::PendingCertificate,
        Self::Active,
        Self::Attention,
        Self::Suspended,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PendingOwnership => "pending_ownership",
            Self::PendingDns => "pending_dns",
            Self::PendingCertificate => "pending_certificate",
            Self::Active => "active",
            Self::Attention => "attention",
            Self::Suspended => "suspended",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// How far `domain` is at `now`.
#[must_use]
pub fn status(domain: &Domain, expected: &Expected, now: DateTime<Utc>) -> Status {
    if domain.suspended_at.is_some() {
        return Status::Suspended;
    }
    if domain.claim.verification.is_none() {
        return Status::PendingOwnership;
    }
    // Before anything else: unmended, it ends the service.
    if is_contested(domain) || is_proof_lost(domain) {
        return Status::Attention;
    }
    let verdict = verdict(domain, expected);
    let was_connected = domain.seen.connected_at.is_some() || verdict == Some(Verdict::Connected);
    let is_wrong = matches!(verdict, Some(Verdict::Wrong(_)));
    match (domain.connection, domain.certificate(expected)) {
        _ if !was_connected => Status::PendingDns,
        (Connection::Direct, None) if is_wrong => Status::PendingDns,
        (Connection::Direct, None) => Status::PendingCertificate,
        (Connection::Direct, Some(certificate)) if certificate.not_after <= now => Status::Attention,
        // Behind a redirect or a proxy devices meet the customer's own certificate.
        _ if is_wrong => Status::Attention,
        _ => Status::Active,
    }
}

/// What was last observed of the connection says, if anything was.
pub(super) fn verdict(domain: &Domain, expected: &Expected) -> Option<Verdict> {
    let observation = domain.seen.observation.as_ref();
    connection::judge(domain.connection, &domain.hostname, observation, expected)
}

/// Another organisation's proof is newer than the holder's.
pub(super) fn is_contested(domain: &Domain) -> bool {
    domain.claim.verification.is_some() && domain.contested_until.is_some()
}

/// The holder's record is gone, and it was the record that proved.
pub(super) fn is_proof_lost(domain: &Domain) -> bool {
    let claim = &domain.claim;
    claim
        .verification
        .is_some_and(|verification| verification.method == Method::Dns)
        && claim.proof.missing_since.is_some()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        dns::{Failure, Found, Lookup},
        domains::{
            CertificateFacts, Seen,
            connection::{Fetched, Finding, Observation, Records},
            ownership::claims::{Claim, Rival, Verification},
            policy::{Action, Policy},
        },
    };

    pub fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    pub fn expected() -> Expected {
        Expected {
            addresses: vec!["192.0.2.10".parse().expect("an address")],
            edge_host: "edge.signpost.example".into(),
            edge_port: 443,
            authority: None,
            validation_method: "http-01",
            account_url: None,
            issuer: "internal".into(),
        }
    }

    /// Registered a moment ago.
    pub fn new() -> Domain {
        Domain {
            id: uuid::Uuid::nil(),
            hostname: "contoso.com".into(),
            client_id: uuid::Uuid::nil(),
            connection: Connection::Direct,
            website_url: None,
            policy: Policy {
                default: Action::Defer {},
                rules: Vec::new(),
            },
            ownership_key: b"key".to_vec(),
            claim: Claim::default(),
            rival: Rival::default(),
            contested_until: None,
            seen: Seen::default(),
            tenant_ids: Vec::new(),
            suspended_at: None,
            certificates: Vec::new(),
            obtaining: Vec::new(),
            served: Vec::new(),
            created_at: at(0),
            updated_at: at(0),
        }
    }

    pub fn verified(method: Method) -> Domain {
        Domain {
            claim: Claim {
                verification: Some(Verification { at: at(1), method }),
                ..Claim::default()
            },
            ..new()
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "there may be none")]
    pub fn records(a: Lookup<std::net::Ipv4Addr>) -> Option<Observation> {
        let empty = Found {
            aliases: Vec::new(),
            records: Vec::new(),
        };
        let caa = Found {
            aliases: Vec::new(),
            records: Vec::new(),
        };
        Some(Observation::Records(Records {
            a,
            aaaa: Ok(empty),
            caa: Ok(caa),
            dangling: None,
            probe: None,
        }))
    }

    #[expect(clippy::unnecessary_wraps, reason = "a look-up is a result")]
    pub fn address(text: &str) -> Lookup<std::net::Ipv4Addr> {
        Ok(Found {
            aliases: Vec::new(),
            records: vec![text.parse().expect("an address")],
        })
    }

    /// Connected at second 2, and looked at since.
    pub fn seen(observation: Option<Observation>) -> Seen {
        Seen {
            connected_at: Some(at(2)),
            ..first_seen(observation)
        }
    }

    pub fn first_seen(observation: Option<Observation>) -> Seen {
        Seen {
            connection_checked_at: Some(at(3)),
            observation,
            ..Seen::default()
        }
    }

    pub fn certificate(not_after: i64) -> Vec<CertificateFacts> {
        vec![CertificateFacts {
            issuer: "internal".into(),
            not_before: at(0),
            not_after: at(not_after),
            renews_at: at(66),
            explanation_url: None,
        }]
    }

    /// Verified by its record, connected, certified.
    pub fn active() -> Domain {
        Domain {
            seen: seen(records(address("192.0.2.10"))),
            certificates: certificate(100),
            ..verified(Method::Dns)
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn a_domain_is_as_far_as_its_facts_say() {
        let fetched = |fetched| Some(Observation::Fetched(fetched));
        let failed = || {
            Fetched::Failed(Finding {
                step: "http".into(),
                code: "not_found".into(),
                detail: "404.".into(),
                remedy: "Add it.".into(),
            })
        };
        let behind_a_website = |seen| Domain {
            connection: Connection::Redirect,
            seen,
            ..verified(Method::Dns)
        };
        let direct = |seen, certificates| Domain {
            seen,
            certificates,
            ..verified(Method::Dns)
        };
        let elsewhere = || records(address("198.51.100.7"));
        let mut lost = active();
        lost.claim.proof.missing_since = Some(at(3));
        let mut word = active();
        word.claim = verified(Method::Operator).claim;
        word.claim.proof.missing_since = Some(at(3));
        let contested = Domain {
            contested_until: Some(at(200)),
            ..active()
        };
        let suspended = |domain| Domain {
            suspended_at: Some(at(2)),
            ..domain
        };
        for (name, domain, now, expected_status) in vec![
            ("new", new(), 3, Status::PendingOwnership),
            ("not looked at", verified(Method::Dns), 3, Status::PendingDns),
            (
                "elsewhere",
                direct(first_seen(elsewhere()), Vec::new()),
                3,
                Status::PendingDns,
            ),
            (
                "elsewhere, certified",
                direct(first_seen(elsewhere()), certificate(100)),
                3,
                Status::PendingDns,
            ),
            (
                "no answer",
                direct(first_seen(records(Err(Failure::Timeout))), Vec::new()),
                3,
                Status::PendingDns,
            ),
            (
                "ours",
                direct(first_seen(records(address("192.0.2.10"))), Vec::new()),
                3,
                Status::PendingCertificate,
            ),
            (
                "gone before it was certified",
                direct(seen(elsewhere()), Vec::new()),
                3,
                Status::PendingDns,
            ),
            ("active", active(), 3, Status::Active),
            ("expired", active(), 100, Status::Attention),
            (
                "gone",
                direct(seen(elsewhere()), certificate(100)),
                3,
                Status::Attention,
            ),
            (
                "was there, no answer now",
                direct(seen(records(Err(Failure::Timeout))), certificate(100)),
                3,
                Status::Active,
            ),
            (
                "redirect, not looked at",
                behind_a_website(Seen::default()),
                3,
                Status::PendingDns,
            ),
            (
                "redirect, wrong",
                behind_a_website(first_seen(fetched(failed()))),
                3,
                Status::PendingDns,
            ),
            (
                "redirect",
                behind_a_website(seen(fetched(Fetched::Ours))),
                3,
                Status::Active,
            ),
            (
                "redirect, broken",
                behind_a_website(seen(fetched(failed()))),
                3,
                Status::Attention,
            ),
            ("proof lost", lost, 3, Status::Attention),
            ("an operator's word", word, 3, Status::Active),
            ("contested", contested, 3, Status::Attention),
            ("suspended", suspended(active()), 3, Status::Suspended),
            ("new and suspended", suspended(new()), 3, Status::Suspended),
        ] {
            assert_eq!(status(&domain, &expected(), at(now)), expected_status, "{name}");
        }
    }
}
