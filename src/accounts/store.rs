//! Every statement on organisations, users, clients and tokens.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Actor, Operator, Permission, Scope,
    clients::{Client, ClientError},
    organisations::{Organisation, OrganisationError},
    token::{ApiToken, NewToken, TokenError, TokenText},
};
use crate::sealed::{Keyring, SealError};

/// The caller that a token speaks for, if it is in force at `now` and its organisation is not suspended.
pub async fn find_actor(
    db: &mut PgConnection,
    token: &TokenText,
    now: DateTime<Utc>,
) -> Result<Option<Actor>, sqlx::Error> {
    let row = sqlx::query!(
        "select t.api_token_id, t.name, t.client_id, t.scopes, t.organisation_id, o.name as organisation_name
           from api_tokens t
           join organisations o using (organisation_id)
          where t.token_digest = $1
            and (t.expires_at is null or t.expires_at > $2)
            and o.suspended_at is null",
        &token.digest()[..],
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Actor {
        token_id: row.api_token_id,
        token_name: row.name,
        organisation_id: row.organisation_id,
        organisation_name: row.organisation_name,
        client_id: row.client_id,
        permissions: permissions(&row.scopes),
    }))
}

/// Notes that a token was used, at most once a minute.
pub async fn touch_token(db: &mut PgConnection, actor: &Actor, now: DateTime<Utc>) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update api_tokens set last_used_at = $2
          where api_token_id = $1 and (last_used_at is null or last_used_at < $2::timestamptz - interval '1 minute')",
        actor.token_id,
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

fn permissions(scopes: &[String]) -> Vec<Permission> {
    scopes.iter().filter_map(|scope| Permission::parse(scope)).collect()
}

// Organisations and users.

