//! Every statement on `failed_attempts`, and on `sign_in_failures`, which only nodes of the previous version write.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use crate::clock::DatabaseTime;

pub struct Failures {
    pub failures: i32,
    pub last_at: DateTime<Utc>,
}

pub async fn find(db: &mut PgConnection, subject: &[u8], source: &str) -> Result<Option<Failures>, sqlx::Error> {
    sqlx::query_as!(
        Failures,
        "select failures, last_at from failed_attempts where subject = $1 and source = $2",
        subject,
        source
    )
    .fetch_optional(db)
    .await
}

/// Stores `next` if the row still is what was `seen`. `false`: another attempt was counted meanwhile.
pub async fn count(
    db: &mut PgConnection,
    (subject, source): (&[u8], &str),
    seen: Option<&Failures>,
    next: &Failures,
) -> Result<bool, sqlx::Error> {
    let counted = sqlx::query!(
        "insert into failed_attempts as f (subject, source, failures, last_at) values ($1, $2, $3, $4)
             on conflict (subject, source) do update set failures = $3, last_at = $4
          where f.failures = $5 and f.last_at = $6",
        subject,
        source,
        next.failures,
        next.last_at,
        seen.map(|seen| seen.failures),
        seen.map(|seen| seen.last_at),
    );
    Ok(counted.execute(db).await?.rows_affected() == 1)
}

/// Subtracts one attempt.
pub async fn take_back(db: &mut PgConnection, subject: &[u8], source: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update failed_attempts set failures = failures - 1 where subject = $1 and source = $2 and failures > 0",
        subject,
        source
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes the counter of one source, or of every source.
pub async fn delete(db: &mut PgConnection, subject: &[u8], source: Option<&str>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from failed_attempts where subject = $1 and ($2::text is null or source = $2)",
        subject,
        source
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete_before(db: &mut PgConnection, before: DatabaseTime) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from failed_attempts where last_at < $1", before.get())
        .execute(&mut *db)
        .await?;
    sqlx::query!("delete from sign_in_failures where last_at < $1", before.get())
        .execute(db)
        .await?;
    Ok(())
}
