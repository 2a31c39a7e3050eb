//! The second factor: after the password, a code that a program on the person's phone shows, or one of ten recovery
//! codes. Each is taken once. Failed attempts are counted as those of passwords are.
//!
//! A link by mail sets a password and does not turn the factor off. A person who can't use the factor, because it is lost or
//! because a stranger enrolled it, can have it removed by that link after [`REMOVAL_DELAY`]; using the factor meanwhile
//! cancels the removal.
mod code;
pub mod store;
pub mod totp;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

pub use code::{Code, RecoveryCode};
use totp::TotpSecret;

use super::{
    Member, Operator,
    email::Email,
    failed_attempts::{self, Source, Subject},
    known_browsers,
    organisations::OrganisationError,
    people,
    secret_text::SecretText,
    sessions::{self, Origin, Stage},
    sign_in::SignInError,
};
use crate::{
    audit,
    clock::DatabaseTime,
    sealed::{Keyring, SealError},
};

const RECOVERY_CODES: usize = 10;
/// From a password reset to the removal of a factor: long enough for its owner to notice the mails.
pub const REMOVAL_DELAY: TimeDelta = TimeDelta::days(3);

/// How far somebody is with it.
pub enum State {
    Off,
    /// The program is to be shown this; nothing is asked for yet.
    Begun(TotpSecret),
    On {
        since: DateTime<Utc>,
        recovery_codes: i64,
        removal_at: Option<DateTime<Utc>>,
    },
}

/// What was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Shown,
    Recovery,
}

