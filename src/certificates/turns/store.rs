//! Every statement on `certificate_leases`.
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};

use super::{Eligible, Lease, Postponed, Turn};
use crate::clock::DatabaseTime;

/// Gives a turn to those of `hostnames` that are to have a certificate and have none. One that waits only because
/// it did not point at us has its turn at once. Returns how many have it now.
pub async fn want(
    db: &mut PgConnection,
    eligible: &Eligible,
    hostnames: &[String],
    now: DatabaseTime,
) -> Result<u64, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into certificate_leases (hostname, issuer, due_at)
         select d.hostname, $1, $2
           from served_domains d left join domain_checks k using (domain_id)
          where d.hostname = any($3)
            and (not $4 or d.connection = 'direct' and k.connected_at is not null)
            and not exists (select from certificates c where c.hostname = d.hostname and c.issuer = $1)
             on conflict (hostname, issuer) do update set due_at = excluded.due_at
          where certificate_leases.due_at > excluded.due_at and certificate_leases.is_preflight
            and (certificate_leases.failure ->> 'at')::timestamptz < excluded.due_at - interval '1 minute'",
        eligible.issuer,
        now.get(),
        hostnames,
        eligible.connected_only,
    )
    .execute(db)
    .await?;
    Ok(inserted.rows_affected())
}

/// Gives a turn to everything that is to have a certificate and was not told of: after a start, another choice of CA,
/// a hint that was lost. Reads every domain.
pub async fn want_all(db: &mut PgConnection, eligible: &Eligible, now: DatabaseTime) -> Result<u64, sqlx::Error> {
    let inserted = sqlx::query!(
        "insert into certificate_leases (hostname, issuer, due_at, urgency)
         select wanted.hostname, $1, coalesce(least(c.renews_at, c.urgent_at), $2), case when c.hostname is null then 1 else 2 end
           from (select unnest($3::text[]) as hostname
                  union
                 select d.hostname
                   from served_domains d left join domain_checks k using (domain_id)
                  where not $4 or d.connection = 'direct' and k.connected_at is not null) wanted
           left join certificates c on c.hostname = wanted.hostname and c.issuer = $1
           left join certificate_leases l on l.hostname = wanted.hostname and l.issuer = $1
          where l.hostname is null
             on conflict do nothing",
        eligible.issuer,
        now.get(),
        &eligible.own_hosts,
        eligible.connected_only,
    )
    .execute(db)
    .await?;
    Ok(inserted.rows_affected())
}

/// What expires soon goes first, whatever it waited for.
pub async fn raise_urgency(db: &mut PgConnection, issuer: &str, now: DatabaseTime) -> Result<u64, sqlx::Error> {
    let raised = sqlx::query!(
        "update certificate_leases set urgency = 0
          where hostname = any(array(select c.hostname from certificates c where c.issuer = $1 and c.urgent_at <= $2))
            and issuer = $1 and urgency <> 0",
        issuer,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(raised.rows_affected())
}

pub async fn is_any_due(db: &mut PgConnection, issuer: &str, now: DatabaseTime) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        // In the order of the index: `exists` may read all rows in the hope that the first one is due.
        r#"select coalesce(
                   (select due_at from certificate_leases
                     where issuer = $1 and urgency = 0 and due_at <= $2 and lease_until <= $2 order by due_at limit 1),
                   (select due_at from certificate_leases
                     where issuer = $1 and urgency = 1 and due_at <= $2 and lease_until <= $2 order by due_at limit 1),
                   (select due_at from certificate_leases
                     where issuer = $1 and urgency = 2 and due_at <= $2 and lease_until <= $2 order by due_at limit 1)
               ) is not null as "exists!""#,
        issuer,
        now.get(),
    )
    .fetch_one(db)
    .await
}

/// How many certificates may be renewed now: a tenth of all in an hour, `least` at least, less those of the last hour.
/// The number of all is PostgreSQL's estimate.
pub async fn count_renewals_left(db: &mut PgConnection, issuer: &str, least: i64) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select greatest($2, (select reltuples::bigint from pg_class where oid = 'certificates'::regclass) / 10)
                - (select count(*) from certificates where issuer = $1 and renewed_at > now() - interval '1 hour') as "left!""#,
        issuer,
        least,
    )
    .fetch_one(db)
    .await
}

