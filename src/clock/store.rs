//! The statement that reads the database's clock.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

pub async fn now(db: &mut PgConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select now() as "now!""#).fetch_one(db).await
}
