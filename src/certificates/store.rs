//! Every statement on certificates and their leases.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::obtain::Claim;

/// A certificate ready to be stored.
pub struct NewCertificate {
    pub chain: Vec<Vec<u8>>,
    pub key_sealed: Vec<u8>,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    pub renews_at: DateTime<Utc>,
}

/// For how long, and how many, hostnames are claimed.
pub struct Lease {
    pub now: DateTime<Utc>,
    pub until: DateTime<Utc>,
    pub limit: i64,
}

/// Claims hostnames that have no certificate of `issuer`, or one that is due: those
/// of verified domains and `own_hosts`. Who holds a lease keeps it.
pub async fn claim_due(
    db: &mut PgConnection,
    issuer: &str,
    own_hosts: &[String],
    lease: Lease,
) -> Result<Vec<Claim>, sqlx::Error> {
    sqlx::query_as!(
        Claim,
        r#"insert into certificate_leases (hostname, issuer, lease_until)
           select wanted.hostname, $1, $4
             from (select unnest($2::text[]) as hostname
                    union all
                   select hostname from domains where ownership_verified_at is not null and suspended_at is null) wanted
             left join certificates c on c.hostname = wanted.hostname and c.issuer = $1
             left join certificate_leases l on l.hostname = wanted.hostname and l.issuer = $1
            where (c.hostname is null or c.renews_at <= $3)
              and (l.hostname is null or l.lease_until <= $3)
            limit $5
               on conflict (hostname, issuer) do update
                  set lease_until = excluded.lease_until, epoch = certificate_leases.epoch + 1
                where certificate_leases.lease_until <= $3
           returning hostname, epoch, attempts, hostname = any($2) as "own!""#,
        issuer,
        own_hosts,
        lease.now,
        lease.until,
        lease.limit,
    )
    .fetch_all(db)
    .await
}

/// Stores what was obtained and gives the lease back, if the claim's epoch still holds and somebody
/// still holds the hostname: it is theirs, and of nobody else who claims it. `false`: somebody else has it now.
pub async fn complete(
    db: &mut PgConnection,
    issuer: &str,
    claim: &Claim,
    new: &NewCertificate,
) -> Result<bool, sqlx::Error> {
    let released = sqlx::query!(
        "delete from certificate_leases where hostname = $1 and issuer = $2 and epoch = $3",
        claim.hostname,
        issuer,
        claim.epoch
    )
    .execute(&mut *db)
    .await?;
    if released.rows_affected() == 0 {
        return Ok(false);
    }
    let inserted = sqlx::query!(
        // Locked first, as whoever changes the holder does: it can't change before the certificate is its.
        "with holder as (
              select organisation_id, domain_id from domains
               where hostname = $2 and ownership_verified_at is not null
                 for share)
         insert into certificates (certificate_id, organisation_id, domain_id, hostname, issuer, chain, key_sealed, not_before, not_after, renews_at)
         select $1, holder.organisation_id, holder.domain_id, $2, $3, $4, $5, $6, $7, $8
           from (select) one left join holder on true
          where $9 or holder.domain_id is not null
             on conflict (hostname, issuer) do update
                set certificate_id = excluded.certificate_id, organisation_id = excluded.organisation_id, domain_id = excluded.domain_id,
                    chain = excluded.chain, key_sealed = excluded.key_sealed, not_before = excluded.not_before,
                    not_after = excluded.not_after, renews_at = excluded.renews_at, created_at = now()",
        Uuid::now_v7(),
        claim.hostname,
        issuer,
        &new.chain,
        new.key_sealed,
        new.not_before,
        new.not_after,
        new.renews_at,
        claim.own,
    )
    .execute(db)
    .await?;
    Ok(inserted.rows_affected() == 1)
}

/// Keeps the lease until the next attempt and notes why.
pub async fn postpone(
    db: &mut PgConnection,
    issuer: &str,
    claim: &Claim,
    error: &str,
    until: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update certificate_leases set lease_until = $4, attempts = attempts + 1, last_error = $5
          where hostname = $1 and issuer = $2 and epoch = $3",
        claim.hostname,
        issuer,
        claim.epoch,
        until,
        error,
    )
    .execute(db)
    .await?;
    Ok(())
}
