//! Looks at domains from outside, and writes down what was seen. No look holds a transaction open, and none that
//! hangs holds up another.
pub mod fetch;
pub mod looks;
pub mod schedule;
pub mod store;

use chrono::TimeDelta;
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
    clock::{self, DatabaseTime},
    hostname::Hostname,
    work::fair::{FairShare, Permit, Waiting},
};
use looks::{Given, Looks, Seen};
use store::{Claimed, DueCheck};

/// Longer than a look can take.
const LEASE: TimeDelta = TimeDelta::minutes(3);
const TENANT_KEPT: TimeDelta = TimeDelta::hours(20);
/// Checks of a node at once.
pub const MAX_CHECKS: usize = 64;
/// The same of checks that people wait for.
pub const MAX_CHECKS_ASKED_FOR: usize = 64;
/// As many due checks are read to choose from. If there are more, each organisation is asked for its own.
const WINDOW: i64 = 256;
/// Due checks of one organisation that are read then.
const WINDOW_FOR_ONE: i64 = 16;

/// Places for checks, by organisation.
pub type CheckPlaces = FairShare<Uuid>;
pub type CheckPermit<'a> = Permit<'a, Uuid>;

/// Looks at domains, and keeps what it saw.
pub struct Checker {
    pub pool: PgPool,
    pub looks: Looks,
    pub expected: Expected,
    /// Places for checks that people wait for: each asks strangers' servers, for up to a minute.
    pub places: CheckPlaces,
    /// Told of a hostname whose devices reach us and that has no certificate.
    pub certificate_wanted: Box<dyn Fn(&str) + Send + Sync>,
}

/// Checks that were claimed.
pub struct Due<'a> {
    pub claimed: Vec<(Claimed, CheckPermit<'a>)>,
    /// Others are due, and had to wait.
    pub are_more: bool,
}

impl Checker {
    /// Claims checks that are due, as many as `places` has for their organisations.
    pub async fn claim_due<'a>(&self, places: &'a CheckPlaces) -> Result<Due<'a>, DomainError> {
        let operator = Operator::checking();
        let (mut db, now) = clock::acquire(&self.pool).await?;
        let mut due = store::list_due(&mut db, operator, now, WINDOW).await?;
        if i64::try_from(due.len()).unwrap_or(i64::MAX) >= WINDOW {
            due = store::list_due_by_organisation(&mut db, operator, now, WINDOW_FOR_ONE).await?;
        }
        let chosen = choose(places, &due);
        if chosen.is_empty() {
            return Ok(Due {
                claimed: Vec::new(),
                are_more: !due.is_empty(),
            });
        }
        let domain_ids: Vec<_> = chosen.iter().map(|check| check.domain_id).collect();
        let claimed = store::claim_due(&mut db, operator, &domain_ids, (now, now + LEASE)).await?;
        let is_trusted = |claimed: &Claimed| {
            let check = chosen.iter().find(|check| check.domain_id == claimed.domain_id);
            check.is_some_and(|check| check.is_trusted)
        };
        Ok(Due {
            are_more: due.len() > claimed.len(),
            claimed: claimed
                .into_iter()
                .map(|claimed| (claimed, places.take(claimed.organisation_id, is_trusted(&claimed))))
                .collect(),
        })
    }

    /// Looks at one domain because a person asks.
    pub async fn check_now(&self, scope: &Scope, domain_id: Uuid) -> Result<(), DomainError> {
        let _place = self.places.try_take(scope.organisation_id()).ok_or(DomainError::Busy)?;
        let (mut db, now) = clock::acquire(&self.pool).await?;
        let claimed = store::claim(&mut db, scope, domain_id, now, now + LEASE).await?;
        drop(db);
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
        let (mut db, started) = clock::acquire(&self.pool).await?;
        let found = super::store::find(&mut db, &scope, claimed.domain_id).await?;
        drop(db);
        let domain = found.ok_or(DomainError::NotFound)?;
        let hostname = Hostname::parse(&domain.hostname).map_err(|error| DomainError::Stored(error.to_string()))?;
        // It changes seldom, and Entra throttles whoever asks too much.
        let is_tenant_due = claimed.is_asked_for
            || domain
                .seen
                .tenant_checked_at
                .is_none_or(|checked| started - checked >= TENANT_KEPT);
        let given = Given {
            expected: &self.expected,
            is_tenant_due,
            now: started,
        };
        let seen = Box::pin(self.looks.look(&domain, &hostname, given)).await;
        let (mut tx, now) = clock::begin(&self.pool).await?;
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
        now: DatabaseTime,
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
        let (was, is) = (
            status(before, &self.expected, now.get()),
            status(&after, &self.expected, now.get()),
        );
        // A change is often followed by another: the person is at it, or something has just broken.
        let quick_since = if was == is || is == Status::Active {
            after.seen.quick_since
        } else {
            now.get()
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
            Some(now.get())
        } else {
            schedule::next(facts, now.get())
        };
        store::release(db, claimed, due_at, quick_since).await?;
        Ok(is)
    }
}

/// Those of `due` (the longest due first) that get a place.
fn choose<'a>(places: &CheckPlaces, due: &'a [DueCheck]) -> Vec<&'a DueCheck> {
    let mut waiting: Vec<Waiting<Uuid>> = Vec::new();
    for check in due {
        match waiting
            .iter_mut()
            .find(|waiting| waiting.tenant == check.organisation_id)
        {
            Some(waiting) => waiting.work += 1,
            None => waiting.push(Waiting {
                tenant: check.organisation_id,
                work: 1,
                is_trusted: check.is_trusted,
            }),
        }
    }
    let mut left: std::collections::HashMap<Uuid, usize> = waiting
        .iter()
        .map(|waiting| waiting.tenant)
        .zip(places.shares(&waiting))
        .collect();
    let mut chosen = Vec::new();
    for check in due {
        if let Some(left) = left.get_mut(&check.organisation_id)
            && *left > 0
        {
            *left -= 1;
            chosen.push(check);
        }
    }
    chosen
}
