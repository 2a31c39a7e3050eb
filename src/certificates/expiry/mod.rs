//! Warns that a certificate is about to expire unrenewed: once a certificate, through the outbox.
pub mod store;

use sqlx::PgConnection;

use super::decisions::lifetime::warns_at;
use crate::clock::DatabaseTime;

/// Returns how many warnings are new.
pub async fn warn(db: &mut PgConnection, issuer: &str, now: DatabaseTime) -> Result<usize, sqlx::Error> {
    let mut warned = 0;
    for expiring in store::list_urgent(db, issuer, now).await? {
        if warns_at(expiring.not_before, expiring.not_after) <= now && store::insert(db, &expiring).await? {
            tracing::error!(
                domain.hostname = expiring.hostname,
                not_after = %expiring.not_after,
                reason = expiring.last_error,
                "a certificate is about to expire"
            );
            warned += 1;
        }
    }
    Ok(warned)
}
