//! Every statement on `acme_orders`. What changes an order names the turn that it belongs to: a node that has lost
//! its turn changes nothing.
use chrono::TimeDelta;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Current, Open, Orders, Outcome, Reservation};
use crate::{
    certificates::{
        decisions::budget::{Limit, Usage, Used},
        turns::Turn,
    },
    clock::DatabaseTime,
};

/// The order of `hostname` that is not finished.
pub async fn find_open(db: &mut PgConnection, issuer: &str, hostname: &str) -> Result<Option<Open>, sqlx::Error> {
    sqlx::query_as!(
        Open,
        r#"select order_id, key_sealed as "key_sealed!", url, replaces, profile, created_at
             from acme_orders where issuer = $1 and hostname = $2 and finished_at is null"#,
        issuer,
        hostname,
    )
    .fetch_optional(db)
    .await
}

/// The certificate that is in force, if there is one.
pub async fn find_current(db: &mut PgConnection, issuer: &str, hostname: &str) -> Result<Option<Current>, sqlx::Error> {
    sqlx::query_as!(
        Current,
        r#"select chain[1] as "leaf!", not_after, coalesce(urgent_at, not_after) as "urgent_at!" from certificates where issuer = $1 and hostname = $2"#,
        issuer,
        hostname,
    )
    .fetch_optional(db)
    .await
}

/// Whether an order that was to replace this certificate was refused: the next one does not say so.
pub async fn was_replacement_refused(db: &mut PgConnection, issuer: &str, replaces: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from acme_orders where issuer = $1 and replaces = $2 and outcome in ('refused', 'issued')) as "exists!""#,
        issuer,
        replaces,
    )
    .fetch_one(db)
    .await
}

/// What counts against the CA's limits, as of `now`.
pub async fn usage(
    db: &mut PgConnection,
    orders: &Orders,
    hostname: &str,
    registered_domain: &str,
    now: DatabaseTime,
) -> Result<Usage, sqlx::Error> {
    let since = |limit: Option<Limit>| limit.map_or(now, |limit| now - limit.per).get();
    let limits = &orders.limits;
    let row = sqlx::query!(
        r#"select o.count as "orders!", o.oldest as first_order, d.count as "of_domain!", d.oldest as first_of_domain,
                  n.count as "of_name!", n.oldest as first_of_name, f.count as "failures!", f.oldest as first_failure,
                  a.count as "of_organisation!", a.oldest as first_of_organisation,
                  x.count as "failures_of_domain!", x.oldest as first_failure_of_domain,
                  s.count as "of_self_registered!", s.oldest as first_of_self_registered,
                  exists (select from domains d join organisations g using (organisation_id)
                           where d.hostname = $2 and d.ownership_verified_at is not null
                             and g.trusted_at is null) as "is_self_registered!"
             from (select count(*), min(created_at) as oldest from acme_orders
                    where issuer = $1 and created_at > $4 and replaces is null and (url is not null or finished_at is null)) o,
                  (select count(*), min(created_at) as oldest from acme_orders
                    where issuer = $1 and registered_domain = $3 and created_at > $5 and outcome = 'issued' and replaces is null) d,
                  (select count(*), min(created_at) as oldest from acme_orders
                    where issuer = $1 and hostname = $2 and created_at > $6 and outcome = 'issued' and replaces is null) n,
                  (select count(*), min(finished_at) as oldest from acme_orders
                    where issuer = $1 and hostname = $2 and finished_at > $7 and outcome = 'invalid') f,
                  (select count(*), min(created_at) as oldest from acme_orders
                    where issuer = $1 and created_at > $4 and replaces is null and (url is not null or finished_at is null)
                      and organisation_id = (select organisation_id from domains
                                              where hostname = $2 and ownership_verified_at is not null)) a,
                  (select count(*), min(finished_at) as oldest from acme_orders
                    where issuer = $1 and registered_domain = $3 and finished_at > $9 and outcome = 'invalid') x,
                  (select count(*), min(q.created_at) as oldest
                     from acme_orders q join organisations g using (organisation_id)
                    where q.issuer = $1 and q.created_at > $8 and q.replaces is null
                      and (q.url is not null or q.finished_at is null) and g.trusted_at is null) s"#,
        orders.issuer(),
        hostname,
        registered_domain,
        since(limits.orders),
        since(limits.of_domain),
        since(limits.of_name),
        now.get() - limits.failures.per,
        since(limits.of_self_registered),
        now.get() - limits.failures_of_domain.per,
    )
    .fetch_one(db)
    .await?;
    let used = |count: i64, oldest| Used {
        count: u32::try_from(count).unwrap_or(u32::MAX),
        oldest,
    };
    Ok(Usage {
        orders: used(row.orders, row.first_order),
        of_organisation: used(row.of_organisation, row.first_of_organisation),
        of_self_registered: row
            .is_self_registered
            .then(|| used(row.of_self_registered, row.first_of_self_registered)),
        of_domain: used(row.of_domain, row.first_of_domain),
        of_name: used(row.of_name, row.first_of_name),
        failures: used(row.failures, row.first_failure),
        failures_of_domain: used(row.failures_of_domain, row.first_failure_of_domain),
    })
}

