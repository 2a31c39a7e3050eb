//! Every statement on summaries.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::step;
use crate::{
    accounts::Scope,
    request_log::{Group, SummaryRow},
};

pub async fn of_domains(
    db: &mut PgConnection,
    scope: &Scope,
    groups: &[Group],
    (since, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<SummaryRow>, sqlx::Error> {
    sqlx::query_as!(
        SummaryRow,
        r#"select case when $3 then model_family end as model_family,
                  hostname,
                  case when $4 then outcome end as outcome,
                  date_trunc($5, hour, 'UTC') as time,
                  sum(count)::bigint as "count!"
             from request_counts
            where organisation_id = $1 and ($2::uuid is null or client_id = $2)
              and hour >= $6 and hour < $7
            group by 1, 2, 3, 4"#,
        scope.organisation_id(),
        scope.client_id(),
        groups.contains(&Group::ModelFamily),
        groups.contains(&Group::Outcome),
        step(groups),
        since,
        until,
    )
    .fetch_all(db)
    .await
}

pub async fn of_totals(
    db: &mut PgConnection,
    scope: &Scope,
    groups: &[Group],
    (since, until): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Vec<SummaryRow>, sqlx::Error> {
    sqlx::query_as!(
        SummaryRow,
        r#"select case when $3 then model_family end as model_family,
                  null as hostname,
                  case when $4 then outcome end as outcome,
                  date_trunc($5, hour, 'UTC') as time,
                  sum(count)::bigint as "count!"
             from request_totals
            where organisation_id = $1 and client_id = coalesce($2::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
              and hour >= $6 and hour < $7
            group by 1, 3, 4"#,
        scope.organisation_id(),
        scope.client_id(),
        groups.contains(&Group::ModelFamily),
        groups.contains(&Group::Outcome),
        step(groups),
        since,
        until,
    )
    .fetch_all(db)
    .await
}
