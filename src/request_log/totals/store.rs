//! Every statement on totals, and on the counts of single domains as plots need them.
use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{Count, Step, TotalKey};
use crate::{accounts::Scope, request_log::Filter};

/// In the order of the key, so that two nodes that count the same can't deadlock.
pub async fn add(db: &mut PgConnection, totals: &HashMap<TotalKey, i64>) -> Result<(), sqlx::Error> {
    let mut keys: Vec<_> = totals.iter().collect();
    keys.sort();
    sqlx::query!(
        "insert into request_totals as t (organisation_id, client_id, hour, model_family, outcome, count)
         select * from unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::bigint[])
             on conflict on constraint request_totals_pkey do update set count = t.count + excluded.count",
        &keys.iter().map(|(key, _)| key.organisation_id).collect::<Vec<_>>(),
        &keys.iter().map(|(key, _)| key.client_id).collect::<Vec<_>>(),
        &keys.iter().map(|(key, _)| key.hour).collect::<Vec<_>>(),
        &keys.iter().map(|(key, _)| key.model_family.clone()).collect::<Vec<_>>(),
        &keys.iter().map(|(key, _)| key.outcome.clone()).collect::<Vec<_>>(),
        &keys.iter().map(|(_, count)| **count).collect::<Vec<_>>(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Counts by model family of each step from `since` to before `until`, which are full hours. Of one domain if the
/// filter names its hostname.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
    (since, until): (DateTime<Utc>, DateTime<Utc>),
    step: Step,
) -> Result<Vec<Count>, sqlx::Error> {
    match &filter.hostname {
        Some(hostname) => of_domain(db, scope, (filter, hostname), (since, until), step).await,
        None => of_many(db, scope, filter, (since, until), step).await,
    }
}

async fn of_many(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
    (since, until): (DateTime<Utc>, DateTime<Utc>),
    step: Step,
) -> Result<Vec<Count>, sqlx::Error> {
    sqlx::query_as!(
        Count,
        r#"select date_trunc($7, hour, 'UTC') as "at!", model_family, sum(count)::bigint as "count!"
             from request_totals
            where organisation_id = $1 and client_id = coalesce($3::uuid, $2::uuid, '00000000-0000-0000-0000-000000000000'::uuid)
              and ($2::uuid is null or client_id = $2)
              and hour >= $4 and hour < $5
              and ($6::text is null or model_family = $6)
              and ($8::text is null or outcome = $8)
            group by 1, 2 order by 1, 2"#,
        scope.organisation_id(),
        scope.client_id(),
        filter.client_id,
        since,
        until,
        filter.model_family,
        step.as_str(),
        filter.outcome,
    )
    .fetch_all(db)
    .await
}

async fn of_domain(
    db: &mut PgConnection,
    scope: &Scope,
    (filter, hostname): (&Filter, &str),
    (since, until): (DateTime<Utc>, DateTime<Utc>),
    step: Step,
) -> Result<Vec<Count>, sqlx::Error> {
    sqlx::query_as!(
        Count,
        r#"select date_trunc($7, hour, 'UTC') as "at!", model_family, sum(count)::bigint as "count!"
             from request_counts
            where organisation_id = $1 and ($2::uuid is null or client_id = $2)
              and ($3::uuid is null or client_id = $3)
              and hour >= $4 and hour < $5
              and ($6::text is null or model_family = $6)
              and ($8::text is null or outcome = $8)
              and hostname = $9
            group by 1, 2 order by 1, 2"#,
        scope.organisation_id(),
        scope.client_id(),
        filter.client_id,
        since,
        until,
        filter.model_family,
        step.as_str(),
        filter.outcome,
        hostname,
    )
    .fetch_all(db)
    .await
}

/// The hour in which each of these hostnames was asked for last; those that nobody asked for are left out. One look
/// into an index for each, however many requests there were.
pub async fn last_hours(
    db: &mut PgConnection,
    scope: &Scope,
    hostnames: &[String],
) -> Result<HashMap<String, DateTime<Utc>>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select h.hostname as "hostname!", last.hour
             from unnest($3::text[]) as h (hostname)
            cross join lateral (
                  select hour from request_counts c
                   where c.organisation_id = $1 and c.hostname = h.hostname and ($2::uuid is null or c.client_id = $2)
                   order by hour desc limit 1) last"#,
        scope.organisation_id(),
        scope.client_id(),
        hostnames,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.hostname, row.hour)).collect())
}
