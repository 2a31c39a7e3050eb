//! Every statement on partitions, and on what is over.
use chrono::{DateTime, Days, NaiveDate, Utc};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::clock::DatabaseTime;

/// Makes the partition of a day if it is not there. Nodes that make the same one take turns. It is made beside the others
/// and then attached: that holds up neither reading nor writing, which making it in its place would.
pub async fn ensure(db: &mut PgConnection, day: NaiveDate) -> Result<(), sqlx::Error> {
    let name = format!("requests_{}", day.format("%Y%m%d"));
    if exists(db, &name).await? {
        return Ok(());
    }
    sqlx::query!("lock table requests in share update exclusive mode")
        .execute(&mut *db)
        .await?;
    if exists(db, &name).await? {
        return Ok(());
    }
    let next = day.checked_add_days(Days::new(1)).unwrap_or(day);
    // Nothing in them comes from outside: a date, twice.
    for statement in [
        format!("create table {name} (like requests including defaults)"),
        format!(
            "alter table requests attach partition {name} for values from ('{day} 00:00+00') to ('{next} 00:00+00')"
        ),
    ] {
        sqlx::query(AssertSqlSafe(statement)).execute(&mut *db).await?;
    }
    Ok(())
}

async fn exists(db: &mut PgConnection, name: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(r#"select to_regclass($1) is not null as "exists!""#, name)
        .fetch_one(db)
        .await
}

/// The names of all, the oldest first.
pub async fn list(db: &mut PgConnection) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select c.relname::text as "name!"
             from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'requests'::regclass order by 1"#
    )
    .fetch_all(db)
    .await
}

/// Fails after a moment if anybody uses requests, and holds nobody up for longer.
pub async fn drop_now(db: &mut PgConnection, name: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("set local lock_timeout = '100ms'")
        .execute(&mut *db)
        .await?;
    // First what everybody takes first: nobody who writes to this day is met half-way.
    sqlx::query!("lock table only requests in access exclusive mode")
        .execute(&mut *db)
        .await?;
    // The name is one that `list` found. Another node may have been quicker.
    sqlx::query(AssertSqlSafe(format!("drop table if exists {name}")))
        .execute(db)
        .await?;
    Ok(())
}

/// Moves the retention towards the database's time, by `days` at most. Returns up to when requests are deleted.
pub async fn move_retention(db: &mut PgConnection, days: i32) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(
        "update request_log_retention
              set as_of = case when now() - as_of > $1 * interval '1 day' then as_of + $1 * interval '1 day' else now() end
        returning as_of",
        f64::from(days),
    )
    .fetch_one(db)
    .await
}

/// Days for which the organisation that keeps its requests for longest keeps them.
pub async fn longest_kept(db: &mut PgConnection) -> Result<i32, sqlx::Error> {
    sqlx::query_scalar!(r#"select coalesce(max(request_days), 0) as "days!" from organisations"#)
        .fetch_one(db)
        .await
}

/// Organisations with rows that are older than they keep them, and since when.
pub async fn list_over(db: &mut PgConnection, now: DatabaseTime) -> Result<Vec<(Uuid, DateTime<Utc>)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"select o.organisation_id, b.before as "before!"
             from organisations o
            cross join lateral (select $1::timestamptz - make_interval(days => o.request_days) as before) b
            where exists (select from requests r where r.organisation_id = o.organisation_id and r.at < b.before)"#,
        now.get(),
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.organisation_id, row.before)).collect())
}

/// Rows of unknown domains before `before`, `limit` of them at most.
pub async fn delete_strangers(db: &mut PgConnection, before: DatabaseTime, limit: i64) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "with batch as materialized (
              select request_id, at from requests where organisation_id is null and at < $1 order by request_id limit $2)
         delete from requests
          where organisation_id is null and request_id = any(array(select request_id from batch))
            and at >= (select min(at) from batch) and at <= (select max(at) from batch)",
        before.get(),
        limit,
    );
    Ok(deleted.execute(db).await?.rows_affected())
}

pub async fn delete_counts(db: &mut PgConnection, before: DatabaseTime, limit: i64) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from request_counts
          where ctid = any(array(select ctid from request_counts where hour < $1 order by hour limit $2 for update skip locked))",
        before.get(),
        limit,
    );
    Ok(deleted.execute(db).await?.rows_affected())
}

pub async fn delete_totals(db: &mut PgConnection, before: DatabaseTime, limit: i64) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from request_totals
          where ctid = any(array(select ctid from request_totals where hour < $1 order by hour limit $2 for update skip locked))",
        before.get(),
        limit,
    );
    Ok(deleted.execute(db).await?.rows_affected())
}
