//! Every statement of the demo: what a domain would be like had it been here for a while.
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{accounts::Scope, domains::connection::Observation};

/// When things happened to a domain.
pub struct Past {
    pub created_at: DateTime<Utc>,
    pub suspended_at: Option<DateTime<Utc>>,
}

pub async fn update_past(
    db: &mut PgConnection,
    scope: &Scope,
    domain_id: Uuid,
    past: &Past,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update domains
            set created_at = $3::timestamptz, suspended_at = $4,
                ownership_verified_at = case when ownership_verified_at is not null then $3::timestamptz + interval '2 hours' end
          where organisation_id = $1 and domain_id = $2",
        scope.organisation_id(),
        domain_id,
        past.created_at,
        past.suspended_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What the last look saw. There is no next one before somebody asks: it would see that there is nothing.
pub async fn update_seen(
    db: &mut PgConnection,
    scope: &Scope,
    domain_id: Uuid,
    observation: &Observation,
    (checked_at, connected_at): (DateTime<Utc>, Option<DateTime<Utc>>),
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update domain_checks
            set connection_observed = $3, connection_checked_at = $4, connected_at = $5, due_at = null, lease_until = null,
                epoch = epoch + 1
           from domains d
          where d.organisation_id = $1 and d.domain_id = $2 and domain_checks.domain_id = d.domain_id",
        scope.organisation_id(),
        domain_id,
        Json(observation) as _,
        checked_at,
        connected_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Until when there are requests of a hostname that were made up, by the networks that they are said to come from; if none
/// is kept any more, until when any were counted.
pub async fn find_last_request(
    db: &mut PgConnection,
    scope: &Scope,
    hostname: &str,
    networks: &[String],
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(
               (select max(at) from requests where organisation_id = $1 and hostname = $2 and client_network = any($3)),
               (select max(hour) + interval '1 hour' from request_counts where organisation_id = $1 and hostname = $2))"#,
        scope.organisation_id(),
        hostname,
        networks,
    )
    .fetch_one(db)
    .await
}
