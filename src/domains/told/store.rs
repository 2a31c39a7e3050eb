//! Every statement on hints at a changed status, and on the status that was told last.
use sqlx::PgConnection;
use uuid::Uuid;

use super::Told;
use crate::{
    accounts::{Operator, Scope},
    clock::DatabaseTime,
    domains::{DomainError, status::Status},
    outbox::event::Subject,
};

/// A domain whose facts have changed.
pub struct Hinted {
    pub subject: Subject,
    pub told: Told,
}

/// Whether nobody else judges. If so, nobody does until the end of the transaction.
pub async fn is_our_turn(db: &mut PgConnection) -> Result<bool, DomainError> {
    let is_ours = sqlx::query_scalar!(
        r#"select pg_try_advisory_xact_lock(hashtextextended('signpost status_hints', 0)) as "is_ours!""#
    );
    Ok(is_ours.fetch_one(db).await?)
}

/// Certificates that have expired since their domains were judged: nobody did anything, so nobody left a hint.
pub async fn hint_at_expired(db: &mut PgConnection, now: DatabaseTime, limit: i64) -> Result<(), DomainError> {
    sqlx::query!(
        "insert into status_hints (domain_id)
         select c.domain_id from certificates c join told_statuses t using (domain_id)
          where c.not_after <= $1 and t.judged_at < c.not_after
          limit $2",
        now.get(),
        limit,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Domains with a certificate of another issuer than the one in force: if that has changed, so have their statuses, and no
/// row did.
pub async fn hint_at_other_issuers(db: &mut PgConnection, _: Operator, issuer: &str) -> Result<(), DomainError> {
    sqlx::query!(
        "insert into status_hints (domain_id)
         select distinct domain_id from certificates where issuer <> $1 and domain_id is not null",
        issuer,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes away the oldest hints. Returns their domains.
pub async fn take_hints(db: &mut PgConnection, limit: i64) -> Result<Vec<Uuid>, DomainError> {
    let taken = sqlx::query_scalar!(
        "delete from status_hints
          where status_hint_id in (select status_hint_id from status_hints order by status_hint_id limit $1)
         returning domain_id",
        limit,
    );
    Ok(taken.fetch_all(db).await?)
}

/// Those that are still there, each once.
pub async fn list(db: &mut PgConnection, _: Operator, domain_ids: &[Uuid]) -> Result<Vec<Hinted>, DomainError> {
    let rows = sqlx::query!(
        r#"select d.organisation_id, d.client_id, d.domain_id, d.hostname,
                  t.domain_id is not null as "is_judged!", t.status as "status?"
             from domains d left join told_statuses t using (domain_id)
            where d.domain_id = any($1)
            order by d.domain_id"#,
        domain_ids,
    )
    .fetch_all(db)
    .await?;
    let hinted = rows.into_iter().map(|row| Hinted {
        told: match (row.is_judged, row.status.as_deref().and_then(Status::parse)) {
            (_, Some(status)) => Told::Status(status),
            (true, None) => Told::Unknown,
            // As every domain starts.
            (false, None) => Told::Status(Status::PendingOwnership),
        },
        subject: Subject {
            organisation_id: row.organisation_id,
            client_id: row.client_id,
            domain_id: row.domain_id,
            hostname: row.hostname,
        },
    });
    Ok(hinted.collect())
}

pub async fn set_told(
    db: &mut PgConnection,
    scope: &Scope,
    domain_id: Uuid,
    status: Status,
    now: DatabaseTime,
) -> Result<(), DomainError> {
    sqlx::query!(
        "insert into told_statuses (domain_id, status, judged_at)
         select domain_id, $3, $4 from domains where organisation_id = $1 and domain_id = $2
             on conflict (domain_id) do update set status = excluded.status, judged_at = excluded.judged_at",
        scope.organisation_id(),
        domain_id,
        status.as_str(),
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}
