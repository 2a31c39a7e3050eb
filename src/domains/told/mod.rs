//! Tells programs when a domain's status changes. The status is derived, so nobody sets it: whatever changes one of its
//! facts leaves a hint in the same transaction (the triggers of `status_hints`), and here it is derived anew and compared
//! with the one that was told last.
mod store;

use std::time::Duration;

use serde_json::json;
use sqlx::{PgConnection, PgPool};
use tokio_util::sync::CancellationToken;

use super::{
    DomainError,
    connection::Expected,
    status::{Status, status},
};
use crate::{
    accounts::Operator,
    clock::{self, DatabaseTime},
    outbox::event::{Kind, tell},
};

const LOOK: Duration = Duration::from_secs(1);
const AT_ONCE: i64 = 200;

/// What is known of the last status that was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// From before anybody was told: the first one is no change.
    Unknown,
    Status(Status),
}

pub struct Teller {
    pub pool: PgPool,
    /// What must be seen of a domain.
    pub expected: Expected,
}

impl Teller {
    /// Until `cancel`. Nothing that goes wrong ends it.
    pub async fn run(self, cancel: CancellationToken) {
        let mut has_begun = false;
        loop {
            let judged = tokio::select! {
                () = cancel.cancelled() => return,
                judged = self.go_on(&mut has_begun) => judged,
            };
            match judged {
                Ok(judged) if judged > 0 => continue,
                Ok(_) => {}
                Err(error) => crate::telemetry::log_failed_work("changes of status wait to be told", error),
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn go_on(&self, has_begun: &mut bool) -> Result<usize, DomainError> {
        if !*has_begun {
            self.begin().await?;
            *has_begun = true;
        }
        self.round(clock::read(&self.pool).await?).await
    }

    /// Whoever changed the issuer started this node anew: then the certificates of the one before count no more.
    pub async fn begin(&self) -> Result<(), DomainError> {
        let mut db = self.pool.acquire().await?;
        store::hint_at_other_issuers(&mut db, Operator::checking(), &self.expected.issuer).await
    }

    /// Judges the domains that are hinted at. Returns how many hints there were.
    pub async fn round(&self, now: DatabaseTime) -> Result<usize, DomainError> {
        let mut tx = self.pool.begin().await?;
        // One node at a time: two that judge one domain at once could tell its changes in the wrong order.
        if !store::is_our_turn(&mut tx).await? {
            return Ok(0);
        }
        store::hint_at_expired(&mut tx, now, AT_ONCE).await?;
        let hints = store::take_hints(&mut tx, AT_ONCE).await?;
        for hinted in store::list(&mut tx, Operator::checking(), &hints).await? {
            self.judge(&mut tx, &hinted, now).await?;
        }
        tx.commit().await?;
        Ok(hints.len())
    }

    async fn judge(&self, db: &mut PgConnection, hinted: &store::Hinted, now: DatabaseTime) -> Result<(), DomainError> {
        let scope = Operator::checking().scope(hinted.subject.organisation_id);
        let domain = match super::store::find(db, &scope, hinted.subject.domain_id).await {
            Ok(Some(domain)) => domain,
            Ok(None) => return Ok(()),
            // It must not keep the others waiting.
            Err(DomainError::Stored(why)) => {
                tracing::warn!(
                    domain.hostname = hinted.subject.hostname,
                    why,
                    "a status can't be derived"
                );
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let is = status(&domain, &self.expected, now.get());
        store::set_told(db, &scope, domain.id, is, now).await?;
        match hinted.told {
            Told::Status(was) if was != is => {
                let more = json!({ "status": is.as_str(), "previous_status": was.as_str() });
                tell(db, Kind::DomainStatusChanged, &hinted.subject, more, now).await?;
            }
            Told::Status(_) | Told::Unknown => {}
        }
        Ok(())
    }
}
