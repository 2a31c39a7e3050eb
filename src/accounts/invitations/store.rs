//! Every statement on `invitations`.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    accounts::{Operator, Scope, members::Standing},
    clock::DatabaseTime,
};

pub struct NewRow<'a> {
    pub invitation_id: Uuid,
    pub standing: Standing,
    pub email_sealed: &'a [u8],
    pub email_digest: &'a [u8],
    pub token_digest: &'a [u8],
}

pub struct Row {
    pub invitation_id: Uuid,
    pub email_sealed: Vec<u8>,
    pub role: String,
    pub client_id: Option<Uuid>,
    pub client: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub created_by: Option<String>,
    pub created_by_id: Option<Uuid>,
}

/// What a link leads to.
pub struct Found {
    pub invitation_id: Uuid,
    pub organisation_id: Uuid,
    pub email_digest: Vec<u8>,
}

/// One that is used up.
pub struct Taken {
    pub invitation_id: Uuid,
    pub organisation_id: Uuid,
    pub client_id: Option<Uuid>,
    pub role: String,
    pub email_sealed: Vec<u8>,
    pub email_digest: Vec<u8>,
}

pub async fn insert(
    db: &mut PgConnection,
    scope: &Scope,
    new: &NewRow<'_>,
    (created_at, expires_at): (DatabaseTime, DatabaseTime),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into invitations (invitation_id, organisation_id, client_id, role, email_sealed, email_digest,
                                  token_digest, created_at, expires_at, created_by, created_by_id, responsible_user_id)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
        new.invitation_id,
        scope.organisation_id(),
        new.standing.client_id(),
        new.standing.role().as_str(),
        new.email_sealed,
        new.email_digest,
        new.token_digest,
        created_at.get(),
        expires_at.get(),
        scope.by().kind(),
        scope.by().id(),
        scope.by().responsible_user_id(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The invitations behind `after` that are open at `now`.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    (after, limit): (Option<Uuid>, i64),
    now: DatabaseTime,
) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select i.invitation_id, i.email_sealed, i.role, i.client_id, (select c.name from clients c where c.client_id = i.client_id) as "client?", i.created_at, i.expires_at,
                  i.created_by, i.created_by_id
             from invitations i
            where i.organisation_id = $1 and ($2::uuid is null or i.client_id = $2)
              and i.invitation_id > $3 and i.expires_at > $5
            order by i.invitation_id limit $4"#,
        scope.organisation_id(),
        scope.client_id(),
        after.unwrap_or(Uuid::nil()),
        limit,
        now.get(),
    )
    .fetch_all(db)
    .await
}

/// The invitation, if it is open at `now`.
pub async fn find(
    db: &mut PgConnection,
    scope: &Scope,
    invitation_id: Uuid,
    now: DatabaseTime,
) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        r#"select i.invitation_id, i.email_sealed, i.role, i.client_id, (select c.name from clients c where c.client_id = i.client_id) as "client?", i.created_at, i.expires_at,
                  i.created_by, i.created_by_id
             from invitations i
            where i.organisation_id = $1 and ($2::uuid is null or i.client_id = $2)
              and i.invitation_id = $3 and i.expires_at > $4"#,
        scope.organisation_id(),
        scope.client_id(),
        invitation_id,
        now.get(),
    )
    .fetch_optional(db)
    .await
}

pub async fn count(db: &mut PgConnection, scope: &Scope) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from invitations where organisation_id = $1"#,
        scope.organisation_id()
    )
    .fetch_one(db)
    .await
}

pub async fn renew(
    db: &mut PgConnection,
    scope: &Scope,
    invitation_id: Uuid,
    (token_digest, expires_at): (&[u8], DateTime<Utc>),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update invitations set token_digest = $4, expires_at = $5
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and invitation_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        invitation_id,
        token_digest,
        expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete(
    db: &mut PgConnection,
    scope: &Scope,
    invitation_id: Uuid,
    now: DatabaseTime,
) -> Result<Option<Standing>, sqlx::Error> {
    let row = sqlx::query!(
        "delete from invitations
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and invitation_id = $3 and expires_at > $4
         returning role, client_id",
        scope.organisation_id(),
        scope.client_id(),
        invitation_id,
        now.get(),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Standing::stored(&row.role, row.client_id)))
}

pub async fn delete_expired_of(db: &mut PgConnection, scope: &Scope, now: DatabaseTime) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from invitations where organisation_id = $1 and expires_at <= $2",
        scope.organisation_id(),
        now.get()
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete_expired(db: &mut PgConnection, now: DatabaseTime) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!("delete from invitations where expires_at <= $1", now.get());
    Ok(deleted.execute(db).await?.rows_affected())
}

pub async fn find_by_token(
    db: &mut PgConnection,
    _: Operator,
    token_digest: &[u8],
    now: DatabaseTime,
) -> Result<Option<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        "select invitation_id, organisation_id, email_digest from invitations
          where token_digest = $1 and expires_at > $2",
        token_digest,
        now.get()
    )
    .fetch_optional(db)
    .await
}

/// Returns it this once.
pub async fn take(
    db: &mut PgConnection,
    _: Operator,
    token_digest: &[u8],
    now: DatabaseTime,
) -> Result<Option<Taken>, sqlx::Error> {
    sqlx::query_as!(
        Taken,
        "delete from invitations where token_digest = $1 and expires_at > $2
         returning invitation_id, organisation_id, client_id, role, email_sealed, email_digest",
        token_digest,
        now.get()
    )
    .fetch_optional(db)
    .await
}

/// The same, for an address.
pub async fn take_by_address(
    db: &mut PgConnection,
    scope: &Scope,
    email_digest: &[u8],
    now: DatabaseTime,
) -> Result<Option<Taken>, sqlx::Error> {
    sqlx::query_as!(
        Taken,
        "delete from invitations where organisation_id = $1 and email_digest = $2 and expires_at > $3
         returning invitation_id, organisation_id, client_id, role, email_sealed, email_digest",
        scope.organisation_id(),
        email_digest,
        now.get()
    )
    .fetch_optional(db)
    .await
}

/// Whether an address is invited.
pub async fn has_address(
    db: &mut PgConnection,
    scope: &Scope,
    email_digest: &[u8],
    now: DatabaseTime,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists(
               select from invitations where organisation_id = $1 and email_digest = $2 and expires_at > $3
           ) as "exists!""#,
        scope.organisation_id(),
        email_digest,
        now.get(),
    )
    .fetch_one(db)
    .await
}

/// Whoever is a member by now stays what they are.
pub async fn insert_membership(
    db: &mut PgConnection,
    scope: &Scope,
    user_id: Uuid,
    standing: Standing,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into memberships (organisation_id, user_id, role, client_id) values ($1, $2, $3, $4)
             on conflict (organisation_id, user_id) do nothing",
        scope.organisation_id(),
        user_id,
        standing.role().as_str(),
        standing.client_id(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The name, for the mail and for whoever opens its link.
pub async fn find_organisation(db: &mut PgConnection, scope: &Scope) -> Result<String, sqlx::Error> {
    sqlx::query_scalar!(
        "select name from organisations where organisation_id = $1",
        scope.organisation_id()
    )
    .fetch_one(db)
    .await
}
