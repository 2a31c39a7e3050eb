//! Before somebody changes what lets them in, they show again who they are: whoever finds a browser left open must not
//! lock its owner out.
use chrono::TimeDelta;
use sqlx::{PgConnection, PgPool};

use super::{
    Member, people, sessions,
    sign_in::{self, SignInError},
};
use crate::{
    clock::{self, DatabaseTime},
    passwords::Passwords,
    sealed::Keyring,
};

/// So long after signing in nothing more is asked for.
const RECENT: TimeDelta = TimeDelta::minutes(10);

/// What somebody has to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    Nothing,
    Password,
    /// There is no password: signing in once more, whichever way, is the proof.
    SignIn,
    /// There is no password, and the sign-in was a provider's word: whoever runs the provider is not to make themselves
    /// a key to somebody's account.
    FirstPassword,
}

pub async fn wanted(db: &mut PgConnection, member: &Member, now: DatabaseTime) -> Result<Wanted, sqlx::Error> {
    if member.identity_provider_id.is_some() {
        return match people::store::has_password(db, member).await? {
            true => Ok(Wanted::Password),
            false => Ok(Wanted::FirstPassword),
        };
    }
    let at = sessions::store::find_authenticated_at(db, member).await?;
    if at.is_some_and(|at| now - at <= RECENT) {
        return Ok(Wanted::Nothing);
    }
    match people::store::has_password(db, member).await? {
        true => Ok(Wanted::Password),
        false => Ok(Wanted::SignIn),
    }
}

/// What a member has to show for an act of the organisation that outlives their session. A provider's fresh sign-in is
/// enough here: the provider is the organisation's own.
pub async fn wanted_for_organisation(
    db: &mut PgConnection,
    member: &Member,
    now: DatabaseTime,
) -> Result<Wanted, sqlx::Error> {
    let at = sessions::store::find_authenticated_at(db, member).await?;
    if at.is_some_and(|at| now - at <= RECENT) {
        return Ok(Wanted::Nothing);
    }
    match people::store::has_password(db, member).await? {
        true => Ok(Wanted::Password),
        false => Ok(Wanted::SignIn),
    }
}

/// Compares the password and notes that it was right. Failures are counted by session.
pub async fn with_password(
    (pool, _, passwords): (&PgPool, &Keyring, &Passwords),
    member: &Member,
    password: String,
) -> Result<(), SignInError> {
    sign_in::with_password_again((pool, passwords), member, password).await?;
    let (mut db, now) = clock::acquire(pool).await?;
    sessions::store::set_authenticated(&mut db, member, now).await?;
    Ok(())
}
