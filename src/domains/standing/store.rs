//! Every statement on domains that are looked at together.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    accounts::Scope,
    domains::{DomainError, status::Status},
};

/// Domains with one status.
pub struct Count {
    pub status: String,
    pub domains: i64,
    /// Of these, domains whose next action is the client's or the MSP's.
    pub waiting: i64,
}

/// Counts the domains that `scope` may see by status.
pub async fn count(db: &mut PgConnection, scope: &Scope) -> Result<Vec<Count>, DomainError> {
    let statuses = Status::ALL.map(|status| status.as_str().to_owned());
    let counts = match scope.client_id() {
        None => {
            sqlx::query_as!(
                Count,
                r#"select s.status as "status!", c.domains as "domains!", c.waiting as "waiting!"
                     from unnest($2::text[]) as s (status)
                    cross join lateral (
                          select count(*) as domains,
                                 count(*) filter (where next_action_by in ('client', 'msp')) as waiting
                            from domain_statuses d where d.organisation_id = $1 and d.status = s.status) c"#,
                scope.organisation_id(),
                &statuses,
            )
            .fetch_all(db)
            .await?
        }
        Some(client_id) => {
            sqlx::query_as!(
                Count,
                r#"select s.status as "status!", c.domains as "domains!", c.waiting as "waiting!"
                     from unnest($2::text[]) as s (status)
                    cross join lateral (
                          select count(*) as domains,
                                 count(*) filter (where next_action_by in ('client', 'msp')) as waiting
                            from domain_statuses d
                           where d.organisation_id = $1 and d.client_id = $3 and d.status = s.status) c"#,
                scope.organisation_id(),
                &statuses,
                client_id,
            )
            .fetch_all(db)
            .await?
        }
    };
    Ok(counts)
}

/// Returns the first domains with this status whose next action is the client's or the MSP's.
pub async fn list_waiting(
    db: &mut PgConnection,
    scope: &Scope,
    status: Status,
    limit: i64,
) -> Result<Vec<Uuid>, DomainError> {
    let waiting = match scope.client_id() {
        None => {
            sqlx::query_scalar!(
                "select domain_id from domain_statuses
                  where organisation_id = $1 and status = $2 and next_action_by in ('client', 'msp')
                  order by hostname limit $3",
                scope.organisation_id(),
                status.as_str(),
                limit,
            )
            .fetch_all(db)
            .await?
        }
        Some(client_id) => {
            sqlx::query_scalar!(
                "select domain_id from domain_statuses
                  where organisation_id = $1 and client_id = $4 and status = $2 and next_action_by in ('client', 'msp')
                  order by hostname limit $3",
                scope.organisation_id(),
                status.as_str(),
                limit,
                client_id,
            )
            .fetch_all(db)
            .await?
        }
    };
    Ok(waiting)
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
    match scope.client_id() {
        None => {
            sqlx::query_as!(
                Renewal,
                "select c.hostname, c.renews_at, c.not_after
                   from certificates c
                  where c.organisation_id = $1 and c.issuer = $2 and c.domain_id is not null
                  order by c.renews_at limit $3",
                scope.organisation_id(),
                issuer,
                limit,
            )
            .fetch_all(db)
            .await
        }
        Some(client_id) => {
            sqlx::query_as!(
                Renewal,
                r#"select c.hostname as "hostname!", c.renews_at as "renews_at!", c.not_after as "not_after!"
                     from domains d
                    cross join lateral (
                          select * from certificates x where x.domain_id = d.domain_id and x.issuer = $2 limit 1) c
                    where d.organisation_id = $1 and d.client_id = $4
                    order by c.renews_at limit $3"#,
                scope.organisation_id(),
                issuer,
                limit,
                client_id,
            )
            .fetch_all(db)
            .await
        }
    }
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
           from certificate_leases l
          cross join lateral (
                select x.client_id from domains x
                 where x.organisation_id = $1 and x.hostname = l.hostname and x.ownership_verified_at is not null limit 1) d
          where l.issuer = $3 and l.failure is not null and ($2::uuid is null or d.client_id = $2)
          order by l.due_at, l.hostname limit $4",
        scope.organisation_id(),
        scope.client_id(),
        issuer,
        limit,
    )
    .fetch_all(db)
    .await
}
