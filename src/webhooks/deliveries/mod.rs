//! One event on its way to one endpoint: what is known of it, and sending it again.
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Endpoint, MAX_WAITING, WebhookError, events};
use crate::{accounts::Scope, clock::DatabaseTime};

/// For whoever looks for one that did not come.
pub const KEPT: TimeDelta = TimeDelta::days(30);
/// What a test is called. No endpoint chooses it.
pub const TEST: &str = "webhook.test";

#[derive(Debug)]
pub struct Delivery {
    pub id: Uuid,
    /// The header `webhook-id`: the same at every attempt and for every endpoint.
    pub event_id: Uuid,
    pub event_type: String,
    /// The body, as it is sent.
    pub payload: String,
    pub created_at: DateTime<Utc>,
    pub due_at: DateTime<Utc>,
    pub attempts: i32,
    /// The last one.
    pub attempted_at: Option<DateTime<Utc>>,
    pub response_status: Option<i16>,
    /// What came back, or why nothing did: the beginning, as plain text.
    pub response_text: Option<String>,
    pub duration_ms: Option<i32>,
    pub delivered_at: Option<DateTime<Utc>>,
    pub given_up_at: Option<DateTime<Utc>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not tried yet.
    Waiting,
    /// Failed, and tried again.
    Retrying,
    Delivered,
    GivenUp,
}

impl State {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::GivenUp => "given_up",
        }
    }
}

impl Delivery {
    #[must_use]
    pub fn state(&self) -> State {
        match (self.delivered_at, self.given_up_at, self.attempted_at) {
            (Some(_), _, _) => State::Delivered,
            (None, Some(_), _) => State::GivenUp,
            (None, None, Some(_)) => State::Retrying,
            (None, None, None) => State::Waiting,
        }
    }

    /// When it is tried next.
    #[must_use]
    pub fn next_attempt_at(&self) -> Option<DateTime<Utc>> {
        matches!(self.state(), State::Waiting | State::Retrying).then_some(self.due_at)
    }
}

/// Sends an endpoint something that has not happened.
pub async fn test(
    db: &mut PgConnection,
    scope: &Scope,
    endpoint_id: Uuid,
    now: DatabaseTime,
) -> Result<Delivery, WebhookError> {
    let endpoint = takes_more(db, scope, endpoint_id).await?;
    let data = json!({ "message": "This is a test: nothing has happened." });
    let new = store::New {
        delivery_id: Uuid::now_v7(),
        organisation_id: scope.organisation_id(),
        endpoint_id,
        event_id: Uuid::now_v7(),
        event_type: TEST.to_owned(),
        payload: events::payload(TEST, now.get(), &data),
    };
    let id = new.delivery_id;
    store::insert(db, &[new], now).await?;
    super::record(db, scope, &endpoint, "webhook_endpoint.tested", json!({})).await?;
    find(db, scope, endpoint_id, id).await
}

/// Sends it again now, whatever became of it, under the same id.
pub async fn replay(
    db: &mut PgConnection,
    scope: &Scope,
    (endpoint_id, delivery_id): (Uuid, Uuid),
    now: DatabaseTime,
) -> Result<Delivery, WebhookError> {
    let endpoint = takes_more(db, scope, endpoint_id).await?;
    if !store::restart(db, scope, (endpoint_id, delivery_id), now).await? {
        return Err(WebhookError::NoSuchDelivery);
    }
    let details = json!({ "delivery_id": delivery_id });
    super::record(db, scope, &endpoint, "webhook_endpoint.replayed", details).await?;
    find(db, scope, endpoint_id, delivery_id).await
}

pub async fn find(
    db: &mut PgConnection,
    scope: &Scope,
    endpoint_id: Uuid,
    delivery_id: Uuid,
) -> Result<Delivery, WebhookError> {
    let found = store::find(db, scope, (endpoint_id, delivery_id)).await?;
    found.ok_or(WebhookError::NoSuchDelivery)
}

/// The endpoint, locked, if it may be sent something that did not just happen.
async fn takes_more(db: &mut PgConnection, scope: &Scope, endpoint_id: Uuid) -> Result<Endpoint, WebhookError> {
    let endpoint = super::store::lock(db, scope, endpoint_id).await?;
    let endpoint = endpoint.ok_or(WebhookError::NotFound)?;
    if endpoint.disabled.is_some() {
        return Err(WebhookError::Disabled);
    }
    match store::count_waiting(db, scope, endpoint_id).await? >= MAX_WAITING {
        true => Err(WebhookError::Waiting),
        false => Ok(endpoint),
    }
}
