//! Every statement on `acme_accounts`.
use sqlx::PgConnection;

use crate::{certificates::decisions::breaker::Breaker, clock::DatabaseTime};

pub struct Row {
    pub key_sealed: Vec<u8>,
    pub url: Option<String>,
}

/// The first key stays.
pub async fn insert(db: &mut PgConnection, issuer: &str, key_sealed: &[u8]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into acme_accounts (issuer, key_sealed) values ($1, $2) on conflict do nothing",
        issuer,
        key_sealed,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn find(db: &mut PgConnection, issuer: &str) -> Result<Option<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "select key_sealed, url from acme_accounts where issuer = $1",
        issuer
    )
    .fetch_optional(db)
    .await
}

/// Whether this node is to register it.
pub async fn claim(
    db: &mut PgConnection,
    issuer: &str,
    now: DatabaseTime,
    until: DatabaseTime,
) -> Result<bool, sqlx::Error> {
    let claimed = sqlx::query!(
        "update acme_accounts set lease_until = $3 where issuer = $1 and url is null and lease_until <= $2",
        issuer,
        now.get(),
        until.get(),
    )
    .execute(db)
    .await?;
    Ok(claimed.rows_affected() == 1)
}

/// Registered at `url`, or not at all.
pub async fn release(
    db: &mut PgConnection,
    issuer: &str,
    url: Option<&str>,
    contact: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update acme_accounts set lease_until = '-infinity', url = coalesce($2, url), contact = $3 where issuer = $1",
        issuer,
        url,
        contact,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn forget_url(db: &mut PgConnection, issuer: &str, url: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update acme_accounts set url = null where issuer = $1 and url = $2",
        issuer,
        url
    )
    .execute(db)
    .await?;
    Ok(())
}

/// None: there is no account yet.
pub async fn find_breaker(db: &mut PgConnection, issuer: &str) -> Result<Option<Breaker>, sqlx::Error> {
    sqlx::query_as!(
        Breaker,
        "select failures, paused_until from acme_accounts where issuer = $1",
        issuer
    )
    .fetch_optional(db)
    .await
}

/// Nobody else changes it until the end of the transaction.
pub async fn lock_breaker(db: &mut PgConnection, issuer: &str) -> Result<Breaker, sqlx::Error> {
    sqlx::query_as!(
        Breaker,
        "select failures, paused_until from acme_accounts where issuer = $1 for update",
        issuer
    )
    .fetch_one(db)
    .await
}

pub async fn set_breaker(
    db: &mut PgConnection,
    issuer: &str,
    breaker: Breaker,
    reason: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update acme_accounts set failures = $2, paused_until = $3, pause_reason = $4 where issuer = $1",
        issuer,
        breaker.failures,
        breaker.paused_until,
        reason,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// `false`: it has changed since it was `before`.
pub async fn replace_breaker(
    db: &mut PgConnection,
    issuer: &str,
    before: Breaker,
    after: Breaker,
) -> Result<bool, sqlx::Error> {
    let replaced = sqlx::query!(
        "update acme_accounts
            set failures = $4, paused_until = $5, pause_reason = case when $5::timestamptz is null then null else pause_reason end
          where issuer = $1 and failures = $2 and paused_until is not distinct from $3",
        issuer,
        before.failures,
        before.paused_until,
        after.failures,
        after.paused_until,
    )
    .execute(db)
    .await?;
    Ok(replaced.rows_affected() == 1)
}
