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

/// In the order in which they were made, those after `after`.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Client>, sqlx::Error> {
    let after = after.unwrap_or(Uuid::nil());
    if let Some(own) = scope.client_id() {
        let client = find(db, scope, own).await?;
        return Ok(client.into_iter().filter(|client| client.id > after).collect());
    }
    sqlx::query_as!(
        Client,
        r#"select client_id as id, name, external_ref, created_at,
                  (select count(*) from domains d where d.client_id = c.client_id) as "domain_count!"
             from clients c
            where organisation_id = $1 and client_id > $2
            order by client_id nulls first limit $3"#,
        scope.organisation_id(),
        after,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Maximum number of clients that one search examines.
const MAX_EXAMINED: i64 = 20_000;

/// Clients by name.
#[derive(Default)]
pub struct Found {
    pub clients: Vec<Client>,
    /// The name of the last client that was examined, if more follow it.
    pub end: Option<String>,
}

/// By name, the first `limit` after `after` with `text` in their name or reference; both in lower case. Every name
/// contains an empty text.
pub async fn search(
    db: &mut PgConnection,
    scope: &Scope,
    text: &str,
    after: &str,
    limit: i64,
) -> Result<Found, sqlx::Error> {
    if let Some(own) = scope.client_id() {
        let client = find(db, scope, own).await?;
        let is_meant = |client: &Client| {
            let name = client.name.to_lowercase();
            let reference = client.external_ref.as_deref().unwrap_or_default().to_lowercase();
            name.as_str() > after && (name.contains(text) || reference.contains(text))
        };
        return Ok(Found {
            clients: client.into_iter().filter(is_meant).collect(),
            end: None,
        });
    }
    let examined = match text.is_empty() {
        true => limit,
        false => MAX_EXAMINED,
    };
    let rows = sqlx::query!(
        r#"with walked as materialized (
              select client_id, name, external_ref, created_at from clients
               where organisation_id = $1 and lower(name) > lower($2)
               order by lower(name) limit $3)
         select m.client_id as "client_id?", m.name as "name?", m.external_ref, m.created_at as "created_at?",
                (select count(*) from domains d where d.client_id = m.client_id) as "domain_count!", e.name as "end?"
           from (select) one
           left join lateral (select w.name from walked w offset $3 - 1 limit 1) e on true
           left join lateral (
                select * from walked w
                 where position($4 in lower(w.name)) > 0 or position($4 in lower(w.external_ref)) > 0
                 limit $5) m on true"#,
        scope.organisation_id(),
        after,
        examined,
        text,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(Found {
        end: rows.first().and_then(|row| row.end.clone()),
        clients: rows
            .into_iter()
            .filter_map(|row| {
                Some(Client {
                    id: row.client_id?,
                    name: row.name?,
                    external_ref: row.external_ref,
                    domain_count: row.domain_count,
                    created_at: row.created_at?,
                })
            })
            .collect(),
    })
}

pub async fn count(db: &mut PgConnection, scope: &Scope) -> Result<i64, sqlx::Error> {
    if scope.client_id().is_some() {
        return Ok(1);
    }
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from clients where organisation_id = $1"#,
        scope.organisation_id(),
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
        r#"select c.client_id as "client_id!", c.name as "name!"
             from unnest($3::uuid[]) as n (client_id)
            cross join lateral (
                  select x.client_id, x.name from clients x
                   where x.organisation_id = $1 and ($2::uuid is null or x.client_id = $2) and x.client_id = n.client_id
                   limit 1) c"#,
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
