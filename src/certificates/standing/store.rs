//! Counts.
use chrono::TimeDelta;
use sqlx::PgConnection;

use super::Standing;
use crate::clock::DatabaseTime;

pub async fn count(
    db: &mut PgConnection,
    issuer: &str,
    window: TimeDelta,
    now: DatabaseTime,
) -> Result<Standing, sqlx::Error> {
    sqlx::query_as!(
        Standing,
        r#"select (select count(*) from certificate_leases where issuer = $1 and due_at <= $2) as "due!",
                  (select count(*) from certificate_leases where issuer = $1 and failure is not null) as "failing!",
                  (select count(*) from certificate_leases where issuer = $1 and urgency = 0) as "urgent!",
                  (select count(*) from acme_orders
                    where issuer = $1 and created_at > $3 and replaces is null and (url is not null or finished_at is null)) as "orders!",
                  null::bigint as orders_left,
                  coalesce((select paused_until > $2 from acme_accounts where issuer = $1), false) as "is_paused!""#,
        issuer,
        now.get(),
        now.get() - window,
    )
    .fetch_one(db)
    .await
}
