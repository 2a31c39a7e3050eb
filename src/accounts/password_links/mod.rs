//! Forgotten passwords: a link by mail, once, to set another. Whoever asks is told nothing.
//!
//! Setting a password by a link takes the account back: it ends every session, removes passkeys that
//! the person does not choose to keep, and clears the counters of failed attempts. A second factor stays on, because a
//! mailbox alone must not turn it off; the person can have it removed after a delay.
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Operator,
    email::Email,
    email_changes,
    failed_attempts::{self, Subject},
    known_browsers,
    organisations::OrganisationError,
    passkeys::{self, Passkey},
    people,
    second_factors::{self, store::Summary},
    secret_text::SecretText,
    sessions::{self, Session},
    unproved_accounts,
};
use crate::{audit, clock::DatabaseTime, sealed::Keyring};

const LIFETIME: TimeDelta = TimeDelta::hours(1);
/// For one person, in an hour. As a link works for that long, a mailbox that gets no more mails holds so many links that
/// work: strangers who ask for mails can't keep the person from setting a password.
const MAX_IN_AN_HOUR: i64 = 3;

#[derive(Debug, thiserror::Error)]
pub enum PasswordLinkError {
    #[error("this link is unknown, was used, or has expired")]
    NotFound,
    #[error(transparent)]
    Organisation(#[from] OrganisationError),
    #[error("the links could not be read or written")]
    Database(#[from] sqlx::Error),
}

/// What signs a person in beside the password.
#[derive(Default)]
pub struct OtherFactors {
    pub passkeys: Vec<Passkey>,
    pub second_factor: Option<Summary>,
    pub sessions: Vec<Session>,
}

/// What a person sets by a link. Has no `Debug`.
pub struct Reset<'a> {
    pub password_hash: &'a str,
    /// The others are removed.
    pub kept_passkeys: &'a [Uuid],
    pub removes_second_factor: bool,
}

/// What a reset changed.
#[derive(Clone, Copy, Debug)]
pub struct Redeemed {
    pub user_id: Uuid,
    pub removed_passkeys: u64,
    /// `Some`: the second factor is removed then.
    pub second_factor_removal_at: Option<DateTime<Utc>>,
}

/// A link for whoever has this address. `None`: nobody has it, or enough were sent.
pub async fn make(
    db: &mut PgConnection,
    keyring: &Keyring,
    email: &Email,
    now: DatabaseTime,
) -> Result<Option<SecretText>, PasswordLinkError> {
    let digest = email.digest(db, keyring).await?;
    let Some(known) = people::store::find_credentials(db, Operator::signing_in(), &digest).await? else {
        return Ok(None);
    };
    // Of many that ask at once each is counted.
    people::store::lock(db, Operator::signing_in(), &[known.user_id]).await?;
    if store::count(db, known.user_id, now - TimeDelta::hours(1)).await? >= MAX_IN_AN_HOUR {
        return Ok(None);
    }
    let secret = SecretText::random();
    store::insert(db, known.user_id, &secret.digest(), (now, now + LIFETIME)).await?;
    Ok(Some(secret))
}

/// Whose link it is.
pub async fn find(
    db: &mut PgConnection,
    keyring: &Keyring,
    secret: &SecretText,
    now: DatabaseTime,
) -> Result<people::Person, PasswordLinkError> {
    let user_id = store::find(db, &secret.digest(), now).await?;
    let user_id = user_id.ok_or(PasswordLinkError::NotFound)?;
    let person = people::find(db, keyring, user_id).await?;
    person.ok_or(PasswordLinkError::NotFound)
}

/// What signs the person in who has opened a link, beside the password.
pub async fn other_factors(
    db: &mut PgConnection,
    user_id: Uuid,
    now: DatabaseTime,
) -> Result<OtherFactors, PasswordLinkError> {
    let operator = Operator::signing_in();
    Ok(OtherFactors {
        passkeys: passkeys::store::list_of_person(db, operator, user_id).await?,
        second_factor: second_factors::store::find_summary(db, operator, user_id).await?,
        sessions: sessions::store::list_of_person(db, operator, user_id, now).await?,
    })
}

/// Sets the password, deletes all of the person's links, and ends what else was opened or enrolled with the account.
pub async fn redeem(
    db: &mut PgConnection,
    secret: &SecretText,
    reset: &Reset<'_>,
    now: DatabaseTime,
) -> Result<Redeemed, PasswordLinkError> {
    let (operator, digest) = (Operator::signing_in(), secret.digest());
    let user_id = store::find(db, &digest, now).await?;
    let user_id = user_id.ok_or(PasswordLinkError::NotFound)?;
    // The person first, as everybody does who deletes all of the links: of two links that are opened at once, each would
    // else have its own and wait for the other.
    people::store::lock(db, operator, &[user_id]).await?;
    if store::take(db, &digest, now).await? != Some(user_id) {
        return Err(PasswordLinkError::NotFound);
    }
    people::store::update_password(db, operator, user_id, reset.password_hash).await?;
    unproved_accounts::store::set_proved(db, operator, user_id).await?;
    store::delete_all(db, user_id).await?;
    email_changes::store::delete_all_of_person(db, operator, user_id).await?;
    let removed_passkeys = passkeys::store::delete_others(db, operator, user_id, reset.kept_passkeys).await?;
    second_factors::store::delete_unconfirmed(db, operator, user_id).await?;
    let second_factor_removal_at = match reset.removes_second_factor {
        true => second_factors::schedule_removal(db, operator, user_id).await?,
        false => None,
    };
    sessions::store::delete_all(db, operator, user_id, None).await?;
    known_browsers::forget(db, user_id, None).await?;
    clear_failed_attempts(db, user_id).await?;
    for (organisation_id, _) in people::store::list_memberships(db, operator, user_id).await? {
        let event = audit::Event {
            details: json!({ "removed_passkeys": removed_passkeys }),
            ..audit::Event::of_person(user_id, "member.password_reset")
        };
        audit::record(db, &operator.scope(organisation_id), event).await?;
    }
    Ok(Redeemed {
        user_id,
        removed_passkeys,
        second_factor_removal_at,
    })
}

async fn clear_failed_attempts(db: &mut PgConnection, user_id: Uuid) -> Result<(), sqlx::Error> {
    let email_digest = people::store::find_digest(db, Operator::signing_in(), user_id).await?;
    let password = Subject::password(&email_digest.unwrap_or_default());
    for subject in [
        password,
        Subject::second_factor(user_id),
        Subject::reauthentication(user_id),
    ] {
        failed_attempts::clear(db, &subject).await?;
    }
    Ok(())
}
