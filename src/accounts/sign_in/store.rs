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

/// One more; those before `forgotten` don't count.
pub async fn count(
    db: &mut PgConnection,
    email_digest: &[u8],
    now: DateTime<Utc>,
    forgotten: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into sign_in_failures as f (email_digest, failures, last_at) values ($1, 1, $2)
             on conflict (email_digest) do update
            set failures = case when f.last_at <= $3 then 1 else least(f.failures, 1000000) + 1 end, last_at = $2",
        email_digest,
        now,
        forgotten
    )
    .execute(db)
    .await?;
    Ok(())
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
