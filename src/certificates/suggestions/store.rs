//! Every statement on what a CA suggests.
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{certificates::decisions::renewal::Suggestion, clock::DatabaseTime};

/// A certificate that the CA is asked about.
pub struct Asked {
    pub certificate_id: Uuid,
    pub hostname: String,
    /// DER.
    pub leaf: Vec<u8>,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    /// What it suggested before.
    pub suggestion: Option<serde_json::Value>,
}

pub async fn is_any_due(db: &mut PgConnection, issuer: &str, now: DatabaseTime) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select (select suggestion_due_at from certificates
                    where issuer = $1 and suggestion_due_at <= $2 order by suggestion_due_at limit 1) is not null as "exists!""#,
        issuer,
        now.get(),
    )
    .fetch_one(db)
    .await
}

/// Those that are due; nobody else gets them until `again`.
pub async fn claim_due(
    db: &mut PgConnection,
    issuer: &str,
    now: DatabaseTime,
    again: DatabaseTime,
    limit: i64,
) -> Result<Vec<Asked>, sqlx::Error> {
    sqlx::query_as!(
        Asked,
        r#"with due as materialized (
              select certificate_id from certificates
               where issuer = $1 and suggestion_due_at <= $2 and not_after > $2
               order by suggestion_due_at limit $4
                 for update skip locked)
         update certificates c set suggestion_due_at = $3
           from due
          where c.certificate_id = due.certificate_id
         returning c.certificate_id, c.hostname, c.chain[1] as "leaf!", c.not_before, c.not_after, c.suggestion"#,
        issuer,
        now.get(),
        again.get(),
        limit,
    )
    .fetch_all(db)
    .await
}

/// `false`: it was renewed meanwhile.
pub async fn keep(
    db: &mut PgConnection,
    certificate: &Asked,
    suggestion: &Suggestion,
    renews_at: DateTime<Utc>,
    again: DateTime<Utc>,
) -> Result<bool, sqlx::Error> {
    let kept = sqlx::query!(
        "update certificates set suggestion = $2, renews_at = $3, suggestion_due_at = $4 where certificate_id = $1",
        certificate.certificate_id,
        Json(suggestion) as _,
        renews_at,
        again,
    )
    .execute(db)
    .await?;
    Ok(kept.rows_affected() == 1)
}

/// What it says is of no use.
pub async fn put_off(db: &mut PgConnection, certificate: &Asked, again: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update certificates set suggestion_due_at = $2 where certificate_id = $1",
        certificate.certificate_id,
        again,
    )
    .execute(db)
    .await?;
    Ok(())
}