/// Keeps others from counting until the end of the transaction: two nodes must not both take the last place.
pub async fn lock_budget(db: &mut PgConnection, issuer: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("select issuer from acme_accounts where issuer = $1 for update", issuer)
        .fetch_optional(db)
        .await?;
    Ok(())
}

/// An order that is about to be placed.
pub async fn insert(
    db: &mut PgConnection,
    issuer: &str,
    hostname: &str,
    reservation: &Reservation,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into acme_orders (order_id, issuer, hostname, registered_domain, key_sealed, replaces, profile, created_at, organisation_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8,
                 (select organisation_id from domains where hostname = $3 and ownership_verified_at is not null))",
        reservation.order_id,
        issuer,
        hostname,
        reservation.registered_domain,
        reservation.key_sealed,
        reservation.replaces,
        reservation.profile,
        reservation.created_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// `false`: the turn is somebody else's.
pub async fn set_url(
    db: &mut PgConnection,
    issuer: &str,
    turn: &Turn,
    order_id: Uuid,
    url: &str,
) -> Result<bool, sqlx::Error> {
    let set = sqlx::query!(
        "update acme_orders set url = $5
          where order_id = $1 and finished_at is null
            and exists (select from certificate_leases where issuer = $2 and hostname = $3 and epoch = $4)",
        order_id,
        issuer,
        turn.hostname,
        turn.epoch,
        url,
    )
    .execute(db)
    .await?;
    Ok(set.rows_affected() == 1)
}

/// The key is not needed any more: it is with the certificate, or with none.
pub async fn finish(
    db: &mut PgConnection,
    order_id: Uuid,
    outcome: Outcome,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update acme_orders set outcome = $2, finished_at = $3, key_sealed = null where order_id = $1 and finished_at is null",
        order_id,
        outcome.as_str(),
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The same, if the CA has not taken it.
pub async fn finish_unplaced(
    db: &mut PgConnection,
    order_id: Uuid,
    outcome: Outcome,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update acme_orders set outcome = $2, finished_at = $3, key_sealed = null
          where order_id = $1 and finished_at is null and url is null",
        order_id,
        outcome.as_str(),
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Those of `urls` that belong to no order of ours.
pub async fn list_unknown(db: &mut PgConnection, issuer: &str, urls: &[String]) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select listed.url as "url!" from unnest($2::text[]) as listed (url)
            where not exists (select from acme_orders o where o.issuer = $1 and o.url = listed.url)"#,
        issuer,
        urls,
    )
    .fetch_all(db)
    .await
}

/// Orders that count against no limit any more, and the keys of orders that nobody goes on with.
pub async fn delete_old(db: &mut PgConnection, now: DatabaseTime) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from acme_orders where finished_at < $1 or created_at < $2",
        now.get() - TimeDelta::days(8),
        now.get() - TimeDelta::days(30),
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
