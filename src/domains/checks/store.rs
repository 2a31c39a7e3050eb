//! Every statement on what was seen of a domain, and on whose turn it is to look.
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{
    accounts::{Operator, Scope},
    clock::DatabaseTime,
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

/// A check that is due.
#[derive(Clone, Copy, Debug)]
pub struct DueCheck {
    pub domain_id: Uuid,
    pub organisation_id: Uuid,
    /// An operator made the organisation or vouches for it, or it has proved a domain.
    pub is_trusted: bool,
}

/// Up to `limit` checks that are due, the longest due first, whoever they belong to.
pub async fn list_due(
    db: &mut PgConnection,
    _: Operator,
    now: DatabaseTime,
    limit: i64,
) -> Result<Vec<DueCheck>, DomainError> {
    let due = sqlx::query_as!(
        DueCheck,
        r#"with due as materialized (
              select domain_id, organisation_id, due_at from domain_checks
               where due_at <= $1 and (lease_until is null or lease_until <= $1)
               order by due_at limit $2)
         select due.domain_id, due.organisation_id,
                (o.trusted_at is not null or (
                    select d.domain_id from domains d
                     where d.organisation_id = due.organisation_id and d.ownership_verified_at is not null
                     order by d.client_id, d.domain_id nulls first limit 1) is not null) as "is_trusted!"
           from due join organisations o using (organisation_id)
          order by due.due_at"#,
        now.get(),
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(due)
}

/// The longest due checks of every organisation, up to `for_each` of each: what a backlog of one hides from
/// [`list_due`]. Goes from organisation to organisation in the index, so it costs as much as there are organisations.
pub async fn list_due_by_organisation(
    db: &mut PgConnection,
    _: Operator,
    now: DatabaseTime,
    for_each: i64,
) -> Result<Vec<DueCheck>, DomainError> {
    let due = sqlx::query_as!(
        DueCheck,
        r#"with recursive owners as (
              (select organisation_id from domain_checks order by organisation_id limit 1)
               union all
              select (select c.organisation_id from domain_checks c
                       where c.organisation_id > owners.organisation_id
                       order by c.organisation_id limit 1)
                from owners
               where owners.organisation_id is not null)
         select due.domain_id, o.organisation_id,
                (o.trusted_at is not null or (
                    select d.domain_id from domains d
                     where d.organisation_id = o.organisation_id and d.ownership_verified_at is not null
                     order by d.client_id, d.domain_id nulls first limit 1) is not null) as "is_trusted!"
           from owners join organisations o using (organisation_id)
          cross join lateral (
              select c.domain_id, c.due_at from domain_checks c
               where c.organisation_id = o.organisation_id and c.due_at <= $1
                 and (c.lease_until is null or c.lease_until <= $1)
               order by c.due_at limit $2) due
          order by due.due_at"#,
        now.get(),
        for_each,
    )
    .fetch_all(db)
    .await?;
    Ok(due)
}

/// Claims those of `domain_ids` that are still due. Other nodes don't get them until `until`.
pub async fn claim_due(
    db: &mut PgConnection,
    _: Operator,
    domain_ids: &[Uuid],
    (now, until): (DatabaseTime, DatabaseTime),
) -> Result<Vec<Claimed>, DomainError> {
    let claimed = sqlx::query_as!(
        Claimed,
        r#"with due as materialized (
              select domain_id from domain_checks
               where domain_id = any($1) and due_at <= $2 and (lease_until is null or lease_until <= $2)
                 for update skip locked)
         update domain_checks c set lease_until = $3, epoch = c.epoch + 1
           from due
          where c.domain_id = due.domain_id
         returning c.domain_id, c.organisation_id, c.epoch, false as "is_asked_for!""#,
        domain_ids,
        now.get(),
        until.get(),
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
    now: DatabaseTime,
    until: DatabaseTime,
) -> Result<Option<Claimed>, DomainError> {
    let claimed = sqlx::query_as!(
        Claimed,
        r#"update domain_checks set lease_until = $4, epoch = epoch + 1, quick_since = $3
           from domains d
          where d.organisation_id = $1 and d.domain_id = $2 and domain_checks.domain_id = d.domain_id
         returning domain_checks.domain_id, d.organisation_id, epoch, true as "is_asked_for!""#,
        scope.organisation_id(),
        domain_id,
        now.get(),
        until.get(),
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
    now: DatabaseTime,
) -> Result<(), DomainError> {
    sqlx::query!(
        "update domain_checks
            set connection_checked_at = $3, connection_observed = $4,
                connected_at = case when $5 then $3 else connected_at end
          where domain_id = $1 and epoch = $2",
        claimed.domain_id,
        claimed.epoch,
        now.get(),
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
    now: DatabaseTime,
) -> Result<(), DomainError> {
    sqlx::query!(
        "update domain_checks set tenant_checked_at = $3, tenant_id = $4 where domain_id = $1 and epoch = $2",
        claimed.domain_id,
        claimed.epoch,
        now.get(),
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
