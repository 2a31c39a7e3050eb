//! Every statement on API tokens.
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ApiToken, NewToken, TokenError, TokenText};
use crate::{
    accounts::{Actor, Permission, Scope, authorship::StoredAuthor},
    clock::DatabaseTime,
};

/// The caller that a token speaks for, if it is in force at `now` and its organisation is not suspended.
pub async fn find_actor(
    db: &mut PgConnection,
    token: &TokenText,
    now: DatabaseTime,
) -> Result<Option<Actor>, sqlx::Error> {
    let row = sqlx::query!(
        "select t.api_token_id, t.name, t.responsible_user_id, t.client_id, t.scopes, t.organisation_id, o.name as organisation_name
           from api_tokens t
           join organisations o using (organisation_id)
          where t.token_digest = $1
            and (t.expires_at is null or t.expires_at > $2)
            and o.suspended_at is null",
        &token.digest()[..],
        now.get(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Actor {
        token_id: row.api_token_id,
        token_name: row.name,
        responsible_user_id: row.responsible_user_id,
        organisation_id: row.organisation_id,
        organisation_name: row.organisation_name,
        client_id: row.client_id,
        permissions: permissions(&row.scopes),
    }))
}

/// Notes that a token was used, at most once a minute.
pub async fn touch(db: &mut PgConnection, actor: &Actor, now: DatabaseTime) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update api_tokens set last_used_at = $2
          where api_token_id = $1 and (last_used_at is null or last_used_at < $2::timestamptz - interval '1 minute')",
        actor.token_id,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

fn permissions(scopes: &[String]) -> Vec<Permission> {
    scopes.iter().filter_map(|scope| Permission::parse(scope)).collect()
}

pub async fn count(db: &mut PgConnection, scope: &Scope) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from api_tokens where organisation_id = $1"#,
        scope.organisation_id()
    )
    .fetch_one(db)
    .await
}

pub async fn insert(
    db: &mut PgConnection,
    scope: &Scope,
    new: &NewToken,
    text: &TokenText,
) -> Result<ApiToken, TokenError> {
    let id = Uuid::now_v7();
    let scopes: Vec<String> = new.scopes.iter().map(|scope| scope.as_str().to_owned()).collect();
    let inserted = sqlx::query_scalar!(
        "insert into api_tokens (api_token_id, organisation_id, client_id, name, token_digest, scopes, expires_at,
                                 created_by, created_by_id, responsible_user_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
         returning created_at",
        id,
        scope.organisation_id(),
        new.client_id,
        new.name,
        &text.digest()[..],
        &scopes,
        new.expires_at,
        scope.by().kind(),
        scope.by().id(),
        scope.by().responsible_user_id(),
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
        author: StoredAuthor::of(scope.by()),
    })
}

pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<ApiToken>, sqlx::Error> {
    let rows = sqlx::query!(
        "select api_token_id, name, scopes, client_id, created_at, expires_at, last_used_at,
                created_by, created_by_id
           from api_tokens
          where organisation_id = $1 and ($2::uuid is null or client_id = $2)
            and api_token_id > $3
          order by api_token_id limit $4",
        scope.organisation_id(),
        scope.client_id(),
        after.unwrap_or(Uuid::nil()),
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
            author: StoredAuthor {
                kind: row.created_by,
                id: row.created_by_id,
            },
        })
        .collect())
}

pub async fn delete(db: &mut PgConnection, scope: &Scope, token_id: Uuid) -> Result<Option<ApiToken>, sqlx::Error> {
    let row = sqlx::query!(
        "delete from api_tokens
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and api_token_id = $3
         returning api_token_id, name, scopes, client_id, created_at, expires_at, last_used_at, created_by, created_by_id",
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
        author: StoredAuthor {
            kind: row.created_by,
            id: row.created_by_id,
        },
    }))
}

/// Puts a token of known text in place: the demo's.
pub async fn upsert_demo(db: &mut PgConnection, scope: &Scope, text: &TokenText) -> Result<(), sqlx::Error> {
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
