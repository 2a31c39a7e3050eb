//! A domain as it is stored → a [`Domain`].
use chrono::{DateTime, Utc};
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Connection, Domain, DomainError, Seen,
    ownership::{
        claims::{Claim, Method, Rival, Verification, proved_at},
        proof::Proof,
        store::verification,
    },
    policy::Policy,
};

/// A domain's columns with the facts of its organisation and its certificate.
pub struct Row {
    pub domain_id: Uuid,
    pub hostname: String,
    pub client_id: Uuid,
    pub connection: String,
    pub website_url: Option<String>,
    pub policy: Json<Policy>,
    pub ownership_key: Vec<u8>,
    pub ownership_verified_at: Option<DateTime<Utc>>,
    pub ownership_proof: Option<String>,
    pub takes_over_at: Option<DateTime<Utc>>,
    pub ownership_checked_at: Option<DateTime<Utc>>,
    pub ownership_seen_since: Option<DateTime<Utc>>,
    pub ownership_missing_since: Option<DateTime<Utc>>,
    pub ownership_absent_at: Option<DateTime<Utc>>,
    pub ownership_observed: Vec<String>,
    pub ownership_misplaced: Option<String>,
    pub ownership_failure: Option<serde_json::Value>,
    pub holder_verified_at: Option<DateTime<Utc>>,
    pub holder_seen_since: Option<DateTime<Utc>>,
    pub holder_absent_at: Option<DateTime<Utc>>,
    pub given_up_since: Option<DateTime<Utc>>,
    pub contested_until: Option<DateTime<Utc>>,
    pub connection_checked_at: Option<DateTime<Utc>>,
    pub connection_observed: Option<serde_json::Value>,
    pub connected_at: Option<DateTime<Utc>>,
    pub tenant_checked_at: Option<DateTime<Utc>>,
    pub tenant_id: Option<Uuid>,
    pub quick_since: DateTime<Utc>,
    pub tenant_ids: Vec<String>,
    pub suspended_at: Option<DateTime<Utc>>,
    pub certificates: Option<serde_json::Value>,
    pub obtaining: Option<serde_json::Value>,
    pub served: Option<serde_json::Value>,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
}

impl Row {
    pub fn domain(self) -> Result<Domain, DomainError> {
        let connection = Connection::parse(&self.connection)
            .ok_or_else(|| DomainError::Stored(format!("connection {}", self.connection)))?;
        let claim = Claim {
            verification: verification(self.ownership_verified_at, self.ownership_proof.as_deref())?,
            takes_over_at: self.takes_over_at,
            is_suspended: self.suspended_at.is_some(),
            proof: Proof {
                checked_at: self.ownership_checked_at,
                seen_since: self.ownership_seen_since,
                missing_since: self.ownership_missing_since,
                absent_at: self.ownership_absent_at,
            },
        };
        Ok(Domain {
            rival: self.rival(),
            certificates: list(self.certificates),
            obtaining: list(self.obtaining),
            served: list(self.served),
            id: self.domain_id,
            hostname: self.hostname,
            client_id: self.client_id,
            connection,
            website_url: self.website_url,
            policy: self.policy.0,
            ownership_key: self.ownership_key,
            claim,
            contested_until: self.contested_until,
            seen: Seen {
                ownership_observed: self.ownership_observed,
                ownership_misplaced: self.ownership_misplaced,
                // What a later version can't read is as good as not looked at: the next look writes it anew.
                ownership_failure: self
                    .ownership_failure
                    .and_then(|json| serde_json::from_value(json).ok()),
                connection_checked_at: self.connection_checked_at,
                observation: self
                    .connection_observed
                    .and_then(|json| serde_json::from_value(json).ok()),
                connected_at: self.connected_at,
                tenant_checked_at: self.tenant_checked_at,
                tenant_id: self.tenant_id,
                quick_since: self.quick_since,
            },
            tenant_ids: self.tenant_ids.iter().filter_map(|id| id.parse().ok()).collect(),
            suspended_at: self.suspended_at,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }

    fn rival(&self) -> Rival {
        let held_since = self.holder_verified_at.map(|at| {
            let proof = Proof {
                seen_since: self.holder_seen_since,
                absent_at: self.holder_absent_at,
                ..Proof::default()
            };
            let method = Method::Dns;
            proved_at(Verification { at, method }, &proof)
        });
        Rival {
            held_since,
            given_up_since: self.given_up_since,
        }
    }
}

/// What a later version can't read is left out.
fn list<T: serde::de::DeserializeOwned>(json: Option<serde_json::Value>) -> Vec<T> {
    let Some(serde_json::Value::Array(items)) = json else {
        return Vec::new();
    };
    items
        .into_iter()
        .filter_map(|item| serde_json::from_value(item).ok())
        .collect()
}
