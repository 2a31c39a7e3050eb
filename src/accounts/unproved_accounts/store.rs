//! The statements on accounts whose address nobody has proved.
use sqlx::PgConnection;
use uuid::Uuid;

use crate::accounts::Operator;

pub async fn find(db: &mut PgConnection, _: Operator, email_digest: &[u8]) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select user_id from users where email_digest = $1 and is_email_unproved",
        email_digest
    )
    .fetch_optional(db)
    .await
}

/// In the order in which they are locked.
pub async fn list_organisations(db: &mut PgConnection, _: Operator, user_id: Uuid) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select organisation_id from memberships where user_id = $1 order by organisation_id",
        user_id
    )
    .fetch_all(db)
    .await
}

pub async fn set_proved(db: &mut PgConnection, _: Operator, user_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("update users set is_email_unproved = false where user_id = $1", user_id)
        .execute(db)
        .await?;
    Ok(())
}
