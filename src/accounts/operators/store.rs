//! Every statement on `users` as operators.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{accounts::Operator, clock::DatabaseTime};

/// False: they were, or were not, one already.
pub async fn update(
    db: &mut PgConnection,
    _: Operator,
    user_id: Uuid,
    since: Option<DatabaseTime>,
) -> Result<bool, sqlx::Error> {
    let updated = sqlx::query!(
        "update users set operator_since = $2
          where user_id = $1 and (operator_since is null) <> ($2::timestamptz is null)",
        user_id,
        since.map(DatabaseTime::get),
    )
    .execute(db)
    .await?;
    Ok(updated.rows_affected() == 1)
}

pub async fn list(db: &mut PgConnection, _: Operator) -> Result<Vec<(Uuid, DateTime<Utc>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select user_id, operator_since as "since!" from users where operator_since is not null order by operator_since"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.user_id, row.since)).collect())
}
