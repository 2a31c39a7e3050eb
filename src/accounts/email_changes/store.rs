//! Every statement on `email_changes`.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    accounts::{Member, Operator},
    clock::DatabaseTime,
};

pub struct NewEmailChange {
    pub email_change_id: Uuid,
    pub token_digest: Vec<u8>,
    pub email_sealed: Vec<u8>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
}

pub struct Found {
    pub email_change_id: Uuid,
    pub email_sealed: Vec<u8>,
}

pub async fn insert(db: &mut PgConnection, member: &Member, new: &NewEmailChange) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into email_changes (email_change_id, user_id, token_digest, email_sealed, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
        new.email_change_id,
        member.user_id,
        new.token_digest,
        new.email_sealed,
        new.created_at,
        new.expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn count(db: &mut PgConnection, member: &Member, since: DatabaseTime) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from email_changes where user_id = $1 and created_at > $2"#,
        member.user_id,
        since.get()
    )
    .fetch_one(db)
    .await
}

pub async fn find(
    db: &mut PgConnection,
    member: &Member,
    token_digest: &[u8],
    now: DatabaseTime,
) -> Result<Option<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        "select email_change_id, email_sealed from email_changes
          where user_id = $1 and token_digest = $2 and expires_at > $3",
        member.user_id,
        token_digest,
        now.get()
    )
    .fetch_optional(db)
    .await
}

pub async fn delete_all(db: &mut PgConnection, member: &Member) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from email_changes where user_id = $1", member.user_id)
        .execute(db)
        .await?;
    Ok(())
}

/// Deletes all of a person who resets the password.
pub async fn delete_all_of_person(db: &mut PgConnection, _: Operator, user_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from email_changes where user_id = $1", user_id)
        .execute(db)
        .await?;
    Ok(())
}

pub async fn delete_expired(db: &mut PgConnection, now: DatabaseTime) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!("delete from email_changes where expires_at <= $1", now.get());
    Ok(deleted.execute(db).await?.rows_affected())
}
