//! Statements that look across all organisations.
use chrono::TimeDelta;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Issued, Organisation, Queues, UnknownDomain};
use crate::{accounts::Operator, clock::DatabaseTime};

/// The newest first, those before `before`, whose name has `part` in it.
pub async fn list_organisations(
    db: &mut PgConnection,
    _: Operator,
    (part, before): (&str, Option<Uuid>),
    limit: i64,
    now: DatabaseTime,
) -> Result<Vec<Organisation>, sqlx::Error> {
    sqlx::query_as!(
        Organisation,
        r#"select o.organisation_id as id, o.name, o.created_at, o.suspended_at,
                  (select count(*) from memberships m where m.organisation_id = o.organisation_id) as "members!",
                  (select count(*) from clients c where c.organisation_id = o.organisation_id) as "clients!",
                  (select count(*) from domains d where d.organisation_id = o.organisation_id) as "domains!",
                  (select count(*) from domains d
                    where d.organisation_id = o.organisation_id and d.ownership_verified_at is not null) as "verified!",
                  (select coalesce(sum(r.count), 0)::bigint from request_counts r
                    where r.organisation_id = o.organisation_id and r.hour > $4) as "requests!"
             from organisations o
            where position(lower($1) in lower(o.name)) > 0 and o.organisation_id < $2
            order by o.organisation_id desc limit $3"#,
        part,
        before.unwrap_or(Uuid::max()),
        limit,
        now.get() - TimeDelta::hours(24),
    )
    .fetch_all(db)
    .await
}

pub async fn find_organisation(
    db: &mut PgConnection,
    _: Operator,
    organisation_id: Uuid,
    now: DatabaseTime,
) -> Result<Option<Organisation>, sqlx::Error> {
    sqlx::query_as!(
        Organisation,
        r#"select o.organisation_id as id, o.name, o.created_at, o.suspended_at,
                  (select count(*) from memberships m where m.organisation_id = o.organisation_id) as "members!",
                  (select count(*) from clients c where c.organisation_id = o.organisation_id) as "clients!",
                  (select count(*) from domains d where d.organisation_id = o.organisation_id) as "domains!",
                  (select count(*) from domains d
                    where d.organisation_id = o.organisation_id and d.ownership_verified_at is not null) as "verified!",
                  (select coalesce(sum(r.count), 0)::bigint from request_counts r
                    where r.organisation_id = o.organisation_id and r.hour > $2) as "requests!"
             from organisations o where o.organisation_id = $1"#,
        organisation_id,
        now.get() - TimeDelta::hours(24),
    )
    .fetch_optional(db)
    .await
}

pub async fn count_queues(db: &mut PgConnection, _: Operator, now: DatabaseTime) -> Result<Queues, sqlx::Error> {
    sqlx::query_as!(
        Queues,
        r#"select m.mails as "mails!", m.mails_since,
                  (select count(*) from outbox where kind = 'mail' and given_up_at is not null) as "mails_given_up!",
                  c.checks as "checks!", c.checks_since, o.orders as "orders!", o.orders_since,
                  (select max(updated_at) from spool_positions) as shipped_at
             from (select count(*) as mails, min(created_at) as mails_since from outbox
                    where kind = 'mail' and sent_at is null and given_up_at is null) m,
                  (select count(*) as checks, min(due_at) as checks_since from domain_checks where due_at <= $1) c,
                  (select count(*) as orders, min(created_at) as orders_since from acme_orders where finished_at is null) o"#,
        now.get(),
    )
    .fetch_one(db)
    .await
}

pub async fn count_certificates(
    db: &mut PgConnection,
    _: Operator,
    now: DatabaseTime,
) -> Result<Vec<Issued>, sqlx::Error> {
    sqlx::query_as!(
        Issued,
        r#"select i.issuer as "issuer!", count(c.certificate_id) as "certificates!",
                  count(*) filter (where c.not_after <= $1) as "expired!",
                  count(*) filter (where c.not_after > $1 and c.not_after <= $2) as "expiring!"
             from (select issuer from certificates union select issuer from certificate_leases) i
             left join certificates c on c.issuer = i.issuer
            group by i.issuer order by i.issuer"#,
        now.get(),
        now.get() + TimeDelta::days(7),
    )
    .fetch_all(db)
    .await
}

/// Those that are asked for most first.
pub async fn list_unknown_domains(
    db: &mut PgConnection,
    _: Operator,
    since: DatabaseTime,
    limit: i64,
) -> Result<Vec<UnknownDomain>, sqlx::Error> {
    sqlx::query_as!(
        UnknownDomain,
        r#"select hostname, count(*) as "requests!", array_agg(distinct model_family order by model_family) as "families!",
                  min(at) as "first_at!", max(at) as "last_at!"
             from requests
            where organisation_id is null and outcome = 'unknown_domain' and at >= $1
            group by hostname order by count(*) desc, hostname limit $2"#,
        since.get(),
        limit,
    )
    .fetch_all(db)
    .await
}
