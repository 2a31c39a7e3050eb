//! Every statement on `webhook_deliveries`.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Delivery;
use crate::{
    accounts::{Operator, Scope},
    clock::DatabaseTime,
    webhooks::schedule::{Held, Room},
};

/// One that is to be.
pub struct New {
    pub delivery_id: Uuid,
    pub organisation_id: Uuid,
    pub endpoint_id: Uuid,
    pub event_id: Uuid,
    pub event_type: String,
    pub payload: String,
}

/// One that is this node's to bring.
pub struct Due {
    pub held: Held,
    /// With this one.
    pub attempts: i32,
    pub event_id: Uuid,
    pub payload: String,
    pub url: String,
    pub secret_sealed: Vec<u8>,
    /// While it still signs.
    pub old_secret_sealed: Option<Vec<u8>>,
}

/// What an attempt came to.
pub struct Attempted<'a> {
    pub now: DatabaseTime,
    pub status: Option<i16>,
    pub text: &'a str,
    pub duration_ms: i32,
}

/// An endpoint gets an event once, however often it is handed on.
pub async fn insert(db: &mut PgConnection, new: &[New], now: DatabaseTime) -> Result<(), sqlx::Error> {
    let ids = |of: fn(&New) -> Uuid| new.iter().map(of).collect::<Vec<_>>();
    sqlx::query!(
        "insert into webhook_deliveries (webhook_delivery_id, organisation_id, webhook_endpoint_id, event_id, event_type,
                                         payload, created_at, due_at)
         select n.delivery_id, n.organisation_id, n.endpoint_id, n.event_id, n.event_type, n.payload, $7, $7
           from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[])
             as n (delivery_id, organisation_id, endpoint_id, event_id, event_type, payload)
             on conflict on constraint webhook_deliveries_event_key do nothing",
        &ids(|new| new.delivery_id),
        &ids(|new| new.organisation_id),
        &ids(|new| new.endpoint_id),
        &ids(|new| new.event_id),
        &new.iter().map(|new| new.event_type.clone()).collect::<Vec<_>>(),
        &new.iter().map(|new| new.payload.clone()).collect::<Vec<_>>(),
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Newest first, those before `before`.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    endpoint_id: Uuid,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        "select webhook_delivery_id as id, event_id, event_type, payload, d.created_at, due_at, attempts, attempted_at,
                response_status, response_text, duration_ms, delivered_at, given_up_at
           from webhook_deliveries d
          where organisation_id = $1 and webhook_endpoint_id = $3 and webhook_delivery_id < $4
            and exists (select from webhook_endpoints e
                         where e.organisation_id = $1 and e.webhook_endpoint_id = $3 and ($2::uuid is null or e.client_id = $2))
          order by webhook_delivery_id desc nulls last limit $5",
        scope.organisation_id(),
        scope.client_id(),
        endpoint_id,
        before.unwrap_or(Uuid::max()),
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn find(
    db: &mut PgConnection,
    scope: &Scope,
    (endpoint_id, delivery_id): (Uuid, Uuid),
) -> Result<Option<Delivery>, sqlx::Error> {
    sqlx::query_as!(
        Delivery,
        "select webhook_delivery_id as id, event_id, event_type, payload, d.created_at, due_at, attempts, attempted_at,
                response_status, response_text, duration_ms, delivered_at, given_up_at
           from webhook_deliveries d join webhook_endpoints e using (organisation_id, webhook_endpoint_id)
          where organisation_id = $1 and ($2::uuid is null or e.client_id = $2) and webhook_endpoint_id = $3
            and webhook_delivery_id = $4",
        scope.organisation_id(),
        scope.client_id(),
        endpoint_id,
        delivery_id,
    )
    .fetch_optional(db)
    .await
}

pub async fn count_waiting(db: &mut PgConnection, scope: &Scope, endpoint_id: Uuid) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from webhook_deliveries
            where organisation_id = $1 and webhook_endpoint_id = $2 and delivered_at is null and given_up_at is null"#,
        scope.organisation_id(),
        endpoint_id,
    )
    .fetch_one(db)
    .await
}

