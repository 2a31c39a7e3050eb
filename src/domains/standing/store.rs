//! Every statement on domains that are looked at together.
use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{accounts::Scope, clock::DatabaseTime, domains::DomainError};

/// Domains that are alike in everything that status and next step follow from.
#[expect(
    clippy::struct_excessive_bools,
    reason = "one column each, as the database groups by them"
)]
pub struct Group {
    pub connection: String,
    pub is_suspended: bool,
    pub ownership_proof: Option<String>,
    pub takes_over: bool,
    pub is_proof_missing: bool,
    pub is_contested: bool,
    /// Devices reached us at the last look.
    pub is_connected: bool,
    pub was_connected: bool,
    /// What was seen where devices do not reach us; where they do, it is read of one of the group.
    pub observed: Option<Value>,
    /// None: there is no certificate.
    pub is_expired: Option<bool>,
    /// Of a certificate that can't be obtained: whether the domain's people can mend it.
    pub is_failure_theirs: Option<bool>,
    pub count: i64,
    /// The first few.
    pub domain_ids: Vec<Uuid>,
}

impl Group {
    /// The domain whose connection stands for the others'.
    #[must_use]
    pub fn example(&self) -> Option<Uuid> {
        self.domain_ids.first().copied().filter(|_| self.is_connected)
    }
}

pub async fn group(
    db: &mut PgConnection,
    scope: &Scope,
    client_id: Option<Uuid>,
    issuer: &str,
    now: DatabaseTime,
) -> Result<Vec<Group>, DomainError> {
    let groups = sqlx::query_as!(
        Group,
        r#"select d.connection,
                  coalesce(d.suspended_at, o.suspended_at) is not null as "is_suspended!",
                  d.ownership_proof,
                  d.takes_over_at is not null as "takes_over!",
                  k.ownership_missing_since is not null as "is_proof_missing!",
                  exists(select from domains x
                          where x.hostname = d.hostname and x.takes_over_at is not null and x.domain_id <> d.domain_id) as "is_contested!",
                  coalesce(k.connected_at = k.connection_checked_at, false) as "is_connected!",
                  k.connected_at is not null as "was_connected!",
                  case when d.ownership_verified_at is not null and k.connected_at is distinct from k.connection_checked_at
                       then k.connection_observed end as observed,
                  c.not_after <= $5 as is_expired,
                  case when c.domain_id is null and d.ownership_verified_at is not null then (
                       select coalesce((l.failure ->> 'is_theirs')::boolean, false)
                         from certificate_leases l
                        where l.hostname = d.hostname and l.issuer = $4 and l.failure is not null) end as is_failure_theirs,
                  count(*) as "count!",
                  (array_agg(d.domain_id))[1:20] as "domain_ids!"
             from domains d
             join organisations o using (organisation_id)
             join domain_checks k using (domain_id)
             left join certificates c on c.organisation_id = d.organisation_id and c.issuer = $4 and c.domain_id = d.domain_id
            where d.organisation_id = $1 and ($2::uuid is null or d.client_id = $2)
              and ($3::uuid is null or d.client_id = $3)
            group by 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"#,
        scope.organisation_id(),
        scope.client_id(),
        client_id,
        issuer,
        now.get(),
    )
    .fetch_all(db)
    .await?;
    Ok(groups)
}

/// What was seen of these; the ids come from [`group`].
pub(super) async fn list_observations(
    db: &mut PgConnection,
    scope: &Scope,
    domain_ids: &[Uuid],
) -> Result<Vec<(Uuid, Value)>, DomainError> {
    let rows = sqlx::query!(
        r#"select k.domain_id, k.connection_observed as "observed!"
             from domain_checks k join domains d using (domain_id)
            where d.organisation_id = $1 and ($2::uuid is null or d.client_id = $2)
              and k.domain_id = any($3) and k.connection_observed is not null"#,
        scope.organisation_id(),
        scope.client_id(),
        domain_ids,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.domain_id, row.observed)).collect())
}

/// A certificate, and when it will be renewed.
pub struct Renewal {
    pub hostname: String,
    pub renews_at: DateTime<Utc>,
    pub not_after: DateTime<Utc>,
}

/// Those that are renewed next.
pub async fn list_renewals(
    db: &mut PgConnection,
    scope: &Scope,
    issuer: &str,
    limit: i64,
) -> Result<Vec<Renewal>, sqlx::Error> {
    sqlx::query_as!(
        Renewal,
        "select c.hostname, c.renews_at, c.not_after
           from certificates c
          where c.organisation_id = $1 and c.issuer = $3 and c.domain_id is not null
            and ($2::uuid is null or exists(select from domains d where d.domain_id = c.domain_id and d.client_id = $2))
          order by c.renews_at limit $4",
        scope.organisation_id(),
        scope.client_id(),
        issuer,
        limit,
    )
    .fetch_all(db)
    .await
}

/// A certificate that could not be obtained.
pub struct Failing {
    pub hostname: String,
    pub message: Option<String>,
    pub remedy: Option<String>,
    /// When it is tried again.
    pub due_at: DateTime<Utc>,
}

pub async fn list_failing(
    db: &mut PgConnection,
    scope: &Scope,
    issuer: &str,
    limit: i64,
) -> Result<Vec<Failing>, sqlx::Error> {
    sqlx::query_as!(
        Failing,
        "select l.hostname, l.failure ->> 'message' as message, l.failure ->> 'remedy' as remedy, l.due_at
           from certificate_leases l join domains d using (hostname)
          where l.issuer = $3 and l.failure is not null and d.ownership_verified_at is not null
            and d.organisation_id = $1 and ($2::uuid is null or d.client_id = $2)
          order by l.due_at, l.hostname limit $4",
        scope.organisation_id(),
        scope.client_id(),
        issuer,
        limit,
    )
    .fetch_all(db)
    .await
}
