//! Obtains what is missing and renews what is due. Work is claimed by row lease, so that of several
//! nodes one does it; a lease's epoch fences off a node that overslept.
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use sqlx::PgPool;

use super::{
    IssueError, Issued, Issuer, key_context, renews_at,
    store::{self, Lease, NewCertificate},
};
use crate::sealed::Keyring;

const BATCH: i64 = 200;
const LEASE: Duration = Duration::minutes(2);

pub struct Obtainer {
    pub pool: PgPool,
    pub keyring: Arc<Keyring>,
    pub issuer: Arc<Issuer>,
    /// The portal's and the edge's names.
    pub own_hosts: Vec<String>,
}

/// A hostname claimed by this node.
pub struct Claim {
    pub hostname: String,
    pub epoch: i64,
    pub attempts: i32,
    /// One of our own hosts, not a customer's.
    pub own: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ObtainError {
    #[error("the certificates could not be read or written")]
    Database(#[from] sqlx::Error),
}

impl Obtainer {
    /// Claims and obtains until nothing is due. Returns how many were obtained.
    pub async fn obtain_due(&self, now: DateTime<Utc>) -> Result<usize, ObtainError> {
        let mut obtained = 0;
        loop {
            let claims = self.claim(now).await?;
            if claims.is_empty() {
                return Ok(obtained);
            }
            for claims in claims.chunks(50) {
                obtained += self.obtain(claims, now).await?;
            }
        }
    }

    async fn claim(&self, now: DateTime<Utc>) -> Result<Vec<Claim>, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let lease = Lease {
            now,
            until: now + LEASE,
            limit: BATCH,
        };
        store::claim_due(&mut db, self.issuer.name(), &self.own_hosts, lease).await
    }

    async fn obtain(&self, claims: &[Claim], now: DateTime<Utc>) -> Result<usize, ObtainError> {
        let mut results = Vec::with_capacity(claims.len());
        for claim in claims {
            results.push((claim, self.issuer.issue(&claim.hostname, now).await));
        }
        let mut tx = self.pool.begin().await?;
        let mut obtained = 0;
        for (claim, result) in results {
            match result {
                Ok(issued) => obtained += usize::from(self.store(&mut tx, claim, issued).await?),
                Err(error) => self.postpone(&mut tx, claim, &error, now).await?,
            }
        }
        tx.commit().await?;
        Ok(obtained)
    }

    async fn store(&self, db: &mut sqlx::PgConnection, claim: &Claim, issued: Issued) -> Result<bool, sqlx::Error> {
        let key_sealed = self
            .keyring
            .seal(&key_context(&claim.hostname, self.issuer.name()), &issued.key);
        let Issued {
            chain,
            not_before,
            not_after,
            ..
        } = issued;
        let new = NewCertificate {
            chain,
            key_sealed,
            not_before,
            not_after,
            renews_at: renews_at(not_before, not_after),
        };
        store::complete(db, self.issuer.name(), claim, &new).await
    }

    async fn postpone(
        &self,
        db: &mut sqlx::PgConnection,
        claim: &Claim,
        error: &IssueError,
        now: DateTime<Utc>,
    ) -> Result<(), sqlx::Error> {
        tracing::warn!(domain.hostname = claim.hostname, %error, "no certificate");
        store::postpone(
            db,
            self.issuer.name(),
            claim,
            &error.to_string(),
            now + back_off(claim.attempts),
        )
        .await
    }
}

/// 1 min, 10 min, 100 min, then a day.
fn back_off(attempts: i32) -> Duration {
    match attempts {
        ..=0 => Duration::minutes(1),
        1 => Duration::minutes(10),
        2 => Duration::minutes(100),
        _ => Duration::days(1),
    }
}
