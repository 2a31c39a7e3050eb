//! Every statement on the request log.
use std::{
    borrow::Cow,
    cmp::Ordering,
    collections::{BTreeMap, HashMap},
};

use chrono::{DateTime, Days, NaiveDate, Utc};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::{
    Filter, Group, Request, SummaryRow,
    batch::{CountKey, time},
    record::{Label, Row},
    totals,
};
use crate::{accounts::Scope, outbox::event::Subject};

/// Makes the partition of a day if it is not there. Nodes that make the same one take turns.
pub async fn ensure_partition(db: &mut PgConnection, day: NaiveDate) -> Result<(), sqlx::Error> {
    let name = partition_name(day);
    let exists = sqlx::query_scalar!(r#"select to_regclass($1) is not null as "exists!""#, name)
        .fetch_one(&mut *db)
        .await?;
    if exists {
        return Ok(());
    }
    sqlx::query!("lock table requests in share update exclusive mode")
        .execute(&mut *db)
        .await?;
    let next = day.checked_add_days(Days::new(1)).unwrap_or(day);
    let statement = format!(
        "create table if not exists {name} partition of requests for values from ('{day} 00:00+00') to ('{next} 00:00+00')"
    );
    // Nothing in it comes from outside: a date, twice.
    sqlx::query(AssertSqlSafe(statement)).execute(db).await?;
    Ok(())
}

fn partition_name(day: NaiveDate) -> String {
    format!("requests_{}", day.format("%Y%m%d"))
}

/// Drops the partitions of days before `day`. Returns how many.
pub async fn drop_partitions_before(db: &mut PgConnection, day: NaiveDate) -> Result<usize, sqlx::Error> {
    let names = sqlx::query_scalar!(
        r#"select c.relname::text as "name!"
             from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'requests'::regclass and c.relname < $1
            order by 1"#,
        partition_name(day),
    )
    .fetch_all(&mut *db)
    .await?;
    for name in &names {
        // The name is one that `ensure_partition` made.
        sqlx::query(AssertSqlSafe(format!("drop table {name}")))
            .execute(&mut *db)
            .await?;
    }
    Ok(names.len())
}

/// Deletes what is older than its organisation keeps it, where that is less than a partition stays.
pub async fn delete_sooner(db: &mut PgConnection, now: DateTime<Utc>) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from requests r using organisations o
          where o.request_days < 30 and r.organisation_id = o.organisation_id
            and r.at < $1::timestamptz - make_interval(days => o.request_days)",
        now
    );
    Ok(deleted.execute(db).await?.rows_affected())
}

