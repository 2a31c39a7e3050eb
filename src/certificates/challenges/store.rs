//! Every statement on challenges, and on which nodes answer them.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::Offer;
use crate::{certificates::nodes, clock::DatabaseTime};

/// A challenge as it is stored.
#[derive(PartialEq, Eq)]
pub struct Row {
    pub hostname: String,
    pub token: String,
    pub typ: String,
    pub expires_at: DateTime<Utc>,
    /// When it was last offered.
    pub created_at: DateTime<Utc>,
}

/// Has every node answer from now on. What was offered before is offered anew: whoever answers it says so again.
pub async fn offer(db: &mut PgConnection, offers: &[Offer<'_>]) -> Result<(), sqlx::Error> {
    let texts = |text: fn(&Offer<'_>) -> String| offers.iter().map(text).collect::<Vec<_>>();
    let issuers = texts(|offer| offer.issuer.to_owned());
    let hostnames = texts(|offer| offer.hostname.to_owned());
    let tokens = texts(|offer| offer.token.to_owned());
    let types = texts(|offer| offer.typ.as_str().to_owned());
    let expires_at: Vec<_> = offers.iter().map(|offer| offer.expires_at.get()).collect();
    sqlx::query!(
        "delete from acme_challenges c
          using unnest($1::text[], $2::text[], $3::text[]) as offered (issuer, hostname, token)
          where (c.issuer, c.hostname, c.token) = (offered.issuer, offered.hostname, offered.token)",
        &issuers,
        &hostnames,
        &tokens,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        // Another CA's row is left alone; no node will have seen ours then.
        "insert into acme_challenges (issuer, hostname, token, type, expires_at, created_at)
         select issuer, hostname, token, type, expires_at, clock_timestamp()
           from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
             as offered (issuer, hostname, token, type, expires_at)
             on conflict (hostname, token) do nothing",
        &issuers,
        &hostnames,
        &tokens,
        &types,
        &expires_at,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Has no node answer for `hostname` any longer.
pub async fn withdraw(db: &mut PgConnection, issuer: &str, hostname: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from acme_challenges where issuer = $1 and hostname = $2",
        issuer,
        hostname
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Has no node answer `token` any longer; what else is answered for `hostname` stays.
pub async fn withdraw_one(db: &mut PgConnection, hostname: &str, token: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from acme_challenges where hostname = $1 and token = $2",
        hostname,
        token
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete_expired(db: &mut PgConnection, now: DatabaseTime) -> Result<u64, sqlx::Error> {
    Ok(
        sqlx::query!("delete from acme_challenges where expires_at <= $1", now.get())
            .execute(db)
            .await?
            .rows_affected(),
    )
}

/// What is to be answered, the oldest first.
pub async fn list(db: &mut PgConnection, issuer: &str, now: DatabaseTime, limit: i64) -> Result<Vec<Row>, sqlx::Error> {
    sqlx::query_as!(
        Row,
        "select hostname, token, type as typ, expires_at, created_at from acme_challenges
          where issuer = $1 and expires_at > $2
          order by created_at, token
          limit $3",
        issuer,
        now.get(),
        limit,
    )
    .fetch_all(db)
    .await
}

/// Notes that `node_id` answers these. Returns which were noted: what is being withdrawn is left out.
pub async fn sight(
    db: &mut PgConnection,
    node_id: Uuid,
    hostnames: &[String],
    tokens: &[String],
) -> Result<Vec<(String, String)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"with standing as (
               select c.hostname, c.token
                 from unnest($2::text[], $3::text[]) as seen (hostname, token)
                 join acme_challenges c using (hostname, token)
                  for key share of c skip locked),
           noted as (
               insert into challenge_sightings (hostname, token, node_id)
               select hostname, token, $1 from standing
                   on conflict do nothing)
           select hostname as "hostname!", token as "token!" from standing"#,
        node_id,
        hostnames,
        tokens,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.hostname, row.token)).collect())
}

/// Whether every live node that answers its CA's challenges answers this one, and there is one.
pub async fn is_seen_by_all(db: &mut PgConnection, hostname: &str, token: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(bool_and(s.node_id is not null), false) as "is_seen!"
             from acme_challenges c
             join nodes n on n.issuer is null or n.issuer = c.issuer
             left join challenge_sightings s on s.node_id = n.node_id and s.hostname = $1 and s.token = $2
            where c.hostname = $1 and c.token = $2
              and n.seen_at > now() - make_interval(secs => $3)"#,
        hostname,
        token,
        nodes::LIVE_SECONDS,
    )
    .fetch_one(db)
    .await
}

/// The sealed key of the account at `issuer`, if there is one yet.
pub async fn find_account_key(db: &mut PgConnection, issuer: &str) -> Result<Option<Vec<u8>>, sqlx::Error> {
    sqlx::query_scalar!("select key_sealed from acme_accounts where issuer = $1", issuer)
        .fetch_optional(db)
        .await
}
