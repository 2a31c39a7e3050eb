//! Every statement on idempotency keys.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::clock::DatabaseTime;

/// A key belongs to the token that sent it.
pub struct Key {
    pub token_id: Uuid,
    pub key: String,
}

pub enum Claim {
    /// It is ours to run. A later one, after we were taken for dead, has another time.
    New(DateTime<Utc>),
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
    abandoned: DatabaseTime,
    expired: DatabaseTime,
) -> Result<Claim, sqlx::Error> {
    let claimed_at = sqlx::query_scalar!(
        "insert into idempotency_keys as k (api_token_id, key, request_digest) values ($1, $2, $3)
             on conflict on constraint idempotency_keys_pkey do update
                set request_digest = excluded.request_digest, status = null, answer_sealed = null, created_at = now()
              where k.created_at < $5 or (k.status is null and k.created_at < $4)
          returning created_at",
        key.token_id,
        key.key,
        request_digest,
        abandoned.get(),
        expired.get(),
    )
    .fetch_optional(&mut *db)
    .await?;
    if let Some(claimed_at) = claimed_at {
        return Ok(Claim::New(claimed_at));
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

/// Keeps the answer, if the claim still counts.
pub async fn complete(
    db: &mut PgConnection,
    key: &Key,
    claimed_at: DateTime<Utc>,
    (status, answer_sealed): (u16, &[u8]),
) -> Result<bool, sqlx::Error> {
    let completed = sqlx::query!(
        "update idempotency_keys set status = $4, answer_sealed = $5
          where api_token_id = $1 and key = $2 and created_at = $3 and status is null",
        key.token_id,
        key.key,
        claimed_at,
        status.cast_signed(),
        answer_sealed,
    );
    Ok(completed.execute(db).await?.rows_affected() == 1)
}

/// Gives the key back, if the claim still counts.
pub async fn release(db: &mut PgConnection, key: &Key, claimed_at: DateTime<Utc>) -> Result<bool, sqlx::Error> {
    let released = sqlx::query!(
        "delete from idempotency_keys where api_token_id = $1 and key = $2 and created_at = $3 and status is null",
        key.token_id,
        key.key,
        claimed_at,
    );
    Ok(released.execute(db).await?.rows_affected() == 1)
}

/// Deletes keys made before `before`.
pub async fn delete_before(db: &mut PgConnection, before: DatabaseTime) -> Result<u64, sqlx::Error> {
    Ok(
        sqlx::query!("delete from idempotency_keys where created_at < $1", before.get())
            .execute(db)
            .await?
            .rows_affected(),
    )
}
