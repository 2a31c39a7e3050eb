//! The JSON of a domain's certificate: what is in force, and what stands between it and the next.
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domains::{CaWords, Domain, Failed, Served, connection::Expected};

#[derive(Serialize, ToSchema)]
pub struct CertificateBody {
    /// `none`, `valid` or `expired`.
    #[schema(example = "valid")]
    pub(super) state: &'static str,
    /// The ACME directory of the CA, or `internal:…` in a trial.
    issuer: Option<String>,
    not_before: Option<DateTime<Utc>>,
    pub(super) not_after: Option<DateTime<Utc>>,
    renews_at: Option<DateTime<Utc>>,
    /// Where the CA says why it suggests that time (RFC 9773); null if it does not.
    renewal_explanation_url: Option<String>,
    /// Why the last attempt came to nothing, and what to do, in one text; null once there is nothing to complain of.
    last_error: Option<String>,
    /// The same in its parts.
    failure: Option<FailureBody>,
    /// When it is tried again; null without a failure.
    next_attempt_at: Option<DateTime<Utc>>,
    /// What each node showed in a handshake when it was last looked at from outside; empty: not looked at yet.
    served: Vec<ServedBody>,
}

#[derive(Serialize, ToSchema)]
pub struct ServedBody {
    /// The public address that was asked; null: the node's own listener.
    address: Option<String>,
    /// `current`, `outdated` (another certificate than this), `expired`, `none` (no handshake) or `unreachable`.
    #[schema(example = "current")]
    state: String,
    not_after: Option<DateTime<Utc>>,
    checked_at: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
pub struct FailureBody {
    #[schema(example = "caa_forbids")]
    code: String,
    /// What is so.
    message: String,
    /// What to do about it.
    remedy: String,
    /// What the CA itself said; null if it was not asked.
    ca: Option<CaBody>,
    at: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
pub struct CaBody {
    /// RFC 8555 §6.7, without `urn:ietf:params:acme:error:`.
    #[serde(rename = "type")]
    #[schema(example = "connection")]
    kind: String,
    detail: String,
}

impl CertificateBody {
    pub(super) fn new(domain: &Domain, expected: &Expected, now: DateTime<Utc>) -> Self {
        let facts = domain.certificate(expected);
        let failure = domain.certificate_failure(expected);
        Self {
            state: domain.certificate_state(expected, now).as_str(),
            issuer: facts.map(|facts| facts.issuer.clone()),
            not_before: facts.map(|facts| facts.not_before),
            not_after: facts.map(|facts| facts.not_after),
            renews_at: facts.map(|facts| facts.renews_at),
            renewal_explanation_url: facts.and_then(|facts| facts.explanation_url.clone()),
            last_error: failure.map(|failure| format!("{} {}", failure.message, failure.remedy)),
            failure: failure.cloned().map(Into::into),
            served: domain.served(expected).cloned().map(Into::into).collect(),
            next_attempt_at: domain.next_attempt_at(expected),
        }
    }
}

impl From<Served> for ServedBody {
    fn from(served: Served) -> Self {
        Self {
            address: served.address,
            state: served.state,
            not_after: served.not_after,
            checked_at: served.checked_at,
        }
    }
}

impl From<Failed> for FailureBody {
    fn from(failed: Failed) -> Self {
        Self {
            code: failed.code,
            message: failed.message,
            remedy: failed.remedy,
            ca: failed.ca.map(|CaWords { kind, detail }| CaBody { kind, detail }),
            at: failed.at,
        }
    }
}
