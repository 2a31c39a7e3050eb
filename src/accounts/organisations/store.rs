//! Every statement on organisations and users.
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Organisation, OrganisationError, secret_context, settings::OrganisationSettings};
use crate::{
    accounts::{Operator, Scope},
    clock::DatabaseTime,
    sealed::{Keyring, SealError},
};

pub async fn insert(
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

/// An operator vouches for the organisation. Returns whether there is one.
pub async fn trust(db: &mut PgConnection, _: Operator, organisation_id: Uuid) -> Result<bool, sqlx::Error> {
    let trusted = sqlx::query!(
        "update organisations set trusted_at = coalesce(trusted_at, now()) where organisation_id = $1",
        organisation_id,
    );
    Ok(trusted.execute(db).await?.rows_affected() == 1)
}

pub async fn list(db: &mut PgConnection, _: Operator) -> Result<Vec<Organisation>, sqlx::Error> {
    sqlx::query_as!(
        Organisation,
        "select organisation_id as id, name, created_at, suspended_at from organisations order by organisation_id"
    )
    .fetch_all(db)
    .await
}

pub async fn suspend(
    db: &mut PgConnection,
    _: Operator,
    id: Uuid,
    at: Option<DatabaseTime>,
) -> Result<Option<Organisation>, sqlx::Error> {
    sqlx::query_as!(
        Organisation,
        "update organisations set suspended_at = $2 where organisation_id = $1
         returning organisation_id as id, name, created_at, suspended_at",
        id,
        at.map(DatabaseTime::get),
    )
    .fetch_optional(db)
    .await
}

pub async fn find_by_name(db: &mut PgConnection, _: Operator, name: &str) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select organisation_id from organisations where name = $1 order by organisation_id limit 1",
        name
    )
    .fetch_optional(db)
    .await
}

/// Name, days of requests, days of audit events.
pub async fn find_settings(db: &mut PgConnection, scope: &Scope) -> Result<Option<(String, i32, i32)>, sqlx::Error> {
    let row = sqlx::query!(
        "select name, request_days, audit_days from organisations where organisation_id = $1",
        scope.organisation_id()
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| (row.name, row.request_days, row.audit_days)))
}

pub async fn update_settings(
    db: &mut PgConnection,
    scope: &Scope,
    settings: &OrganisationSettings,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update organisations set name = $2, request_days = $3, audit_days = $4 where organisation_id = $1",
        scope.organisation_id(),
        settings.name.as_str(),
        settings.retention.request_days(),
        settings.retention.audit_days(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Sealed.
pub async fn find_digest_key(db: &mut PgConnection, scope: &Scope) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select user_digest_key from organisations where organisation_id = $1",
        scope.organisation_id()
    )
    .fetch_optional(db)
    .await
}

pub async fn delete(db: &mut PgConnection, scope: &Scope) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from organisations where organisation_id = $1",
        scope.organisation_id()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A random secret of the whole installation, made at the first call.
pub async fn find_or_insert_secret(
    db: &mut PgConnection,
    keyring: &Keyring,
    name: &str,
) -> Result<Vec<u8>, OrganisationError> {
    find_or_insert_secret_as(db, keyring, name, &crate::sealed::random::<32>()).await
}

/// The same; `first` is what it is made as.
pub async fn find_or_insert_secret_as(
    db: &mut PgConnection,
    keyring: &Keyring,
    name: &str,
    first: &[u8],
) -> Result<Vec<u8>, OrganisationError> {
    let context = secret_context(name);
    // Read first: to write is to lock the one row that every sign-in needs, to the end of somebody's transaction.
    let known = sqlx::query_scalar!("select sealed from secrets where name = $1", name);
    if let Some(sealed) = known.fetch_optional(&mut *db).await? {
        return Ok(keyring.open(&context, &sealed)?);
    }
    let fresh = keyring.seal(&context, first);
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
