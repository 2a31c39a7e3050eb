//! What is known of a domain's certificate, of each issuer that ever gave one: only the one in force counts.
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{Domain, connection::Expected};

/// Of one certificate, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CertificateFacts {
    pub issuer: String,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    pub renews_at: DateTime<Utc>,
    /// Where the CA says why it is to be renewed then (RFC 9773 §4.2).
    #[serde(default)]
    pub explanation_url: Option<String>,
}

/// Whose turn it is at an issuer, and why there is no (new) certificate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Obtaining {
    pub issuer: String,
    pub due_at: DateTime<Utc>,
    #[serde(default)]
    pub failure: Option<Failed>,
}

/// The last attempt that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Failed {
    pub code: String,
    pub message: String,
    pub remedy: String,
    pub at: DateTime<Utc>,
    /// Somebody at the domain can mend it.
    #[serde(default)]
    pub is_theirs: bool,
    #[serde(default)]
    pub ca: Option<CaWords>,
}

/// What the CA itself said.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct CaWords {
    /// Without `urn:ietf:params:acme:error:`.
    pub kind: String,
    pub detail: String,
}

/// What one node showed in a handshake when it was last looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Served {
    /// Whose certificates the node serves; none: it has a CA of its own.
    pub issuer: Option<String>,
    /// The public address that was asked; none: the node's own listener.
    pub address: Option<String>,
    /// `current`, `outdated`, `expired`, `none` or `unreachable`.
    pub state: String,
    pub not_after: Option<DateTime<Utc>>,
    pub checked_at: DateTime<Utc>,
}

/// How it stands with the certificate of the issuer in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateState {
    None,
    Valid,
    Expired,
}

impl CertificateState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Valid => "valid",
            Self::Expired => "expired",
        }
    }
}

impl Domain {
    #[must_use]
    pub fn certificate_state(&self, expected: &Expected, now: DateTime<Utc>) -> CertificateState {
        match self.certificate(expected) {
            None => CertificateState::None,
            Some(facts) if facts.not_after > now => CertificateState::Valid,
            Some(_) => CertificateState::Expired,
        }
    }

    /// When it is tried again, after an attempt that came to nothing.
    #[must_use]
    pub fn next_attempt_at(&self, expected: &Expected) -> Option<DateTime<Utc>> {
        let obtaining = self.obtaining(expected)?;
        obtaining.failure.as_ref().map(|_| obtaining.due_at)
    }

    /// What the nodes showed that serve the issuer in force.
    pub fn served(&self, expected: &Expected) -> impl Iterator<Item = &Served> {
        let is_ours = |issuer: &String| *issuer == expected.issuer;
        self.served
            .iter()
            .filter(move |served| served.issuer.as_ref().is_none_or(is_ours))
    }

    /// The certificate of the issuer in force.
    #[must_use]
    pub fn certificate(&self, expected: &Expected) -> Option<&CertificateFacts> {
        self.certificates
            .iter()
            .find(|certificate| certificate.issuer == expected.issuer)
    }

    /// What stands between the domain and its next certificate.
    #[must_use]
    pub fn obtaining(&self, expected: &Expected) -> Option<&Obtaining> {
        self.obtaining
            .iter()
            .find(|obtaining| obtaining.issuer == expected.issuer)
    }

    #[must_use]
    pub fn certificate_failure(&self, expected: &Expected) -> Option<&Failed> {
        self.obtaining(expected)?.failure.as_ref()
    }
}