pub async fn insert_requests(db: &mut PgConnection, rows: &[(Uuid, Row<'_>)]) -> Result<(), sqlx::Error> {
    let column = |of: fn(&(Uuid, Row<'_>)) -> String| rows.iter().map(of).collect::<Vec<_>>();
    let owner = |of: fn(&super::record::Owner) -> Uuid| {
        rows.iter()
            .map(|(_, row)| row.owner.as_ref().map(of))
            .collect::<Vec<_>>()
    };
    sqlx::query!(
        "insert into requests (request_id, at, organisation_id, client_id, domain_id, hostname, model_family,
                               user_digest, outcome, status, mdm_server_id, user_agent, client_network, tls)
         select * from unnest($1::uuid[], $2::timestamptz[], $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::text[],
                              $8::bytea[], $9::text[], $10::smallint[], $11::uuid[], $12::text[], $13::text[], $14::text[])",
        &rows.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        &rows.iter().map(|(_, row)| time(row.at)).collect::<Vec<_>>(),
        &owner(|owner| owner.organisation_id) as &[Option<Uuid>],
        &owner(|owner| owner.client_id) as &[Option<Uuid>],
        &owner(|owner| owner.domain_id) as &[Option<Uuid>],
        &column(|(_, row)| row.hostname.clone().into_owned()),
        &column(|(_, row)| row.model_family.clone().into_owned()),
        &rows.iter().map(|(_, row)| row.user.map(|user| user.to_vec())).collect::<Vec<_>>() as &[Option<Vec<u8>>],
        &column(|(_, row)| row.outcome.clone().into_owned()),
        &rows.iter().map(|(_, row)| i16::try_from(row.status).unwrap_or_default()).collect::<Vec<_>>(),
        &rows.iter().map(|(_, row)| row.server_id).collect::<Vec<_>>() as &[Option<Uuid>],
        &rows.iter().map(|(_, row)| row.user_agent.clone().map(Cow::into_owned)).collect::<Vec<_>>() as &[Option<String>],
        &column(|(_, row)| row.client_network.to_string()),
        &rows.iter().map(|(_, row)| row.tls.clone().map(Label::into_owned)).collect::<Vec<_>>() as &[Option<String>],
    )
    .execute(db)
    .await?;
    Ok(())
}

/// In the order of the key, so that two nodes that count the same can't deadlock.
pub async fn add_counts(db: &mut PgConnection, counts: &HashMap<CountKey, i64>) -> Result<(), sqlx::Error> {
    let mut keys: Vec<_> = counts.iter().collect();
    keys.sort_by(|(a, _), (b, _)| {
        (a.hour, a.domain_id, &a.model_family, &a.outcome).cmp(&(b.hour, b.domain_id, &b.model_family, &b.outcome))
    });
    sqlx::query!(
        "insert into request_counts as c (hour, organisation_id, client_id, domain_id, hostname, model_family, outcome, count)
         select * from unnest($1::timestamptz[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[], $8::bigint[])
             on conflict on constraint request_counts_pkey do update set count = c.count + excluded.count",
        &keys.iter().map(|(key, _)| key.hour).collect::<Vec<_>>(),
        &keys.iter().map(|(key, _)| key.organisation_id).collect::<Vec<_>>() as &[Option<Uuid>],
        &keys.iter().map(|(key, _)| key.client_id).collect::<Vec<_>>() as &[Option<Uuid>],
        &keys.iter().map(|(key, _)| key.domain_id).collect::<Vec<_>>(),
        &keys.iter().map(|(key, _)| key.hostname.clone()).collect::<Vec<_>>(),
        &keys.iter().map(|(key, _)| key.model_family.clone()).collect::<Vec<_>>(),
        &keys.iter().map(|(key, _)| key.outcome.clone()).collect::<Vec<_>>(),
        &keys.iter().map(|(_, count)| **count).collect::<Vec<_>>(),
    )
    .execute(&mut *db)
    .await?;
    totals::store::add(db, &totals::of(counts)).await
}

/// Notes when domains were asked for first. Returns those of which it was not known: nobody else gets them. In the
/// order of their ids, so that two nodes that ship for the same can't deadlock.
pub async fn insert_first(
    db: &mut PgConnection,
    firsts: &BTreeMap<Uuid, DateTime<Utc>>,
) -> Result<Vec<(Subject, DateTime<Utc>)>, sqlx::Error> {
    let rows = sqlx::query!(
        "with new as (
              insert into first_requests (domain_id, at)
              select f.domain_id, f.at
                from unnest($1::uuid[], $2::timestamptz[]) as f (domain_id, at) join domains d using (domain_id)
               where not exists (select from first_requests r where r.domain_id = f.domain_id)
               order by f.domain_id
                  on conflict do nothing
           returning domain_id, at)
         select new.at, d.organisation_id, d.client_id, d.domain_id, d.hostname from new join domains d using (domain_id)",
        &firsts.keys().copied().collect::<Vec<_>>(),
        &firsts.values().copied().collect::<Vec<_>>(),
    )
    .fetch_all(db)
    .await?;
    let told = rows.into_iter().map(|row| {
        let subject = Subject {
            organisation_id: row.organisation_id,
            client_id: row.client_id,
            domain_id: row.domain_id,
            hostname: row.hostname,
        };
        (subject, row.at)
    });
    Ok(told.collect())
}

/// Newest first, those before `before`.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Request>, sqlx::Error> {
    sqlx::query_as!(
        Request,
        "select request_id as id, at, hostname, model_family, user_digest, outcome, status,
                mdm_server_id as server_id, user_agent, client_network, tls
           from requests
          where organisation_id = $1 and ($2::uuid is null or client_id = $2)
            and ($3::text is null or hostname = $3)
            and ($4::uuid is null or domain_id = $4)
            and ($5::uuid is null or client_id = $5)
            and ($6::text is null or model_family = $6)
            and ($7::text is null or outcome = $7)
            and ($8::timestamptz is null or at >= $8)
            and ($9::timestamptz is null or at < $9)
            and ($10::uuid is null or request_id < $10)
          order by request_id desc limit $11",
        scope.organisation_id(),
        scope.client_id(),
        filter.hostname,
        filter.domain_id,
        filter.client_id,
        filter.model_family,
        filter.outcome,
        filter.since,
        filter.until,
        before,
        limit,
    )
    .fetch_all(db)
    .await
}

/// Counts of the hours from `since` to `until`, grouped and ordered by `groups`.
pub async fn summarise(
    db: &mut PgConnection,
    scope: &Scope,
    groups: &[Group],
    since: DateTime<Utc>,
    until: DateTime<Utc>,
) -> Result<Vec<SummaryRow>, sqlx::Error> {
    let step = match groups.iter().find(|group| matches!(group, Group::Hour | Group::Day)) {
        Some(Group::Hour) => Some("hour"),
        Some(_) => Some("day"),
        None => None,
    };
    let mut rows = sqlx::query_as!(
        SummaryRow,
        r#"select case when $3 then model_family end as model_family,
                  case when $4 then hostname end as hostname,
                  case when $5 then outcome end as outcome,
                  date_trunc($6, hour, 'UTC') as time,
                  sum(count)::bigint as "count!"
             from request_counts
            where organisation_id = $1 and ($2::uuid is null or client_id = $2)
              and hour >= $7 and hour < $8
            group by 1, 2, 3, 4"#,
        scope.organisation_id(),
        scope.client_id(),
        groups.contains(&Group::ModelFamily),
        groups.contains(&Group::Domain),
        groups.contains(&Group::Outcome),
        step,
        since,
        until,
    )
    .fetch_all(db)
    .await?;
    rows.sort_by(|a, b| {
        groups
            .iter()
            .map(|group| group.compare(a, b))
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    });
    Ok(rows)
}
