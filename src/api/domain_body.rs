//! The JSON of a domain: what is stored, and what follows from it.
use std::net::IpAddr;

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domains::{
    CertificateFacts, Connection, Domain, ownership,
    policy::Policy,
    status::{next_action, status},
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
    /// `client`, `msp` or `signpost`.
    #[schema(example = "client")]
    actor: &'static str,
    message: String,
}

/// What works but looks wrong.
#[derive(Serialize, ToSchema)]
pub struct Warning {
    code: &'static str,
    message: String,
}

#[derive(Serialize, ToSchema)]
pub struct Ownership {
    verified_at: Option<DateTime<Utc>>,
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
    observed: Vec<String>,
}

#[derive(Serialize, ToSchema)]
pub struct Dns {
    checked_at: Option<DateTime<Utc>>,
    ok: Option<bool>,
    records: Vec<DnsRecord>,
}

#[derive(Serialize, ToSchema)]
pub struct DnsRecord {
    #[serde(rename = "type")]
    #[schema(example = "A")]
    kind: &'static str,
    name: String,
    #[schema(value_type = Vec<String>, example = json!(["192.0.2.10"]))]
    expected: Vec<IpAddr>,
    #[schema(value_type = Vec<String>)]
    observed: Vec<IpAddr>,
    ok: Option<bool>,
}

#[derive(Serialize, ToSchema)]
pub struct CertificateBody {
    /// `none`, `valid` or `expired`.
    #[schema(example = "valid")]
    pub(super) state: &'static str,
    issuer: Option<String>,
    not_before: Option<DateTime<Utc>>,
    pub(super) not_after: Option<DateTime<Utc>>,
    renews_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
}

impl DomainBody {
    #[must_use]
    pub fn new(domain: Domain, edge_addresses: &[IpAddr], now: DateTime<Utc>) -> Self {
        let next_action = next_action(&domain, now).map(|action| NextActionBody {
            code: action.code,
            actor: action.who.as_str(),
            message: action.message,
        });
        let record = OwnershipRecord {
            kind: "TXT",
            name: ownership::record_name(&domain.hostname),
            value: ownership::record_value(&domain.ownership_key, &domain.hostname),
            observed: Vec::new(),
        };
        Self {
            status: status(&domain, now).as_str(),
            next_action,
            warnings: Vec::new(),
            ownership: Ownership {
                verified_at: domain.ownership_verified_at,
                checked_at: None,
                record,
            },
            dns: Dns {
                checked_at: None,
                ok: None,
                records: dns_records(&domain, edge_addresses),
            },
            certificate: certificate(domain.certificate, domain.certificate_error, now),
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

/// What the domain's own records must be; only a direct connection needs any.
fn dns_records(domain: &Domain, edge_addresses: &[IpAddr]) -> Vec<DnsRecord> {
    if domain.connection != Connection::Direct {
        return Vec::new();
    }
    let record = |kind, is_of_kind: fn(&IpAddr) -> bool| {
        let expected: Vec<IpAddr> = edge_addresses.iter().copied().filter(is_of_kind).collect();
        (!expected.is_empty()).then(|| DnsRecord {
            kind,
            name: domain.hostname.clone(),
            expected,
            observed: Vec::new(),
            ok: None,
        })
    };
    [record("A", IpAddr::is_ipv4), record("AAAA", IpAddr::is_ipv6)]
        .into_iter()
        .flatten()
        .collect()
}

fn certificate(facts: Option<CertificateFacts>, last_error: Option<String>, now: DateTime<Utc>) -> CertificateBody {
    match facts {
        None => CertificateBody {
            state: "none",
            issuer: None,
            not_before: None,
            not_after: None,
            renews_at: None,
            last_error,
        },
        Some(facts) => CertificateBody {
            state: if facts.not_after > now { "valid" } else { "expired" },
            issuer: Some(facts.issuer),
            not_before: Some(facts.not_before),
            not_after: Some(facts.not_after),
            renews_at: Some(facts.renews_at),
            last_error,
        },
    }
}
