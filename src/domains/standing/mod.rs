//! How the domains of an organisation are, all together: how many have which status, and which of them wait for somebody.
//!
//! A status is derived from many facts, and a page that shows 10,000 domains must not read them all. The database groups
//! domains that are alike in everything that their status follows from; one of each group is judged.
mod kept;
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

pub use kept::Standings;

use super::{
    CertificateFacts, Connection, Domain, DomainError, Obtaining, Seen,
    certified::Failed,
    connection::{Expected, Observation},
    next_action::{Who, next_action},
    ownership::{
        claims::{Claim, Rival, Verification},
        proof::Proof,
    },
    policy::{Action, Policy},
    status::{Status, status},
};
use crate::{accounts::Scope, clock::DatabaseTime};

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

/// Of the domains that `scope` may see, of one client if `client_id` says so.
pub async fn find(
    db: &mut PgConnection,
    scope: &Scope,
    client_id: Option<Uuid>,
    expected: &Expected,
    now: DatabaseTime,
) -> Result<Standing, DomainError> {
    let mut groups = store::group(db, scope, client_id, &expected.issuer, now).await?;
    let examples: Vec<Uuid> = groups.iter().filter_map(store::Group::example).collect();
    for (domain_id, observed) in store::list_observations(db, scope, &examples).await? {
        let of_it = groups.iter_mut().filter(|group| group.example() == Some(domain_id));
        of_it.for_each(|group| group.observed = Some(observed.clone()));
    }
    let judged = groups.into_iter().map(|group| judge(group, expected, now.get()));
    Ok(add_up(judged.collect::<Result<_, _>>()?))
}

/// A group, and what its domains have in common.
struct Judged {
    status: Status,
    who: Option<Who>,
    count: i64,
    domain_ids: Vec<Uuid>,
}

fn add_up(mut groups: Vec<Judged>) -> Standing {
    let count = |status| {
        let own = groups.iter().filter(|group| group.status == status);
        (status, own.map(|group| group.count).sum())
    };
    let counts = Status::ALL.into_iter().map(count).collect();
    groups.retain(|group| matches!(group.who, Some(Who::Client | Who::Msp)));
    groups.sort_by_key(|group| group.status != Status::Attention);
    Standing {
        counts,
        waiting: groups.iter().map(|group| group.count).sum(),
        named: groups
            .into_iter()
            .flat_map(|group| group.domain_ids)
            .take(NAMED)
            .collect(),
    }
}

fn judge(group: store::Group, expected: &Expected, now: DateTime<Utc>) -> Result<Judged, DomainError> {
    let (count, domain_ids) = (group.count, group.domain_ids.clone());
    let domain = example(group, expected, now)?;
    Ok(Judged {
        status: status(&domain, expected, now),
        who: next_action(&domain, expected, now).map(|action| action.who),
        count,
        domain_ids,
    })
}

/// A domain with the facts of the group, and nothing else that would matter.
fn example(group: store::Group, expected: &Expected, now: DateTime<Utc>) -> Result<Domain, DomainError> {
    let connection = Connection::parse(&group.connection)
        .ok_or_else(|| DomainError::Stored(format!("connection {}", group.connection)))?;
    let method = super::ownership::store::verification(
        group.ownership_proof.as_ref().map(|_| now),
        group.ownership_proof.as_deref(),
    )?;
    let when = |is_so: bool| is_so.then_some(now);
    Ok(Domain {
        id: Uuid::nil(),
        hostname: String::new(),
        client_id: Uuid::nil(),
        connection,
        website_url: None,
        policy: Policy {
            default: Action::Defer {},
            rules: Vec::new(),
        },
        ownership_key: Vec::new(),
        claim: Claim {
            verification: method.map(|Verification { method, .. }| Verification { at: now, method }),
            takes_over_at: when(group.takes_over),
            is_suspended: group.is_suspended,
            proof: Proof {
                missing_since: when(group.is_proof_missing),
                ..Proof::default()
            },
        },
        rival: Rival::default(),
        contested_until: when(group.is_contested),
        seen: Seen {
            observation: group
                .observed
                .and_then(|json| serde_json::from_value::<Observation>(json).ok()),
            connected_at: when(group.was_connected),
            ..Seen::default()
        },
        tenant_ids: Vec::new(),
        suspended_at: when(group.is_suspended),
        certificates: group
            .is_expired
            .map(|is_expired| certificate(is_expired, expected, now))
            .into_iter()
            .collect(),
        obtaining: group
            .is_failure_theirs
            .map(|is_theirs| failing(is_theirs, expected, now))
            .into_iter()
            .collect(),
        served: Vec::new(),
        created_at: now,
        updated_at: now,
    })
}

fn certificate(is_expired: bool, expected: &Expected, now: DateTime<Utc>) -> CertificateFacts {
    CertificateFacts {
        issuer: expected.issuer.clone(),
        not_before: now,
        not_after: if is_expired { now } else { now + TimeDelta::days(1) },
        renews_at: now,
        explanation_url: None,
    }
}

fn failing(is_theirs: bool, expected: &Expected, now: DateTime<Utc>) -> Obtaining {
    Obtaining {
        issuer: expected.issuer.clone(),
        due_at: now,
        failure: Some(Failed {
            code: String::new(),
            message: String::new(),
            remedy: String::new(),
            at: now,
            is_theirs,
            ca: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: Status, who: Option<Who>, count: i64, ids: u128) -> Judged {
        Judged {
            status,
            who,
            count,
            domain_ids: (0..ids).map(Uuid::from_u128).collect(),
        }
    }

    #[test]
    fn what_has_broken_is_named_before_what_has_never_worked_and_what_waits_for_us_is_not_named() {
        let standing = add_up(vec![
            judged(Status::PendingDns, Some(Who::Client), 50, 20),
            judged(Status::PendingDns, Some(Who::Signpost), 7, 7),
            judged(Status::Active, None, 9_000, 20),
            judged(Status::Attention, Some(Who::Msp), 2, 2),
        ]);
        assert_eq!((standing.total(), standing.waiting), (9_059, 52));
        assert_eq!((standing.count(Status::PendingDns), standing.answering()), (57, 9_002));
        assert_eq!(standing.named.len(), NAMED);
        assert_eq!(standing.named[..3], [0, 1, 0].map(Uuid::from_u128));
        assert_eq!(add_up(Vec::new()).total(), 0);
    }
}
