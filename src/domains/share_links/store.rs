//! Every statement on share links.
use sqlx::PgConnection;
use uuid::Uuid;

use super::{LinkToken, OpenLink, ShareLink};
use crate::{
    accounts::{ClientScope, Scope},
    clock::DatabaseTime,
    domains::{
        Domain, DomainError,
        store::{Whose, find_of},
    },
};

pub async fn insert(
    db: &mut PgConnection,
    scope: &ClientScope,
    domain_id: Uuid,
    link: &ShareLink,
    token: &LinkToken,
) -> Result<(), sqlx::Error> {
    let by = scope.scope().by();
    sqlx::query!(
        "insert into share_links (share_link_id, organisation_id, client_id, domain_id, token_digest, created_at, expires_at,
                                  created_by, created_by_id, responsible_user_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        link.id,
        scope.organisation_id(),
        scope.client_id(),
        domain_id,
        token.digest(),
        link.created_at,
        link.expires_at,
        by.kind(),
        by.id(),
        by.responsible_user_id(),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn count(db: &mut PgConnection, scope: &ClientScope, domain_id: Uuid) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from share_links
            where organisation_id = $1 and client_id = $2 and domain_id = $3"#,
        scope.organisation_id(),
        scope.client_id(),
        domain_id,
    )
    .fetch_one(db)
    .await
}

/// Those in force at `now`, in the order in which they were made.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    domain_id: Uuid,
    now: DatabaseTime,
) -> Result<Vec<ShareLink>, sqlx::Error> {
    sqlx::query_as!(
        ShareLink,
        "select share_link_id as id, created_at, expires_at
           from share_links
          where organisation_id = $1 and ($2::uuid is null or client_id = $2)
            and domain_id = $3 and expires_at > $4
          order by share_link_id",
        scope.organisation_id(),
        scope.client_id(),
        domain_id,
        now.get(),
    )
    .fetch_all(db)
    .await
}

/// Whether there was one.
pub async fn delete(
    db: &mut PgConnection,
    scope: &ClientScope,
    domain_id: Uuid,
    link_id: Uuid,
) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from share_links
          where organisation_id = $1 and client_id = $2 and domain_id = $3 and share_link_id = $4",
        scope.organisation_id(),
        scope.client_id(),
        domain_id,
        link_id,
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected() == 1)
}

pub async fn delete_expired(
    db: &mut PgConnection,
    scope: &ClientScope,
    domain_id: Uuid,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from share_links
          where organisation_id = $1 and client_id = $2 and domain_id = $3 and expires_at <= $4",
        scope.organisation_id(),
        scope.client_id(),
        domain_id,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The link, if it is in force at `now` and its organisation is not suspended.
pub async fn find_open(
    db: &mut PgConnection,
    token: &LinkToken,
    now: DatabaseTime,
) -> Result<Option<OpenLink>, sqlx::Error> {
    sqlx::query_as!(
        OpenLink,
        "select l.organisation_id, l.client_id, l.domain_id, l.expires_at
           from share_links l
           join organisations o using (organisation_id)
          where l.token_digest = $1 and l.expires_at > $2 and o.suspended_at is null",
        token.digest(),
        now.get(),
    )
    .fetch_optional(db)
    .await
}

/// The one domain that a link shows.
pub async fn find_domain(db: &mut PgConnection, link: &OpenLink) -> Result<Option<Domain>, DomainError> {
    let whose = Whose {
        organisation_id: link.organisation_id,
        client_id: Some(link.client_id),
    };
    find_of(db, whose, link.domain_id).await
}
