//! Every statement on the TXT records of mail domains.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::record::RecordState;
use crate::{
    accounts::{Operator, Scope},
    clock::DatabaseTime,
    dns::verification::Look,
};

/// A mail domain whose record is to be looked up, leased to the caller.
pub struct Due {
    pub organisation_id: Uuid,
    pub identity_provider_id: Uuid,
    pub hostname: String,
    pub ownership_key: Vec<u8>,
    pub is_proved: bool,
}

/// Leases those that are due, one of each organisation before a second one of any; with `organisation_id`, all of that
/// organisation's, due or not. A domain that the organisation does not hold is not looked up.
pub async fn claim(
    db: &mut PgConnection,
    _: Operator,
    organisation_id: Option<Uuid>,
    (now, leased_until): (DatabaseTime, DatabaseTime),
    limit: i64,
) -> Result<Vec<Due>, sqlx::Error> {
    sqlx::query_as!(
        Due,
        r#"with due as (
               select i.identity_provider_id, i.hostname, p.organisation_id, o.ownership_key,
                      row_number() over (partition by p.organisation_id order by i.next_check_at, i.hostname) as turn,
                      i.next_check_at
                 from identity_provider_domains i
                 join identity_providers p using (identity_provider_id)
                 join organisations o using (organisation_id)
                cross join lateral (
                      select from domains x
                       where x.hostname = i.hostname and x.organisation_id = p.organisation_id
                         and x.ownership_verified_at is not null
                       limit 1) d
                where case when $1::uuid is null then i.next_check_at <= $2 else p.organisation_id = $1 end
                order by turn, i.next_check_at
                limit $4
           ), claimed as (
               select i.identity_provider_id, i.hostname, due.organisation_id, due.ownership_key
                 from identity_provider_domains i
                 join due using (identity_provider_id, hostname)
                where $1::uuid is not null or i.next_check_at <= $2
                order by i.identity_provider_id, i.hostname
                  for update of i skip locked
           )
           update identity_provider_domains i
              set next_check_at = $3
             from claimed c
            where c.identity_provider_id = i.identity_provider_id and c.hostname = i.hostname
           returning c.organisation_id as "organisation_id!", i.identity_provider_id, i.hostname,
                     c.ownership_key as "ownership_key!", i.proved_at is not null as "is_proved!""#,
        organisation_id,
        now.get(),
        leased_until.get(),
        limit,
    )
    .fetch_all(db)
    .await
}

/// What is stored of one record.
pub struct Stored {
    pub state: RecordState,
    pub added_at: DateTime<Utc>,
}

/// Until the end of the transaction, nobody else changes it.
pub async fn lock(
    db: &mut PgConnection,
    scope: &Scope,
    identity_provider_id: Uuid,
    hostname: &str,
) -> Result<Option<Stored>, sqlx::Error> {
    let row = sqlx::query!(
        "select i.proved_at, i.missing_since, i.added_at
           from identity_provider_domains i
           join identity_providers p using (identity_provider_id)
          where p.organisation_id = $1 and p.identity_provider_id = $2 and i.hostname = $3
            for update of i",
        scope.organisation_id(),
        identity_provider_id,
        hostname,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Stored {
        state: RecordState {
            proved_at: row.proved_at,
            missing_since: row.missing_since,
        },
        added_at: row.added_at,
    }))
}

/// What a lookup came to.
pub struct Looked<'a> {
    pub identity_provider_id: Uuid,
    pub hostname: &'a str,
    pub look: &'a Look,
    pub state: RecordState,
    pub next_check_at: DateTime<Utc>,
}

pub async fn update(
    db: &mut PgConnection,
    scope: &Scope,
    looked: &Looked<'_>,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    let (observed, misplaced) = match looked.look {
        Look::Present { observed } => (Some(observed.as_slice()), None),
        Look::Absent { observed, misplaced } => (Some(observed.as_slice()), misplaced.as_deref()),
        Look::Undetermined(_) => (None, None),
    };
    sqlx::query!(
        "update identity_provider_domains i
            set proved_at = $4, missing_since = $5, next_check_at = $6,
                checked_at = case when $7::text[] is null then i.checked_at else $9 end,
                observed = coalesce($7, i.observed),
                misplaced = case when $7::text[] is null then i.misplaced else $8 end,
                notified_at = case when $5::timestamptz is null then null else i.notified_at end
           from identity_providers p
          where p.organisation_id = $1 and p.identity_provider_id = $2
            and i.identity_provider_id = p.identity_provider_id and i.hostname = $3",
        scope.organisation_id(),
        looked.identity_provider_id,
        looked.hostname,
        looked.state.proved_at,
        looked.state.missing_since,
        looked.next_check_at,
        observed,
        misplaced,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A domain that its organisation has lost is proved anew when it comes back.
pub async fn reset_lost(db: &mut PgConnection, _: Operator) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update identity_provider_domains i
            set proved_at = null, grace_until = null, missing_since = null, checked_at = null, observed = '{}',
                misplaced = null, next_check_at = now()
           from identity_providers p
          where p.identity_provider_id = i.identity_provider_id
            and (i.proved_at is not null or i.grace_until is not null)
            and (select true from domains d
                  where d.hostname = i.hostname and d.organisation_id = p.organisation_id
                    and d.ownership_verified_at is not null
                  limit 1) is null"
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A domain whose owners and admins are to learn that its record is missing.
pub struct Missing {
    pub organisation_id: Uuid,
    pub hostname: String,
    pub ownership_key: Vec<u8>,
    pub grace_until: Option<DateTime<Utc>>,
    pub proved_at: Option<DateTime<Utc>>,
    pub missing_since: DateTime<Utc>,
}

/// Takes those that nobody was notified of: providers that exist longer than the record is demanded, and records that have
/// been gone since `gone_since`.
pub async fn take_missing(
    db: &mut PgConnection,
    _: Operator,
    gone_since: DatabaseTime,
    now: DatabaseTime,
) -> Result<Vec<Missing>, sqlx::Error> {
    sqlx::query_as!(
        Missing,
        r#"with missing as (
               select i.identity_provider_id, i.hostname, p.organisation_id, o.ownership_key
                 from identity_provider_domains i
                 join identity_providers p using (identity_provider_id)
                 join organisations o using (organisation_id)
                where i.notified_at is null
                  and case when i.proved_at is null then i.missing_since is not null and i.grace_until > $1
                           else i.missing_since <= $2 end
                order by i.identity_provider_id, i.hostname
                  for update of i skip locked
           )
           update identity_provider_domains i
              set notified_at = $1
             from missing m
            where m.identity_provider_id = i.identity_provider_id and m.hostname = i.hostname
           returning m.organisation_id, i.hostname, m.ownership_key, i.grace_until, i.proved_at,
                     i.missing_since as "missing_since!""#,
        now.get(),
        gone_since.get(),
    )
    .fetch_all(db)
    .await
}
