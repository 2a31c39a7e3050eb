//! Every statement on `sessions`.
use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{IDLE, Origin, Session, Whose};
use crate::{
    accounts::{Member, Operator, role::Role, secret_text::SecretText},
    clock::DatabaseTime,
};

pub struct NewSession<'a> {
    pub session_id: Uuid,
    pub whose: Whose,
    pub token_digest: Vec<u8>,
    pub expires_at: DatabaseTime,
    pub authenticated_at: Option<DatabaseTime>,
    pub origin: &'a Origin,
}

/// Whose session a cookie is, and how far it has come.
pub struct Found {
    pub member: Member,
    pub is_authenticated: bool,
    pub is_suspended: bool,
}

pub async fn insert(
    db: &mut PgConnection,
    _: Operator,
    new: &NewSession<'_>,
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "with seen as (update memberships set seen_at = $5 where organisation_id = $3 and user_id = $2)
         insert into sessions (session_id, user_id, organisation_id, token_digest, created_at, seen_at, expires_at,
                               authenticated_at, browser, network, identity_provider_id)
         values ($1, $2, $3, $4, $5, $5, $6, $7, $8, $9, $10)",
        new.session_id,
        new.whose.user_id,
        new.whose.organisation_id,
        new.token_digest,
        now.get(),
        new.expires_at.get(),
        new.authenticated_at.map(DatabaseTime::get),
        new.origin.browser,
        new.origin.network,
        new.whose.identity_provider_id,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// The session in force that a cookie is for.
pub async fn find(db: &mut PgConnection, secret: &SecretText, now: DatabaseTime) -> Result<Option<Found>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select s.session_id, s.user_id, s.organisation_id, s.identity_provider_id, o.name, m.role, m.client_id,
                  s.authenticated_at is not null as "is_authenticated!", o.suspended_at is not null as "is_suspended!",
                  (select count(*) from memberships other where other.user_id = s.user_id) as "memberships!",
                  u.operator_since is not null as "is_operator!"
             from sessions s
             join memberships m using (organisation_id, user_id)
             join organisations o using (organisation_id)
             join users u using (user_id)
            where s.token_digest = $1 and s.expires_at > $2 and s.seen_at > $3"#,
        secret.digest(),
        now.get(),
        now.get() - IDLE,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Found {
        member: Member {
            session_id: row.session_id,
            user_id: row.user_id,
            organisation_id: row.organisation_id,
            organisation_name: row.name,
            // The database takes no other.
            role: match (Role::parse(&row.role).unwrap_or(Role::Viewer), row.identity_provider_id) {
                (role, Some(_)) => role.on_a_providers_word(),
                (role, None) => role,
            },
            client_id: row.client_id,
            // An organisation's provider speaks for that organisation, and for nothing else that is the person's.
            memberships: match row.identity_provider_id {
                Some(_) => 1,
                None => row.memberships,
            },
            is_operator: row.is_operator && row.identity_provider_id.is_none(),
            identity_provider_id: row.identity_provider_id,
        },
        is_authenticated: row.is_authenticated,
        is_suspended: row.is_suspended,
    }))
}

/// Notes that a session was used, and its member seen, at most once a minute. Two statements, and no transaction around
/// them: whoever takes the member out has the membership first and its sessions after it, so nobody is to wait for the
/// one while they have the other.
pub async fn touch(db: &mut PgConnection, session_id: Uuid, now: DatabaseTime) -> Result<(), sqlx::Error> {
    let touched = sqlx::query!(
        "update sessions set seen_at = $2
          where session_id = $1 and seen_at < $2::timestamptz - interval '1 minute'
         returning organisation_id, user_id",
        session_id,
        now.get(),
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(touched) = touched else {
        return Ok(());
    };
    sqlx::query!(
        "update memberships set seen_at = $3 where organisation_id = $1 and user_id = $2",
        touched.organisation_id,
        touched.user_id,
        now.get(),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Turns a session to another organisation of the same person, under a new secret. `false`: it is none of its own, or
/// it is suspended, and nobody is to be stuck there.
pub async fn switch(
    db: &mut PgConnection,
    member: &Member,
    organisation_id: Uuid,
    token_digest: &[u8],
) -> Result<bool, sqlx::Error> {
    let switched = sqlx::query!(
        "update sessions s set organisation_id = m.organisation_id, token_digest = $4
           from memberships m join organisations o using (organisation_id)
          where s.session_id = $1 and s.user_id = $2 and m.user_id = s.user_id and m.organisation_id = $3
            and o.suspended_at is null and s.identity_provider_id is null",
        member.session_id,
        member.user_id,
        organisation_id,
        token_digest,
    )
    .execute(db)
    .await?;
    Ok(switched.rows_affected() == 1)
}

/// When the person has shown last who it is.
pub async fn find_authenticated_at(
    db: &mut PgConnection,
    member: &Member,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let at = sqlx::query_scalar!(
        "select authenticated_at from sessions where session_id = $1",
        member.session_id
    );
    Ok(at.fetch_optional(db).await?.flatten())
}

/// Notes that somebody who is signed in has shown again who it is, by what is their own: from here on it is on nobody
/// else's word.
pub async fn set_authenticated(db: &mut PgConnection, member: &Member, now: DatabaseTime) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update sessions set authenticated_at = $2, identity_provider_id = null
          where session_id = $1 and authenticated_at is not null",
        member.session_id,
        now.get()
    )
    .execute(db)
    .await?;
    Ok(())
}

pub async fn set_secret(
    db: &mut PgConnection,
    member: &Member,
    token_digest: &[u8],
    now: DatabaseTime,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update sessions set token_digest = $2, authenticated_at = $3
          where session_id = $1 and authenticated_at is not null",
        member.session_id,
        token_digest,
        now.get()
    )
    .execute(db)
    .await?;
    Ok(())
}

