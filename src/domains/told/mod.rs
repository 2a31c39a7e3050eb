//! Derives the status of domains whose facts have changed, writes it to the projection that lists are made of
//! (`domain_statuses`), and puts an event into the outbox if it has changed. Whatever changes a fact leaves a hint in the
//! same transaction (the triggers of `status_hints`). `docs/adr/0022-a-projection-of-statuses.md` says what else causes a
//! derivation, and how stale a list may be.
mod store;

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Domain, DomainError,
    connection::Expected,
    next_action::{Who, next_action},
    status::{Status, status},
};
use crate::{
    accounts::Operator,
    clock::{self, DatabaseTime},
    outbox::event::{Kind, tell},
};

const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Domains that one transaction derives.
const BATCH_SIZE: usize = 500;
/// Version of the rules of [`status`] and [`next_action`]. A node with another version derives every status again.
const RULES_VERSION: u32 = 1;

/// What is known of the last status that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// From before anybody was told: the first one is no change.
    Unknown,
    Status(Status),
}

/// What the projection says of a domain.
struct Derived {
    domain_id: Uuid,
    status: Status,
    next_action: Option<(&'static str, Who)>,
    /// When the status changes although no fact does.
    rederive_at: Option<DateTime<Utc>>,
}

impl Derived {
    fn new(domain: &Domain, expected: &Expected, now: DateTime<Utc>) -> Self {
        let expires_at = domain.certificate(expected).map(|certificate| certificate.not_after);
        Self {
            domain_id: domain.id,
            status: status(domain, expected, now),
            next_action: next_action(domain, expected, now).map(|action| (action.code, action.who)),
            rederive_at: expires_at.filter(|at| *at > now),
        }
    }
}

/// Number of domains that a round derived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Domains that hints, expired certificates or provisional rows named.
    pub changed: usize,
    /// Domains that are derived again because the rules, the issuer or the addresses have changed.
    pub rederived: usize,
}