pub async fn insert_organisation(
    db: &mut PgConnection,
    _: Operator,
    organisation_id: Uuid,
    name: &str,
    user_digest_key: &[u8],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into organisations (organisation_id, name, user_digest_key, ownership_key) values ($1, $2, $3, $4)",
        organisation_id,
        name,
        user_digest_key,
        &crate::sealed::random::<32>()[..],
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn insert_owner(
    db: &mut PgConnection,
    scope: &Scope,
    user_id: Uuid,
    email_sealed: &[u8],
    email_digest: &[u8],
) -> Result<(), OrganisationError> {
    sqlx::query!(
        "insert into users (user_id, email_sealed, email_digest) values ($1, $2, $3)",
        user_id,
        email_sealed,
        email_digest
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into memberships (organisation_id, user_id, role) values ($1, $2, 'owner')",
        scope.organisation_id(),
        user_id
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn list_organisations(db: &mut PgConnection, _: Operator) -> Result<Vec<Organisation>, sqlx::Error> {
    sqlx::query_as!(
        Organisation,
        "select organisation_id as id, name, created_at, suspended_at from organisations order by organisation_id"
    )
    .fetch_all(db)
    .await
}

pub async fn suspend_organisation(
    db: &mut PgConnection,
    _: Operator,
    id: Uuid,
    at: Option<DateTime<Utc>>,
) -> Result<Option<Organisation>, sqlx::Error> {
    sqlx::query_as!(
        Organisation,
        "update organisations set suspended_at = $2 where organisation_id = $1
         returning organisation_id as id, name, created_at, suspended_at",
        id,
        at,
    )
    .fetch_optional(db)
    .await
}

pub async fn find_organisation_by_name(
    db: &mut PgConnection,
    _: Operator,
    name: &str,
) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select organisation_id from organisations where name = $1 order by organisation_id limit 1",
        name
    )
    .fetch_optional(db)
    .await
}

/// A random secret of the whole installation, made at the first call.
pub async fn find_or_insert_secret(
    db: &mut PgConnection,
    keyring: &Keyring,
    name: &str,
) -> Result<Vec<u8>, OrganisationError> {
    let context = format!("secrets:{name}");
    let fresh = keyring.seal(&context, &crate::sealed::random::<32>());
    let sealed = sqlx::query_scalar!(
        "insert into secrets (name, sealed) values ($1, $2)
             on conflict (name) do update set sealed = secrets.sealed
         returning sealed",
        name,
        fresh,
    )
    .fetch_one(db)
    .await?;
    let opened: Result<Vec<u8>, SealError> = keyring.open(&context, &sealed);
    Ok(opened?)
}

// Clients.

pub async fn client_exists(db: &mut PgConnection, scope: &Scope, client_id: Uuid) -> Result<bool, sqlx::Error> {
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
pub async fn insert_client(
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

pub async fn find_client(db: &mut PgConnection, scope: &Scope, client_id: Uuid) -> Result<Option<Client>, sqlx::Error> {
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

pub async fn find_client_by_name(
    db: &mut PgConnection,
    scope: &Scope,
    name: &str,
) -> Result<Option<Uuid>, sqlx::Error> {
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

pub async fn list_clients(
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

pub async fn update_client(db: &mut PgConnection, scope: &Scope, client: &Client) -> Result<(), ClientError> {
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

pub async fn delete_client(db: &mut PgConnection, scope: &Scope, client_id: Uuid) -> Result<(), ClientError> {
    sqlx::query!(
        "delete from clients where organisation_id = $1 and client_id = $2",
        scope.organisation_id(),
        client_id
    )
    .execute(db)
    .await?;
    Ok(())
}

// Tokens.

pub async fn count_tokens(db: &mut PgConnection, scope: &Scope) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from api_tokens where organisation_id = $1"#,
        scope.organisation_id()
    )
    .fetch_one(db)
    .await
}

pub async fn insert_token(
    db: &mut PgConnection,
    scope: &Scope,
    new: &NewToken,
    text: &TokenText,
) -> Result<ApiToken, TokenError> {
    let id = Uuid::now_v7();
    let scopes: Vec<String> = new.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    let inserted = sqlx::query_scalar!(
        "insert into api_tokens (api_token_id, organisation_id, client_id, name, token_digest, scopes, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7)
         returning created_at",
        id,
        scope.organisation_id(),
        new.client_id,
        new.name,
        &text.digest()[..],
        &scopes,
        new.expires_at,
    )
    .fetch_one(db)
    .await;
    let created_at = inserted.map_err(|error| match error.as_database_error().and_then(|e| e.constraint()) {
        Some("api_tokens_client_fkey") => TokenError::NoSuchClient,
        _ => TokenError::Database(error),
    })?;
    Ok(ApiToken {
        id,
        name: new.name.clone(),
        scopes: new.scopes.clone(),
        client_id: new.client_id,
        created_at,
        expires_at: new.expires_at,
        last_used_at: None,
    })
}

pub async fn list_tokens(
    db: &mut PgConnection,
    scope: &Scope,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ApiToken>, sqlx::Error> {
    let rows = sqlx::query!(
        "select api_token_id, name, scopes, client_id, created_at, expires_at, last_used_at
           from api_tokens
          where organisation_id = $1 and ($2::uuid is null or client_id = $2)
            and ($3::uuid is null or api_token_id > $3)
          order by api_token_id limit $4",
        scope.organisation_id(),
        scope.client_id(),
        after,
        limit,
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ApiToken {
            id: row.api_token_id,
            name: row.name,
            scopes: permissions(&row.scopes),
            client_id: row.client_id,
            created_at: row.created_at,
            expires_at: row.expires_at,
            last_used_at: row.last_used_at,
        })
        .collect())
}

pub async fn delete_token(
    db: &mut PgConnection,
    scope: &Scope,
    token_id: Uuid,
) -> Result<Option<ApiToken>, sqlx::Error> {
    let row = sqlx::query!(
        "delete from api_tokens
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and api_token_id = $3
         returning api_token_id, name, scopes, client_id, created_at, expires_at, last_used_at",
        scope.organisation_id(),
        scope.client_id(),
        token_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| ApiToken {
        id: row.api_token_id,
        name: row.name,
        scopes: permissions(&row.scopes),
        client_id: row.client_id,
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
    }))
}

/// Puts a token of known text in place: the demo's.
pub async fn upsert_demo_token(db: &mut PgConnection, scope: &Scope, text: &TokenText) -> Result<(), sqlx::Error> {
    let scopes: Vec<String> = Permission::ALL.iter().map(|scope| scope.as_str().to_owned()).collect();
    sqlx::query!(
        "insert into api_tokens (api_token_id, organisation_id, name, token_digest, scopes)
         values ($1, $2, 'Demo token', $3, $4)
             on conflict (token_digest) do nothing",
        Uuid::now_v7(),
        scope.organisation_id(),
        &text.digest()[..],
        &scopes,
    )
    .execute(db)
    .await?;
    Ok(())
}
