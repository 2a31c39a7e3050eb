//! Every statement on domains.
use chrono::{DateTime, Utc};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{CertificateFacts, Connection, Domain, DomainError, policy::Policy};
use crate::{
    accounts::{ClientScope, Operator, Scope},
    hostname::Hostname,
};

/// A domain's columns with the facts of its organisation and its certificate.
struct Row {
    domain_id: Uuid,
    hostname: String,
    client_id: Uuid,
    connection: String,
    website_url: Option<String>,
    policy: Json<Policy>,
    ownership_key: Vec<u8>,
    ownership_verified_at: Option<DateTime<Utc>>,
    suspended_at: Option<DateTime<Utc>>,
    issuer: Option<String>,
    not_before: Option<DateTime<Utc>>,
    not_after: Option<DateTime<Utc>>,
    renews_at: Option<DateTime<Utc>>,
    last_error: Option<String>,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

impl Row {
    fn domain(self) -> Result<Domain, DomainError> {
        let connection = Connection::parse(&self.connection)
            .ok_or_else(|| DomainError::Stored(format!("connection {}", self.connection)))?;
        let certificate = match (self.issuer, self.not_before, self.not_after, self.renews_at) {
            (Some(issuer), Some(not_before), Some(not_after), Some(renews_at)) => Some(CertificateFacts {
                issuer,
                not_before,
                not_after,
                renews_at,
            }),
            _ => None,
        };
        Ok(Domain {
            id: self.domain_id,
            hostname: self.hostname,
            client_id: self.client_id,
            connection,
            website_url: self.website_url,
            policy: self.policy.0,
            ownership_key: self.ownership_key,
            ownership_verified_at: self.ownership_verified_at,
            suspended_at: self.suspended_at,
            certificate,
            certificate_error: self.last_error,
            created_at: self.created_at,
            updated_at: self.updated_at,
        })
    }
}

/// Which domains a list shows.
#[derive(Default)]
pub struct Filter {
    pub client_id: Option<Uuid>,
    /// A part of the hostname, in lower case.
    pub text: Option<String>,
    /// One id or hostname.
    pub one: Option<Key>,
}

pub enum Key {
    Id(Uuid),
    Hostname(String),
}

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

pub async fn insert(
    db: &mut PgConnection,
    scope: &ClientScope,
    hostname: &Hostname,
    answering: &Answering<'_>,
) -> Result<Uuid, DomainError> {
    let domain_id = Uuid::now_v7();
    let inserted = sqlx::query!(
        "insert into domains (domain_id, organisation_id, client_id, hostname, connection, website_url, policy)
         values ($1, $2, $3, $4, $5, $6, $7)
             on conflict on constraint domains_hostname_key do nothing",
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

pub async fn find(db: &mut PgConnection, scope: &Scope, domain_id: Uuid) -> Result<Option<Domain>, DomainError> {
    let filter = Filter {
        one: Some(Key::Id(domain_id)),
        ..Filter::default()
    };
    Ok(list(db, scope, &filter, None, 1).await?.pop())
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
    let filter = Filter {
        one: Some(Key::Hostname(hostname.to_string())),
        ..Filter::default()
    };
    Ok(list(db, scope, &filter, None, 1).await?.pop())
}

/// In the order of registration, those after `after`.
pub async fn list(
    db: &mut PgConnection,
    scope: &Scope,
    filter: &Filter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Domain>, DomainError> {
    let whose = Whose {
        organisation_id: scope.organisation_id(),
        client_id: scope.client_id(),
    };
    select(db, whose, filter, after, limit).await
}

/// For those who have a proof other than a scope.
pub(super) async fn select(
    db: &mut PgConnection,
    whose: Whose,
    filter: &Filter,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Domain>, DomainError> {
    let (id, hostname) = match &filter.one {
        Some(Key::Id(id)) => (Some(*id), None),
        Some(Key::Hostname(hostname)) => (None, Some(hostname.as_str())),
        None => (None, None),
    };
    let rows = sqlx::query_as!(
        Row,
        r#"select d.domain_id, d.hostname, d.client_id, d.connection, d.website_url,
                  d.policy as "policy: Json<Policy>",
                  o.ownership_key, d.ownership_verified_at,
                  coalesce(d.suspended_at, o.suspended_at) as suspended_at,
                  c.issuer as "issuer?", c.not_before as "not_before?", c.not_after as "not_after?", c.renews_at as "renews_at?",
                  (select l.last_error from certificate_leases l where l.hostname = d.hostname order by l.lease_until desc limit 1) as last_error,
                  d.created_at, d.updated_at
             from domains d
             join organisations o using (organisation_id)
             left join lateral (
                  select issuer, not_before, not_after, renews_at
                    from certificates where certificates.domain_id = d.domain_id
                   order by not_after desc limit 1
             ) c on true
            where d.organisation_id = $1 and ($2::uuid is null or d.client_id = $2)
              and ($3::uuid is null or d.client_id = $3)
              and ($4::text is null or position($4 in d.hostname) > 0)
              and ($5::uuid is null or d.domain_id = $5)
              and ($6::text is null or d.hostname = $6)
              and ($7::uuid is null or d.domain_id > $7)
            order by d.domain_id
            limit $8"#,
        whose.organisation_id,
        whose.client_id,
        filter.client_id,
        filter.text,
        id,
        hostname,
        after,
        limit,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(Row::domain).collect()
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

/// Whose domain was verified.
pub struct Verified {
    pub domain_id: Uuid,
    pub organisation_id: Uuid,
    pub client_id: Uuid,
}

/// Keeps the first time: verifying again is no change of the proof's date.
pub async fn set_verified(
    db: &mut PgConnection,
    _: Operator,
    hostname: &Hostname,
    now: DateTime<Utc>,
) -> Result<Option<Verified>, DomainError> {
    let row = sqlx::query_as!(
        Verified,
        "update domains set ownership_verified_at = coalesce(ownership_verified_at, $2), updated_at = now()
          where hostname = $1
         returning domain_id, organisation_id, client_id",
        hostname.as_str(),
        now,
    )
    .fetch_optional(db)
    .await?;
    Ok(row)
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
