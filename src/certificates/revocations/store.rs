//! Every statement on `acme_revocations`.
use chrono::TimeDelta;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::clock::DatabaseTime;

/// A certificate to be revoked.
pub struct Due {
    pub revocation_id: Uuid,
    pub hostname: String,
    /// DER.
    pub certificate: Vec<u8>,
}

/// Those that are due; nobody else gets them before `again` is over. Twenty attempts outlast a CA that is away for a day.
pub async fn claim_due(
    db: &mut PgConnection,
    issuer: &str,
    now: DatabaseTime,
    again: TimeDelta,
    limit: i64,
) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        "with due as materialized (
              select revocation_id from acme_revocations
               where issuer = $1 and due_at <= $2 and attempts < 20
               order by due_at limit $4
                 for update skip locked)
         update acme_revocations r set due_at = $2 + make_interval(secs => $3) * (attempts + 1), attempts = attempts + 1
           from due
          where r.revocation_id = due.revocation_id
         returning r.revocation_id, r.hostname, r.certificate",
        issuer,
        now.get(),
        again.as_seconds_f64(),
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn set_error(db: &mut PgConnection, revocation_id: Uuid, error: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update acme_revocations set last_error = $2 where revocation_id = $1",
        revocation_id,
        error
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete(db: &mut PgConnection, revocation_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from acme_revocations where revocation_id = $1", revocation_id)
        .execute(db)
        .await?;
    Ok(())
}
