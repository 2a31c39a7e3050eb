//! Every statement on `second_factors` and `recovery_codes`. A factor whose removal is due is off: no statement but
//! `insert` and `delete_due` sees it.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    accounts::{Member, Operator},
    clock::DatabaseTime,
};

pub(super) struct Found {
    pub secret_sealed: Vec<u8>,
    pub confirmed_at: Option<DateTime<Utc>>,
    pub last_step: i64,
    pub removal_at: Option<DateTime<Utc>>,
}

pub async fn is_on(db: &mut PgConnection, _: Operator, user_id: Uuid) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (
               select from second_factors
                where user_id = $1 and confirmed_at is not null and (removal_at is null or removal_at > now())
           ) as "is_on!""#,
        user_id
    )
    .fetch_one(db)
    .await
}

pub(super) async fn find(db: &mut PgConnection, member: &Member) -> Result<Option<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        "select secret_sealed, confirmed_at, last_step, removal_at from second_factors
          where user_id = $1 and (removal_at is null or removal_at > now())",
        member.user_id
    )
    .fetch_optional(db)
    .await
}

/// The same, to the end of the transaction.
pub(super) async fn lock(db: &mut PgConnection, member: &Member) -> Result<Option<Found>, sqlx::Error> {
    sqlx::query_as!(
        Found,
        "select secret_sealed, confirmed_at, last_step, removal_at from second_factors
          where user_id = $1 and (removal_at is null or removal_at > now()) for update",
        member.user_id
    )
    .fetch_optional(db)
    .await
}

/// False: one is on.
pub async fn insert(
    db: &mut PgConnection,
    member: &Member,
    secret_sealed: &[u8],
    now: DatabaseTime,
) -> Result<bool, sqlx::Error> {
    let begun = sqlx::query!(
        "insert into second_factors as f (user_id, secret_sealed, created_at) values ($1, $2, $3)
             on conflict (user_id) do update
            set secret_sealed = $2, created_at = $3, last_step = -1, confirmed_at = null, removal_at = null
          where f.confirmed_at is null or f.removal_at <= now()",
        member.user_id,
        secret_sealed,
        now.get()
    );
    Ok(begun.execute(db).await?.rows_affected() == 1)
}

/// False: somebody was quicker.
pub async fn confirm(
    db: &mut PgConnection,
    member: &Member,
    step: i64,
    now: DatabaseTime,
) -> Result<bool, sqlx::Error> {
    let confirmed = sqlx::query!(
        "update second_factors set confirmed_at = $2, last_step = $3 where user_id = $1 and confirmed_at is null",
        member.user_id,
        now.get(),
        step
    );
    Ok(confirmed.execute(db).await?.rows_affected() == 1)
}

/// False: this step, or a later one, was taken.
pub async fn take_step(db: &mut PgConnection, member: &Member, step: i64) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query!(
        "update second_factors set last_step = $2 where user_id = $1 and last_step < $2",
        member.user_id,
        step
    );
    Ok(taken.execute(db).await?.rows_affected() == 1)
}

/// False: there was none.
pub async fn delete(db: &mut PgConnection, user_id: Uuid) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query!("delete from second_factors where user_id = $1", user_id);
    Ok(deleted.execute(db).await?.rows_affected() == 1)
}

/// A factor as a person's own mailed link shows it.
pub struct Summary {
    pub since: DateTime<Utc>,
    pub recovery_codes: i64,
    pub removal_at: Option<DateTime<Utc>>,
}

pub async fn find_summary(db: &mut PgConnection, _: Operator, user_id: Uuid) -> Result<Option<Summary>, sqlx::Error> {
    sqlx::query_as!(
        Summary,
        r#"select f.confirmed_at as "since!", f.removal_at,
                  (select count(*) from recovery_codes r where r.user_id = f.user_id) as "recovery_codes!"
             from second_factors f
            where f.user_id = $1 and f.confirmed_at is not null and (f.removal_at is null or f.removal_at > now())"#,
        user_id
    )
    .fetch_optional(db)
    .await
}

/// Returns when the factor is removed. One that is to be removed already keeps its time.
pub async fn schedule_removal(
    db: &mut PgConnection,
    _: Operator,
    user_id: Uuid,
    delay_hours: i32,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let scheduled = sqlx::query_scalar!(
        "update second_factors set removal_at = coalesce(removal_at, now() + make_interval(hours => $2))
          where user_id = $1 and confirmed_at is not null
         returning removal_at",
        user_id,
        delay_hours
    );
    Ok(scheduled.fetch_optional(db).await?.flatten())
}

pub async fn cancel_removal(db: &mut PgConnection, member: &Member) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update second_factors set removal_at = null where user_id = $1",
        member.user_id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// False: no removal is due.
pub async fn delete_due(db: &mut PgConnection, _: Operator, user_id: Uuid) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from second_factors where user_id = $1 and removal_at <= now()",
        user_id
    );
    Ok(deleted.execute(db).await?.rows_affected() == 1)
}

/// Deletes what was begun, and never confirmed by a code.
pub async fn delete_unconfirmed(db: &mut PgConnection, _: Operator, user_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from second_factors where user_id = $1 and confirmed_at is null",
        user_id
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn count_recovery_codes(db: &mut PgConnection, member: &Member) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from recovery_codes where user_id = $1"#,
        member.user_id
    )
    .fetch_one(db)
    .await
}

/// False: there is none such.
pub async fn take_recovery_code(db: &mut PgConnection, member: &Member, digest: &[u8]) -> Result<bool, sqlx::Error> {
    let taken = sqlx::query!(
        "delete from recovery_codes where user_id = $1 and code_digest = $2",
        member.user_id,
        digest
    );
    Ok(taken.execute(db).await?.rows_affected() == 1)
}

pub async fn replace_recovery_codes(
    db: &mut PgConnection,
    member: &Member,
    digests: &[Vec<u8>],
) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from recovery_codes where user_id = $1", member.user_id)
        .execute(&mut *db)
        .await?;
    sqlx::query!(
        "insert into recovery_codes (user_id, code_digest) select $1, unnest($2::bytea[])",
        member.user_id,
        digests
    )
    .execute(db)
    .await?;
    Ok(())
}
