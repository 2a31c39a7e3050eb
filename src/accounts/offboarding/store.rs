//! The statements on what a member answers for, in each table that has such rows.
use sqlx::PgConnection;
use uuid::Uuid;

use super::Made;
use crate::accounts::Scope;

pub struct DeletedToken {
    pub id: Uuid,
    pub name: String,
    pub client_id: Option<Uuid>,
}

/// Tokens that stay: with these scopes at most and, if the member is limited to one client, for that client.
#[derive(Clone, Copy)]
pub struct KeptTokens<'a> {
    pub scopes: &'a [&'a str],
    pub client_id: Option<Uuid>,
}

pub async fn count(db: &mut PgConnection, scope: &Scope, user_id: Uuid) -> Result<Made, sqlx::Error> {
    let row = sqlx::query!(
        r#"select (select count(*) from api_tokens
                    where organisation_id = $1 and responsible_user_id = $2) as "tokens!",
                  (select count(*) from invitations
                    where organisation_id = $1 and responsible_user_id = $2) as "invitations!",
                  (select count(*) from share_links
                    where organisation_id = $1 and responsible_user_id = $2) as "share_links!""#,
        scope.organisation_id(),
        user_id,
    )
    .fetch_one(db)
    .await?;
    let number = |count: i64| usize::try_from(count).unwrap_or_default();
    Ok(Made {
        tokens: number(row.tokens),
        invitations: number(row.invitations),
        share_links: number(row.share_links),
    })
}

/// Deletes the tokens that a member answers for, but those of `kept`.
pub async fn delete_tokens(
    db: &mut PgConnection,
    scope: &Scope,
    user_id: Uuid,
    kept: Option<KeptTokens<'_>>,
) -> Result<Vec<DeletedToken>, sqlx::Error> {
    let scopes: Vec<String> = kept
        .map(|kept| kept.scopes.iter().map(|scope| (*scope).to_owned()).collect())
        .unwrap_or_default();
    sqlx::query_as!(
        DeletedToken,
        r#"delete from api_tokens
            where organisation_id = $1 and responsible_user_id = $2
              and not ($3 and scopes <@ $4 and ($5::uuid is null or client_id is not distinct from $5))
           returning api_token_id as id, name, client_id"#,
        scope.organisation_id(),
        user_id,
        kept.is_some(),
        &scopes,
        kept.and_then(|kept| kept.client_id),
    )
    .fetch_all(db)
    .await
}

/// Deletes the invitations that a member answers for, but those to one of the roles `kept`.
pub async fn delete_invitations(
    db: &mut PgConnection,
    scope: &Scope,
    user_id: Uuid,
    kept: &[&str],
) -> Result<Vec<Uuid>, sqlx::Error> {
    let kept: Vec<String> = kept.iter().map(|role| (*role).to_owned()).collect();
    sqlx::query_scalar!(
        "delete from invitations
          where organisation_id = $1 and responsible_user_id = $2 and role <> all($3)
         returning invitation_id",
        scope.organisation_id(),
        user_id,
        &kept,
    )
    .fetch_all(db)
    .await
}

pub async fn delete_share_links(db: &mut PgConnection, scope: &Scope, user_id: Uuid) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from share_links where organisation_id = $1 and responsible_user_id = $2",
        scope.organisation_id(),
        user_id,
    );
    Ok(deleted.execute(db).await?.rows_affected())
}
