//! Another address to sign in with: it counts once the mail that is sent there is opened by the person who wants it.
pub mod store;

use chrono::TimeDelta;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Member, Operator,
    email::Email,
    members::MemberError,
    organisations::{OrganisationError, email_context},
    password_links,
    people::{self, Person},
    secret_text::SecretText,
    unproved_accounts,
};
use crate::{
    audit,
    clock::DatabaseTime,
    sealed::{Keyring, SealError},
};

/// To find the mail and open it.
const LIFETIME: TimeDelta = TimeDelta::hours(24);
/// Of one person, in a day: each sends mails to an address that may be a stranger's.
const MAX_IN_A_DAY: i64 = 5;

/// What the mail to the new address is to say.
pub enum Answer {
    /// Open this to confirm.
    Confirm(SecretText),
    /// There is an account with it already. Whoever asked is not told.
    Known,
}

#[derive(Debug, thiserror::Error)]
pub enum EmailChangeError {
    #[error("this link is unknown, was used, or has expired")]
    NotFound,
    #[error("is your address already")]
    Same,
    #[error("was changed too often today: try again tomorrow")]
    TooMany,
    #[error(transparent)]
    Organisation(#[from] OrganisationError),
    #[error(transparent)]
    Member(#[from] MemberError),
    #[error("the addresses could not be read or written")]
    Database(#[from] sqlx::Error),
}

impl From<SealError> for EmailChangeError {
    fn from(error: SealError) -> Self {
        Self::Organisation(error.into())
    }
}

pub async fn begin(
    db: &mut PgConnection,
    keyring: &Keyring,
    member: &Member,
    email: &Email,
    now: DatabaseTime,
) -> Result<Answer, EmailChangeError> {
    let digest = email.digest(db, keyring).await?;
    let known = people::store::find_credentials(db, Operator::signing_in(), &digest).await?;
    if known.as_ref().is_some_and(|known| known.user_id == member.user_id) {
        return Err(EmailChangeError::Same);
    }
    people::store::lock(db, Operator::signing_in(), &[member.user_id]).await?;
    if store::count(db, member, now - TimeDelta::days(1)).await? >= MAX_IN_A_DAY {
        return Err(EmailChangeError::TooMany);
    }
    let (secret, email_change_id) = (SecretText::random(), Uuid::now_v7());
    let new = store::NewEmailChange {
        email_change_id,
        token_digest: secret.digest(),
        email_sealed: keyring.seal(&context(email_change_id), email.expose().as_bytes()),
        created_at: now.get(),
        expires_at: now.get() + LIFETIME,
    };
    // Of a known address as well: it is counted like the others, and its secret is told to nobody.
    store::insert(db, member, &new).await?;
    audit::record(
        db,
        &member.own_scope(),
        audit::Event::of_member(member, "member.email_change_begun"),
    )
    .await?;
    let is_unproved = !unproved_accounts::organisations(db, &digest).await?.is_empty();
    Ok(match known {
        Some(_) if !is_unproved => Answer::Known,
        _ => Answer::Confirm(secret),
    })
}

/// The address that a link of the member's own confirms.
pub async fn find(
    db: &mut PgConnection,
    keyring: &Keyring,
    member: &Member,
    secret: &SecretText,
    now: DatabaseTime,
) -> Result<Email, EmailChangeError> {
    let found = store::find(db, member, &secret.digest(), now).await?;
    let found = found.ok_or(EmailChangeError::NotFound)?;
    let email = keyring.open(&context(found.email_change_id), &found.email_sealed)?;
    Email::opened(email).ok_or(EmailChangeError::NotFound)
}

/// The new address counts. Returns who the person was before.
pub async fn confirm(
    db: &mut PgConnection,
    keyring: &Keyring,
    member: &Member,
    secret: &SecretText,
    now: DatabaseTime,
) -> Result<(Person, Email), EmailChangeError> {
    let email = find(db, keyring, member, secret, now).await?;
    let digest = email.digest(db, keyring).await?;
    // Organisations are locked before people.
    unproved_accounts::replace(db, &digest).await?;
    // Of two links that are opened at once one counts: it uses up the other.
    people::store::lock(db, Operator::signing_in(), &[member.user_id]).await?;
    find(db, keyring, member, secret, now).await?;
    let before = people::find(db, keyring, member.user_id).await?;
    let before = before.ok_or(EmailChangeError::NotFound)?;
    let sealed = keyring.seal(&email_context(member.user_id), email.expose().as_bytes());
    match people::store::update_email(db, member, &sealed, &digest).await {
        // Somebody signed up with it since.
        Err(OrganisationError::EmailTaken) => return Err(EmailChangeError::NotFound),
        updated => updated?,
    }
    store::delete_all(db, member).await?;
    // What was sent to the old address opens nothing any more.
    password_links::store::delete_all(db, member.user_id).await?;
    audit::record(
        db,
        &member.own_scope(),
        audit::Event::of_member(member, "member.email_changed"),
    )
    .await?;
    Ok((before, email))
}

/// What a sealed new address is bound to.
#[must_use]
pub fn context(email_change_id: Uuid) -> String {
    format!("email_changes.email:{email_change_id}")
}
