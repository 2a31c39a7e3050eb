//! Every statement that erases an organisation's rows, or a client's. They find rows by an index and delete a few thousand
//! at most: the times of a batch say in which partitions it lies.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Gone;

/// What it asked before `before`.
pub async fn delete_of_organisation(
    db: &mut PgConnection,
    organisation_id: Uuid,
    before: DateTime<Utc>,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "with batch as materialized (
              select request_id, at from requests where organisation_id = $1 and at < $2 order by request_id limit $3)
         delete from requests
          where organisation_id = $1 and request_id = any(array(select request_id from batch))
            and at >= (select min(at) from batch) and at <= (select max(at) from batch)",
        organisation_id,
        before,
        limit,
    );
    Ok(deleted.execute(db).await?.rows_affected())
}

pub async fn delete_of_client(
    db: &mut PgConnection,
    organisation_id: Uuid,
    client_id: Uuid,
    limit: i64,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "with batch as materialized (
              select request_id, at from requests where organisation_id = $1 and client_id = $2 order by request_id limit $3)
         delete from requests
          where organisation_id = $1 and client_id = $2 and request_id = any(array(select request_id from batch))
            and at >= (select min(at) from batch) and at <= (select max(at) from batch)",
        organisation_id,
        client_id,
        limit,
    );
    Ok(deleted.execute(db).await?.rows_affected())
}

/// Whose totals are there and who is not. From one to the next by the primary key, however many hours each has.
pub async fn list_gone(db: &mut PgConnection) -> Result<Vec<Gone>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with recursive known as (
              (select organisation_id, client_id from request_totals order by organisation_id, client_id limit 1)
              union all
              select next.organisation_id, next.client_id
                from known
               cross join lateral (
                     select t.organisation_id, t.client_id from request_totals t
                      where (t.organisation_id, t.client_id) > (known.organisation_id, known.client_id)
                      order by t.organisation_id, t.client_id limit 1) next)
         select k.organisation_id as "organisation_id!", k.client_id as "client_id!", o.organisation_id is null as "is_organisation_gone!"
           from known k
           left join organisations o on o.organisation_id = k.organisation_id
           left join clients c on c.organisation_id = k.organisation_id and c.client_id = k.client_id
          where c.client_id is null and (k.client_id = '00000000-0000-0000-0000-000000000000') = (o.organisation_id is null)"#
    )
    .fetch_all(db)
    .await?;
    let gone = rows.into_iter().map(|row| match row.is_organisation_gone {
        true => Gone::Organisation(row.organisation_id),
        false => Gone::Client {
            organisation_id: row.organisation_id,
            client_id: row.client_id,
        },
    });
    Ok(gone.collect())
}

pub async fn first_hour(db: &mut PgConnection, gone: Gone) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let (organisation_id, client_id) = match gone {
        Gone::Organisation(id) => (id, Uuid::nil()),
        Gone::Client {
            organisation_id,
            client_id,
        } => (organisation_id, client_id),
    };
    sqlx::query_scalar!(
        "select hour from request_totals where organisation_id = $1 and client_id = $2 order by hour limit 1",
        organisation_id,
        client_id,
    )
    .fetch_optional(db)
    .await
}

/// Of all its clients. Those of the organisation as a whole are among them.
pub async fn delete_totals_of_organisation(
    db: &mut PgConnection,
    organisation_id: Uuid,
    hour: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from request_totals where organisation_id = $1 and hour = $2",
        organisation_id,
        hour
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Takes them off those of the organisation as a whole as well.
pub async fn delete_totals_of_client(
    db: &mut PgConnection,
    organisation_id: Uuid,
    client_id: Uuid,
    hour: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    // In the order in which shipping takes them.
    sqlx::query!(
        "select from request_totals
          where organisation_id = $1 and client_id = '00000000-0000-0000-0000-000000000000' and hour = $2
          order by model_family, outcome for update",
        organisation_id,
        hour
    )
    .fetch_all(&mut *db)
    .await?;
    sqlx::query!(
        "with gone as (
              delete from request_totals where organisation_id = $1 and client_id = $2 and hour = $3
           returning model_family, outcome, count)
         update request_totals t set count = t.count - gone.count
           from gone
          where t.organisation_id = $1 and t.client_id = '00000000-0000-0000-0000-000000000000' and t.hour = $3
            and t.model_family = gone.model_family and t.outcome = gone.outcome",
        organisation_id,
        client_id,
        hour,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Counts, and what rows are left.
pub async fn delete_hour_of_organisation(
    db: &mut PgConnection,
    organisation_id: Uuid,
    hour: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from request_counts where organisation_id = $1 and hour = $2",
        organisation_id,
        hour
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "delete from requests where organisation_id = $1 and at >= $2 and at < $2::timestamptz + interval '1 hour'",
        organisation_id,
        hour,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Counts, and what rows are left.
pub async fn delete_hour_of_client(
    db: &mut PgConnection,
    organisation_id: Uuid,
    client_id: Uuid,
    hour: DateTime<Utc>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from request_counts where organisation_id = $1 and client_id = $2 and hour = $3",
        organisation_id,
        client_id,
        hour
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "delete from requests
          where organisation_id = $1 and client_id = $2 and at >= $3 and at < $3::timestamptz + interval '1 hour'",
        organisation_id,
        client_id,
        hour,
    )
    .execute(db)
    .await?;
    Ok(())
}
