//! Every statement on the database's clock.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// The database's clock, not the start of its transaction.
pub async fn database_clock(db: &mut PgConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(db)
        .await
}
