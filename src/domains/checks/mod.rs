//! Looks at domains from outside, and writes down what was seen. No look holds a transaction open, and none that
//! hangs holds up another.
pub mod fetch;
pub mod looks;
pub mod places;
pub mod schedule;
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    Domain, DomainError,
    connection::{self, Expected, Verdict},
    ownership::settle,
    status::{Status, status},
};
use crate::{
    accounts::{Operator, Scope},
    hostname::Hostname,
};
use looks::{Given, Looks, Seen};
use places::Places;
use store::{Claimed, Turn};

/// Longer than a look can take.
const LEASE: TimeDelta = TimeDelta::minutes(3);
const TENANT_KEPT: TimeDelta = TimeDelta::hours(20);
/// How many domains are looked at at once, and how many of one organisation.
pub const AT_ONCE: usize = 64;
pub const AT_ONCE_FOR_ONE: usize = 32;
/// How many domains are claimed in one go.
const BATCH: usize = 8;
/// The same of looks that people wait for.
pub const ASKED_FOR_AT_ONCE: usize = 64;
pub const ASKED_FOR_BY_ONE: usize = 32;

/// Looks at domains, and keeps what it saw.
pub struct Checker {
    pub pool: PgPool,
    pub looks: Looks,
    pub expected: Expected,
    /// Places for looks that people wait for: each asks strangers' servers, for up to a minute.
    pub places: Places,
    /// Told of a hostname whose devices reach us and that has no certificate.
    pub certificate_wanted: Box<dyn Fn(&str) + Send + Sync>,
}

/// Domains that are due.
pub struct Due {
    pub claimed: Vec<Claimed>,
    /// As many as could be claimed, or some had to wait: there may be others.
    pub are_more: bool,
}

impl Checker {
    /// Claims a few domains that are due, none of an organisation that has taken its share of `places`.
    pub async fn claim_due(&self, places: &Places, now: DateTime<Utc>) -> Result<Due, DomainError> {
        let limit = places.free().min(BATCH);
        let turn = Turn {
            now,
            until: now + LEASE,
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            crowded: places.crowded(limit),
        };
        let mut db = self.pool.acquire().await?;
        let claimed = store::claim_due(&mut db, Operator::checking(), &turn).await?;
        Ok(Due {
            are_more: claimed.len() == limit || !turn.crowded.is_empty(),
            claimed,
        })
    }

    /// Looks at one domain because a person asks.
    pub async fn check_now(&self, scope: &Scope, domain_id: Uuid) -> Result<(), DomainError> {
        let _place = self.places.enter(scope.organisation_id()).ok_or(DomainError::Busy)?;
        let now = crate::clock::now();
        let claimed = store::claim(&mut *self.pool.acquire().await?, scope, domain_id, now, now + LEASE).await?;
        Box::pin(self.check(claimed.ok_or(DomainError::NotFound)?)).await
    }

    /// Why the CAA records of `hostname`, as they are now, keep it from getting a certificate; `None` if they do not.
    pub async fn caa_forbids(&self, hostname: &str) -> Option<String> {
        let caa = self.looks.dns.caa(hostname).await;
        connection::caa_forbids(hostname, &caa, &self.expected).map(|fault| fault.message)
    }

    /// Looks at a claimed domain, and writes down what it saw, unless somebody has looked since.
    pub async fn check(&self, claimed: Claimed) -> Result<(), DomainError> {
        let scope = Operator::checking().scope(claimed.organisation_id);
        let found = super::store::find(&mut *self.pool.acquire().await?, &scope, claimed.domain_id).await?;
        let domain = found.ok_or(DomainError::NotFound)?;
        let hostname = Hostname::parse(&domain.hostname).map_err(|error| DomainError::Stored(error.to_string()))?;
        let started = crate::clock::now();
        // It changes seldom, and Entra throttles whoever asks too much.
        let is_tenant_due = claimed.is_asked_for
            || domain
                .seen
                .tenant_checked_at
                .is_none_or(|checked| started - checked >= TENANT_KEPT);
        let given = Given {
            expected: &self.expected,
            is_tenant_due,
        };
        let seen = Box::pin(self.looks.look(&domain, &hostname, given)).await;
        let now = crate::clock::now();
        let mut tx = self.pool.begin().await?;
        // The claims first, as everybody who changes one does: no two wait for each other.
        // As of the beginning: what was seen may be older than what happened while we looked.
        let settled = settle::settle(&mut tx, claimed.domain_id, &hostname, &seen.ownership, started);
        if settled.await?.is_some() && store::confirm(&mut tx, claimed).await? {
            let is = self.keep(&mut tx, claimed, (&domain, &seen), now).await?;
            tx.commit().await?;
            if is == Status::PendingCertificate {
                (self.certificate_wanted)(hostname.as_str());
            }
        }
        Ok(())
    }

    async fn keep(
        &self,
        db: &mut PgConnection,
        claimed: Claimed,
        (before, seen): (&Domain, &Seen),
        now: DateTime<Utc>,
    ) -> Result<Status, DomainError> {
        if let Some(observation) = &seen.observation {
            let verdict = connection::judge(before.connection, &before.hostname, Some(observation), &self.expected);
            let is_connected = verdict == Some(Verdict::Connected);
            store::update_connection(db, claimed, observation, is_connected, now).await?;
        }
        if let Some(tenant_id) = seen.tenant_id {
            store::update_tenant(db, claimed, tenant_id, now).await?;
        }
        let scope = Operator::checking().scope(claimed.organisation_id);
        let after = super::store::find(db, &scope, claimed.domain_id).await?;
        let after = after.ok_or(DomainError::NotFound)?;
        let (was, is) = (status(before, &self.expected, now), status(&after, &self.expected, now));
        // A change is often followed by another: the person is at it, or something has just broken.
        let quick_since = if was == is || is == Status::Active {
            after.seen.quick_since
        } else {
            now
        };
        let facts = schedule::Facts {
            status: is,
            quick_since,
            is_held: after.claim.verification.is_some(),
            takes_over_at: after.claim.takes_over_at,
            missing_since: after.claim.proof.missing_since,
        };
        if was != is {
            tracing::info!(
                domain.hostname = after.hostname,
                was = was.as_str(),
                is = is.as_str(),
                "a domain's status changed"
            );
        }
        // What could not be looked at before it was verified is looked at next.
        let is_unseen = after.seen.observation.is_none() && before.claim.verification.is_none() && facts.is_held;
        let due_at = if is_unseen {
            Some(now)
        } else {
            schedule::next(facts, now)
        };
        store::release(db, claimed, due_at, quick_since).await?;
        Ok(is)
    }
}