#[derive(Debug, thiserror::Error)]
pub enum SecondFactorError {
    #[error("this code is wrong, or was used before")]
    Wrong,
    #[error("a second factor is on already")]
    IsOn,
    #[error("no second factor is on")]
    IsOff,
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the second factors could not be read or written")]
    Database(#[from] sqlx::Error),
}

/// How far somebody has come whose password was right. Every door asks this before it opens a session.
pub async fn stage(db: &mut PgConnection, operator: Operator, user_id: Uuid) -> Result<Stage, sqlx::Error> {
    if store::delete_due(db, operator, user_id).await? {
        record_for_person(db, operator, user_id, "member.second_factor_removed").await?;
    }
    match store::is_on(db, operator, user_id).await? {
        true => Ok(Stage::SecondFactorDue),
        false => Ok(Stage::SignedIn),
    }
}

pub async fn state(db: &mut PgConnection, keyring: &Keyring, member: &Member) -> Result<State, SecondFactorError> {
    let Some(found) = store::find(db, member).await? else {
        return Ok(State::Off);
    };
    match found.confirmed_at {
        None => Ok(State::Begun(open(keyring, member, &found)?)),
        Some(since) => Ok(State::On {
            since,
            recovery_codes: store::count_recovery_codes(db, member).await?,
            removal_at: found.removal_at,
        }),
    }
}

/// Makes a secret for the program to be shown. One that was begun before is forgotten.
pub async fn begin(
    db: &mut PgConnection,
    keyring: &Keyring,
    member: &Member,
    now: DatabaseTime,
) -> Result<(), SecondFactorError> {
    let secret = TotpSecret::random();
    let sealed = keyring.seal(&context(member.user_id), secret.as_bytes());
    match store::insert(db, member, &sealed, now).await? {
        true => Ok(()),
        false => Err(SecondFactorError::IsOn),
    }
}

/// Source of the code that is tried after the password.
pub async fn source_at_sign_in(
    db: &mut PgConnection,
    member: &Member,
    browser: Option<&SecretText>,
    origin: &Origin,
) -> Result<Source, sqlx::Error> {
    if let Some(id) = member.identity_provider_id {
        return Ok(Source::Provider(id));
    }
    let known = known_browsers::find_of_person(db, member.user_id, browser).await?;
    Ok(match known {
        Some(id) => Source::KnownBrowser(id),
        None => Source::Unknown(origin.network.clone()),
    })
}

/// Counts an attempt before it is looked at. Belongs in no transaction: it counts when all else is undone.
pub async fn take_attempt(
    db: &mut PgConnection,
    member: &Member,
    source: &Source,
    now: DatabaseTime,
) -> Result<(), SignInError> {
    let subject = Subject::second_factor(member.user_id);
    Ok(failed_attempts::take(db, &subject, source, now).await?)
}

/// From now on it is asked for. Returns the recovery codes, which are known this once.
pub async fn confirm(
    db: &mut PgConnection,
    keyring: &Keyring,
    member: &Member,
    code: &Code,
    now: DatabaseTime,
) -> Result<Vec<RecoveryCode>, SecondFactorError> {
    // Whoever signs in at this moment is asked for it as well, or is seen when the others are signed out.
    people::store::lock(db, Operator::signing_in(), &[member.user_id]).await?;
    let found = store::find(db, member).await?.ok_or(SecondFactorError::IsOff)?;
    if found.confirmed_at.is_some() {
        return Err(SecondFactorError::IsOn);
    }
    let Code::Shown(code) = code else {
        return Err(SecondFactorError::Wrong);
    };
    let step = open(keyring, member, &found)?.step_of(*code, found.last_step, now.get());
    let step = step.ok_or(SecondFactorError::Wrong)?;
    if !store::confirm(db, member, step, now).await? {
        return Err(SecondFactorError::IsOn);
    }
    failed_attempts::clear(db, &Subject::second_factor(member.user_id)).await?;
    record(db, member, "member.second_factor_turned_on").await?;
    new_recovery_codes(db, member).await
}

/// Takes a code, this once.
pub async fn take(
    db: &mut PgConnection,
    keyring: &Keyring,
    member: &Member,
    code: &Code,
    now: DatabaseTime,
) -> Result<Taken, SecondFactorError> {
    // Before the codes, as whoever turns it off: of two with a recovery code each, both would else wait for the other's.
    let found = store::lock(db, member).await?;
    let found = found.filter(|found| found.confirmed_at.is_some());
    let found = found.ok_or(SecondFactorError::IsOff)?;
    let taken = match code {
        Code::Shown(code) => {
            let step = open(keyring, member, &found)?.step_of(*code, found.last_step, now.get());
            let step = step.ok_or(SecondFactorError::Wrong)?;
            // Of two that arrive together one is first.
            store::take_step(db, member, step).await?.then_some(Taken::Shown)
        }
        Code::Recovery(digest) => store::take_recovery_code(db, member, digest)
            .await?
            .then_some(Taken::Recovery),
    };
    let taken = taken.ok_or(SecondFactorError::Wrong)?;
    failed_attempts::clear(db, &Subject::second_factor(member.user_id)).await?;
    if taken == Taken::Recovery {
        record(db, member, "member.recovery_code_used").await?;
    }
    if found.removal_at.is_some() {
        store::cancel_removal(db, member).await?;
        record(db, member, "member.second_factor_removal_cancelled").await?;
    }
    Ok(taken)
}

/// Others instead of those that are left.
pub async fn renew_recovery_codes(
    db: &mut PgConnection,
    member: &Member,
) -> Result<Vec<RecoveryCode>, SecondFactorError> {
    record(db, member, "member.recovery_codes_renewed").await?;
    new_recovery_codes(db, member).await
}

/// A code must have been taken in the same transaction.
pub async fn turn_off(db: &mut PgConnection, member: &Member) -> Result<(), SecondFactorError> {
    store::delete(db, member.user_id).await?;
    record(db, member, "member.second_factor_turned_off").await?;
    Ok(())
}

/// For somebody who has lost the phone and the recovery codes, and whom an operator knows to be who they say. Ends
/// every session. False: nobody has this address, or no second factor.
pub async fn reset(
    db: &mut PgConnection,
    operator: Operator,
    keyring: &Keyring,
    email: &Email,
) -> Result<bool, OrganisationError> {
    let digest = email.digest(db, keyring).await?;
    let Some(known) = people::store::find_credentials(db, operator, &digest).await? else {
        return Ok(false);
    };
    if !store::delete(db, known.user_id).await? {
        return Ok(false);
    }
    sessions::store::delete_all(db, operator, known.user_id, None).await?;
    known_browsers::forget(db, known.user_id, None).await?;
    record_for_person(db, operator, known.user_id, "member.second_factor_reset").await?;
    Ok(true)
}

/// Schedules the removal of the factor after [`REMOVAL_DELAY`], for a person who has opened a link by mail. Returns when; `None`: no
/// factor is on.
pub async fn schedule_removal(
    db: &mut PgConnection,
    operator: Operator,
    user_id: Uuid,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let hours = i32::try_from(REMOVAL_DELAY.num_hours()).unwrap_or(i32::MAX);
    let removal_at = store::schedule_removal(db, operator, user_id, hours).await?;
    if removal_at.is_some() {
        record_for_person(db, operator, user_id, "member.second_factor_removal_scheduled").await?;
    }
    Ok(removal_at)
}

/// Records an event in each organisation of a person.
async fn record_for_person(
    db: &mut PgConnection,
    operator: Operator,
    user_id: Uuid,
    action: &'static str,
) -> Result<(), sqlx::Error> {
    for (organisation_id, _) in people::store::list_memberships(db, operator, user_id).await? {
        let event = audit::Event::of_person(user_id, action);
        audit::record(db, &operator.scope(organisation_id), event).await?;
    }
    Ok(())
}

async fn new_recovery_codes(db: &mut PgConnection, member: &Member) -> Result<Vec<RecoveryCode>, SecondFactorError> {
    let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| RecoveryCode::random()).collect();
    let digests: Vec<_> = codes.iter().map(RecoveryCode::digest).collect();
    store::replace_recovery_codes(db, member, &digests).await?;
    Ok(codes)
}

fn open(keyring: &Keyring, member: &Member, found: &store::Found) -> Result<TotpSecret, SealError> {
    let secret = keyring.open(&context(member.user_id), &found.secret_sealed)?;
    TotpSecret::opened(&secret).ok_or(SealError::Malformed)
}

async fn record(db: &mut PgConnection, member: &Member, action: &'static str) -> Result<(), sqlx::Error> {
    audit::record(db, &member.own_scope(), audit::Event::of_member(member, action)).await
}

/// What a sealed secret is bound to.
#[must_use]
pub fn context(user_id: Uuid) -> String {
    format!("second_factors.secret:{user_id}")
}
