//! Every statement on persons who are erased.
use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Erasure;
use crate::{accounts::Scope, clock::DatabaseTime, discovery::hit::UserDigest};

/// A person whose requests are being erased.
pub struct Person {
    pub erasure_id: Uuid,
    pub organisation_id: Uuid,
    pub client_id: Option<Uuid>,
    pub user_digest: Vec<u8>,
    pub requested_at: DateTime<Utc>,
}

pub async fn insert(
    db: &mut PgConnection,
    scope: &Scope,
    digest: &UserDigest,
    now: DatabaseTime,
) -> Result<Erasure, sqlx::Error> {
    sqlx::query_as!(
        Erasure,
        "insert into erasures (erasure_id, organisation_id, client_id, user_digest, requested_at) values ($1, $2, $3, $4, $5)
         returning erasure_id as id, requested_at, completed_at, erased_rows",
        Uuid::now_v7(),
        scope.organisation_id(),
        scope.client_id(),
        &digest[..],
        now.get(),
    )
    .fetch_one(db)
    .await
}

/// Newest first, those before `before`.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Erasure>, sqlx::Error> {
    sqlx::query_as!(
        Erasure,
        "select erasure_id as id, requested_at, completed_at, erased_rows from erasures
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and erasure_id < $3
          order by erasure_id desc limit $4",
        scope.organisation_id(),
        scope.client_id(),
        before.unwrap_or(Uuid::max()),
        limit,
    )
    .fetch_all(db)
    .await
}

/// In a transaction that began after the erasure was committed: see `known_at_xid`.
pub async fn note_known(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("update erasures set known_at_xid = pg_current_xact_id() where known_at_xid is null")
        .execute(db)
        .await?;
    Ok(())
}

pub async fn list_open(db: &mut PgConnection) -> Result<Vec<Person>, sqlx::Error> {
    sqlx::query_as!(
        Person,
        "select erasure_id, organisation_id, client_id, user_digest, requested_at
           from erasures where completed_at is null order by erasure_id"
    )
    .fetch_all(db)
    .await
}

/// Whether every transaction has ended that may have shipped without knowing of it.
pub async fn is_known_to_all(db: &mut PgConnection, erasure_id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(known_at_xid < pg_snapshot_xmin(pg_current_snapshot()), false) as "is_known!"
             from erasures where erasure_id = $1"#,
        erasure_id,
    )
    .fetch_optional(db)
    .await
    .map(|is_known| is_known.unwrap_or(false))
}

pub async fn add_erased(db: &mut PgConnection, erasure_id: Uuid, rows: u64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update erasures set erased_rows = erased_rows + $2 where erasure_id = $1 and $2::bigint > 0",
        erasure_id,
        i64::try_from(rows).unwrap_or(i64::MAX),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn complete(db: &mut PgConnection, erasure_id: Uuid, now: DatabaseTime) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update erasures set completed_at = $2 where erasure_id = $1 and completed_at is null",
        erasure_id,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete_before(db: &mut PgConnection, before: DatabaseTime) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from erasures e
          where e.completed_at is not null and e.requested_at < $1
             or not exists (select from organisations o where o.organisation_id = e.organisation_id)",
        before.get()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The first day that has a partition.
pub async fn first_day(db: &mut PgConnection) -> Result<Option<NaiveDate>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select min(to_date(substr(c.relname, 10), 'YYYYMMDD')) as "day"
             from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = 'requests'::regclass and c.relname ~ '^requests_[0-9]{8}$'"#
    )
    .fetch_one(db)
    .await
}

/// Within one day: there is no index by person, and a day is soon looked through.
pub async fn delete_of_person(
    db: &mut PgConnection,
    person: &Person,
    (from, until): (DateTime<Utc>, DateTime<Utc>),
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from requests
          where organisation_id = $1 and at >= $4 and at < $5 and user_digest = $3
            and request_id = any(array(
                select request_id from requests
                 where organisation_id = $1 and ($2::uuid is null or client_id = $2) and user_digest = $3
                   and at >= $4 and at < $5
                 limit $6))",
        person.organisation_id,
        person.client_id,
        person.user_digest,
        from,
        until,
        limit,
    );
    Ok(deleted.execute(db).await?.rows_affected())
}
