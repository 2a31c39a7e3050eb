//! Every statement on `single_sign_on_attempts`.
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{accounts::Operator, clock::DatabaseTime};

pub struct Attempt<'a> {
    pub state_digest: &'a [u8],
    pub browser_digest: &'a [u8],
    pub identity_provider_id: Uuid,
    pub sealed: &'a [u8],
}

pub async fn insert(
    db: &mut PgConnection,
    _: Operator,
    new: &Attempt<'_>,
    (created_at, expires_at): (DatabaseTime, DatabaseTime),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into single_sign_on_attempts (state_digest, browser_digest, identity_provider_id, sealed, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
        new.state_digest,
        new.browser_digest,
        new.identity_provider_id,
        new.sealed,
        created_at.get(),
        expires_at.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub struct TakenAttempt {
    pub identity_provider_id: Uuid,
    pub sealed: Vec<u8>,
}

/// This once.
pub async fn take(
    db: &mut PgConnection,
    _: Operator,
    state_digest: &[u8],
    browser_digest: &[u8],
    now: DatabaseTime,
) -> Result<Option<TakenAttempt>, sqlx::Error> {
    sqlx::query_as!(
        TakenAttempt,
        "delete from single_sign_on_attempts where state_digest = $1 and browser_digest = $2 and expires_at > $3
         returning identity_provider_id, sealed",
        state_digest,
        browser_digest,
        now.get(),
    )
    .fetch_optional(db)
    .await
}

pub async fn delete_expired(db: &mut PgConnection, now: DatabaseTime) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!("delete from single_sign_on_attempts where expires_at <= $1", now.get());
    Ok(deleted.execute(db).await?.rows_affected())
}
