//! Every statement on what should be served and what is.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Expected, Looked, look::Names};
use crate::clock::DatabaseTime;

/// Certificates stored within this time were stored a moment ago.
const RECENT_SECONDS: f64 = 60.0;

/// What should be served, by hostname from the one after `after` on. What has ended only if it is to be renewed: a
/// domain that left keeps its last certificate, and nobody misses another.
pub async fn list_expected(
    db: &mut PgConnection,
    names: &Names,
    after: &str,
    limit: i64,
) -> Result<Vec<Expected>, sqlx::Error> {
    sqlx::query_as!(
        Expected,
        r#"select c.certificate_id, c.hostname, sha256(c.chain[1]) as "fingerprint!", c.created_at as stored_at
             from certificates c
             left join lateral (
                  select true as is_served from served_domains x where x.hostname = c.hostname limit 1) d on true
            where c.issuer = $1 and c.hostname > $3
              and (c.domain_id is null and c.hostname = any($2) or d.is_served)
              and (c.not_after > now()
                   or (select true from certificate_leases l where l.hostname = c.hostname and l.issuer = c.issuer limit 1))
            order by c.hostname
            limit $4"#,
        names.issuer,
        &names.own_hosts,
        after,
        limit,
    )
    .fetch_all(db)
    .await
}

/// The same of those stored a moment ago, the last first.
pub async fn list_recent(db: &mut PgConnection, names: &Names, limit: i64) -> Result<Vec<Expected>, sqlx::Error> {
    sqlx::query_as!(
        Expected,
        r#"select c.certificate_id, c.hostname, sha256(c.chain[1]) as "fingerprint!", c.created_at as stored_at
             from certificates c
             left join lateral (
                  select true as is_served from served_domains x where x.hostname = c.hostname limit 1) d on true
            where c.issuer = $1 and c.created_at > now() - make_interval(secs => $3)
              and (c.domain_id is null and c.hostname = any($2) or d.is_served)
              and (c.not_after > now()
                   or (select true from certificate_leases l where l.hostname = c.hostname and l.issuer = c.issuer limit 1))
            order by c.created_at desc
            limit $4"#,
        names.issuer,
        &names.own_hosts,
        RECENT_SECONDS,
        limit,
    )
    .fetch_all(db)
    .await
}

/// What should be served for `hostname` now; `None`: nothing.
pub async fn find_expected(
    db: &mut PgConnection,
    names: &Names,
    hostname: &str,
) -> Result<Option<Expected>, sqlx::Error> {
    sqlx::query_as!(
        Expected,
        r#"select c.certificate_id, c.hostname, sha256(c.chain[1]) as "fingerprint!", c.created_at as stored_at
             from certificates c
             left join lateral (
                  select true as is_served from served_domains x where x.hostname = c.hostname limit 1) d on true
            where c.issuer = $1 and c.hostname = $3
              and (c.domain_id is null and c.hostname = any($2) or d.is_served)
              and (c.not_after > now()
                   or (select true from certificate_leases l where l.hostname = c.hostname and l.issuer = c.issuer limit 1))"#,
        names.issuer,
        &names.own_hosts,
        hostname,
    )
    .fetch_optional(db)
    .await
}

pub async fn count_certificates(db: &mut PgConnection, issuer: &str) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from certificates where issuer = $1"#,
        issuer
    )
    .fetch_one(db)
    .await
}

/// Keeps the last look at each place.
pub async fn upsert(db: &mut PgConnection, node_id: Uuid, looked: &[Looked]) -> Result<(), sqlx::Error> {
    let texts = |text: fn(&Looked) -> &str| looked.iter().map(|one| text(one).to_owned()).collect::<Vec<_>>();
    let fingerprints: Vec<_> = looked.iter().map(Looked::fingerprint).collect();
    let not_after: Vec<_> = looked.iter().map(Looked::not_after).collect();
    let at: Vec<_> = looked.iter().map(|one| one.at.get()).collect();
    sqlx::query!(
        "insert into served_certificates (node_id, hostname, address, state, fingerprint, not_after, checked_at)
         select distinct on (hostname, address) $1, hostname, address, state, fingerprint, not_after, checked_at
           from unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::timestamptz[], $7::timestamptz[])
             as looked (hostname, address, state, fingerprint, not_after, checked_at)
          order by hostname, address, checked_at desc
             on conflict (hostname, node_id, address) do update
                set state = excluded.state, fingerprint = excluded.fingerprint, not_after = excluded.not_after,
                    checked_at = excluded.checked_at",
        node_id,
        &texts(|one| &one.hostname),
        &texts(|one| &one.address),
        &texts(|one| one.state.as_str()),
        &fingerprints as &[Option<Vec<u8>>],
        &not_after as &[Option<DateTime<Utc>>],
        &at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets what the node last saw before `at`: names that are no longer to be served.
pub async fn delete_before(db: &mut PgConnection, node_id: Uuid, at: DatabaseTime) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from served_certificates where node_id = $1 and checked_at < $2",
        node_id,
        at.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Forgets what nodes saw that are no more.
pub async fn delete_of_the_dead(db: &mut PgConnection) -> Result<u64, sqlx::Error> {
    Ok(sqlx::query!(
        "delete from served_certificates s where not exists (select from nodes n where n.node_id = s.node_id)"
    )
    .execute(db)
    .await?
    .rows_affected())
}

/// What a node showed when it was last looked at.
pub struct Sight {
    pub node_id: Uuid,
    /// Empty for the node's own listener; else the public address that it asked.
    pub address: String,
    pub state: String,
    pub fingerprint: Option<Vec<u8>>,
    pub not_after: Option<DateTime<Utc>>,
    pub checked_at: DateTime<Utc>,
}

/// What the nodes there are show for `hostname`.
pub async fn list(db: &mut PgConnection, hostname: &str) -> Result<Vec<Sight>, sqlx::Error> {
    sqlx::query_as!(
        Sight,
        "select s.node_id, s.address, s.state, s.fingerprint, s.not_after, s.checked_at
           from served_certificates s join nodes n using (node_id)
          where s.hostname = $1
          order by s.node_id, s.address",
        hostname,
    )
    .fetch_all(db)
    .await
}
