//! Every statement on `passkeys` and `passkey_challenges`.
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Made, Passkey};
use crate::{
    accounts::{Member, Operator},
    clock::DatabaseTime,
};

pub struct Challenge<'a> {
    pub challenge: &'a [u8],
    pub browser_digest: &'a [u8],
    pub user_id: Option<Uuid>,
    pub state: &'a [u8],
}

pub struct Locked {
    pub passkey_id: Uuid,
    pub static_state: Vec<u8>,
    pub dynamic_state: Vec<u8>,
}

pub async fn insert(
    db: &mut PgConnection,
    member: &Member,
    name: &str,
    made: &Made,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into passkeys (passkey_id, user_id, name, credential_id, transports, static_state, dynamic_state, created_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        Uuid::now_v7(),
        member.user_id,
        name,
        made.credential_id,
        made.transports,
        made.static_state,
        made.dynamic_state,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn list(db: &mut PgConnection, member: &Member) -> Result<Vec<Passkey>, sqlx::Error> {
    sqlx::query_as!(
        Passkey,
        "select passkey_id, name, created_at, used_at from passkeys where user_id = $1 order by passkey_id",
        member.user_id
    )
    .fetch_all(db)
    .await
}

/// Lists the passkeys of a person who has opened a link by mail.
pub async fn list_of_person(db: &mut PgConnection, _: Operator, user_id: Uuid) -> Result<Vec<Passkey>, sqlx::Error> {
    sqlx::query_as!(
        Passkey,
        "select passkey_id, name, created_at, used_at from passkeys where user_id = $1 order by passkey_id",
        user_id
    )
    .fetch_all(db)
    .await
}

/// Deletes a person's passkeys but these. Returns how many.
pub async fn delete_others(
    db: &mut PgConnection,
    _: Operator,
    user_id: Uuid,
    kept: &[Uuid],
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from passkeys where user_id = $1 and passkey_id <> all($2)",
        user_id,
        kept
    );
    Ok(deleted.execute(db).await?.rows_affected())
}

pub async fn exists(db: &mut PgConnection, _: Operator, passkey_id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from passkeys where passkey_id = $1) as "exists!""#,
        passkey_id
    )
    .fetch_one(db)
    .await
}

/// Ids and transports.
pub async fn list_credentials(db: &mut PgConnection, member: &Member) -> Result<Vec<(Vec<u8>, i16)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select credential_id, transports from passkeys where user_id = $1 order by passkey_id",
        member.user_id
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.credential_id, row.transports))
        .collect())
}

/// One of a person's, to the end of the transaction.
pub async fn lock(
    db: &mut PgConnection,
    _: Operator,
    user_id: Uuid,
    credential_id: &[u8],
) -> Result<Option<Locked>, sqlx::Error> {
    sqlx::query_as!(
        Locked,
        "select passkey_id, static_state, dynamic_state from passkeys
          where user_id = $1 and credential_id = $2 for update",
        user_id,
        credential_id
    )
    .fetch_optional(db)
    .await
}

pub async fn update_used(
    db: &mut PgConnection,
    _: Operator,
    passkey_id: Uuid,
    dynamic_state: &[u8],
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update passkeys set dynamic_state = $2, used_at = $3 where passkey_id = $1",
        passkey_id,
        dynamic_state,
        now.get()
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete(db: &mut PgConnection, member: &Member, passkey_id: Uuid) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from passkeys where user_id = $1 and passkey_id = $2",
        member.user_id,
        passkey_id
    );
    Ok(deleted.execute(db).await?.rows_affected() == 1)
}

pub async fn insert_challenge(
    db: &mut PgConnection,
    _: Operator,
    new: &Challenge<'_>,
    (created_at, expires_at): (DatabaseTime, DatabaseTime),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into passkey_challenges (challenge, browser_digest, user_id, state, created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6)",
        new.challenge,
        new.browser_digest,
        new.user_id,
        new.state,
        created_at.get(),
        expires_at.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The state of a challenge that was sent to this browser, this once.
pub async fn take_challenge(
    db: &mut PgConnection,
    _: Operator,
    challenge: &[u8],
    (browser_digest, user_id): (&[u8], Option<Uuid>),
    now: DatabaseTime,
) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!(
        "delete from passkey_challenges
          where challenge = $1 and browser_digest = $2 and user_id is not distinct from $3 and expires_at > $4
         returning state",
        challenge,
        browser_digest,
        user_id,
        now.get()
    )
    .fetch_optional(db)
    .await
}

pub async fn delete_expired_challenges(db: &mut PgConnection, now: DatabaseTime) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!("delete from passkey_challenges where expires_at <= $1", now.get());
    Ok(deleted.execute(db).await?.rows_affected())
}
