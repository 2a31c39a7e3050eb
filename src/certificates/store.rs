//! Every statement on `certificates`.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::turns::Turn;
use crate::outbox::event::Subject;

/// A certificate ready to be stored.
pub struct NewCertificate {
    pub chain: Vec<Vec<u8>>,
    pub key_sealed: Vec<u8>,
    pub not_before: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
    pub renews_at: DateTime<Utc>,
    pub urgent_at: DateTime<Utc>,
    pub profile: Option<String>,
    /// When the CA is asked when to renew it; none: never.
    pub suggestion_due_at: Option<DateTime<Utc>>,
}

/// Locks the hostname's holder, as whoever changes or deletes it does: before its turn, or the two wait for each other.
pub async fn lock_holder(db: &mut PgConnection, hostname: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select domain_id from domains where hostname = $1 and ownership_verified_at is not null for share",
        hostname
    )
    .fetch_optional(db)
    .await?;
    Ok(())
}

/// Stores what was obtained, if somebody still holds the hostname: it is theirs, and of nobody else who claims it.
/// In this transaction the holder must be locked, and the turn ours. Returns whose it is; none for our own hosts.
pub async fn put(
    db: &mut PgConnection,
    issuer: &str,
    turn: &Turn,
    new: &NewCertificate,
) -> Result<Option<Subject>, sqlx::Error> {
    sqlx::query!(
        "with holder as (
              select organisation_id, domain_id from domains
               where hostname = $2 and ownership_verified_at is not null)
         insert into certificates (certificate_id, organisation_id, domain_id, hostname, issuer, chain, key_sealed, not_before, not_after,
                                   renews_at, urgent_at, profile, suggestion_due_at)
         select $1, holder.organisation_id, holder.domain_id, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
           from (select) one left join holder on true
          where $12 or holder.domain_id is not null
             on conflict (hostname, issuer) do update
                set certificate_id = excluded.certificate_id, organisation_id = excluded.organisation_id, domain_id = excluded.domain_id,
                    chain = excluded.chain, key_sealed = excluded.key_sealed, not_before = excluded.not_before,
                    not_after = excluded.not_after, renews_at = excluded.renews_at, urgent_at = excluded.urgent_at,
                    profile = excluded.profile, suggestion = null, suggestion_due_at = excluded.suggestion_due_at, created_at = now(), renewed_at = now()",
        Uuid::now_v7(),
        turn.hostname,
        issuer,
        &new.chain,
        new.key_sealed,
        new.not_before,
        new.not_after,
        new.renews_at,
        new.urgent_at,
        new.profile,
        new.suggestion_due_at,
        turn.own,
    )
    .execute(&mut *db)
    .await?;
    find_holder(db, &turn.hostname).await
}

/// Whose domain it is.
pub async fn find_holder(db: &mut PgConnection, hostname: &str) -> Result<Option<Subject>, sqlx::Error> {
    sqlx::query_as!(
        Subject,
        "select organisation_id, client_id, domain_id, hostname from domains
          where hostname = $1 and ownership_verified_at is not null",
        hostname
    )
    .fetch_optional(db)
    .await
}
