//! Every statement on `registrations`.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

pub struct Registration {
    pub registration_id: Uuid,
    pub token_digest: Vec<u8>,
    pub browser_digest: Vec<u8>,
    pub email_digest: Vec<u8>,
    pub sealed: Vec<u8>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

pub async fn insert(db: &mut PgConnection, new: &Registration) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into registrations (registration_id, token_digest, browser_digest, email_digest, sealed, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)",
        new.registration_id,
        new.token_digest,
        new.browser_digest,
        new.email_digest,
        new.sealed,
        new.created_at,
        new.expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Until the end of the transaction, nobody else signs up with the address. There is no row to lock before the first.
pub async fn lock(db: &mut PgConnection, email_digest: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select from pg_advisory_xact_lock(hashtextextended('registrations' || encode($1, 'hex'), 0))",
        email_digest
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Of one address since then.
pub async fn count(db: &mut PgConnection, email_digest: &[u8], since: DateTime<Utc>) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from registrations where email_digest = $1 and created_at > $2"#,
        email_digest,
        since
    )
    .fetch_one(db)
    .await
}

pub async fn find(
    db: &mut PgConnection,
    token_digest: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<Registration>, sqlx::Error> {
    sqlx::query_as!(
        Registration,
        "select registration_id, token_digest, browser_digest, email_digest, sealed, created_at, expires_at
           from registrations where token_digest = $1 and expires_at > $2",
        token_digest,
        now
    )
    .fetch_optional(db)
    .await
}

/// Returns it this once.
pub async fn take(
    db: &mut PgConnection,
    token_digest: &[u8],
    now: DateTime<Utc>,
) -> Result<Option<Registration>, sqlx::Error> {
    sqlx::query_as!(
        Registration,
        "delete from registrations where token_digest = $1 and expires_at > $2
         returning registration_id, token_digest, browser_digest, email_digest, sealed, created_at, expires_at",
        token_digest,
        now
    )
    .fetch_optional(db)
    .await
}

pub async fn delete_expired(db: &mut PgConnection, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!("delete from registrations where expires_at <= $1", now);
    Ok(deleted.execute(db).await?.rows_affected())
}
