//! Every statement on `known_browsers`.
use chrono::TimeDelta;
use sqlx::{PgConnection, postgres::types::PgInterval};
use uuid::Uuid;

use crate::accounts::Operator;

pub async fn find(
    db: &mut PgConnection,
    _: Operator,
    email_digest: &[u8],
    token_digest: &[u8],
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select b.known_browser_id from known_browsers b join users u using (user_id)
          where u.email_digest = $1 and b.token_digest = $2 and b.expires_at > now()",
        email_digest,
        token_digest
    )
    .fetch_optional(db)
    .await
}

pub async fn find_of_person(
    db: &mut PgConnection,
    _: Operator,
    user_id: Uuid,
    token_digest: &[u8],
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select known_browser_id from known_browsers
          where user_id = $1 and token_digest = $2 and expires_at > now()",
        user_id,
        token_digest
    )
    .fetch_optional(db)
    .await
}

/// Whether a cookie is that of a known browser of any person.
pub async fn exists(db: &mut PgConnection, _: Operator, token_digest: &[u8]) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select from known_browsers where token_digest = $1 and expires_at > now()
           ) as "exists!""#,
        token_digest
    )
    .fetch_one(db)
    .await
}

/// Replaces a browser's cookie for all people who have signed in there.
pub async fn replace_token(
    db: &mut PgConnection,
    _: Operator,
    before: &[u8],
    token_digest: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update known_browsers set token_digest = $2 where token_digest = $1",
        before,
        token_digest
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn insert(
    db: &mut PgConnection,
    _: Operator,
    user_id: Uuid,
    (token_digest, lifetime): (&[u8], TimeDelta),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into known_browsers (known_browser_id, user_id, token_digest, expires_at)
         values ($1, $2, $3, now() + $4)
             on conflict (user_id, token_digest) do update set used_at = now(), expires_at = now() + $4",
        Uuid::now_v7(),
        user_id,
        token_digest,
        days(lifetime),
    )
    .execute(db)
    .await?;
    Ok(())
}

fn days(lifetime: TimeDelta) -> PgInterval {
    PgInterval {
        months: 0,
        days: i32::try_from(lifetime.num_days()).unwrap_or(i32::MAX),
        microseconds: 0,
    }
}

/// Keeps so many of a person's, those that were used last.
pub async fn delete_oldest(db: &mut PgConnection, _: Operator, user_id: Uuid, keep: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from known_browsers
          where user_id = $1
            and known_browser_id not in (select known_browser_id from known_browsers where user_id = $1
                                          order by used_at desc, known_browser_id desc limit $2)",
        user_id,
        keep
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes a person's, but for the one with this digest.
pub async fn delete(
    db: &mut PgConnection,
    _: Operator,
    user_id: Uuid,
    but_token_digest: Option<&[u8]>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from known_browsers where user_id = $1 and ($2::bytea is null or token_digest <> $2)",
        user_id,
        but_token_digest
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete_expired(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from known_browsers where expires_at <= now()")
        .execute(db)
        .await?;
    Ok(())
}
