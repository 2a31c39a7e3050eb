//! Every statement on `audit_events`.
use sqlx::PgConnection;
use uuid::Uuid;

use super::{AuditEvent, Event, Wanted, WantedActor, WantedDomain};
use crate::{accounts::Scope, clock::DatabaseTime};

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

/// The same, for what concerns no organisation, or one that is no more.
pub async fn insert_of_nobody(db: &mut PgConnection, scope: &Scope, event: Event) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into audit_events (audit_event_id, actor_kind, actor_id, actor_name, action, subject_kind, subject_id,
                                   subject_name, details)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        Uuid::now_v7(),
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

/// Newest first, those before `before` that `wanted` leaves.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    wanted: &Wanted,
    (before, limit): (Option<Uuid>, i64),
) -> Result<Vec<AuditEvent>, sqlx::Error> {
    let (actor_id, actor_kind) = match &wanted.actor {
        None => (None, None),
        Some(WantedActor::Id(id)) => (Some(*id), None),
        Some(WantedActor::Kind(kind)) => (None, Some(*kind)),
    };
    let (domain_id, hostname) = match &wanted.domain {
        None => (None, None),
        Some(WantedDomain::Id(id)) => (Some(*id), None),
        Some(WantedDomain::Hostname(hostname)) => (None, Some(hostname)),
    };
    sqlx::query_as!(
        AuditEvent,
        "select audit_event_id as id, at, actor_kind, actor_id, actor_name, action, subject_kind, subject_id, subject_name, details
           from audit_events
          where organisation_id = $1 and ($2::uuid is null or client_id = $2)
            and ($3::uuid is null or audit_event_id < $3)
            and ($5::text is null or action = $5 or starts_with(action, $5 || '.'))
            and ($6::uuid is null or actor_id = $6) and ($7::text is null or actor_kind = $7)
            and ($8::uuid is null or subject_id = $8 or details ->> 'domain_id' = $8::text)
            and ($9::text is null or subject_name = $9 and subject_kind in ('domain', 'share_link'))
            and ($10::timestamptz is null or at >= $10) and ($11::timestamptz is null or at < $11)
          order by audit_event_id desc limit $4",
        scope.organisation_id(),
        scope.client_id(),
        before,
        limit,
        wanted.action,
        actor_id,
        actor_kind,
        domain_id,
        hostname,
        wanted.since,
        wanted.until,
    )
    .fetch_all(db)
    .await
}

/// How often one of `actions` was done since then.
pub async fn count(
    db: &mut PgConnection,
    scope: &Scope,
    actions: &[&str],
    since: DatabaseTime,
) -> Result<i64, sqlx::Error> {
    let actions: Vec<String> = actions.iter().map(|action| (*action).to_owned()).collect();
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from audit_events
            where organisation_id = $1 and at > $2 and action = any($3)"#,
        scope.organisation_id(),
        since.get(),
        &actions,
    )
    .fetch_one(db)
    .await
}

/// Deletes what is older than each organisation keeps it, and what is nobody's and older than `before`.
pub async fn delete_old(db: &mut PgConnection, now: DatabaseTime, before: DatabaseTime) -> Result<u64, sqlx::Error> {
    let of_organisations = sqlx::query!(
        "delete from audit_events e using organisations o
          where e.organisation_id = o.organisation_id and e.at < $1::timestamptz - make_interval(days => o.audit_days)",
        now.get()
    )
    .execute(&mut *db)
    .await?;
    let of_nobody = sqlx::query!(
        "delete from audit_events where organisation_id is null and at < $1",
        before.get()
    )
    .execute(db)
    .await?;
    Ok(of_organisations.rows_affected() + of_nobody.rows_affected())
}
