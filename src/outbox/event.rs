//! Facts that programs are told of: written down in the transaction that makes them true. No personal data.
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::store;
use crate::clock::DatabaseTime;

/// What may happen. The names are part of the API: they are added, never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    DomainStatusChanged,
    DomainFirstRequest,
    CertificateIssued,
    CertificateFailed,
    CertificateExpiring,
}

impl Kind {
    pub const ALL: [Self; 5] = [
        Self::DomainStatusChanged,
        Self::DomainFirstRequest,
        Self::CertificateIssued,
        Self::CertificateFailed,
        Self::CertificateExpiring,
    ];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DomainStatusChanged => "domain.status_changed",
            Self::DomainFirstRequest => "domain.first_request",
            Self::CertificateIssued => "certificate.issued",
            Self::CertificateFailed => "certificate.failed",
            Self::CertificateExpiring => "certificate.expiring",
        }
    }

    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }
}

/// The domain that something happened to.
#[derive(Clone, Debug)]
pub struct Subject {
    pub organisation_id: Uuid,
    pub client_id: Uuid,
    pub domain_id: Uuid,
    pub hostname: String,
}

impl Subject {
    /// What every event says of its domain, and `more`.
    fn data(&self, more: Value) -> Value {
        let mut data = json!({ "domain_id": self.domain_id, "hostname": self.hostname, "client_id": self.client_id });
        if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
            data.extend(more);
        }
        data
    }
}

/// Puts it in the outbox. `more` stands beside the domain in the event's data.
pub async fn tell(
    db: &mut PgConnection,
    kind: Kind,
    subject: &Subject,
    more: Value,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    store::insert_event(db, kind, subject, &subject.data(more), now).await
}
