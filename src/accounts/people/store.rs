//! Every statement on `users` as people who sign in.
use sqlx::PgConnection;
use uuid::Uuid;

use super::SealedPerson;
use crate::accounts::{Member, Operator, Scope, organisations::OrganisationError, role::Role};

/// A person who is to be.
pub struct NewUser<'a> {
    pub user_id: Uuid,
    pub email_sealed: &'a [u8],
    pub email_digest: &'a [u8],
    pub name_sealed: Option<&'a [u8]>,
    pub password_hash: Option<&'a str>,
    pub is_email_unproved: bool,
}

/// What a sign-in is judged by.
pub struct Credentials {
    pub user_id: Uuid,
    pub password_hash: Option<String>,
}

pub async fn insert(db: &mut PgConnection, new: &NewUser<'_>) -> Result<(), OrganisationError> {
    sqlx::query!(
        "insert into users (user_id, email_sealed, email_digest, name_sealed, password_hash, is_email_unproved)
         values ($1, $2, $3, $4, $5, $6)",
        new.user_id,
        new.email_sealed,
        new.email_digest,
        new.name_sealed,
        new.password_hash,
        new.is_email_unproved,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn insert_membership(
    db: &mut PgConnection,
    organisation_id: Uuid,
    user_id: Uuid,
    (role, client_id): (Role, Option<Uuid>),
) -> Result<(), OrganisationError> {
    sqlx::query!(
        "insert into memberships (organisation_id, user_id, role, client_id) values ($1, $2, $3, $4)",
        organisation_id,
        user_id,
        role.as_str(),
        client_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn find_credentials(
    db: &mut PgConnection,
    _: Operator,
    email_digest: &[u8],
) -> Result<Option<Credentials>, sqlx::Error> {
    sqlx::query_as!(
        Credentials,
        "select user_id, password_hash from users where email_digest = $1",
        email_digest
    )
    .fetch_optional(db)
    .await
}

/// The credentials of a signed-in person.
pub async fn find_credentials_of(db: &mut PgConnection, member: &Member) -> Result<Option<Credentials>, sqlx::Error> {
    sqlx::query_as!(
        Credentials,
        "select user_id, password_hash from users where user_id = $1",
        member.user_id
    )
    .fetch_optional(db)
    .await
}

pub(in crate::accounts) async fn find(
    db: &mut PgConnection,
    _: Operator,
    user_id: Uuid,
) -> Result<Option<SealedPerson>, sqlx::Error> {
    sqlx::query_as!(
        SealedPerson,
        "select user_id, email_sealed, name_sealed from users where user_id = $1",
        user_id
    )
    .fetch_optional(db)
    .await
}

pub async fn update_password(
    db: &mut PgConnection,
    _: Operator,
    user_id: Uuid,
    password_hash: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set password_hash = $2 where user_id = $1",
        user_id,
        password_hash
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Until the end of the transaction, nobody changes how this person signs in; others may sign in meanwhile.
pub async fn hold(db: &mut PgConnection, _: Operator, user_id: Uuid) -> Result<Option<Credentials>, sqlx::Error> {
    sqlx::query_as!(
        Credentials,
        "select user_id, password_hash from users where user_id = $1 for share",
        user_id
    )
    .fetch_optional(db)
    .await
}

/// For whoever changes that, or deletes a membership of theirs: before it, as a sign-in has them in this order too and
/// two must not wait for each other.
pub async fn lock(db: &mut PgConnection, _: Operator, user_ids: &[Uuid]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select from users where user_id = any($1) order by user_id for update",
        user_ids
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete_without_membership(
    db: &mut PgConnection,
    _: Operator,
    user_ids: &[Uuid],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from users u
          where user_id = any($1) and (select true from memberships m where m.user_id = u.user_id limit 1) is null",
        user_ids
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The address's digest of one person.
pub async fn find_digest(db: &mut PgConnection, _: Operator, user_id: Uuid) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!("select email_digest from users where user_id = $1", user_id)
        .fetch_optional(db)
        .await
}

/// Who of these is a member of the organisation.
pub(in crate::accounts) async fn list_members(
    db: &mut PgConnection,
    scope: &Scope,
    user_ids: &[Uuid],
) -> Result<Vec<SealedPerson>, sqlx::Error> {
    sqlx::query_as!(
        SealedPerson,
        "select u.user_id, u.email_sealed, u.name_sealed
           from users u join memberships m using (user_id)
          where m.organisation_id = $1 and ($2::uuid is null or m.client_id = $2) and u.user_id = any($3)",
        scope.organisation_id(),
        scope.client_id(),
        user_ids,
    )
    .fetch_all(db)
    .await
}

/// The organisations that a person is a member of, the oldest membership first.
pub async fn list_memberships(
    db: &mut PgConnection,
    _: Operator,
    user_id: Uuid,
) -> Result<Vec<(Uuid, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        "select m.organisation_id, o.name from memberships m join organisations o using (organisation_id)
          where m.user_id = $1 order by o.suspended_at is not null, m.created_at, m.organisation_id",
        user_id
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.organisation_id, row.name)).collect())
}

/// Who is to know when something of the organisation needs somebody.
pub async fn list_administrators(db: &mut PgConnection, scope: &Scope) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select user_id from memberships
          where organisation_id = $1 and role in ('owner', 'admin') order by created_at, user_id",
        scope.organisation_id()
    )
    .fetch_all(db)
    .await
}

pub async fn has_password(db: &mut PgConnection, member: &Member) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select password_hash is not null as "has_password!" from users where user_id = $1"#,
        member.user_id
    )
    .fetch_one(db)
    .await
}

pub async fn update_name(db: &mut PgConnection, member: &Member, name_sealed: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set name_sealed = $2 where user_id = $1",
        member.user_id,
        name_sealed
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn update_email(
    db: &mut PgConnection,
    member: &Member,
    email_sealed: &[u8],
    email_digest: &[u8],
) -> Result<(), OrganisationError> {
    sqlx::query!(
        "update users set email_sealed = $2, email_digest = $3 where user_id = $1",
        member.user_id,
        email_sealed,
        email_digest
    )
    .execute(db)
    .await?;
    Ok(())
}
