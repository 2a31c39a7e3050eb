//! Every statement on hints at a changed status, on the status that was told last, and every write of the projection.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Derived, Told};
use crate::{
    accounts::Operator,
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

/// Starts to derive every status anew, unless `derivation` is the one that they were derived with.
pub async fn set_derivation(db: &mut PgConnection, _: Operator, derivation: &str) -> Result<(), DomainError> {
    sqlx::query!(
        "insert into status_derivations as s (derivation, derived_until)
         values ($1, '00000000-0000-0000-0000-000000000000')
             on conflict on constraint status_derivations_pkey do update
            set derivation = excluded.derivation, derived_until = excluded.derived_until
          where s.derivation <> excluded.derivation",
        derivation,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes away the oldest hints. Returns their domains, one of them perhaps twice.
pub async fn take_hints(db: &mut PgConnection, limit: i64) -> Result<Vec<Uuid>, DomainError> {
    let taken = sqlx::query_scalar!(
        "delete from status_hints
          where status_hint_id = any(array(select status_hint_id from status_hints order by status_hint_id limit $1))
         returning domain_id",
        limit,
    );
    Ok(taken.fetch_all(db).await?)
}

/// Returns domains whose status has changed with time, and those whose row a trigger wrote.
pub async fn list_due(
    db: &mut PgConnection,
    _: Operator,
    now: DatabaseTime,
    limit: i64,
) -> Result<Vec<Uuid>, DomainError> {
    let due = sqlx::query_scalar!(
        r#"(select domain_id as "domain_id!" from domain_statuses where rederive_at <= $1 order by rederive_at limit $2)
            union all
           (select domain_id from domain_statuses where is_provisional order by domain_id limit $2)"#,
        now.get(),
        limit,
    );
    Ok(due.fetch_all(db).await?)
}

/// Returns the next domains whose status was derived otherwise than now, and notes that they are derived.
pub async fn take_outdated(db: &mut PgConnection, _: Operator, limit: i64) -> Result<Vec<Uuid>, DomainError> {
    let taken = sqlx::query_scalar!(
        r#"with next as materialized (
              select d.domain_id
                from status_derivations s
               cross join lateral (
                     select x.domain_id from domains x
                      where x.domain_id > s.derived_until order by x.domain_id limit $1) d
               where s.derived_until is not null),
         moved as (
              update status_derivations set derived_until = (select n.domain_id from next n order by n.domain_id desc limit 1)
               where derived_until is not null)
         select domain_id as "domain_id!" from next"#,
        limit,
    );
    Ok(taken.fetch_all(db).await?)
}

/// Keeps these domains from being deleted until the end of the transaction. Returns those that nobody is changing; the
/// others get a new hint: waiting for a transaction that waits for this one would be a deadlock.
pub async fn lock(db: &mut PgConnection, _: Operator, domain_ids: &[Uuid]) -> Result<Vec<Uuid>, DomainError> {
    let locked = sqlx::query_scalar!(
        "select domain_id from domains where domain_id = any($1) order by domain_id for key share skip locked",
        domain_ids,
    )
    .fetch_all(&mut *db)
    .await?;
    sqlx::query!(
        "insert into status_hints (domain_id)
         select domain_id from domains where domain_id = any($1) and domain_id <> all($2)",
        domain_ids,
        &locked,
    )
    .execute(db)
    .await?;
    Ok(locked)
}

/// Those that are still there, each once.
pub async fn list(db: &mut PgConnection, _: Operator, domain_ids: &[Uuid]) -> Result<Vec<Hinted>, DomainError> {
    let rows = sqlx::query!(
        r#"select d.organisation_id, d.client_id, d.domain_id, d.hostname, t.domain_id is not null as "is_judged!", t.status as "status?"
             from domains d
             left join lateral (select * from told_statuses x where x.domain_id = d.domain_id limit 1) t on true
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

/// Writes what was derived; a row that says the same already is left as it is.
pub async fn upsert(
    db: &mut PgConnection,
    _: Operator,
    derived: &[Derived],
    now: DatabaseTime,
) -> Result<(), DomainError> {
    let actions = derived.iter().map(|derived| derived.next_action);
    sqlx::query!(
        "insert into domain_statuses as s (domain_id, organisation_id, client_id, hostname, status, next_action,
                                           next_action_by, since, rederive_at, is_provisional)
         select d.domain_id, d.organisation_id, d.client_id, d.hostname, n.status, n.next_action, n.next_action_by, $6,
                n.rederive_at, false
           from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
             as n (domain_id, status, next_action, next_action_by, rederive_at)
          cross join lateral (select * from domains x where x.domain_id = n.domain_id limit 1) d
             on conflict on constraint domain_statuses_pkey do update
            set status = excluded.status, next_action = excluded.next_action, next_action_by = excluded.next_action_by,
                since = case when s.status = excluded.status then s.since else excluded.since end,
                rederive_at = excluded.rederive_at, is_provisional = false
          where (s.status, s.next_action, s.next_action_by, s.rederive_at, s.is_provisional)
                is distinct from
                (excluded.status, excluded.next_action, excluded.next_action_by, excluded.rederive_at, false)",
        &derived.iter().map(|derived| derived.domain_id).collect::<Vec<_>>(),
        &derived
            .iter()
            .map(|derived| derived.status.as_str().to_owned())
            .collect::<Vec<_>>(),
        &actions
            .clone()
            .map(|action| action.map(|(code, _)| code.to_owned()))
            .collect::<Vec<_>>() as &[Option<String>],
        &actions
            .map(|action| action.map(|(_, who)| who.as_str().to_owned()))
            .collect::<Vec<_>>() as &[Option<String>],
        &derived.iter().map(|derived| derived.rederive_at).collect::<Vec<_>>() as &[Option<DateTime<Utc>>],
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes the statuses that events tell of.
pub async fn set_told(
    db: &mut PgConnection,
    _: Operator,
    derived: &[Derived],
    now: DatabaseTime,
) -> Result<(), DomainError> {
    sqlx::query!(
        "insert into told_statuses as t (domain_id, status, judged_at)
         select n.domain_id, n.status, $3
           from unnest($1::uuid[], $2::text[]) as n (domain_id, status)
          where exists (select from domains d where d.domain_id = n.domain_id)
             on conflict (domain_id) do update set status = excluded.status, judged_at = excluded.judged_at
          where t.status is distinct from excluded.status",
        &derived.iter().map(|derived| derived.domain_id).collect::<Vec<_>>(),
        &derived
            .iter()
            .map(|derived| derived.status.as_str().to_owned())
            .collect::<Vec<_>>(),
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Has the projection's rows of domains that can't be derived not looked at again until a hint names them.
pub async fn set_settled(db: &mut PgConnection, _: Operator, domain_ids: &[Uuid]) -> Result<(), DomainError> {
    sqlx::query!(
        "update domain_statuses set is_provisional = false, rederive_at = null
          where domain_id = any($1) and (is_provisional or rederive_at is not null)",
        domain_ids,
    )
    .execute(db)
    .await?;
    Ok(())
}
