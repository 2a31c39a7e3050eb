//! The JSON of a domain: what is stored, and what follows from it.
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::certificate_body::CertificateBody;
use crate::domains::{
    Domain,
    connection::{self, Expected, RecordCheck, Verdict},
    next_action::{NextAction, next_action},
    ownership,
    policy::Policy,
    status::status,
    warnings::{self, warnings},
};

#[derive(Serialize, ToSchema)]
pub struct DomainBody {
    id: Uuid,
    #[schema(example = "contoso.com")]
    pub(super) hostname: String,
    client_id: Uuid,
    /// `direct`, `redirect` or `proxy`.
    #[schema(example = "direct")]
    pub(super) connection: &'static str,
    website_url: Option<String>,
    policy: Policy,
    /// `pending_ownership`, `pending_dns`, `pending_certificate`, `active`, `attention` or `suspended`.
    #[schema(example = "active")]
    pub(super) status: &'static str,
    /// What to do next; null when nothing is.
    pub(super) next_action: Option<NextActionBody>,
    warnings: Vec<Warning>,
    pub(super) ownership: Ownership,
    pub(super) dns: Dns,
    pub(super) certificate: CertificateBody,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

#[derive(Serialize, ToSchema)]
pub struct NextActionBody {
    #[schema(example = "add_ownership_record")]
    code: &'static str,
    /// What made it necessary, by the names of the probe's codes; null when nothing did.
    #[schema(example = "record_missing")]
    cause: Option<String>,
    /// `client`, `msp` or `signpost`.
    #[schema(example = "client")]
    actor: &'static str,
    message: String,
}

/// What works but looks wrong.
#[derive(Serialize, ToSchema)]
pub struct Warning {
    /// `tenant_mismatch`, `check_undetermined`, `probe_failed` or `policy_over_limit`.
    #[schema(example = "tenant_mismatch")]
    code: &'static str,
    message: String,
}

#[derive(Serialize, ToSchema)]
pub struct Ownership {
    verified_at: Option<DateTime<Utc>>,
    /// When the record was last looked at and an answer came.
    checked_at: Option<DateTime<Utc>>,
    record: OwnershipRecord,
}

#[derive(Serialize, ToSchema)]
pub struct OwnershipRecord {
    #[serde(rename = "type")]
    #[schema(example = "TXT")]
    kind: &'static str,
    #[schema(example = "_signpost.contoso.com")]
    name: String,
    #[schema(example = "signpost-verification=Zm9vYmFyYmF6cXV4cXV1eGNvcmdl")]
    value: String,
    /// What stood there when it was last looked at.
    observed: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Dns {
    checked_at: Option<DateTime<Utc>>,
    /// Whether devices reach us; null: not looked at yet, or no telling.
    ok: Option<bool>,
    /// Those of a direct connection.
    records: Vec<DnsRecord>,
}

#[derive(Serialize, ToSchema)]
pub struct DnsRecord {
    #[serde(rename = "type")]
    #[schema(example = "A")]
    kind: &'static str,
    name: String,
    #[schema(example = json!(["192.0.2.10"]))]
    expected: Vec<String>,
    observed: Vec<String>,
    /// Null: not looked at yet, or no answer.
    ok: Option<bool>,
}

impl DomainBody {
    #[must_use]
    pub fn new(domain: Domain, expected: &Expected, now: DateTime<Utc>) -> Self {
        Self {
            status: status(&domain, expected, now).as_str(),
            next_action: next_action(&domain, expected, now).map(Into::into),
            warnings: warnings(&domain, expected).into_iter().map(Into::into).collect(),
            ownership: Ownership::new(&domain),
            dns: Dns::new(&domain, expected),
            certificate: CertificateBody::new(&domain, expected, now),
            id: domain.id,
            hostname: domain.hostname,
            client_id: domain.client_id,
            connection: domain.connection.as_str(),
            website_url: domain.website_url,
            policy: domain.policy,
            created_at: domain.created_at,
            updated_at: domain.updated_at,
        }
    }
}

impl From<NextAction> for NextActionBody {
    fn from(action: NextAction) -> Self {
        Self {
            code: action.code,
            cause: action.cause,
            actor: action.who.as_str(),
            message: action.message,
        }
    }
}

impl From<warnings::Warning> for Warning {
    fn from(warning: warnings::Warning) -> Self {
        Self {
            code: warning.code,
            message: warning.message,
        }
    }
}

impl Ownership {
    fn new(domain: &Domain) -> Self {
        Self {
            verified_at: domain.claim.verification.map(|verification| verification.at),
            checked_at: domain.claim.proof.checked_at,
            record: OwnershipRecord {
                kind: "TXT",
                name: ownership::record_name(&domain.hostname),
                value: ownership::record_value(&domain.ownership_key, &domain.hostname),
                observed: domain.seen.ownership_observed.clone(),
            },
        }
    }
}

impl Dns {
    fn new(domain: &Domain, expected: &Expected) -> Self {
        let observation = domain.seen.observation.as_ref();
        let verdict = connection::judge(domain.connection, &domain.hostname, observation, expected);
        Self {
            checked_at: domain.seen.connection_checked_at,
            ok: verdict.and_then(|verdict| match verdict {
                Verdict::Connected => Some(true),
                Verdict::Wrong(_) => Some(false),
                Verdict::Undetermined(_) => None,
            }),
            records: connection::records(domain.connection, &domain.hostname, observation, expected)
                .into_iter()
                .map(Into::into)
                .collect(),
        }
    }
}

impl From<RecordCheck> for DnsRecord {
    fn from(check: RecordCheck) -> Self {
        Self {
            kind: check.kind,
            name: check.name,
            expected: check.expected,
            observed: check.observed,
            ok: check.ok,
        }
    }
}
