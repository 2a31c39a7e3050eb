//! Every statement on MDM servers.
use std::collections::HashMap;

use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::StoredServer;
use crate::{
    accounts::{ClientScope, Scope},
    domains::DomainError,
    vendors::Server,
};

pub async fn insert(
    db: &mut PgConnection,
    scope: &ClientScope,
    name: &str,
    server: &Server,
) -> Result<StoredServer, DomainError> {
    let row = sqlx::query_as!(
        StoredServer,
        "insert into mdm_servers (mdm_server_id, organisation_id, client_id, name, vendor, enrollment, parameters)
         values ($1, $2, $3, $4, $5, $6, $7)
         returning mdm_server_id as id, client_id, name, vendor, enrollment, parameters, created_at",
        Uuid::now_v7(),
        scope.organisation_id(),
        scope.client_id(),
        name,
        server.vendor().key(),
        server.enrollment().key(),
        Json(server.parameters()) as _,
    )
    .fetch_one(db)
    .await?;
    Ok(row)
}

/// Lets one transaction at a time make servers of the client.
pub async fn lock(db: &mut PgConnection, scope: &ClientScope) -> Result<(), DomainError> {
    sqlx::query!(
        "select from clients where organisation_id = $1 and client_id = $2 for no key update",
        scope.organisation_id(),
        scope.client_id(),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn find_same(
    db: &mut PgConnection,
    scope: &ClientScope,
    server: &Server,
) -> Result<Option<Uuid>, DomainError> {
    let id = sqlx::query_scalar!(
        "select mdm_server_id from mdm_servers
          where organisation_id = $1 and client_id = $2 and vendor = $3 and enrollment = $4 and parameters = $5
          order by mdm_server_id limit 1",
        scope.organisation_id(),
        scope.client_id(),
        server.vendor().key(),
        server.enrollment().key(),
        Json(server.parameters()) as _,
    )
    .fetch_optional(db)
    .await?;
    Ok(id)
}

pub async fn find(db: &mut PgConnection, scope: &Scope, server_id: Uuid) -> Result<Option<StoredServer>, DomainError> {
    let row = sqlx::query_as!(
        StoredServer,
        "select mdm_server_id as id, client_id, name, vendor, enrollment, parameters, created_at
           from mdm_servers
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and mdm_server_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        server_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(row)
}

/// In the order in which they were made, those after `after`; of one client if `client_id` or the scope says so.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    client_id: Option<Uuid>,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<StoredServer>, DomainError> {
    let after = after.unwrap_or(Uuid::nil());
    let rows = match (scope.client_id(), client_id) {
        (Some(own), Some(other)) if own != other => Vec::new(),
        (Some(client_id), _) | (None, Some(client_id)) => {
            sqlx::query_as!(
                StoredServer,
                "select mdm_server_id as id, client_id, name, vendor, enrollment, parameters, created_at
                   from mdm_servers
                  where organisation_id = $1 and client_id = $2 and mdm_server_id > $3
                  order by mdm_server_id nulls first limit $4",
                scope.organisation_id(),
                client_id,
                after,
                limit,
            )
            .fetch_all(db)
            .await?
        }
        (None, None) => {
            sqlx::query_as!(
                StoredServer,
                "select mdm_server_id as id, client_id, name, vendor, enrollment, parameters, created_at
                   from mdm_servers
                  where organisation_id = $1 and mdm_server_id > $2
                  order by mdm_server_id nulls first limit $3",
                scope.organisation_id(),
                after,
                limit,
            )
            .fetch_all(db)
            .await?
        }
    };
    Ok(rows)
}

/// How many domains each of a client's servers is named by; one that none names is left out.
pub async fn count_domains(
    db: &mut PgConnection,
    scope: &Scope,
    client_id: Uuid,
) -> Result<Vec<(Uuid, i64)>, DomainError> {
    let rows = sqlx::query!(
        r#"select p.mdm_server_id, count(*) as "count!"
             from mdm_servers m
            cross join lateral (
                  select x.mdm_server_id from policy_servers x where x.mdm_server_id = m.mdm_server_id offset 0) p
            where m.organisation_id = $1 and ($2::uuid is null or m.client_id = $2) and m.client_id = $3
            group by p.mdm_server_id"#,
        scope.organisation_id(),
        scope.client_id(),
        client_id,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.mdm_server_id, row.count)).collect())
}

/// What these are called.
pub async fn names(
    db: &mut PgConnection,
    scope: &Scope,
    server_ids: &[Uuid],
) -> Result<HashMap<Uuid, String>, DomainError> {
    let rows = sqlx::query!(
        "select mdm_server_id, name from mdm_servers
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and mdm_server_id = any($3)",
        scope.organisation_id(),
        scope.client_id(),
        server_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.mdm_server_id, row.name)).collect())
}

/// Until the end of the transaction, nobody else changes the server.
pub async fn lock_server(db: &mut PgConnection, scope: &Scope, server_id: Uuid) -> Result<(), DomainError> {
    sqlx::query!(
        "select from mdm_servers where organisation_id = $1 and mdm_server_id = $2 for no key update",
        scope.organisation_id(),
        server_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn update(
    db: &mut PgConnection,
    scope: &Scope,
    server_id: Uuid,
    name: &str,
    server: &Server,
) -> Result<Option<StoredServer>, DomainError> {
    let row = sqlx::query_as!(
        StoredServer,
        "update mdm_servers set name = $4, enrollment = $5, parameters = $6
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and mdm_server_id = $3
         returning mdm_server_id as id, client_id, name, vendor, enrollment, parameters, created_at",
        scope.organisation_id(),
        scope.client_id(),
        server_id,
        name,
        server.enrollment().key(),
        Json(server.parameters()) as _,
    )
    .fetch_optional(db)
    .await?;
    Ok(row)
}

pub async fn delete(db: &mut PgConnection, scope: &Scope, server_id: Uuid) -> Result<(), DomainError> {
    sqlx::query!(
        "delete from mdm_servers where organisation_id = $1 and ($2::uuid is null or client_id = $2) and mdm_server_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        server_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Notes that a domain's policy names a server of the same client. `false`: there is no such server.
pub async fn link(
    db: &mut PgConnection,
    scope: &ClientScope,
    domain_id: Uuid,
    server_id: Uuid,
) -> Result<bool, DomainError> {
    let linked = sqlx::query!(
        "insert into policy_servers (domain_id, mdm_server_id, client_id)
         select $1, mdm_server_id, client_id from mdm_servers
          where organisation_id = $2 and client_id = $3 and mdm_server_id = $4",
        domain_id,
        scope.organisation_id(),
        scope.client_id(),
        server_id,
    )
    .execute(db)
    .await?;
    Ok(linked.rows_affected() == 1)
}

pub async fn unlink(db: &mut PgConnection, scope: &ClientScope, domain_id: Uuid) -> Result<(), DomainError> {
    sqlx::query!(
        "delete from policy_servers where client_id = $1 and domain_id = $2",
        scope.client_id(),
        domain_id
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete_some(db: &mut PgConnection, scope: &Scope, limit: i64) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from mdm_servers
          where organisation_id = $1 and mdm_server_id = any(array(
                select mdm_server_id from mdm_servers where organisation_id = $1 and ($2::uuid is null or client_id = $2)
                 order by mdm_server_id limit $3))",
        scope.organisation_id(),
        scope.client_id(),
        limit,
    );
    Ok(deleted.execute(db).await?.rows_affected())
}