/// One of a person's own; on a provider's word of its organisation.
pub async fn delete(db: &mut PgConnection, member: &Member, session_id: Uuid) -> Result<bool, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from sessions
          where user_id = $1 and session_id = $2 and ($3::uuid is null or organisation_id = $3)",
        member.user_id,
        session_id,
        member.identity_provider_id.map(|_| member.organisation_id),
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected() == 1)
}

/// Signs a person out everywhere; `but` stays.
pub async fn delete_all(
    db: &mut PgConnection,
    _: Operator,
    user_id: Uuid,
    but: Option<Uuid>,
) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from sessions where user_id = $1 and ($2::uuid is null or session_id <> $2)",
        user_id,
        but
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}

/// The same in the organisation that the person is signed in to.
pub async fn delete_here(db: &mut PgConnection, member: &Member, but: Option<Uuid>) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from sessions
          where user_id = $1 and organisation_id = $2 and ($3::uuid is null or session_id <> $3)",
        member.user_id,
        member.organisation_id,
        but
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}

/// A person's own sessions in force, the newest first; on a provider's word those of its organisation.
pub async fn list(db: &mut PgConnection, member: &Member, now: DatabaseTime) -> Result<Vec<Session>, sqlx::Error> {
    sqlx::query_as!(
        Session,
        "select s.session_id, o.name as organisation, s.created_at, s.seen_at, s.browser, s.network
           from (select * from sessions where user_id = $1 offset 0) s join organisations o using (organisation_id)
          where s.expires_at > $2 and s.seen_at > $3 and s.authenticated_at is not null
            and ($4::uuid is null or s.organisation_id = $4)
          order by s.session_id desc limit 100",
        member.user_id,
        now.get(),
        now.get() - IDLE,
        member.identity_provider_id.map(|_| member.organisation_id),
    )
    .fetch_all(db)
    .await
}

/// Lists the sessions in force of a person who has opened a link by mail.
pub async fn list_of_person(
    db: &mut PgConnection,
    _: Operator,
    user_id: Uuid,
    now: DatabaseTime,
) -> Result<Vec<Session>, sqlx::Error> {
    sqlx::query_as!(
        Session,
        "select s.session_id, o.name as organisation, s.created_at, s.seen_at, s.browser, s.network
           from (select * from sessions where user_id = $1 offset 0) s join organisations o using (organisation_id)
          where s.expires_at > $2 and s.seen_at > $3 and s.authenticated_at is not null
          order by s.session_id desc limit 100",
        user_id,
        now.get(),
        now.get() - IDLE,
    )
    .fetch_all(db)
    .await
}

pub async fn exists(db: &mut PgConnection, member: &Member) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from sessions where session_id = $1) as "exists!""#,
        member.session_id
    )
    .fetch_one(db)
    .await
}

pub async fn delete_over(db: &mut PgConnection, now: DatabaseTime) -> Result<u64, sqlx::Error> {
    let deleted = sqlx::query!(
        "delete from sessions where expires_at <= $1 or seen_at <= $2",
        now.get(),
        now.get() - IDLE
    )
    .execute(db)
    .await?;
    Ok(deleted.rows_affected())
}
