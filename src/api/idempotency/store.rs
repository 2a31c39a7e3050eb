//! Every statement on idempotency keys.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

/// A key belongs to the token that sent it.
pub struct Key {
    pub token_id: Uuid,
    pub key: String,
}

pub enum Claim {
    /// It is ours to run.
    New,
    Done {
        status: u16,
        answer_sealed: Vec<u8>,
    },
    Busy,
    OtherRequest,
}

/// Takes the key if it is new, abandoned before `abandoned`, or was made before `expired`.
pub async fn claim(
    db: &mut PgConnection,
    key: &Key,
    request_digest: &[u8],
    abandoned: DateTime<Utc>,
    expired: DateTime<Utc>,
) -> Result<Claim, sqlx::Error> {
    let claimed = sqlx::query!(
        "insert into idempotency_keys as k (api_token_id, key, request_digest) values ($1, $2, $3)
             on conflict on constraint idempotency_keys_pkey do update
                set request_digest = excluded.request_digest, status = null, answer_sealed = null, created_at = now()
              where k.created_at < $5 or (k.status is null and k.created_at < $4)",
        key.token_id,
        key.key,
        request_digest,
        abandoned,
        expired,
    )
    .execute(&mut *db)
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(Claim::New);
    }
    let row = sqlx::query!(
        "select request_digest, status, answer_sealed from idempotency_keys where api_token_id = $1 and key = $2",
        key.token_id,
        key.key,
    )
    .fetch_optional(db)
    .await?;
    Ok(match row {
        Some(row) if row.request_digest != request_digest => Claim::OtherRequest,
        Some(row) => match (row.status, row.answer_sealed) {
            (Some(status), Some(answer_sealed)) => Claim::Done {
                status: status.unsigned_abs(),
                answer_sealed,
            },
            _ => Claim::Busy,
        },
        None => Claim::Busy,
    })
}

pub async fn complete(db: &mut PgConnection, key: &Key, status: u16, answer_sealed: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update idempotency_keys set status = $3, answer_sealed = $4 where api_token_id = $1 and key = $2",
        key.token_id,
        key.key,
        status.cast_signed(),
        answer_sealed,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn release(db: &mut PgConnection, key: &Key) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from idempotency_keys where api_token_id = $1 and key = $2",
        key.token_id,
        key.key
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Deletes keys made before `before`.
pub async fn delete_before(db: &mut PgConnection, before: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    Ok(
        sqlx::query!("delete from idempotency_keys where created_at < $1", before)
            .execute(db)
            .await?
            .rows_affected(),
    )
}
