//! Standings that are kept for a moment, in memory: of many domains they take longer than a page may.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Standing, find};
use crate::{accounts::Scope, clock::DatabaseTime, domains::DomainError};

/// Whoever has fewer domains always sees how they are now.
const MANY: i64 = 20_000;
const KEPT: TimeDelta = TimeDelta::seconds(10);

/// An organisation, and the client that the looker is limited to.
type Whose = (Uuid, Option<Uuid>);
type Kept = (DateTime<Utc>, Arc<Standing>);

#[derive(Default)]
pub struct Standings {
    kept: Mutex<HashMap<Whose, Kept>>,
}

impl Standings {
    /// How the domains that `scope` may see are; of many, how they were at most ten seconds ago.
    pub async fn find(
        &self,
        db: &mut PgConnection,
        scope: &Scope,
        now: DatabaseTime,
    ) -> Result<Arc<Standing>, DomainError> {
        let whose = (scope.organisation_id(), scope.client_id());
        let is_fresh = |at: &DateTime<Utc>| now - *at < KEPT;
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&whose)
            .cloned();
        if let Some((_, standing)) = kept.filter(|(at, _)| is_fresh(at)) {
            return Ok(standing);
        }
        let standing = Arc::new(find(db, scope).await?);
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (at, _)| is_fresh(at));
        if standing.total() >= MANY {
            all.insert(whose, (now.get(), standing.clone()));
        }
        Ok(standing)
    }
}