/// As if it had never been tried; whoever is at it no longer counts. `false`: it is not there.
pub async fn restart(
    db: &mut PgConnection,
    scope: &Scope,
    (endpoint_id, delivery_id): (Uuid, Uuid),
    now: DatabaseTime,
) -> Result<bool, sqlx::Error> {
    let restarted = sqlx::query!(
        "update webhook_deliveries
            set due_at = $4, lease_until = '-infinity', epoch = epoch + 1, attempts = 0, attempted_at = null,
                response_status = null, response_text = null, duration_ms = null, delivered_at = null, given_up_at = null
          where organisation_id = $1 and webhook_endpoint_id = $2 and webhook_delivery_id = $3",
        scope.organisation_id(),
        endpoint_id,
        delivery_id,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(restarted.rows_affected() == 1)
}

/// All that waits for an endpoint.
pub async fn give_up(
    db: &mut PgConnection,
    scope: &Scope,
    endpoint_id: Uuid,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update webhook_deliveries set given_up_at = $3
          where organisation_id = $1 and webhook_endpoint_id = $2 and delivered_at is null and given_up_at is null",
        scope.organisation_id(),
        endpoint_id,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Claims what is due: of each endpoint that is not busy its next few, so that a thousand that wait for one keep nobody
/// else's from being seen. Nobody else gets them before `until`.
pub async fn claim_due(
    db: &mut PgConnection,
    _: Operator,
    room: &Room,
    now: DatabaseTime,
    until: DatabaseTime,
) -> Result<Vec<Due>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with next as materialized (
              select n.webhook_delivery_id, n.due_at, e.url, e.secret_sealed,
                     case when e.old_secret_until > $1 then e.old_secret_sealed end as old_secret_sealed,
                     row_number() over (partition by e.organisation_id order by n.due_at) as of_organisation
                from webhook_endpoints e join organisations o using (organisation_id)
               cross join lateral (
                     select webhook_delivery_id, due_at from webhook_deliveries d
                      where d.webhook_endpoint_id = e.webhook_endpoint_id and delivered_at is null and given_up_at is null
                        and due_at <= $1 and lease_until <= $1
                      order by due_at limit 4) n
               where e.disabled_at is null and o.suspended_at is null
                 and e.webhook_endpoint_id <> all($4) and e.organisation_id <> all($5)),
         locked as materialized (
              select d.webhook_delivery_id
                from webhook_deliveries d join next using (webhook_delivery_id)
               where next.of_organisation <= 16 and d.delivered_at is null and d.given_up_at is null
                 and d.due_at <= $1 and d.lease_until <= $1
               order by next.due_at limit $3
                 for update of d skip locked)
         update webhook_deliveries d set lease_until = $2, epoch = epoch + 1, attempts = attempts + 1
           from locked join next using (webhook_delivery_id)
          where d.webhook_delivery_id = locked.webhook_delivery_id
         returning d.webhook_delivery_id, d.webhook_endpoint_id, d.organisation_id, d.epoch, d.attempts, d.event_id, d.payload,
                   next.url, next.secret_sealed, next.old_secret_sealed"#,
        now.get(),
        until.get(),
        i64::try_from(room.limit).unwrap_or(i64::MAX),
        &room.busy,
        &room.crowded,
    )
    .fetch_all(db)
    .await?;
    let due = rows.into_iter().map(|row| Due {
        held: Held {
            delivery_id: row.webhook_delivery_id,
            endpoint_id: row.webhook_endpoint_id,
            organisation_id: row.organisation_id,
            epoch: row.epoch,
        },
        attempts: row.attempts,
        event_id: row.event_id,
        payload: row.payload,
        url: row.url,
        secret_sealed: row.secret_sealed,
        old_secret_sealed: row.old_secret_sealed,
    });
    Ok(due.collect())
}

/// Notes an attempt, if the claim still counts. `again` none: it is not tried again.
pub async fn set_attempted(
    db: &mut PgConnection,
    due: &Due,
    attempted: &Attempted<'_>,
    is_delivered: bool,
    again: Option<DateTime<Utc>>,
) -> Result<bool, sqlx::Error> {
    let noted = sqlx::query!(
        "update webhook_deliveries
            set lease_until = '-infinity', attempted_at = $3, response_status = $4, response_text = $5, duration_ms = $6,
                delivered_at = case when $7 then $3::timestamptz end, due_at = coalesce($8, due_at),
                given_up_at = case when not $7 and $8::timestamptz is null then $3::timestamptz when not $7 then given_up_at end
          where webhook_delivery_id = $1 and epoch = $2",
        due.held.delivery_id,
        due.held.epoch,
        attempted.now.get(),
        attempted.status,
        attempted.text,
        attempted.duration_ms,
        is_delivered,
        again,
    )
    .execute(db)
    .await?;
    Ok(noted.rows_affected() == 1)
}

/// This node is stopping: others may have them at once.
pub async fn give_back(db: &mut PgConnection, _: Operator, held: &[Held]) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update webhook_deliveries d set lease_until = '-infinity', epoch = d.epoch + 1
           from unnest($1::uuid[], $2::bigint[]) as held (delivery_id, epoch)
          where d.webhook_delivery_id = held.delivery_id and d.epoch = held.epoch",
        &held.iter().map(|held| held.delivery_id).collect::<Vec<_>>(),
        &held.iter().map(|held| held.epoch).collect::<Vec<_>>(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// What is older than `before`; and old secrets that no longer sign.
pub async fn delete_before(db: &mut PgConnection, before: DatabaseTime, now: DatabaseTime) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from webhook_deliveries where created_at < $1", before.get())
        .execute(&mut *db)
        .await?;
    sqlx::query!(
        "update webhook_endpoints set old_secret_sealed = null, old_secret_until = null where old_secret_until <= $1",
        now.get()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How many wait, and how many of them have failed before.
pub async fn count(db: &mut PgConnection, _: Operator) -> Result<(i64, i64), sqlx::Error> {
    let row = sqlx::query!(
        r#"select count(*) as "waiting!", count(*) filter (where attempted_at is not null) as "failing!"
             from webhook_deliveries where delivered_at is null and given_up_at is null"#
    )
    .fetch_one(db)
    .await?;
    Ok((row.waiting, row.failing))
}
