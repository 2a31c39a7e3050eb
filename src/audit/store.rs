//! Every statement on `audit_events`.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{AuditEvent, Event, Wanted, WantedActor, WantedDomain};
use crate::{accounts::Scope, clock::DatabaseTime};

pub async fn insert(db: &mut PgConnection, scope: &Scope, event: Event) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into audit_events (audit_event_id, organisation_id, client_id, actor_kind, actor_id, actor_name,
                                   action, subject_kind, subject_id, subject_name, details)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        Uuid::now_v7(),
        scope.organisation_id(),
        event.client_id,
        scope.by().kind(),
        scope.by().id(),
        scope.by().name(),
        event.action,
        event.subject.kind,
        event.subject.id,
        event.subject.name,
        event.details,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The same, for what concerns no organisation, or one that is no more.
pub async fn insert_of_nobody(db: &mut PgConnection, scope: &Scope, event: Event) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into audit_events (audit_event_id, actor_kind, actor_id, actor_name, action, subject_kind, subject_id,
                                   subject_name, details)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        Uuid::now_v7(),
        scope.by().kind(),
        scope.by().id(),
        scope.by().name(),
        event.action,
        event.subject.kind,
        event.subject.id,
        event.subject.name,
        event.details,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Maximum number of events that one page examines.
const MAX_EXAMINED: i64 = 20_000;

/// Events of a page, and the last one that was examined, if older ones follow it.
pub struct Walked {
    pub events: Vec<AuditEvent>,
    pub end: Option<Uuid>,
}

/// What a page lies before, and how many events it holds.
pub struct Place {
    pub before: Uuid,
    pub limit: i64,
}

struct WalkedRow {
    id: Option<Uuid>,
    at: Option<DateTime<Utc>>,
    actor_kind: Option<String>,
    actor_id: Option<Uuid>,
    actor_name: Option<String>,
    action: Option<String>,
    subject_kind: Option<String>,
    subject_id: Option<Uuid>,
    subject_name: Option<String>,
    details: Option<serde_json::Value>,
    end: Option<Uuid>,
}

impl WalkedRow {
    fn event(self) -> Option<AuditEvent> {
        Some(AuditEvent {
            id: self.id?,
            at: self.at?,
            actor_kind: self.actor_kind?,
            actor_id: self.actor_id,
            actor_name: self.actor_name?,
            action: self.action?,
            subject_kind: self.subject_kind?,
            subject_id: self.subject_id?,
            subject_name: self.subject_name?,
            details: self.details?,
        })
    }
}

/// `$part` selects an organisation's events: $1 is the organisation, $2 is the id that they lie before, $3 is the most that
/// are examined. Only the indexes that begin with the organisation have ids with `nulls first`: with any
/// other order the plan for any parameters may walk the primary key, past the events of every other organisation.
macro_rules! walk {
    ($db:expr, $scope:expr, $wanted:expr, $place:expr, $part:literal $(, $more:expr)*) => {{
        let (actor_id, actor_kind) = match &$wanted.actor {
            None => (None, None),
            Some(WantedActor::Id(id)) => (Some(*id), None),
            Some(WantedActor::Kind(kind)) => (None, Some(*kind)),
        };
        sqlx::query_as!(
            WalkedRow,
            "with walked as materialized ("
                + $part
                + r#" order by audit_event_id desc nulls last limit $3)
             select m.audit_event_id as "id?", m.at as "at?", m.actor_kind as "actor_kind?", m.actor_id as "actor_id?",
                    m.actor_name as "actor_name?", m.action as "action?", m.subject_kind as "subject_kind?",
                    m.subject_id as "subject_id?", m.subject_name as "subject_name?", m.details as "details?",
                    x.audit_event_id as "end?"
               from (select) one
               left join lateral (select w.audit_event_id from walked w offset $3 - 1 limit 1) x on true
               left join lateral (
                    select * from walked w
                     where ($5::text is null or w.action = $5 or starts_with(w.action, $5 || '.'))
                       and ($6::uuid is null or w.actor_id = $6) and ($7::text is null or w.actor_kind = $7)
                       and ($8::timestamptz is null or w.at >= $8) and ($9::timestamptz is null or w.at < $9)
                     limit $4) m on true"#,
            $scope.organisation_id(),
            $place.before,
            MAX_EXAMINED,
            $place.limit,
            $wanted.action,
            actor_id,
            actor_kind,
            $wanted.since,
            $wanted.until,
            $($more,)*
        )
        .fetch_all($db)
        .await?
    }};
}

/// Newest first, those of the place that `wanted` leaves. One statement for each index; the events of one domain are read
/// as a whole, since a plan for the first few in their order may walk all events of the organisation.
pub async fn list(db: &mut PgConnection, scope: &Scope, wanted: &Wanted, place: &Place) -> Result<Walked, sqlx::Error> {
    let rows = match (&wanted.domain, scope.client_id()) {
        (Some(WantedDomain::Id(domain_id)), client_id) => walk!(
            db,
            scope,
            wanted,
            place,
            "select * from (
                  select * from audit_events where organisation_id = $1 and subject_id = $10
                   union
                  select * from audit_events where organisation_id = $1 and details ->> 'domain_id' = $10::uuid::text) e
              where audit_event_id < $2 and ($11::uuid is null or client_id = $11)",
            domain_id,
            client_id
        ),
        (Some(WantedDomain::Hostname(hostname)), client_id) => walk!(
            db,
            scope,
            wanted,
            place,
            "select * from (
                  select * from audit_events
                   where organisation_id = $1 and subject_name = $10 and subject_kind in ('domain', 'share_link') offset 0) e
              where audit_event_id < $2 and ($11::uuid is null or client_id = $11)",
            hostname,
            client_id
        ),
        (None, None) => walk!(
            db,
            scope,
            wanted,
            place,
            "select * from audit_events where organisation_id = $1 and audit_event_id < $2"
        ),
        (None, Some(client_id)) => walk!(
            db,
            scope,
            wanted,
            place,
            "select * from audit_events
              where organisation_id = $1 and client_id = $10 and audit_event_id < $2",
            client_id
        ),
    };
    Ok(Walked {
        end: rows.first().and_then(|row| row.end),
        events: rows.into_iter().filter_map(WalkedRow::event).collect(),
    })
}

/// How often one of `actions` was done since then.
pub async fn count(
    db: &mut PgConnection,
    scope: &Scope,
    actions: &[&str],
    since: DatabaseTime,
) -> Result<i64, sqlx::Error> {
    let actions: Vec<String> = actions.iter().map(|action| (*action).to_owned()).collect();
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from audit_events
            where organisation_id = $1 and at > $2 and action = any($3)"#,
        scope.organisation_id(),
        since.get(),
        &actions,
    )
    .fetch_one(db)
    .await
}

/// Deletes what is older than each organisation keeps it, and what is nobody's and older than `before`.
pub async fn delete_old(db: &mut PgConnection, now: DatabaseTime, before: DatabaseTime) -> Result<u64, sqlx::Error> {
    let of_organisations = sqlx::query!(
        "delete from audit_events e using organisations o
          where e.organisation_id = o.organisation_id and e.at < $1::timestamptz - make_interval(days => o.audit_days)",
        now.get()
    )
    .execute(&mut *db)
    .await?;
    let of_nobody = sqlx::query!(
        "delete from audit_events where organisation_id is null and at < $1",
        before.get()
    )
    .execute(db)
    .await?;
    Ok(of_organisations.rows_affected() + of_nobody.rows_affected())
}
