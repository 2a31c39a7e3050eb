//! Every statement on domains.
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{Connection, Domain, DomainError, policy::Policy, rows::Row};
use crate::{
    accounts::{ClientScope, Operator, Scope},
    hostname::Hostname,
};

/// Whose domains; `client_id`: only this client's.
pub(super) struct Whose {
    pub organisation_id: Uuid,
    pub client_id: Option<Uuid>,
}

/// What a domain answers with, as it is written.
pub struct Answering<'a> {
    pub connection: Connection,
    pub website_url: Option<&'a str>,
    pub policy: &'a Policy,
}

/// Domains of an organisation by whether their ownership is verified.
pub struct VerifiedCounts {
    pub verified: i64,
    pub unverified: i64,
}

/// Counts the domains of an organisation that registered itself, and locks it; `None` if an operator made it or vouches
/// for it.
pub async fn lock_unverified(db: &mut PgConnection, scope: &Scope) -> Result<Option<VerifiedCounts>, DomainError> {
    let is_limited = sqlx::query_scalar!(
        r#"select true as "is_limited!" from organisations where organisation_id = $1 and trusted_at is null
              for no key update"#,
        scope.organisation_id(),
    )
    .fetch_optional(&mut *db)
    .await?;
    if is_limited.is_none() {
        return Ok(None);
    }
    // Each by its partial index.
    let counts = sqlx::query_as!(
        VerifiedCounts,
        r#"select (select count(*) from domains
                    where organisation_id = $1 and ownership_verified_at is not null) as "verified!",
                  (select count(*) from domains
                    where organisation_id = $1 and ownership_verified_at is null) as "unverified!""#,
        scope.organisation_id(),
    )
    .fetch_one(db)
    .await?;
    Ok(Some(counts))
}

pub async fn insert(
    db: &mut PgConnection,
    scope: &ClientScope,
    hostname: &Hostname,
    answering: &Answering<'_>,
) -> Result<Uuid, DomainError> {
    let domain_id = Uuid::now_v7();
    let inserted = sqlx::query!(
        "with new as (
              insert into domains (domain_id, organisation_id, client_id, hostname, connection, website_url, policy)
              values ($1, $2, $3, $4, $5, $6, $7)
                  on conflict on constraint domains_organisation_hostname_key do nothing
           returning domain_id)
         insert into domain_checks (domain_id, organisation_id) select domain_id, $2 from new",
        domain_id,
        scope.organisation_id(),
        scope.client_id(),
        hostname.as_str(),
        answering.connection.as_str(),
        answering.website_url,
        Json(answering.policy) as _,
    )
    .execute(db)
    .await?;
    match inserted.rows_affected() {
        1 => Ok(domain_id),
        _ => Err(DomainError::HostnameTaken(hostname.to_string())),
    }
}

