//! How the domains of an organisation are, all together: how many have which status, and which of them wait for somebody.
//! Reads the projection; what is shown of a named domain is derived from its facts.
mod kept;
pub mod store;

use sqlx::PgConnection;
use uuid::Uuid;

pub use kept::Standings;

use super::{DomainError, status::Status};
use crate::accounts::Scope;

/// How many domains that wait for somebody are named.
const NAMED: usize = 12;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Every status, in the order of [`Status::ALL`].
    pub counts: Vec<(Status, i64)>,
    /// Domains that somebody must do something for.
    pub waiting: i64,
    /// The first few of them, those that have broken before those that have never worked.
    pub named: Vec<Uuid>,
}

impl Standing {
    #[must_use]
    pub fn total(&self) -> i64 {
        self.counts.iter().map(|(_, count)| count).sum()
    }

    #[must_use]
    pub fn count(&self, status: Status) -> i64 {
        let found = self.counts.iter().find(|(other, _)| *other == status);
        found.map_or(0, |(_, count)| *count)
    }

    /// Domains whose devices are answered.
    #[must_use]
    pub fn answering(&self) -> i64 {
        self.count(Status::Active) + self.count(Status::Attention)
    }
}

/// Counts the domains that `scope` may see.
pub async fn find(db: &mut PgConnection, scope: &Scope) -> Result<Standing, DomainError> {
    let counts = store::count(db, scope).await?;
    let of = |status: Status| counts.iter().find(move |count| count.status == status.as_str());
    let mut named: Vec<Uuid> = Vec::new();
    // Those that have broken before those that have never worked.
    for status in [
        Status::Attention,
        Status::PendingOwnership,
        Status::PendingDns,
        Status::PendingCertificate,
        Status::Active,
        Status::Suspended,
    ] {
        let left = NAMED.saturating_sub(named.len());
        if left > 0 && of(status).is_some_and(|count| count.waiting > 0) {
            let limit = i64::try_from(left).unwrap_or(i64::MAX);
            named.extend(store::list_waiting(db, scope, status, limit).await?);
        }
    }
    Ok(Standing {
        counts: Status::ALL
            .map(|status| (status, of(status).map_or(0, |count| count.domains)))
            .into(),
        waiting: counts.iter().map(|count| count.waiting).sum(),
        named,
    })
}
