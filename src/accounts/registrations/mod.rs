//! Signing up: nothing exists for anybody before the address is confirmed. Whoever signs up with an address that has an
//! account learns of it by mail, and nobody else does.
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Operator,
    email::Email,
    organisations::{self, OrganisationError},
    people,
    secret_text::SecretText,
};
use crate::sealed::Keyring;

/// To find the mail and open it.
const LIFETIME: TimeDelta = TimeDelta::hours(24);
/// Of one address, in a day: more mails than that nobody asks for in earnest.
const MAX_OF_ONE_ADDRESS: i64 = 5;

/// What somebody signs up with. Has no `Debug`.
pub struct NewRegistration {
    pub organisation: String,
    pub name: String,
    pub email: Email,
    pub password_hash: String,
}

/// What is sealed of it.
#[derive(Serialize, Deserialize)]
struct Kept {
    organisation: String,
    name: String,
    email: String,
    password_hash: String,
}

/// What the mail is to say.
pub enum Answer {
    /// Open this to confirm.
    Confirm(SecretText),
    /// There is an account already.
    Known,
    /// Enough mails were sent.
    Silent,
}

/// Who became of a registration.
pub struct Confirmed {
    pub user_id: Uuid,
    pub organisation_id: Uuid,
}

#[derive(Debug, thiserror::Error)]
pub enum RegistrationError {
    #[error("this link is unknown, was used, or has expired")]
    NotFound,
    #[error(transparent)]
    Organisation(#[from] OrganisationError),
    #[error("the registrations could not be read or written")]
    Database(#[from] sqlx::Error),
}

/// Takes a registration in. `browser` is the secret of the browser that signed up.
pub async fn begin(
    db: &mut PgConnection,
    keyring: &Keyring,
    new: &NewRegistration,
    browser: &SecretText,
    now: DateTime<Utc>,
) -> Result<Answer, RegistrationError> {
    let digest = new.email.digest(db, keyring).await?;
    let is_known = people::store::find_credentials(db, Operator::signing_in(), &digest).await?;
    // Of many that sign up at once each is counted.
    store::lock(db, &digest).await?;
    if store::count(db, &digest, now - TimeDelta::days(1)).await? >= MAX_OF_ONE_ADDRESS {
        return Ok(Answer::Silent);
    }
    let kept = Kept {
        organisation: new.organisation.clone(),
        name: new.name.clone(),
        email: new.email.expose().to_owned(),
        password_hash: new.password_hash.clone(),
    };
    let registration_id = Uuid::now_v7();
    let secret = SecretText::random();
    let sealed = serde_json::to_vec(&kept).unwrap_or_default();
    let registration = store::Registration {
        registration_id,
        token_digest: secret.digest(),
        browser_digest: browser.digest(),
        email_digest: digest,
        sealed: keyring.seal(&context(registration_id), &sealed),
        created_at: now,
        expires_at: now + LIFETIME,
    };
    // Of a known address as well: it is counted like the others, and its secret is told to nobody.
    store::insert(db, &registration).await?;
    Ok(match is_known {
        Some(_) => Answer::Known,
        None => Answer::Confirm(secret),
    })
}

/// Whether `secret` is that of a registration, and `browser` the one that made it.
pub async fn is_from(
    db: &mut PgConnection,
    secret: &SecretText,
    browser: Option<&SecretText>,
    now: DateTime<Utc>,
) -> Result<bool, RegistrationError> {
    let found = store::find(db, &secret.digest(), now).await?;
    let found = found.ok_or(RegistrationError::NotFound)?;
    Ok(browser.is_some_and(|browser| browser.digest() == found.browser_digest))
}

/// Makes the organisation and its owner.
pub async fn confirm(
    db: &mut PgConnection,
    keyring: &Keyring,
    secret: &SecretText,
    now: DateTime<Utc>,
) -> Result<Confirmed, RegistrationError> {
    let taken = store::take(db, &secret.digest(), now).await?;
    let registration = taken.ok_or(RegistrationError::NotFound)?;
    let opened = keyring.open(&context(registration.registration_id), &registration.sealed);
    let kept: Kept = opened
        .ok()
        .and_then(|kept| serde_json::from_slice(&kept).ok())
        .ok_or(RegistrationError::NotFound)?;
    let founded = organisations::found(
        db,
        keyring,
        organisations::Founding {
            organisation: &kept.organisation,
            name: Some(&kept.name),
            email: &Email::opened(kept.email.into_bytes()).ok_or(RegistrationError::NotFound)?,
            password_hash: Some(&kept.password_hash),
            is_trusted: false,
        },
        Operator::signing_in(),
    )
    .await;
    let (organisation_id, user_id) = match founded {
        // Somebody was quicker: the other link of the same address.
        Err(OrganisationError::EmailTaken) => return Err(RegistrationError::NotFound),
        founded => founded?,
    };
    Ok(Confirmed {
        user_id,
        organisation_id,
    })
}

/// What a sealed registration is bound to.
#[must_use]
pub fn context(registration_id: Uuid) -> String {
    format!("registrations:{registration_id}")
}
