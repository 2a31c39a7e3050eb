//! Every statement that ships the request log.
use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
};

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    batch::{CountKey, time},
    record::{Label, Row},
    totals,
};
use crate::outbox::event::Subject;

/// Leaves out whom an erasure names: a spool may bring what was asked before it.
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
                              $8::bytea[], $9::text[], $10::smallint[], $11::uuid[], $12::text[], $13::text[], $14::text[])
                as r (request_id, at, organisation_id, client_id, domain_id, hostname, model_family, user_digest)
          where not exists (
                select from erasures e
                 where e.organisation_id = r.organisation_id and e.user_digest = r.user_digest and r.at < e.requested_at
                   and (e.client_id is null or e.client_id = r.client_id))",
        &rows.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        &rows.iter().map(|(_, row)| time(row.at)).collect::<Vec<_>>(),
        &owner(|owner| owner.organisation_id) as &[Option<Uuid>],
        &owner(|owner| owner.client_id) as &[Option<Uuid>],
        &owner(|owner| owner.domain_id) as &[Option<Uuid>],
        &column(|(_, row)| row.hostname.to_string()),
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