/// One statement for each key: PostgreSQL's plan for any parameters of a statement that serves several keys reads the
/// rows of every tenant. What belongs to the rows of `$page` is looked up for each row (`limit 1` keeps the planner from
/// joining whole tables): the plan is then the same with and without statistics.
macro_rules! facts {
    ($page:literal, $($argument:expr),+ $(,)?) => {
        sqlx::query_as!(
            Row,
            r#"select d.domain_id, d.hostname, d.client_id, d.connection, d.website_url,
                      d.policy as "policy: Json<Policy>",
                      o.ownership_key, d.ownership_verified_at, d.ownership_proof, d.takes_over_at,
                      k.ownership_checked_at, k.ownership_seen_since, k.ownership_missing_since, k.ownership_absent_at,
                      k.ownership_observed, k.ownership_failure, k.ownership_misplaced,
                      h.ownership_verified_at as "holder_verified_at?", h.ownership_seen_since as "holder_seen_since?",
                      h.ownership_absent_at as "holder_absent_at?", t.proved_at as "given_up_since?",
                      (select min(x.takes_over_at) from domains x where x.hostname = d.hostname and x.domain_id <> d.domain_id) as contested_until,
                      k.connection_checked_at, k.connection_observed, k.connected_at, k.tenant_checked_at, k.tenant_id, k.quick_since,
                      array(select m.parameters ->> 'tenant_id'
                              from policy_servers p
                             cross join lateral (
                                   select s.vendor, s.parameters from mdm_servers s
                                    where s.mdm_server_id = p.mdm_server_id limit 1) m
                             where p.domain_id = d.domain_id and m.vendor = 'intune') as "tenant_ids!",
                      coalesce(d.suspended_at, o.suspended_at) as suspended_at,
                      (select json_agg(json_build_object(
                                 'issuer', c.issuer, 'not_before', c.not_before, 'not_after', c.not_after, 'renews_at', c.renews_at,
                                 'explanation_url', c.suggestion ->> 'explanation_url'))
                         from certificates c where c.domain_id = d.domain_id) as certificates,
                      (select json_agg(json_build_object('issuer', l.issuer, 'due_at', l.due_at, 'failure', l.failure))
                         from certificate_leases l
                        where l.hostname = d.hostname and d.ownership_verified_at is not null) as obtaining,
                      (select json_agg(json_build_object(
                                 'issuer', n.issuer, 'address', nullif(s.address, ''), 'state', s.state,
                                 'not_after', s.not_after, 'checked_at', s.checked_at) order by s.address, s.node_id)
                         from served_certificates s join nodes n using (node_id)
                        where s.hostname = d.hostname and d.ownership_verified_at is not null) as served,
                      d.created_at, d.updated_at
                 from ("#
                + $page
                + r#") d
                cross join lateral (
                      select * from organisations x where x.organisation_id = d.organisation_id limit 1) o
                cross join lateral (
                      select * from domain_checks x where x.domain_id = d.domain_id limit 1) k
                 left join lateral (
                      select v.ownership_verified_at, vk.ownership_seen_since, vk.ownership_absent_at
                        from domains v
                       cross join lateral (
                             select * from domain_checks x where x.domain_id = v.domain_id limit 1) vk
                       where v.hostname = d.hostname and v.domain_id <> d.domain_id and v.ownership_verified_at is not null
                       limit 1) h on true
                 left join lateral (
                      select x.proved_at from tombstones x
                       where x.hostname = d.hostname and x.organisation_id <> d.organisation_id limit 1) t on true
                order by d.domain_id"#,
            $($argument),+
        )
    };
}

pub async fn find(db: &mut PgConnection, scope: &Scope, domain_id: Uuid) -> Result<Option<Domain>, DomainError> {
    let whose = Whose {
        organisation_id: scope.organisation_id(),
        client_id: scope.client_id(),
    };
    find_of(db, whose, domain_id).await
}

/// For those who have a proof other than a scope.
pub(super) async fn find_of(
    db: &mut PgConnection,
    whose: Whose,
    domain_id: Uuid,
) -> Result<Option<Domain>, DomainError> {
    let row = facts!(
        "select * from domains
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and domain_id = $3",
        whose.organisation_id,
        whose.client_id,
        domain_id,
    )
    .fetch_optional(db)
    .await?;
    row.map(Row::domain).transpose()
}

/// Until the end of the transaction, nobody else changes the domain.
pub async fn lock(db: &mut PgConnection, scope: &Scope, domain_id: Uuid) -> Result<(), DomainError> {
    sqlx::query!(
        "select domain_id from domains where organisation_id = $1 and domain_id = $2 for update",
        scope.organisation_id(),
        domain_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(())
}

pub async fn find_by_hostname(
    db: &mut PgConnection,
    scope: &Scope,
    hostname: &Hostname,
) -> Result<Option<Domain>, DomainError> {
    let row = facts!(
        "select * from domains
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and hostname = $3",
        scope.organisation_id(),
        scope.client_id(),
        hostname.as_str(),
    )
    .fetch_optional(db)
    .await?;
    row.map(Row::domain).transpose()
}

/// Returns those of `domain_ids` that `scope` may see, in the order of registration.
pub async fn list(db: &mut PgConnection, scope: &Scope, domain_ids: &[Uuid]) -> Result<Vec<Domain>, DomainError> {
    let rows = facts!(
        "select * from domains
          where organisation_id = $1 and ($2::uuid is null or client_id = $2) and domain_id = any($3)",
        scope.organisation_id(),
        scope.client_id(),
        domain_ids,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Row::domain).collect()
}

/// Returns those of `domain_ids` that exist, of every organisation. A row that can't be read is an error of its own.
pub(super) async fn list_of_any(
    db: &mut PgConnection,
    _: Operator,
    domain_ids: &[Uuid],
) -> Result<Vec<Result<Domain, DomainError>>, DomainError> {
    let rows = facts!("select * from domains where domain_id = any($1)", domain_ids)
        .fetch_all(db)
        .await?;
    Ok(rows.into_iter().map(Row::domain).collect())
}

pub async fn update(
    db: &mut PgConnection,
    scope: &ClientScope,
    domain_id: Uuid,
    answering: &Answering<'_>,
) -> Result<(), DomainError> {
    sqlx::query!(
        "update domains set connection = $4, website_url = $5, policy = $6, updated_at = now()
          where organisation_id = $1 and client_id = $2 and domain_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        domain_id,
        answering.connection.as_str(),
        answering.website_url,
        Json(answering.policy) as _,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete(db: &mut PgConnection, scope: &ClientScope, domain_id: Uuid) -> Result<(), DomainError> {
    sqlx::query!(
        "delete from domains where organisation_id = $1 and client_id = $2 and domain_id = $3",
        scope.organisation_id(),
        scope.client_id(),
        domain_id
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete_some(db: &mut PgConnection, scope: &Scope, limit: i64) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from domains
          where organisation_id = $1 and domain_id = any(array(
                select domain_id from domains where organisation_id = $1 and ($2::uuid is null or client_id = $2) limit $3))",
        scope.organisation_id(),
        scope.client_id(),
        limit,
    );
    Ok(deleted.execute(db).await?.rows_affected())
}

/// Returns the hostname of a domain that is verified; of any domain if none is.
pub async fn first_hostname(db: &mut PgConnection, scope: &Scope) -> Result<Option<String>, DomainError> {
    let hostname = match scope.client_id() {
        None => {
            sqlx::query_scalar!(
                "select hostname from (
                      (select hostname, 0 as place from domains
                        where organisation_id = $1 and ownership_verified_at is not null
                        order by client_id, domain_id nulls first limit 1)
                      union all
                      (select hostname, 1 from domains
                        where organisation_id = $1
                        order by domain_id nulls first limit 1)) x
                  order by place limit 1",
                scope.organisation_id(),
            )
            .fetch_optional(db)
            .await?
        }
        Some(client_id) => {
            sqlx::query_scalar!(
                "select hostname from (
                      (select hostname, 0 as place from domains
                        where organisation_id = $1 and client_id = $2 and ownership_verified_at is not null
                        order by domain_id nulls first limit 1)
                      union all
                      (select hostname, 1 from domains
                        where organisation_id = $1 and client_id = $2
                        order by domain_id nulls first limit 1)) x
                  order by place limit 1",
                scope.organisation_id(),
                client_id,
            )
            .fetch_optional(db)
            .await?
        }
    };
    Ok(hostname.flatten())
}

/// Has the CAs revoke the domain's certificates, with the commit. Our own CA's are no concern of anybody outside.
pub async fn revoke_certificates(db: &mut PgConnection, scope: &Scope, domain_id: Uuid) -> Result<(), DomainError> {
    sqlx::query!(
        "insert into acme_revocations (revocation_id, issuer, hostname, certificate)
         select gen_random_uuid(), issuer, hostname, chain[1]
           from certificates
          where organisation_id = $1 and domain_id = $2 and issuer like 'https://%' and not_after > now()",
        scope.organisation_id(),
        domain_id
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A line of the operator's list.
pub struct Listed {
    pub hostname: String,
    pub organisation: String,
    pub ownership_verified_at: Option<DateTime<Utc>>,
    pub suspended_at: Option<DateTime<Utc>>,
}

pub async fn list_all(db: &mut PgConnection, _: Operator) -> Result<Vec<Listed>, sqlx::Error> {
    sqlx::query_as!(
        Listed,
        "select d.hostname, o.name as organisation, d.ownership_verified_at, coalesce(d.suspended_at, o.suspended_at) as suspended_at
           from domains d join organisations o using (organisation_id)
          order by d.hostname",
    )
    .fetch_all(db)
    .await
}
