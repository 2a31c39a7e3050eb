//! Who changed what: one row per change, written in the transaction that makes it.
pub mod store;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::accounts::{Member, Scope, token::ApiToken};

/// A change to be written down. `details` holds no secret and no personal data.
pub struct Event {
    /// `<noun>.<what happened>`, for example `domain.created`.
    pub action: &'static str,
    pub subject: Subject,
    /// The client it concerns, so that one who is limited to a client sees no other's.
    pub client_id: Option<Uuid>,
    pub details: serde_json::Value,
}

impl Event {
    /// What a person changes of the own account. Names are personal data: who it was is looked up where it is shown.
    #[must_use]
    pub fn of_member(member: &Member, action: &'static str) -> Self {
        Self::of_person(member.user_id, action)
    }

    /// The same for somebody who is not signed in.
    #[must_use]
    pub fn of_person(user_id: Uuid, action: &'static str) -> Self {
        Self {
            action,
            subject: Subject {
                kind: "member",
                id: user_id,
                name: "member".to_owned(),
            },
            client_id: None,
            details: serde_json::json!({}),
        }
    }
}

/// What was changed, with the name it had.
pub struct Subject {
    pub kind: &'static str,
    pub id: Uuid,
    pub name: String,
}

impl Subject {
    #[must_use]
    pub fn token(token: &ApiToken) -> Self {
        Self {
            kind: "token",
            id: token.id,
            name: token.name.clone(),
        }
    }
}

/// A change as it was written down.
#[derive(Debug)]
pub struct AuditEvent {
    pub id: Uuid,
    pub at: DateTime<Utc>,
    pub actor_kind: String,
    pub actor_id: Option<Uuid>,
    pub actor_name: String,
    pub action: String,
    pub subject_kind: String,
    pub subject_id: Uuid,
    pub subject_name: String,
    pub details: serde_json::Value,
}

/// Writes `event` down as done by the one who holds `scope`.
pub async fn record(db: &mut PgConnection, scope: &Scope, event: Event) -> Result<(), sqlx::Error> {
    store::insert(db, scope, event).await
}
