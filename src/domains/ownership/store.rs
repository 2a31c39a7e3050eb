//! Every statement on claims, proofs and tombstones.
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{
    claims::{Claim, Method, Verification},
    proof::Proof,
};
use crate::{
    accounts::{Operator, Scope},
    clock::DatabaseTime,
    dns::verification::Look,
    domains::DomainError,
    hostname::Hostname,
};

/// One organisation's claim as it is stored.
#[derive(Debug)]
pub struct StoredClaim {
    pub domain_id: Uuid,
    pub organisation_id: Uuid,
    pub client_id: Uuid,
    pub organisation: String,
    pub claim: Claim,
}

/// Every claim to `hostname`. Until the end of the transaction, nobody else changes one of them.
pub async fn lock_claims(
    db: &mut PgConnection,
    _: Operator,
    hostname: &Hostname,
) -> Result<Vec<StoredClaim>, DomainError> {
    let rows = sqlx::query!(
        r#"select d.domain_id, d.organisation_id, d.client_id, o.name as organisation,
                d.ownership_verified_at, d.ownership_proof, d.takes_over_at,
                coalesce(d.suspended_at, o.suspended_at) is not null as "is_suspended!",
                c.ownership_checked_at, c.ownership_seen_since, c.ownership_missing_since, c.ownership_absent_at
           from domains d
           join organisations o using (organisation_id)
           join domain_checks c using (domain_id)
          where d.hostname = $1
          order by d.domain_id
            for update of d, c"#,
        hostname.as_str(),
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(StoredClaim {
                domain_id: row.domain_id,
                organisation_id: row.organisation_id,
                client_id: row.client_id,
                organisation: row.organisation,
                claim: Claim {
                    verification: verification(row.ownership_verified_at, row.ownership_proof.as_deref())?,
                    takes_over_at: row.takes_over_at,
                    is_suspended: row.is_suspended,
                    proof: Proof {
                        checked_at: row.ownership_checked_at,
                        seen_since: row.ownership_seen_since,
                        missing_since: row.ownership_missing_since,
                        absent_at: row.ownership_absent_at,
                    },
                },
            })
        })
        .collect()
}

/// The two columns as one value.
pub fn verification(at: Option<DateTime<Utc>>, method: Option<&str>) -> Result<Option<Verification>, DomainError> {
    let Some(at) = at else { return Ok(None) };
    let method = method
        .and_then(Method::parse)
        .ok_or_else(|| DomainError::Stored(format!("ownership proof {method:?}")))?;
    Ok(Some(Verification { at, method }))
}

pub async fn update_proof(
    db: &mut PgConnection,
    scope: &Scope,
    domain_id: Uuid,
    proof: &Proof,
    look: &Look,
) -> Result<(), DomainError> {
    let (observed, failure) = match look {
        Look::Present { observed } | Look::Absent { observed, .. } => (Some(observed.as_slice()), None),
        Look::Undetermined(failure) => (None, Some(Json(*failure))),
    };
    let misplaced = match look {
        Look::Absent { misplaced, .. } => misplaced.as_deref(),
        Look::Present { .. } | Look::Undetermined(_) => None,
    };
    sqlx::query!(
        "update domain_checks
            set ownership_checked_at = $3, ownership_seen_since = $4, ownership_missing_since = $5, ownership_absent_at = $6,
                ownership_observed = coalesce($7, ownership_observed), ownership_failure = $8,
                ownership_misplaced = $9
           from domains d
          where d.organisation_id = $1 and d.domain_id = $2 and domain_checks.domain_id = d.domain_id",
        scope.organisation_id(),
        domain_id,
        proof.checked_at,
        proof.seen_since,
        proof.missing_since,
        proof.absent_at,
        observed,
        failure as _,
        misplaced,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The claim holds the hostname from here on, with the certificates that are there for it.
pub async fn hold(
    db: &mut PgConnection,
    scope: &Scope,
    domain_id: Uuid,
    verification: Verification,
) -> Result<(), DomainError> {
    sqlx::query!(
        "update domains set ownership_verified_at = $3, ownership_proof = $4, takes_over_at = null, updated_at = now()
          where organisation_id = $1 and domain_id = $2",
        scope.organisation_id(),
        domain_id,
        verification.at,
        verification.method.as_str(),
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "update certificates set organisation_id = d.organisation_id, domain_id = d.domain_id
           from domains d
          where d.organisation_id = $1 and d.domain_id = $2 and certificates.hostname = d.hostname",
        scope.organisation_id(),
        domain_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The claim holds no longer: it stops being served with the commit.
pub async fn release(db: &mut PgConnection, scope: &Scope, domain_id: Uuid) -> Result<(), DomainError> {
    sqlx::query!(
        "update domains set ownership_verified_at = null, ownership_proof = null, updated_at = now()
          where organisation_id = $1 and domain_id = $2",
        scope.organisation_id(),
        domain_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn set_takes_over(
    db: &mut PgConnection,
    scope: &Scope,
    domain_id: Uuid,
    at: Option<DateTime<Utc>>,
) -> Result<(), DomainError> {
    sqlx::query!(
        "update domains set takes_over_at = $3 where organisation_id = $1 and domain_id = $2",
        scope.organisation_id(),
        domain_id,
        at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Who gave a hostname up, and when it had proved it.
#[derive(Clone, Copy, Debug)]
pub struct Tombstone {
    pub organisation_id: Uuid,
    pub proved_at: DateTime<Utc>,
}

pub async fn find_tombstone(db: &mut PgConnection, hostname: &Hostname) -> Result<Option<Tombstone>, DomainError> {
    let found = sqlx::query_as!(
        Tombstone,
        "select organisation_id, proved_at from tombstones where hostname = $1",
        hostname.as_str(),
    )
    .fetch_optional(db)
    .await?;
    Ok(found)
}

/// Remembers that the organisation of `scope` has given up `hostname`.
pub async fn insert_tombstone(
    db: &mut PgConnection,
    scope: &Scope,
    hostname: &str,
    proved_at: DateTime<Utc>,
    now: DatabaseTime,
) -> Result<(), DomainError> {
    sqlx::query!(
        "insert into tombstones (hostname, organisation_id, proved_at, released_at) values ($1, $2, $3, $4)
             on conflict (hostname) do update
                set organisation_id = excluded.organisation_id, proved_at = excluded.proved_at, released_at = excluded.released_at",
        hostname,
        scope.organisation_id(),
        proved_at,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}