impl Round {
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

pub struct Teller {
    pub pool: PgPool,
    /// What must be seen of a domain.
    pub expected: Expected,
}

impl Teller {
    /// Runs until `cancel`. Logs errors and goes on.
    pub async fn run(self, cancel: CancellationToken) {
        let mut has_begun = false;
        loop {
            let started = Instant::now();
            let round = tokio::select! {
                () = cancel.cancelled() => return,
                round = self.go_on(&mut has_begun) => round,
            };
            let pause = match round {
                Ok(round) if round.changed > 0 => continue,
                // Pauses for as long as it worked, so that requests get half of the database's time.
                Ok(round) if round.rederived > 0 => started.elapsed(),
                Ok(_) => POLL_INTERVAL,
                Err(error) => {
                    crate::telemetry::log_failed_work("could not derive changed statuses", error);
                    POLL_INTERVAL
                }
            };
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn go_on(&self, has_begun: &mut bool) -> Result<Round, DomainError> {
        if !*has_begun {
            self.begin().await?;
            *has_begun = true;
        }
        self.round(clock::read(&self.pool).await?).await
    }

    /// Has every status derived anew if the rules, the issuer or our addresses are others than those that the projection
    /// was derived with.
    pub async fn begin(&self) -> Result<(), DomainError> {
        let mut db = self.pool.acquire().await?;
        store::set_derivation(&mut db, Operator::checking(), &derivation(&self.expected)).await
    }

    /// Derives the next domains, in one transaction. Empty if there are none, or if another node is at it.
    pub async fn round(&self, now: DatabaseTime) -> Result<Round, DomainError> {
        let mut tx = self.pool.begin().await?;
        // One node at a time: two that judge one domain at once could tell its changes in the wrong order.
        if !store::is_our_turn(&mut tx).await? {
            return Ok(Round::default());
        }
        let mut domain_ids = store::take_hints(&mut tx, limit(BATCH_SIZE)).await?;
        let left = BATCH_SIZE.saturating_sub(domain_ids.len());
        domain_ids.extend(store::list_due(&mut tx, Operator::checking(), now, limit(left)).await?);
        let changed = domain_ids.len();
        if changed == 0 {
            domain_ids = store::take_outdated(&mut tx, Operator::checking(), limit(BATCH_SIZE)).await?;
        }
        domain_ids.sort_unstable();
        domain_ids.dedup();
        let locked = store::lock(&mut tx, Operator::checking(), &domain_ids).await?;
        self.derive(&mut tx, &locked, now).await?;
        tx.commit().await?;
        Ok(match changed {
            0 => Round {
                changed: 0,
                rederived: domain_ids.len(),
            },
            _ => Round {
                changed: locked.len(),
                rederived: 0,
            },
        })
    }

    async fn derive(&self, db: &mut PgConnection, domain_ids: &[Uuid], now: DatabaseTime) -> Result<(), DomainError> {
        if domain_ids.is_empty() {
            return Ok(());
        }
        let mut derived = Vec::new();
        for domain in super::store::list_of_any(db, Operator::checking(), domain_ids).await? {
            match domain {
                Ok(domain) => derived.push(Derived::new(&domain, &self.expected, now.get())),
                // It must not keep the others waiting.
                Err(DomainError::Stored(why)) => tracing::warn!(why, "a status can't be derived"),
                Err(error) => return Err(error),
            }
        }
        let hinted = store::list(db, Operator::checking(), domain_ids).await?;
        store::upsert(db, Operator::checking(), &derived, now).await?;
        store::set_told(db, Operator::checking(), &derived, now).await?;
        let by_id: HashMap<Uuid, Status> = derived
            .iter()
            .map(|derived| (derived.domain_id, derived.status))
            .collect();
        for hinted in &hinted {
            match (hinted.told, by_id.get(&hinted.subject.domain_id)) {
                (Told::Status(was), Some(is)) if was != *is => {
                    let more = json!({ "status": is.as_str(), "previous_status": was.as_str() });
                    tell(db, Kind::DomainStatusChanged, &hinted.subject, more, now).await?;
                }
                (Told::Status(_) | Told::Unknown, _) => {}
            }
        }
        let derived: HashSet<Uuid> = by_id.into_keys().collect();
        let others: Vec<Uuid> = domain_ids.iter().copied().filter(|id| !derived.contains(id)).collect();
        store::set_settled(db, Operator::checking(), &others).await
    }
}

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Everything that statuses follow from and that is in no row.
fn derivation(expected: &Expected) -> String {
    let Expected {
        addresses,
        edge_host,
        edge_port,
        authority,
        validation_method,
        account_url,
        issuer,
    } = expected;
    let mut addresses = addresses.clone();
    addresses.sort_unstable();
    format!(
        "{RULES_VERSION} {issuer} {addresses:?} {edge_host}:{edge_port} {authority:?} {validation_method} {account_url:?}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domains::status::tests::{active, at, expected};

    #[test]
    fn a_status_is_derived_again_when_the_certificate_expires() {
        let before = Derived::new(&active(), &expected(), at(3));
        assert_eq!((before.status, before.rederive_at), (Status::Active, Some(at(100))));
        let after = Derived::new(&active(), &expected(), at(100));
        assert_eq!((after.status, after.rederive_at), (Status::Attention, None));
        assert_eq!(after.next_action, Some(("renew_certificate", Who::Signpost)));
    }

    #[test]
    fn a_derivation_is_the_same_for_the_same_addresses_and_another_for_others() {
        let with = |addresses: &[&str]| {
            let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
            derivation(&Expected {
                addresses,
                ..expected()
            })
        };
        assert_eq!(with(&["192.0.2.1", "192.0.2.2"]), with(&["192.0.2.2", "192.0.2.1"]));
        assert_ne!(with(&["192.0.2.1"]), with(&["192.0.2.2"]));
    }
}
