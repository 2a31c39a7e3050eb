//! Every statement on what was seen of a domain, and on whose turn it is to look.
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{
    accounts::{Operator, Scope},
    domains::{DomainError, connection::Observation},
};

/// One look that is this node's to take.
#[derive(Clone, Copy, Debug)]
pub struct Claimed {
    pub domain_id: Uuid,
    pub organisation_id: Uuid,
    pub epoch: i64,
    /// A person waits for it.
    pub is_asked_for: bool,
}

/// Who is looked at next.
pub struct Turn {
    pub now: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub limit: i64,
    /// Organisations whose domains have to wait.
    pub crowded: Vec<Uuid>,
}

/// Up to `limit` domains that are due, the longest due first. Nobody else gets them until `until`.
pub async fn claim_due(db: &mut PgConnection, _: Operator, turn: &Turn) -> Result<Vec<Claimed>, DomainError> {
    let claimed = sqlx::query_as!(
        Claimed,
        r#"with due as materialized (
              select c.domain_id, d.organisation_id
                from domain_checks c join domains d using (domain_id)
               where c.due_at <= $1 and (c.lease_until is null or c.lease_until <= $1)
                 and d.organisation_id <> all($4)
               order by c.due_at limit $3
                 for update of c skip locked)
         update domain_checks set lease_until = $2, epoch = epoch + 1
           from due
          where domain_checks.domain_id = due.domain_id
         returning domain_checks.domain_id, due.organisation_id, epoch, false as "is_asked_for!""#,
        turn.now,
        turn.until,
        turn.limit,
        &turn.crowded,
    )
    .fetch_all(db)
    .await?;
    Ok(claimed)
}

/// Claims one domain at once, whoever is looking at it: what is seen later counts. Looks are quick from now on.
pub async fn claim(
    db: &mut PgConnection,
    scope: &Scope,
    domain_id: Uuid,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Option<Claimed>, DomainError> {
    let claimed = sqlx::query_as!(
        Claimed,
        r#"update domain_checks set lease_until = $4, epoch = epoch + 1, quick_since = $3
           from domains d
          where d.organisation_id = $1 and d.domain_id = $2 and domain_checks.domain_id = d.domain_id
         returning domain_checks.domain_id, d.organisation_id, epoch, true as "is_asked_for!""#,
        scope.organisation_id(),
        domain_id,
        now,
        until,
    )
    .fetch_optional(db)
    .await?;
    Ok(claimed)
}

/// Whether the claim still counts. If so, nobody else writes until the end of the transaction.
pub async fn confirm(db: &mut PgConnection, claimed: Claimed) -> Result<bool, DomainError> {
    let found = sqlx::query_scalar!(
        r#"select true as "is_ours!" from domain_checks where domain_id = $1 and epoch = $2 for update"#,
        claimed.domain_id,
        claimed.epoch,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

pub async fn update_connection(
    db: &mut PgConnection,
    claimed: Claimed,
    observation: &Observation,
    is_connected: bool,
    now: DateTime<Utc>,
) -> Result<(), DomainError> {
    sqlx::query!(
        "update domain_checks
            set connection_checked_at = $3, connection_observed = $4,
                connected_at = case when $5 then $3 else connected_at end
          where domain_id = $1 and epoch = $2",
        claimed.domain_id,
        claimed.epoch,
        now,
        Json(observation) as _,
        is_connected,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn update_tenant(
    db: &mut PgConnection,
    claimed: Claimed,
    tenant_id: Option<Uuid>,
    now: DateTime<Utc>,
) -> Result<(), DomainError> {
    sqlx::query!(
        "update domain_checks set tenant_checked_at = $3, tenant_id = $4 where domain_id = $1 and epoch = $2",
        claimed.domain_id,
        claimed.epoch,
        now,
        tenant_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Gives the claim back. `due_at` none: dormant.
pub async fn release(
    db: &mut PgConnection,
    claimed: Claimed,
    due_at: Option<DateTime<Utc>>,
    quick_since: DateTime<Utc>,
) -> Result<(), DomainError> {
    sqlx::query!(
        "update domain_checks set lease_until = null, due_at = $3, quick_since = $4 where domain_id = $1 and epoch = $2",
        claimed.domain_id,
        claimed.epoch,
        due_at,
        quick_since,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Somebody has just changed something: look soon, and often.
pub async fn hurry(db: &mut PgConnection, scope: &Scope, domain_id: Uuid) -> Result<(), DomainError> {
    sqlx::query!(
        "update domain_checks set due_at = now(), quick_since = now(), lease_until = null, epoch = epoch + 1
           from domains d
          where d.organisation_id = $1 and d.domain_id = $2 and domain_checks.domain_id = d.domain_id",
        scope.organisation_id(),
        domain_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What was seen of another kind of connection says nothing of the new one.
pub async fn forget_connection(db: &mut PgConnection, scope: &Scope, domain_id: Uuid) -> Result<(), DomainError> {
    sqlx::query!(
        "update domain_checks set connection_checked_at = null, connection_observed = null, connected_at = null
           from domains d
          where d.organisation_id = $1 and d.domain_id = $2 and domain_checks.domain_id = d.domain_id",
        scope.organisation_id(),
        domain_id,
    )
    .execute(db)
    .await?;
    Ok(())
}
