//! Every statement on `outbox`.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::event::{Kind, Subject};
use crate::clock::DatabaseTime;

/// A mail to be sent.
pub struct Due {
    pub outbox_id: Uuid,
    pub sealed: Vec<u8>,
    /// With this one.
    pub attempts: i32,
}

/// One that is kept.
pub struct Kept {
    pub outbox_id: Uuid,
    pub sealed: Vec<u8>,
    pub created_at: DateTime<Utc>,
}

pub async fn insert_mail(
    db: &mut PgConnection,
    outbox_id: Uuid,
    organisation_id: Option<Uuid>,
    sealed: &[u8],
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into outbox (outbox_id, organisation_id, kind, sealed, created_at, due_at) values ($1, $2, 'mail', $3, $4, $4)",
        outbox_id,
        organisation_id,
        sealed,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Those that are due, the longest due first; nobody else gets them before `until`.
pub async fn claim_mails(
    db: &mut PgConnection,
    now: DatabaseTime,
    until: DatabaseTime,
    limit: i64,
) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        r#"with due as materialized (
              select outbox_id from outbox
               where kind = 'mail' and sent_at is null and given_up_at is null and due_at <= $1 and lease_until <= $1
               order by due_at limit $3
                 for update skip locked)
         update outbox o set lease_until = $2, attempts = attempts + 1
           from due
          where o.outbox_id = due.outbox_id
         returning o.outbox_id, o.sealed as "sealed!", o.attempts"#,
        now.get(),
        until.get(),
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn set_sent(db: &mut PgConnection, outbox_id: Uuid, now: DatabaseTime) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update outbox set sent_at = $2 where outbox_id = $1",
        outbox_id,
        now.get()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// `again` none: it is given up.
pub async fn set_failed(
    db: &mut PgConnection,
    outbox_id: Uuid,
    error: &str,
    again: Option<DateTime<Utc>>,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update outbox
            set last_error = $2, lease_until = '-infinity', due_at = coalesce($3, due_at),
                given_up_at = case when $3::timestamptz is null then $4::timestamptz end
          where outbox_id = $1",
        outbox_id,
        error,
        again,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The newest mails, for whoever runs a trial without a mail server.
pub async fn list_mails(db: &mut PgConnection, limit: i64) -> Result<Vec<Kept>, sqlx::Error> {
    sqlx::query_as!(
        Kept,
        r#"select outbox_id, sealed as "sealed!", created_at from outbox
            where kind = 'mail' order by created_at desc limit $1"#,
        limit
    )
    .fetch_all(db)
    .await
}

/// An event that nobody has been told of yet.
pub struct Untold {
    pub outbox_id: Uuid,
    pub organisation_id: Option<Uuid>,
    pub client_id: Option<Uuid>,
    pub kind: String,
    pub payload: serde_json::Value,
    pub created_at: DateTime<Utc>,
}

pub async fn insert_event(
    db: &mut PgConnection,
    kind: Kind,
    subject: &Subject,
    data: &serde_json::Value,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into outbox (outbox_id, organisation_id, client_id, kind, payload, created_at)
         values ($1, $2, $3, $4, $5, $6)",
        Uuid::now_v7(),
        subject.organisation_id,
        subject.client_id,
        kind.as_str(),
        data,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The oldest events that are to be handed on; nobody else gets them before the end of the transaction.
pub async fn lock_untold(db: &mut PgConnection, limit: i64) -> Result<Vec<Untold>, sqlx::Error> {
    sqlx::query_as!(
        Untold,
        "select outbox_id, organisation_id, client_id, kind, payload, created_at
           from outbox where kind <> 'mail' and sent_at is null
          order by created_at limit $1
            for update skip locked",
        limit,
    )
    .fetch_all(db)
    .await
}

pub async fn delete_before(db: &mut PgConnection, before: DatabaseTime) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from outbox where created_at < $1 and (kind = 'mail' or sent_at is not null and once is null)",
        before.get()
    );
    Ok(deleted.execute(db).await?.rows_affected())
}

/// Also those that are to be told once only.
pub async fn delete_events_before(db: &mut PgConnection, before: DatabaseTime) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from outbox where created_at < $1 and kind <> 'mail'",
        before.get()
    );
    Ok(deleted.execute(db).await?.rows_affected())
}
