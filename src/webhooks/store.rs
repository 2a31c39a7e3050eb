//! Every statement on `webhook_endpoints`.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Change, Disabled, Endpoint, Kind, NewEndpoint, Reason, WebhookError};
use crate::{
    accounts::{Scope, authorship::StoredAuthor},
    clock::DatabaseTime,
};

struct Row {
    webhook_endpoint_id: Uuid,
    client_id: Option<Uuid>,
    url: String,
    description: String,
    events: Vec<String>,
    failing_since: Option<DateTime<Utc>>,
    disabled_at: Option<DateTime<Utc>>,
    disabled_reason: Option<String>,
    old_secret_until: Option<DateTime<Utc>>,
    created_at: DateTime<Utc>,
    created_by: Option<String>,
    created_by_id: Option<Uuid>,
}

impl Row {
    fn endpoint(self) -> Endpoint {
        let reason = self.disabled_reason.as_deref().and_then(Reason::parse);
        Endpoint {
            id: self.webhook_endpoint_id,
            client_id: self.client_id,
            url: self.url,
            description: self.description,
            events: self.events.iter().filter_map(|name| Kind::parse(name)).collect(),
            failing_since: self.failing_since,
            disabled: self.disabled_at.map(|at| Disabled {
                at,
                reason: reason.unwrap_or(Reason::Asked),
            }),
            old_secret_until: self.old_secret_until,
            created_at: self.created_at,
            author: StoredAuthor {
                kind: self.created_by,
                id: self.created_by_id,
            },
        }
    }
}

pub async fn count(db: &mut PgConnection, scope: &Scope) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from webhook_endpoints where organisation_id = $1"#,
        scope.organisation_id()
    )
    .fetch_one(db)
    .await
}

pub async fn insert(
    db: &mut PgConnection,
    scope: &Scope,
    (id, client_id): (Uuid, Option<Uuid>),
    (new, secret_sealed): (&NewEndpoint, &[u8]),
    now: DatabaseTime,
) -> Result<(), WebhookError> {
    let events: Vec<String> = new.events.iter().map(|kind| kind.as_str().to_owned()).collect();
    sqlx::query!(
        "insert into webhook_endpoints (webhook_endpoint_id, organisation_id, client_id, url, description, events, secret_sealed, created_at,
                                        created_by, created_by_id, responsible_user_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        id,
        scope.organisation_id(),
        client_id,
        new.url.as_str(),
        new.description.as_str(),
        &events,
        secret_sealed,
        now.get(),
        scope.by().kind(),
        scope.by().id(),
        scope.by().responsible_user_id(),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn find(db: &mut PgConnection, scope: &Scope, id: Uuid) -> Result<Option<Endpoint>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select webhook_endpoint_id, client_id, url, description, events, failing_since, disabled_at, disabled_reason,
                old_secret_until, created_at, created_by, created_by_id
           from webhook_endpoints
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and webhook_endpoint_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        id,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Row::endpoint))
}

/// Until the end of the transaction, nobody else changes it. Comes before any of its deliveries is changed, or two who
/// do both wait for each other.
pub async fn lock(db: &mut PgConnection, scope: &Scope, id: Uuid) -> Result<Option<Endpoint>, sqlx::Error> {
    let row = sqlx::query_as!(
        Row,
        "select webhook_endpoint_id, client_id, url, description, events, failing_since, disabled_at, disabled_reason,
                old_secret_until, created_at, created_by, created_by_id
           from webhook_endpoints
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and webhook_endpoint_id = $3
            for no key update",
        scope.organisation_id(),
        scope.client_id(),
        id,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(Row::endpoint))
}

pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Endpoint>, sqlx::Error> {
    let rows = sqlx::query_as!(
        Row,
        "select webhook_endpoint_id, client_id, url, description, events, failing_since, disabled_at, disabled_reason,
                old_secret_until, created_at, created_by, created_by_id
           from webhook_endpoints
          where organisation_id = $1 and ($2::uuid is null or client_id = $2)
            and webhook_endpoint_id > $3
          order by webhook_endpoint_id limit $4",
        scope.organisation_id(),
        scope.client_id(),
        after.unwrap_or(Uuid::nil()),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(Row::endpoint).collect())
}

pub async fn update(db: &mut PgConnection, scope: &Scope, id: Uuid, change: &Change) -> Result<(), sqlx::Error> {
    let events: Option<Vec<String>> = change
        .events
        .as_ref()
        .map(|events| events.iter().map(|kind| kind.as_str().to_owned()).collect());
    sqlx::query!(
        "update webhook_endpoints
            set url = coalesce($4, url), description = coalesce($5, description), events = coalesce($6, events),
                failing_since = case when $4::text is null then failing_since end
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and webhook_endpoint_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        id,
        change.url.as_ref().map(crate::input::WebUrl::as_str),
        change.description.as_ref().map(super::Description::as_str),
        events.as_deref(),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn disable(
    db: &mut PgConnection,
    scope: &Scope,
    id: Uuid,
    reason: Reason,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update webhook_endpoints set disabled_at = $4, disabled_reason = $5
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and webhook_endpoint_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        id,
        now.get(),
        reason.as_str(),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn enable(db: &mut PgConnection, scope: &Scope, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update webhook_endpoints set disabled_at = null, disabled_reason = null, failing_since = null
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and webhook_endpoint_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Null: deliveries arrive.
pub async fn set_failing(
    db: &mut PgConnection,
    scope: &Scope,
    id: Uuid,
    since: Option<DateTime<Utc>>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update webhook_endpoints set failing_since = $3
          where organisation_id = $1 and webhook_endpoint_id = $2 and failing_since is distinct from $3",
        scope.organisation_id(),
        id,
        since,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The secret becomes the old one.
pub async fn rotate(
    db: &mut PgConnection,
    scope: &Scope,
    id: Uuid,
    secret_sealed: &[u8],
    old_until: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update webhook_endpoints
            set old_secret_sealed = secret_sealed, old_secret_until = $5, secret_sealed = $4
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and webhook_endpoint_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        id,
        secret_sealed,
        old_until.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete(db: &mut PgConnection, scope: &Scope, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from webhook_endpoints
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and webhook_endpoint_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        id,
    )
    .execute(db)
    .await?;
    Ok(())
}
