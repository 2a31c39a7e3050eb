//! One derived word for how far a domain is, and the one next step. Pure: nothing is stored that
//! could disagree with the facts.
use chrono::{DateTime, Utc};

use super::{Connection, Domain, ownership};

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
    pub who: Who,
    pub message: String,
}

/// How far `domain` is at `now`.
#[must_use]
pub fn status(domain: &Domain, now: DateTime<Utc>) -> Status {
    if domain.suspended_at.is_some() {
        return Status::Suspended;
    }
    if domain.ownership_verified_at.is_none() {
        return Status::PendingOwnership;
    }
    match (domain.connection, &domain.certificate) {
        // Devices meet the customer's own certificate there.
        (Connection::Redirect | Connection::Proxy, _) => Status::Active,
        (Connection::Direct, None) => Status::PendingCertificate,
        (Connection::Direct, Some(certificate)) if certificate.not_after <= now => Status::Attention,
        (Connection::Direct, Some(_)) => Status::Active,
    }
}

/// What is to be done next, and by whom; `None` when nothing is.
#[must_use]
pub fn next_action(domain: &Domain, now: DateTime<Utc>) -> Option<NextAction> {
    let action = |code, who, message: String| Some(NextAction { code, who, message });
    match status(domain, now) {
        Status::PendingOwnership => action(
            "add_ownership_record",
            Who::Client,
            format!(
                "Add a TXT record at your DNS host: name {}, value {}. It proves that the domain is yours.",
                ownership::record_name(&domain.hostname),
                ownership::record_value(&domain.ownership_key, &domain.hostname)
            ),
        ),
        Status::PendingCertificate => action(
            "wait_for_certificate",
            Who::Signpost,
            "We are obtaining the certificate for this domain. There is nothing for you to do.".into(),
        ),
        Status::Attention => action(
            "renew_certificate",
            Who::Signpost,
            "The certificate has expired and is being renewed.".into(),
        ),
        Status::Suspended => action(
            "contact_operator",
            Who::Msp,
            "Service for this domain is suspended. Ask the operator of this Signpost why.".into(),
        ),
        // Not derived until the connection is checked.
        Status::PendingDns | Status::Active => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domains::{
        CertificateFacts,
        policy::{Action, Policy},
    };

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).expect("a time")
    }

    fn domain() -> Domain {
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
            ownership_verified_at: None,
            suspended_at: None,
            certificate: None,
            certificate_error: None,
            created_at: at(0),
            updated_at: at(0),
        }
    }

    #[test]
    fn a_domain_is_as_far_as_its_facts_say() {
        let verified = Domain {
            ownership_verified_at: Some(at(1)),
            ..domain()
        };
        let certificate = CertificateFacts {
            issuer: "internal".into(),
            not_before: at(0),
            not_after: at(100),
            renews_at: at(66),
        };
        let certified = Domain {
            certificate: Some(certificate),
            ..verified.clone()
        };
        for (domain, now, expected) in [
            (domain(), 2, Status::PendingOwnership),
            (verified.clone(), 2, Status::PendingCertificate),
            (certified.clone(), 2, Status::Active),
            (certified.clone(), 100, Status::Attention),
            (
                Domain {
                    connection: Connection::Redirect,
                    ..verified.clone()
                },
                2,
                Status::Active,
            ),
            (
                Domain {
                    suspended_at: Some(at(2)),
                    ..certified
                },
                2,
                Status::Suspended,
            ),
            (
                Domain {
                    suspended_at: Some(at(2)),
                    ..domain()
                },
                2,
                Status::Suspended,
            ),
        ] {
            assert_eq!(status(&domain, at(now)), expected);
        }
    }

    #[test]
    fn the_next_action_names_the_record_to_add() {
        let action = next_action(&domain(), at(0)).expect("a next action");
        assert_eq!((action.code, action.who), ("add_ownership_record", Who::Client));
        assert!(action.message.contains("_signpost.contoso.com") && action.message.contains("signpost-verification="));
    }
}
