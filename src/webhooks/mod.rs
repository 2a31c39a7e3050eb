//! Webhooks: what happens to domains is told to other people's programs, as Standard Webhooks 1.0 says. Facts come from
//! the `outbox`; [`events`] hands each to the endpoints that want it, once, and [`courier`] brings it there, at least once.
pub mod attempt;
pub mod courier;
pub mod deliveries;
pub mod events;
mod mails;
pub mod schedule;
pub mod signing;
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

pub use crate::outbox::event::Kind;
use crate::{
    accounts::{Scope, authorship::StoredAuthor},
    audit,
    clock::DatabaseTime,
    input::{WebUrl, misleads},
    sealed::{Keyring, SealError},
};
use signing::Secret;

/// Of one organisation.
pub const MAX_ENDPOINTS: i64 = 20;
/// Of one endpoint, before a test or a replay is refused: nobody is to be flooded through us.
const MAX_WAITING: i64 = 100;
/// For which the secret before also signs.
const OLD_SECRET: TimeDelta = TimeDelta::hours(24);
const MAX_DESCRIPTION: usize = 200;

/// Where events of an organisation go.
#[derive(Debug)]
pub struct Endpoint {
    pub id: Uuid,
    /// Set: events of this client only.
    pub client_id: Option<Uuid>,
    pub url: String,
    pub description: String,
    pub events: Vec<Kind>,
    /// Since when every attempt has failed.
    pub failing_since: Option<DateTime<Utc>>,
    pub disabled: Option<Disabled>,
    /// Until when the secret before also signs.
    pub old_secret_until: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    pub author: StoredAuthor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disabled {
    pub at: DateTime<Utc>,
    pub reason: Reason,
}

/// Why nothing is sent to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Somebody here wanted it so.
    Asked,
    /// The receiver answered 410.
    Gone,
    /// Nothing has arrived for days.
    Failing,
}

impl Reason {
    const ALL: [Self; 3] = [Self::Asked, Self::Gone, Self::Failing];

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A line for whoever wonders what the endpoint is for; may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description(String);

impl Description {
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let text = text.trim();
        if text.chars().count() > MAX_DESCRIPTION {
            return Err("must have at most 200 characters");
        }
        if text.chars().any(misleads) {
            return Err("must be readable text, and not turn the direction of what stands beside it");
        }
        match text.chars().any(char::is_control) {
            true => Err("must not hold control characters"),
            false => Ok(Self(text.to_owned())),
        }
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An endpoint that is to be, its parts parsed.
pub struct NewEndpoint {
    pub url: WebUrl,
    pub description: Description,
    pub events: Vec<Kind>,
    pub client_id: Option<Uuid>,
}

/// What is left out stays.
#[derive(Default)]
pub struct Change {
    pub url: Option<WebUrl>,
    pub description: Option<Description>,
    pub events: Option<Vec<Kind>>,
    pub is_disabled: Option<bool>,
}

#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    #[error("there is no such webhook endpoint")]
    NotFound,
    #[error("there is no such delivery")]
    NoSuchDelivery,
    #[error("there is no such client")]
    NoSuchClient,
    #[error("an organisation may have at most {MAX_ENDPOINTS} webhook endpoints: delete one that is not used")]
    TooMany,
    #[error("the endpoint is disabled: enable it first")]
    Disabled,
    #[error("{MAX_WAITING} deliveries wait for this endpoint already: let them arrive first")]
    Waiting,
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the webhooks could not be read or written")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for WebhookError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|e| e.constraint()) {
            Some("webhook_endpoints_client_fkey") => Self::NoSuchClient,
            _ => Self::Database(error),
        }
    }
}

