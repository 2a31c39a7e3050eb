//! Signing in with a password. An unknown address costs the same work and gets the same answers as a known one.
use chrono::TimeDelta;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{
    Member, Operator,
    email::Email,
    failed_attempts::{self, AttemptError, Source, Subject},
    known_browsers,
    organisations::OrganisationError,
    people::{self, store::Credentials},
    secret_text::SecretText,
};
use crate::{
    clock::{self},
    passwords::{Busy, Passwords},
    sealed::Keyring,
};

#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    #[error("this address and this password don't belong together")]
    Wrong,
    #[error("there were too many failed attempts for this address")]
    TooMany(TimeDelta),
    #[error(transparent)]
    Busy(#[from] Busy),
    #[error(transparent)]
    Organisation(#[from] OrganisationError),
    #[error("the accounts could not be read")]
    Database(#[from] sqlx::Error),
}

impl From<AttemptError> for SignInError {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::TooMany(wait) => Self::TooMany(wait),
            AttemptError::Database(error) => Self::Database(error),
        }
    }
}

/// What is typed at the sign-in, and where. Has no `Debug`.
pub struct Attempt<'a> {
    pub email: &'a Email,
    pub password: String,
    /// The cookie that a known browser has.
    pub browser: Option<&'a SecretText>,
    pub network: Option<&'a str>,
}

/// A person whose password was right when it was compared. Has no `Debug`.
pub struct Right {
    pub user_id: Uuid,
    password_hash: String,
}

impl Right {
    /// Whether it still is the person's password, and stays so until the end of the transaction. Setting another one
    /// meanwhile ends every session, and must not miss one that is just beginning.
    pub async fn still_holds(&self, db: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let held = people::store::hold(db, Operator::signing_in(), self.user_id).await?;
        Ok(held.and_then(|held| held.password_hash).as_ref() == Some(&self.password_hash))
    }
}

/// Who has this address and this password. No transaction is open while the password is compared.
pub async fn with_password(
    pool: &PgPool,
    keyring: &Keyring,
    passwords: &Passwords,
    attempt: Attempt<'_>,
) -> Result<Right, SignInError> {
    let mut db = pool.acquire().await?;
    let digest = attempt.email.digest(&mut db, keyring).await?;
    let known = people::store::find_credentials(&mut db, Operator::signing_in(), &digest).await?;
    let source = match known_browsers::find(&mut db, &digest, attempt.browser).await? {
        Some(id) => Source::KnownBrowser(id),
        None => Source::Unknown(attempt.network.map(str::to_owned)),
    };
    drop(db);
    let guess = (&Subject::password(&digest), &source);
    compare((pool, passwords), guess, known, attempt.password).await
}

/// Compares the password of a signed-in person. Counts by session: strangers can't delay it.
pub async fn with_password_again(
    (pool, passwords): (&PgPool, &Passwords),
    member: &Member,
    password: String,
) -> Result<(), SignInError> {
    let mut db = pool.acquire().await?;
    let known = people::store::find_credentials_of(&mut db, member).await?;
    drop(db);
    let guess = (&Subject::reauthentication(member.user_id), &Source::of_session(member));
    compare((pool, passwords), guess, known, password).await?;
    Ok(())
}

async fn compare(
    (pool, passwords): (&PgPool, &Passwords),
    (subject, source): (&Subject, &Source),
    known: Option<Credentials>,
    password: String,
) -> Result<Right, SignInError> {
    // Counted before it is compared: of many concurrent attempts, not all may be the first.
    let (mut db, now) = clock::acquire(pool).await?;
    failed_attempts::take(&mut db, subject, source, now).await?;
    drop(db);
    let stored = known.as_ref().and_then(|known| known.password_hash.as_deref());
    let is_right = match passwords.is_right(password, stored).await {
        Ok(is_right) => is_right,
        Err(busy) => {
            // An attempt that was not compared is no failure.
            failed_attempts::take_back(&mut *pool.acquire().await?, subject, source).await?;
            return Err(busy.into());
        }
    };
    let right = known.filter(|_| is_right).and_then(|known| {
        Some(Right {
            user_id: known.user_id,
            password_hash: known.password_hash?,
        })
    });
    let right = right.ok_or(SignInError::Wrong)?;
    failed_attempts::succeed(&mut *pool.acquire().await?, subject, source).await?;
    Ok(right)
}
