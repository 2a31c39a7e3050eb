//! Every statement on `audit_events`.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{AuditEvent, Event};
use crate::accounts::Scope;

pub async fn insert(db: &mut PgConnection, scope: &Scope, event: Event) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into audit_events (audit_event_id, organisation_id, client_id, actor_kind, actor_id, actor_name,
                                   action, subject_kind, subject_id, subject_name, details)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        Uuid::now_v7(),
        scope.organisation_id(),
        event.client_id,
        scope.by().kind(),
        scope.by().id(),
        scope.by().name(),
        event.action,
        event.subject.kind,
        event.subject.id,
        event.subject.name,
        event.details,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Newest first, those before `before`.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<AuditEvent>, sqlx::Error> {
    sqlx::query_as!(
        AuditEvent,
        "select audit_event_id as id, at, actor_kind, actor_id, actor_name, action, subject_kind, subject_id, subject_name, details
           from audit_events
          where organisation_id = $1 and ($2::uuid is null or client_id = $2)
            and ($3::uuid is null or audit_event_id < $3)
          order by audit_event_id desc limit $4",
        scope.organisation_id(),
        scope.client_id(),
        before,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Deletes events older than `before`.
pub async fn delete_before(db: &mut PgConnection, before: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query!("delete from audit_events where at < $1", before)
        .execute(db)
        .await?
        .rows_affected())
}
