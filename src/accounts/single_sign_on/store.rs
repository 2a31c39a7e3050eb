//! Every statement on identity providers, their domains, and whom they mean.
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Issuer, MailDomain, Provider, Wanted,
    mail_domains::record::{record_name, record_value},
};
use crate::{
    accounts::{Operator, Scope, role::Role},
    clock::DatabaseTime,
    hostname::Hostname,
};

pub async fn find(db: &mut PgConnection, scope: &Scope) -> Result<Option<Provider>, sqlx::Error> {
    let row = sqlx::query!(
        "select identity_provider_id, issuer, client_id, new_member_role, created_at, changed_at
           from identity_providers where organisation_id = $1 and $2::uuid is null",
        scope.organisation_id(),
        scope.client_id(),
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let domains = sqlx::query!(
        r#"select i.hostname, d.domain_id is not null as "is_held!", o.ownership_key, i.proved_at, i.grace_until,
                  i.checked_at, i.observed, i.misplaced, i.missing_since
             from identity_provider_domains i
             join organisations o on o.organisation_id = $2
             left join domains d on d.hostname = i.hostname and d.organisation_id = $2
                                and d.ownership_verified_at is not null and d.suspended_at is null
            where i.identity_provider_id = $1
            order by i.hostname"#,
        row.identity_provider_id,
        scope.organisation_id(),
    )
    .fetch_all(db)
    .await?;
    let mail_domains = domains.into_iter().map(|domain| MailDomain {
        record_name: record_name(&domain.hostname),
        record_value: record_value(&domain.ownership_key, &domain.hostname),
        hostname: domain.hostname,
        is_held: domain.is_held,
        proved_at: domain.proved_at,
        grace_until: domain.grace_until,
        checked_at: domain.checked_at,
        observed: domain.observed,
        misplaced: domain.misplaced,
        missing_since: domain.missing_since,
    });
    Ok(Some(Provider {
        id: row.identity_provider_id,
        issuer: Issuer::stored(row.issuer),
        client_id: row.client_id,
        mail_domains: mail_domains.collect(),
        new_member_role: row.new_member_role.as_deref().and_then(Role::parse),
        created_at: row.created_at,
        changed_at: row.changed_at,
    }))
}

/// What is known of a name that somebody wants.
pub struct Claim {
    pub hostname: String,
    pub is_registered: bool,
    pub is_proved: bool,
    pub is_elsewhere: bool,
}

pub async fn list_claims(
    db: &mut PgConnection,
    scope: &Scope,
    hostnames: &[String],
) -> Result<Vec<Claim>, sqlx::Error> {
    sqlx::query_as!(
        Claim,
        r#"select hostname, bool_or(organisation_id = $1) as "is_registered!",
                  bool_or(organisation_id = $1 and ownership_verified_at is not null and suspended_at is null) as "is_proved!",
                  bool_or(organisation_id <> $1 and ownership_verified_at is not null) as "is_elsewhere!"
             from domains where hostname = any($2)
            group by hostname"#,
        scope.organisation_id(),
        hostnames,
    )
    .fetch_all(db)
    .await
}

pub async fn insert(
    db: &mut PgConnection,
    scope: &Scope,
    (id, wanted): (Uuid, &Wanted),
    client_secret_sealed: &[u8],
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into identity_providers (identity_provider_id, organisation_id, issuer, client_id, client_secret_sealed,
                                         new_member_role, created_at, changed_at)
         values ($1, $2, $3, $4, $5, $6, $7, $7)",
        id,
        scope.organisation_id(),
        wanted.issuer.as_str(),
        wanted.client_id,
        client_secret_sealed,
        wanted.new_member_role.map(Role::as_str),
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// All but issuer and client ID; without a secret the one that is there stays.
pub async fn update(
    db: &mut PgConnection,
    scope: &Scope,
    wanted: &Wanted,
    client_secret_sealed: Option<&[u8]>,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update identity_providers
            set client_secret_sealed = coalesce($2, client_secret_sealed), new_member_role = $3, changed_at = $4
          where organisation_id = $1",
        scope.organisation_id(),
        client_secret_sealed,
        wanted.new_member_role.map(Role::as_str),
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn replace_domains(
    db: &mut PgConnection,
    scope: &Scope,
    id: Uuid,
    hostnames: &[Hostname],
) -> Result<(), sqlx::Error> {
    let hostnames: Vec<String> = hostnames.iter().map(ToString::to_string).collect();
    sqlx::query!(
        "delete from identity_provider_domains i using identity_providers p
          where p.organisation_id = $1 and p.identity_provider_id = $2 and i.identity_provider_id = $2 and i.hostname <> all($3)",
        scope.organisation_id(),
        id,
        &hostnames,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "insert into identity_provider_domains (identity_provider_id, hostname)
         select p.identity_provider_id, n.hostname
           from identity_providers p, unnest($3::text[]) as n (hostname)
          where p.organisation_id = $1 and p.identity_provider_id = $2
             on conflict do nothing",
        scope.organisation_id(),
        id,
        &hostnames,
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn delete(db: &mut PgConnection, scope: &Scope) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from identity_providers where organisation_id = $1",
        scope.organisation_id()
    )
    .execute(db)
    .await?;
    Ok(())
}

pub struct ByDomain {
    pub identity_provider_id: Uuid,
    pub organisation_id: Uuid,
    pub name: String,
    pub issuer: String,
    pub client_id: String,
    pub client_secret_sealed: Vec<u8>,
    pub new_member_role: Option<String>,
    /// Whether the domain is proved for single sign-on.
    pub signs_in: bool,
}

/// The provider of the organisation that holds `hostname` now: one holds it at most.
pub async fn find_by_domain(
    db: &mut PgConnection,
    _: Operator,
    hostname: &str,
    provider_id: Option<Uuid>,
) -> Result<Option<ByDomain>, sqlx::Error> {
    sqlx::query_as!(
        ByDomain,
        r#"select p.identity_provider_id, p.organisation_id, o.name, p.issuer, p.client_id, p.client_secret_sealed,
                  p.new_member_role,
                  exists(
                      select from signing_mail_domains s
                       where s.identity_provider_id = i.identity_provider_id and s.hostname = i.hostname
                  ) as "signs_in!"
           from identity_provider_domains i
           join identity_providers p using (identity_provider_id)
           join organisations o using (organisation_id)
           join domains d on d.hostname = i.hostname and d.organisation_id = p.organisation_id
          where i.hostname = $1 and ($2::uuid is null or p.identity_provider_id = $2)
            and d.ownership_verified_at is not null and d.suspended_at is null and o.suspended_at is null"#,
        hostname,
        provider_id,
    )
    .fetch_optional(db)
    .await
}

/// The mail domains whose people the provider signs in now.
pub async fn list_signing(db: &mut PgConnection, scope: &Scope, provider_id: Uuid) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select hostname as "hostname!" from signing_mail_domains
            where organisation_id = $1 and identity_provider_id = $2"#,
        scope.organisation_id(),
        provider_id,
    )
    .fetch_all(db)
    .await
}

/// Whom the provider means. `Some(None)`: somebody who was taken out.
pub async fn find_identity(
    db: &mut PgConnection,
    scope: &Scope,
    provider_id: Uuid,
    subject: &str,
) -> Result<Option<Option<Uuid>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select user_id from identities where organisation_id = $1 and identity_provider_id = $2 and subject = $3",
        scope.organisation_id(),
        provider_id,
        subject,
    )
    .fetch_optional(db)
    .await
}

/// Whether the provider means this person already.
pub async fn is_linked(
    db: &mut PgConnection,
    scope: &Scope,
    provider_id: Uuid,
    user_id: Uuid,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists(
               select from identities where organisation_id = $1 and identity_provider_id = $2 and user_id = $3
           ) as "exists!""#,
        scope.organisation_id(),
        provider_id,
        user_id,
    )
    .fetch_one(db)
    .await
}

pub async fn set_identity(
    db: &mut PgConnection,
    scope: &Scope,
    (provider_id, subject): (Uuid, &str),
    user_id: Uuid,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into identities (identity_provider_id, organisation_id, subject, user_id, created_at, used_at)
         values ($1, $2, $3, $4, $5, $5)
             on conflict (identity_provider_id, subject) do update set user_id = excluded.user_id, used_at = excluded.used_at",
        provider_id,
        scope.organisation_id(),
        subject,
        user_id,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn use_identity(
    db: &mut PgConnection,
    scope: &Scope,
    (provider_id, subject): (Uuid, &str),
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update identities set used_at = $4
          where organisation_id = $1 and identity_provider_id = $2 and subject = $3",
        scope.organisation_id(),
        provider_id,
        subject,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}
