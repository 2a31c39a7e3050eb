//! Every statement on `sign_in_failures`.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

pub struct Failures {
    pub failures: i32,
    pub last_at: DateTime<Utc>,
}

pub async fn find(db: &mut PgConnection, email_digest: &[u8]) -> Result<Option<Failures>, sqlx::Error> {
    sqlx::query_as!(
        Failures,
        "select failures, last_at from sign_in_failures where email_digest = $1",
        email_digest
    )
    .fetch_optional(db)
    .await
}

/// Counts so many, if what was `seen` is still so. `false`: somebody else was counted meanwhile.
pub async fn count(
    db: &mut PgConnection,
    email_digest: &[u8],
    seen: Option<&Failures>,
    failures: i32,
    now: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let counted = sqlx::query!(
        "insert into sign_in_failures as f (email_digest, failures, last_at) values ($1, $2, $3)
             on conflict (email_digest) do update set failures = $2, last_at = $3
          where f.failures = $4 and f.last_at = $5",
        email_digest,
        failures,
        now,
        seen.map(|seen| seen.failures),
        seen.map(|seen| seen.last_at),
    );
    Ok(counted.execute(db).await?.rows_affected() == 1)
}

/// One less: it was counted, and then not compared.
pub async fn take_back(db: &mut PgConnection, email_digest: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update sign_in_failures set failures = failures - 1 where email_digest = $1 and failures > 0",
        email_digest
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete(db: &mut PgConnection, email_digest: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from sign_in_failures where email_digest = $1", email_digest)
        .execute(db)
        .await?;
    Ok(())
}

pub async fn delete_before(db: &mut PgConnection, before: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!("delete from sign_in_failures where last_at < $1", before);
    Ok(deleted.execute(db).await?.rows_affected())
}
