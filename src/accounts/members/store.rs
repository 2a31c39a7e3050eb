//! Every statement on `memberships` as the people of an organisation.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Standing;
use crate::accounts::Scope;

pub struct Row {
    pub user_id: Uuid,
    pub email_sealed: Vec<u8>,
    pub name_sealed: Option<Vec<u8>>,
    pub role: String,
    pub client_id: Option<Uuid>,
    pub client: Option<String>,
    pub created_at: DateTime<Utc>,
    pub seen_at: Option<DateTime<Utc>>,
}

/// Until the end of the transaction, nobody else changes who is a member of the organisation.
pub async fn lock(db: &mut PgConnection, scope: &Scope) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select from organisations where organisation_id = $1 for no key update",
        scope.organisation_id()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The members behind `after`.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    (after, limit): (Option<Uuid>, i64),
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select m.user_id, u.email_sealed, u.name_sealed, m.role, m.client_id, (select c.name from clients c where c.client_id = m.client_id) as "client?", m.created_at, m.seen_at
             from memberships m
             join users u using (user_id)
            where m.organisation_id = $1 and ($2::uuid is null or m.client_id = $2) and m.user_id > $3
            order by m.user_id limit $4"#,
        scope.organisation_id(),
        scope.client_id(),
        after.unwrap_or(Uuid::nil()),
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn find(db: &mut PgConnection, scope: &Scope, user_id: Uuid) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select m.user_id, u.email_sealed, u.name_sealed, m.role, m.client_id, (select c.name from clients c where c.client_id = m.client_id) as "client?", m.created_at, m.seen_at
             from memberships m
             join users u using (user_id)
            where m.organisation_id = $1 and ($2::uuid is null or m.client_id = $2) and m.user_id = $3"#,
        scope.organisation_id(),
        scope.client_id(),
        user_id,
    )
    .fetch_optional(db)
    .await
}

pub async fn find_standing(
    db: &mut PgConnection,
    scope: &Scope,
    user_id: Uuid,
) -> Result<Option<Standing>, sqlx::Error> {
    let row = sqlx::query!(
        "select role, client_id from memberships
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and user_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        user_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Standing::stored(&row.role, row.client_id)))
}

pub async fn count(db: &mut PgConnection, scope: &Scope) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from memberships where organisation_id = $1"#,
        scope.organisation_id()
    )
    .fetch_one(db)
    .await
}

pub async fn count_owners(db: &mut PgConnection, scope: &Scope) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from memberships where organisation_id = $1 and role = 'owner'"#,
        scope.organisation_id()
    )
    .fetch_one(db)
    .await
}

pub async fn update(
    db: &mut PgConnection,
    scope: &Scope,
    user_id: Uuid,
    standing: Standing,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update memberships set role = $4, client_id = $5
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and user_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        user_id,
        standing.role().as_str(),
        standing.client_id(),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete(db: &mut PgConnection, scope: &Scope, user_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from memberships
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and user_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        user_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether somebody with this address is a member.
pub async fn has_address(db: &mut PgConnection, scope: &Scope, email_digest: &[u8]) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists(
               select from memberships m join users u using (user_id)
                where m.organisation_id = $1 and u.email_digest = $2
           ) as "exists!""#,
        scope.organisation_id(),
        email_digest,
    )
    .fetch_one(db)
    .await
}

/// Everybody, or those who are limited to one client: for when what they are members of goes.
pub async fn list_ids(db: &mut PgConnection, scope: &Scope, client_id: Option<Uuid>) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select user_id from memberships
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) order by user_id",
        scope.organisation_id(),
        client_id,
    )
    .fetch_all(db)
    .await
}
