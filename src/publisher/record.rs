//! All that a node must know to serve one hostname, as it lies in the database and in the snapshot.
//! Keys are sealed here.
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Record {
    pub hostname: String,
    /// `None` for the portal's and the edge's own names.
    pub domain: Option<DomainRecord>,
    pub certificate: Option<CertificateRecord>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DomainRecord {
    pub domain_id: Uuid,
    pub client_id: Uuid,
    pub organisation_id: Uuid,
    /// Sealed.
    pub user_digest_key: Vec<u8>,
    pub website_url: Option<String>,
    /// JSON, see `domains::policy`.
    pub policy: String,
    /// JSON: the [`ServerRecord`]s that the policy names.
    pub servers: String,
}

/// An MDM server in [`DomainRecord::servers`].
#[derive(Clone, Debug, Deserialize)]
pub struct ServerRecord {
    pub id: Uuid,
    pub vendor: String,
    pub enrollment: String,
    pub parameters: serde_json::Value,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CertificateRecord {
    /// DER, the leaf first.
    pub chain: Vec<Vec<u8>>,
    pub key_sealed: Vec<u8>,
    /// Seconds since 1970.
    pub not_after: i64,
}
