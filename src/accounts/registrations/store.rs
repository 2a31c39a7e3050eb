//! Every statement on `registrations`.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{accounts::email::EmailDigests, clock::DatabaseTime};

pub struct Registration {
    pub registration_id: Uuid,
    pub token_digest: Vec<u8>,
    pub browser_digest: Vec<u8>,
    pub email_digest: Vec<u8>,
    pub sealed: Vec<u8>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

/// What quotas count a registration by.
pub struct CountedBy<'a> {
    pub mailbox_digest: &'a [u8],
    pub domain_digest: &'a [u8],
    pub network: Option<&'a str>,
}

/// Since when registrations count.
pub struct Since {
    pub domain: DateTime<Utc>,
    pub others: DateTime<Utc>,
}

/// Unconfirmed registrations.
pub struct Counts {
    pub of_mailbox: i64,
    pub of_domain_from_network: i64,
    pub from_network: i64,
    pub of_domain: i64,
}

pub async fn insert(db: &mut PgConnection, new: &Registration, counted_by: &CountedBy<'_>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into registrations (registration_id, token_digest, browser_digest, email_digest, sealed, created_at,
                                    expires_at, mailbox_digest, domain_digest, network)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        new.registration_id,
        new.token_digest,
        new.browser_digest,
        new.email_digest,
        new.sealed,
        new.created_at,
        new.expires_at,
        counted_by.mailbox_digest,
        counted_by.domain_digest,
        counted_by.network,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Lets sign-ups for a mail domain, and from a network, wait for the end of the transaction. There is no row to lock
/// before the first.
pub async fn lock(db: &mut PgConnection, domain_digest: &[u8], network: Option<&str>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select from pg_advisory_xact_lock(hashtextextended('registrations' || encode($1, 'hex'), 0))",
        domain_digest
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "select from pg_advisory_xact_lock(hashtextextended('registrations from ' || $1::text, 0))",
        network.unwrap_or_default()
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn count(
    db: &mut PgConnection,
    digests: &EmailDigests,
    network: Option<&str>,
    since: &Since,
) -> Result<Counts, sqlx::Error> {
    sqlx::query_as!(
        Counts,
        r#"select count(*) filter (where mailbox_digest = $1) as "of_mailbox!",
                  count(*) filter (where domain_digest = $2 and network is not distinct from $3)
                      as "of_domain_from_network!",
                  count(*) filter (where network = $3) as "from_network!",
                  count(*) filter (where domain_digest = $2 and created_at > $5) as "of_domain!"
             from registrations
            where created_at > $4 and (mailbox_digest = $1 or domain_digest = $2 or network = $3)"#,
        digests.mailbox,
        digests.domain,
        network,
        since.others,
        since.domain,
    )
    .fetch_one(db)
    .await
}

pub async fn find(
    db: &mut PgConnection,
    token_digest: &[u8],
    now: DatabaseTime,
) -> Result<Option<Registration>, sqlx::Error> {
    sqlx::query_as!(
        Registration,
        "select registration_id, token_digest, browser_digest, email_digest, sealed, created_at, expires_at
           from registrations where token_digest = $1 and expires_at > $2",
        token_digest,
        now.get()
    )
    .fetch_optional(db)
    .await
}

/// Returns it this once.
pub async fn take(
    db: &mut PgConnection,
    token_digest: &[u8],
    now: DatabaseTime,
) -> Result<Option<Registration>, sqlx::Error> {
    sqlx::query_as!(
        Registration,
        "delete from registrations where token_digest = $1 and expires_at > $2
         returning registration_id, token_digest, browser_digest, email_digest, sealed, created_at, expires_at",
        token_digest,
        now.get()
    )
    .fetch_optional(db)
    .await
}

pub async fn delete_expired(db: &mut PgConnection, now: DatabaseTime) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!("delete from registrations where expires_at <= $1", now.get());
    Ok(deleted.execute(db).await?.rows_affected())
}