/// Makes an endpoint. Its secret is returned this once.
pub async fn create(
    db: &mut PgConnection,
    scope: &Scope,
    keyring: &Keyring,
    new: &NewEndpoint,
    now: DatabaseTime,
) -> Result<(Endpoint, Secret), WebhookError> {
    if store::count(db, scope).await? >= MAX_ENDPOINTS {
        return Err(WebhookError::TooMany);
    }
    // Whoever is limited to a client makes endpoints for that client only.
    let client_id = new.client_id.or(scope.client_id());
    if let Some(client_id) = client_id {
        scope
            .client(db, client_id)
            .await
            .map_err(|_| WebhookError::NoSuchClient)?;
    }
    let (id, secret) = (Uuid::now_v7(), Secret::random());
    let sealed = secret.seal(keyring, id);
    store::insert(db, scope, (id, client_id), (new, &sealed), now).await?;
    let endpoint = find(db, scope, id).await?;
    let details = json!({ "events": names(&endpoint.events) });
    record(db, scope, &endpoint, "webhook_endpoint.created", details).await?;
    Ok((endpoint, secret))
}

pub async fn find(db: &mut PgConnection, scope: &Scope, id: Uuid) -> Result<Endpoint, WebhookError> {
    store::find(db, scope, id).await?.ok_or(WebhookError::NotFound)
}

/// Changes an endpoint. What waits for one that is disabled is given up; it can be replayed.
pub async fn update(
    db: &mut PgConnection,
    scope: &Scope,
    id: Uuid,
    change: &Change,
    now: DatabaseTime,
) -> Result<Endpoint, WebhookError> {
    let before = store::lock(db, scope, id).await?.ok_or(WebhookError::NotFound)?;
    store::update(db, scope, id, change).await?;
    let is_other = change
        .is_disabled
        .filter(|disabled| *disabled != before.disabled.is_some());
    match is_other {
        Some(true) => disable(db, scope, id, Reason::Asked, now).await?,
        Some(false) => store::enable(db, scope, id).await?,
        None => {}
    }
    let after = find(db, scope, id).await?;
    let details = json!({
        "url": change.url.is_some(),
        "description": change.description.is_some(),
        "events": change.events.as_ref().map(|events| names(events)),
        "disabled": is_other,
    });
    record(db, scope, &after, "webhook_endpoint.updated", details).await?;
    Ok(after)
}

/// Nothing is sent there any more. The endpoint must be locked.
async fn disable(
    db: &mut PgConnection,
    scope: &Scope,
    id: Uuid,
    reason: Reason,
    now: DatabaseTime,
) -> Result<(), WebhookError> {
    store::disable(db, scope, id, reason, now).await?;
    deliveries::store::give_up(db, scope, id, now).await?;
    Ok(())
}

/// Deletes an endpoint with its deliveries.
pub async fn delete(db: &mut PgConnection, scope: &Scope, id: Uuid) -> Result<(), WebhookError> {
    let endpoint = store::lock(db, scope, id).await?.ok_or(WebhookError::NotFound)?;
    store::delete(db, scope, id).await?;
    record(db, scope, &endpoint, "webhook_endpoint.deleted", json!({})).await
}

/// Makes a new secret. The one before signs beside it for 24 hours.
pub async fn rotate(
    db: &mut PgConnection,
    scope: &Scope,
    keyring: &Keyring,
    id: Uuid,
    now: DatabaseTime,
) -> Result<(Endpoint, Secret), WebhookError> {
    store::lock(db, scope, id).await?.ok_or(WebhookError::NotFound)?;
    let secret = Secret::random();
    store::rotate(db, scope, id, &secret.seal(keyring, id), now + OLD_SECRET).await?;
    let endpoint = find(db, scope, id).await?;
    record(db, scope, &endpoint, "webhook_endpoint.secret_rotated", json!({})).await?;
    Ok((endpoint, secret))
}

fn names(events: &[Kind]) -> Vec<&'static str> {
    events.iter().map(|kind| kind.as_str()).collect()
}

async fn record(
    db: &mut PgConnection,
    scope: &Scope,
    endpoint: &Endpoint,
    action: &'static str,
    details: serde_json::Value,
) -> Result<(), WebhookError> {
    let event = audit::Event {
        action,
        subject: audit::Subject {
            kind: "webhook_endpoint",
            id: endpoint.id,
            name: host(&endpoint.url).to_owned(),
        },
        client_id: endpoint.client_id,
        details,
    };
    audit::record(db, scope, event).await?;
    Ok(())
}

/// Of a URL: what stands behind it is often a secret, and is told to nobody who does not ask for the endpoint.
#[must_use]
pub fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default()
}
