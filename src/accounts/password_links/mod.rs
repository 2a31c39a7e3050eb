//! Forgotten passwords: a link by mail, once, to set another. Whoever asks is told nothing.
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Operator, email::Email, organisations::OrganisationError, people, secret_text::SecretText, sessions};
use crate::sealed::Keyring;

const LIFETIME: TimeDelta = TimeDelta::hours(1);
/// For one person, in an hour.
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

/// A link for whoever has this address. `None`: nobody has it, or enough were sent.
pub async fn make(
    db: &mut PgConnection,
    keyring: &Keyring,
    email: &Email,
    now: DateTime<Utc>,
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
    now: DateTime<Utc>,
) -> Result<people::Person, PasswordLinkError> {
    let user_id = store::find(db, &secret.digest(), now).await?;
    let user_id = user_id.ok_or(PasswordLinkError::NotFound)?;
    let person = people::find(db, keyring, user_id).await?;
    person.ok_or(PasswordLinkError::NotFound)
}

/// Sets the password, uses up all of the person's links, and signs the person out everywhere.
pub async fn redeem(
    db: &mut PgConnection,
    secret: &SecretText,
    password_hash: &str,
    now: DateTime<Utc>,
) -> Result<Uuid, PasswordLinkError> {
    let user_id = store::take(db, &secret.digest(), now).await?;
    let user_id = user_id.ok_or(PasswordLinkError::NotFound)?;
    let operator = Operator::signing_in();
    people::store::update_password(db, operator, user_id, password_hash).await?;
    store::delete_all(db, user_id).await?;
    sessions::store::delete_all(db, operator, user_id, None).await?;
    Ok(user_id)
}
