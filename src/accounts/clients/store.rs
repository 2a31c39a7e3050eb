//! Every statement on clients.
use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::{Client, ClientError};
use crate::accounts::Scope;

pub async fn exists(db: &mut PgConnection, scope: &Scope, client_id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists(
               select from clients
                where organisation_id = $1 and ($2::uuid is null or client_id = $2) and client_id = $3
           ) as "exists!""#,
        scope.organisation_id(),
        scope.client_id(),
        client_id,
    )
    .fetch_one(db)
    .await
}

/// `None`: another client has the name. Does not break the transaction off, so that the other can be looked for.
pub async fn insert(
    db: &mut PgConnection,
    scope: &Scope,
    name: &str,
    external_ref: Option<&str>,
) -> Result<Option<Client>, ClientError> {
    let id = Uuid::now_v7();
    let created_at = sqlx::query_scalar!(
        "insert into clients (client_id, organisation_id, name, external_ref) values ($1, $2, $3, $4)
             on conflict (organisation_id, lower(name)) do nothing
         returning created_at",
        id,
        scope.organisation_id(),
        name,
        external_ref,
    )
    .fetch_optional(db)
    .await?;
    Ok(created_at.map(|created_at| Client {
        id,
        name: name.to_owned(),
        external_ref: external_ref.map(ToOwned::to_owned),
        domain_count: 0,
        created_at,
    }))
}

pub async fn find(db: &mut PgConnection, scope: &Scope, client_id: Uuid) -> Result<Option<Client>, sqlx::Error> {
    sqlx::query_as!(
        Client,
        r#"select client_id as id, name, external_ref, created_at,
                  (select count(*) from domains d where d.client_id = c.client_id) as "domain_count!"
             from clients c
            where organisation_id = $1 and ($2::uuid is null or client_id = $2) and client_id = $3"#,
        scope.organisation_id(),
        scope.client_id(),
        client_id,
    )
    .fetch_optional(db)
    .await
}

pub async fn find_by_name(db: &mut PgConnection, scope: &Scope, name: &str) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select client_id from clients
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and lower(name) = lower($3)",
        scope.organisation_id(),
        scope.client_id(),
        name,
    )
    .fetch_optional(db)
    .await
}

pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Client>, sqlx::Error> {
    sqlx::query_as!(
        Client,
        r#"select client_id as id, name, external_ref, created_at,
                  (select count(*) from domains d where d.client_id = c.client_id) as "domain_count!"
             from clients c
            where organisation_id = $1 and ($2::uuid is null or client_id = $2)
              and ($3::uuid is null or client_id > $3)
            order by client_id limit $4"#,
        scope.organisation_id(),
        scope.client_id(),
        after,
        limit,
    )
    .fetch_all(db)
    .await
}

/// By name, those after `after`, with `text` in their name or reference; both in lower case.
pub async fn search(
    db: &mut PgConnection,
    scope: &Scope,
    text: Option<&str>,
    after: Option<&str>,
    limit: i64,
) -> Result<Vec<Client>, sqlx::Error> {
    sqlx::query_as!(
        Client,
        r#"select client_id as id, name, external_ref, created_at,
                  (select count(*) from domains d where d.client_id = c.client_id) as "domain_count!"
             from clients c
            where organisation_id = $1 and ($2::uuid is null or client_id = $2)
              and ($3::text is null or position($3 in lower(name)) > 0 or position($3 in lower(external_ref)) > 0)
              and ($4::text is null or lower(name) > lower($4))
            order by lower(name) limit $5"#,
        scope.organisation_id(),
        scope.client_id(),
        text,
        after,
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn count(db: &mut PgConnection, scope: &Scope) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from clients
          where organisation_id = $1 and ($2::uuid is null or client_id = $2)"#,
        scope.organisation_id(),
        scope.client_id(),
    )
    .fetch_one(db)
    .await
}

/// What these are called.
pub async fn names(
    db: &mut PgConnection,
    scope: &Scope,
    client_ids: &[Uuid],
) -> Result<HashMap<Uuid, String>, sqlx::Error> {
    let rows = sqlx::query!(
        "select client_id, name from clients
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and client_id = any($3)",
        scope.organisation_id(),
        scope.client_id(),
        client_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.client_id, row.name)).collect())
}

/// Until the end of the transaction, nobody else changes the client.
pub async fn lock(db: &mut PgConnection, scope: &Scope, client_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select from clients where organisation_id = $1 and client_id = $2 for no key update",
        scope.organisation_id(),
        client_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn update(db: &mut PgConnection, scope: &Scope, client: &Client) -> Result<(), ClientError> {
    sqlx::query!(
        "update clients set name = $3, external_ref = $4 where organisation_id = $1 and client_id = $2",
        scope.organisation_id(),
        client.id,
        client.name,
        client.external_ref,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete(db: &mut PgConnection, scope: &Scope, client_id: Uuid) -> Result<(), ClientError> {
    sqlx::query!(
        "delete from clients where organisation_id = $1 and client_id = $2",
        scope.organisation_id(),
        client_id
    )
    .execute(db)
    .await?;
    Ok(())
}