/// Claims what is due: first what expires soon, then what has no certificate, then renewals in time.
pub async fn claim_due(db: &mut PgConnection, eligible: &Eligible, lease: &Lease) -> Result<Vec<Turn>, sqlx::Error> {
    sqlx::query_as!(
        Turn,
        // Looked at again when the row is locked: it may have been done in between.
        r#"with due as materialized (
              select hostname from (
                    (select hostname, urgency, due_at from certificate_leases l
                      where issuer = $1 and urgency = 0 and due_at <= $2 and lease_until <= $2
                        and (cardinality($7::uuid[]) = 0 or (
                            select true from domains d
                             where d.hostname = l.hostname and d.organisation_id = any($7) and d.ownership_verified_at is not null
                             limit 1) is null)
                      order by due_at limit least($4::bigint, $8::bigint))
                     union all
                    (select hostname, urgency, due_at from certificate_leases l
                      where issuer = $1 and urgency = 1 and due_at <= $2 and lease_until <= $2
                        and (cardinality($7::uuid[]) = 0 or (
                            select true from domains d
                             where d.hostname = l.hostname and d.organisation_id = any($7) and d.ownership_verified_at is not null
                             limit 1) is null)
                      order by due_at limit $4)
                     union all
                    (select hostname, urgency, due_at from certificate_leases l
                      where issuer = $1 and urgency = 2 and due_at <= $2 and lease_until <= $2
                        and (cardinality($7::uuid[]) = 0 or (
                            select true from domains d
                             where d.hostname = l.hostname and d.organisation_id = any($7) and d.ownership_verified_at is not null
                             limit 1) is null)
                      order by due_at limit least($4::bigint, $8::bigint))
              ) classes
               order by urgency, due_at limit $4),
         locked as materialized (
              select l.hostname from certificate_leases l join due using (hostname)
               where l.issuer = $1 and l.lease_until <= $2 and l.due_at <= $2
                 for update of l skip locked)
         update certificate_leases l set lease_until = $3, epoch = epoch + 1
           from locked
          where l.hostname = locked.hostname and l.issuer = $1
         returning l.hostname,
                   (select d.organisation_id from domains d
                     where d.hostname = l.hostname and d.ownership_verified_at is not null) as organisation_id, l.epoch, l.attempts, l.is_preflight as was_preflight, l.urgency = 0 as "is_urgent!", l.hostname = any($5) as "own!",
                   (l.hostname = any($5) or coalesce((
                       select true from served_domains d left join domain_checks k using (domain_id)
                        where d.hostname = l.hostname
                          and (not $6 or d.connection = 'direct' and k.connected_at is not null) limit 1), false)) as "is_eligible!""#,
        eligible.issuer,
        lease.now.get(),
        lease.until.get(),
        lease.limit,
        &eligible.own_hosts,
        eligible.connected_only,
        &lease.crowded,
        lease.renewals,
    )
    .fetch_all(db)
    .await
}

/// Whether the claim still counts. If so, nobody else claims it until the end of the transaction.
pub async fn confirm(db: &mut PgConnection, issuer: &str, turn: &Turn) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"select true as "is_ours!" from certificate_leases
            where hostname = $1 and issuer = $2 and epoch = $3 for update"#,
        turn.hostname,
        issuer,
        turn.epoch,
    )
    .fetch_optional(db)
    .await?;
    Ok(found.is_some())
}

/// Nobody else changes the turn, if there is one, until the end of the transaction.
pub async fn lock(db: &mut PgConnection, issuer: &str, hostname: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select hostname from certificate_leases where hostname = $1 and issuer = $2 for update",
        hostname,
        issuer,
    )
    .fetch_optional(db)
    .await?;
    Ok(())
}

/// Keeps the claim for longer. `false`: somebody else has it.
pub async fn extend(
    db: &mut PgConnection,
    issuer: &str,
    turn: &Turn,
    until: DatabaseTime,
) -> Result<bool, sqlx::Error> {
    let extended = sqlx::query!(
        "update certificate_leases set lease_until = $4 where hostname = $1 and issuer = $2 and epoch = $3",
        turn.hostname,
        issuer,
        turn.epoch,
        until.get(),
    )
    .execute(db)
    .await?;
    Ok(extended.rows_affected() == 1)
}

/// Gives claims back undone: this node is stopping.
pub async fn give_back(db: &mut PgConnection, issuer: &str, turns: &[Turn]) -> Result<(), sqlx::Error> {
    let hostnames: Vec<String> = turns.iter().map(|turn| turn.hostname.clone()).collect();
    let epochs: Vec<i64> = turns.iter().map(|turn| turn.epoch).collect();
    sqlx::query!(
        "update certificate_leases l set lease_until = '-infinity', epoch = l.epoch + 1
           from unnest($2::text[], $3::bigint[]) as held (hostname, epoch)
          where l.hostname = held.hostname and l.issuer = $1 and l.epoch = held.epoch",
        issuer,
        &hostnames,
        &epochs,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Done until `due_at`, if the claim still counts.
pub async fn done(
    db: &mut PgConnection,
    issuer: &str,
    turn: &Turn,
    due_at: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let done = sqlx::query!(
        "update certificate_leases
            set lease_until = '-infinity', due_at = $4, urgency = 2, attempts = 0, failure = null, last_error = null, is_preflight = false
          where hostname = $1 and issuer = $2 and epoch = $3",
        turn.hostname,
        issuer,
        turn.epoch,
        due_at,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Why it came to nothing last, if it did: the code. `None`: the claim does not count any more.
pub async fn find_failure(
    db: &mut PgConnection,
    issuer: &str,
    turn: &Turn,
) -> Result<Option<Option<String>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select failure ->> 'code' from certificate_leases where hostname = $1 and issuer = $2 and epoch = $3 for update",
        turn.hostname,
        issuer,
        turn.epoch,
    )
    .fetch_optional(db)
    .await
}

/// Notes why it came to nothing, and when it is tried again.
pub async fn postpone(
    db: &mut PgConnection,
    issuer: &str,
    turn: &Turn,
    postponed: &Postponed,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update certificate_leases
            set lease_until = '-infinity', due_at = $4, failure = $5, last_error = $6, is_preflight = $7,
                attempts = $8
          where hostname = $1 and issuer = $2 and epoch = $3",
        turn.hostname,
        issuer,
        turn.epoch,
        postponed.until,
        Json(&postponed.failure) as _,
        postponed.failure.to_string(),
        postponed.is_preflight,
        postponed.attempts,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The hostname is nobody's to certify any more.
pub async fn forget(db: &mut PgConnection, issuer: &str, turn: &Turn) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from certificate_leases where hostname = $1 and issuer = $2 and epoch = $3",
        turn.hostname,
        issuer,
        turn.epoch,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The CA suggested another time.
pub async fn set_due(
    db: &mut PgConnection,
    issuer: &str,
    hostname: &str,
    due_at: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update certificate_leases set due_at = $3 where hostname = $1 and issuer = $2 and attempts = 0",
        hostname,
        issuer,
        due_at,
    )
    .execute(db)
    .await?;
    Ok(())
}
