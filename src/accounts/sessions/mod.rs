//! Browsers that are signed in. A cookie holds the secret, a row its digest; both end after a while without use, and
//! after a longer while in any case.
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Member, Operator, people, secret_text::SecretText};
use crate::{audit, clock::DatabaseTime};

/// Without use.
pub const IDLE: TimeDelta = TimeDelta::hours(12);
/// In any case.
pub const LIFETIME: TimeDelta = TimeDelta::days(7);
/// To find the phone and type the code.
const SECOND_FACTOR_WITHIN: TimeDelta = TimeDelta::minutes(15);

/// Where somebody signs in from, as far as it is kept.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// "Firefox on macOS".
    pub browser: String,
    /// Cut to /24 or /48.
    pub network: Option<String>,
}

/// How far somebody has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    SignedIn,
    /// The password was right; a second factor is awaited, and nothing may be done before it.
    SecondFactorDue,
}

/// One of a person's own, as the settings list it.
#[derive(Debug)]
pub struct Session {
    pub session_id: Uuid,
    pub organisation: String,
    pub created_at: DateTime<Utc>,
    pub seen_at: DateTime<Utc>,
    pub browser: String,
    pub network: Option<String>,
}

/// Whose session is to begin.
#[derive(Clone, Copy, Debug)]
pub struct Whose {
    pub user_id: Uuid,
    pub organisation_id: Uuid,
    /// Set: on this provider's word alone.
    pub identity_provider_id: Option<Uuid>,
}

/// Of somebody who has shown it themselves.
impl From<(Uuid, Uuid)> for Whose {
    fn from((user_id, organisation_id): (Uuid, Uuid)) -> Self {
        Self {
            user_id,
            organisation_id,
            identity_provider_id: None,
        }
    }
}

/// As before, for the next stage.
impl From<&Member> for Whose {
    fn from(member: &Member) -> Self {
        Self {
            user_id: member.user_id,
            organisation_id: member.organisation_id,
            identity_provider_id: member.identity_provider_id,
        }
    }
}

/// Signs a person in to one organisation. The secret is for the cookie: it is told this once.
pub async fn begin(
    db: &mut PgConnection,
    whose: impl Into<Whose>,
    origin: &Origin,
    stage: Stage,
    now: DatabaseTime,
) -> Result<SecretText, sqlx::Error> {
    let secret = SecretText::random();
    let lifetime = match stage {
        Stage::SignedIn => LIFETIME,
        Stage::SecondFactorDue => SECOND_FACTOR_WITHIN,
    };
    let new = store::NewSession {
        session_id: Uuid::now_v7(),
        whose: whose.into(),
        token_digest: secret.digest(),
        expires_at: now + lifetime,
        authenticated_at: (stage == Stage::SignedIn).then_some(now),
        origin,
    };
    store::insert(db, Operator::signing_in(), &new, now).await?;
    Ok(secret)
}

/// Turns the session of `member` to another organisation, with a new secret for the cookie. It ends when it would have
/// ended. `None`: the person is no member there, or is here on the word of a provider that speaks for this one alone.
pub async fn switch(
    db: &mut PgConnection,
    member: &Member,
    organisation_id: Uuid,
) -> Result<Option<SecretText>, sqlx::Error> {
    let secret = SecretText::random();
    let is_switched = store::switch(db, member, organisation_id, &secret.digest()).await?;
    Ok(is_switched.then_some(secret))
}

/// Gives a session another secret: whoever has learned the one before has nothing.
pub async fn renew(db: &mut PgConnection, member: &Member, now: DatabaseTime) -> Result<SecretText, sqlx::Error> {
    let secret = SecretText::random();
    store::set_secret(db, member, &secret.digest(), now).await?;
    Ok(secret)
}

/// Locks how the person signs in until the end of the transaction. False: the session has ended since the request
/// began, for example by a password reset, and nothing may be changed in its name.
pub async fn lock(db: &mut PgConnection, member: &Member) -> Result<bool, sqlx::Error> {
    people::store::lock(db, Operator::signing_in(), &[member.user_id]).await?;
    store::exists(db, member).await
}

/// Signs one of a person's own browsers out.
pub async fn end(db: &mut PgConnection, member: &Member, session_id: Uuid) -> Result<(), sqlx::Error> {
    if store::delete(db, member, session_id).await? {
        record(db, member, "member.session_ended").await?;
    }
    Ok(())
}

/// Signs a person out everywhere, on a provider's word in its organisation; `but` stays.
pub async fn end_all(db: &mut PgConnection, member: &Member, but: Option<Uuid>) -> Result<(), sqlx::Error> {
    match member.identity_provider_id {
        None => store::delete_all(db, Operator::signing_in(), member.user_id, but).await?,
        Some(_) => store::delete_here(db, member, but).await?,
    };
    record(db, member, "member.sessions_ended").await
}

async fn record(db: &mut PgConnection, member: &Member, action: &'static str) -> Result<(), sqlx::Error> {
    audit::record(db, &member.own_scope(), audit::Event::of_member(member, action)).await
}
