//! Every statement on `mail_links`.
use sqlx::PgConnection;
use uuid::Uuid;

use crate::clock::DatabaseTime;

pub async fn insert(
    db: &mut PgConnection,
    user_id: Uuid,
    token_digest: &[u8],
    (created_at, expires_at): (DatabaseTime, DatabaseTime),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into mail_links (mail_link_id, user_id, token_digest, purpose, created_at, expires_at)
         values ($1, $2, $3, 'password', $4, $5)",
        Uuid::now_v7(),
        user_id,
        token_digest,
        created_at.get(),
        expires_at.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Of one person since then.
pub async fn count(db: &mut PgConnection, user_id: Uuid, since: DatabaseTime) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from mail_links where user_id = $1 and created_at > $2"#,
        user_id,
        since.get()
    )
    .fetch_one(db)
    .await
}

pub async fn find(db: &mut PgConnection, token_digest: &[u8], now: DatabaseTime) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select user_id from mail_links where token_digest = $1 and expires_at > $2",
        token_digest,
        now.get()
    )
    .fetch_optional(db)
    .await
}

/// Returns whose it was, this once.
pub async fn take(db: &mut PgConnection, token_digest: &[u8], now: DatabaseTime) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "delete from mail_links where token_digest = $1 and expires_at > $2 returning user_id",
        token_digest,
        now.get()
    )
    .fetch_optional(db)
    .await
}

pub async fn delete_all(db: &mut PgConnection, user_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from mail_links where user_id = $1", user_id)
        .execute(db)
        .await?;
    Ok(())
}

pub async fn delete_expired(db: &mut PgConnection, now: DatabaseTime) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!("delete from mail_links where expires_at <= $1", now.get());
    Ok(deleted.execute(db).await?.rows_affected())
}
