//! Signing in with a password: whoever guesses waits longer each time, and learns neither whether an address is known
//! nor, from the time it takes, whether the password was compared at all.
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::{Operator, email::Email, organisations::OrganisationError, people};
use crate::{
    passwords::{Busy, Passwords},
    sealed::Keyring,
};

/// Failures that cost nothing: people mistype.
const FREE: i32 = 5;
/// More are not told apart.
const MOST: i32 = 1_000_000;
const LONGEST: TimeDelta = TimeDelta::minutes(15);
/// Without another failure all is forgotten.
pub const FORGOTTEN: TimeDelta = TimeDelta::hours(24);

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

/// From when on another attempt is taken.
#[must_use]
pub fn next_attempt(failures: i32, last_at: DateTime<Utc>) -> DateTime<Utc> {
    match failures - FREE {
        ..=0 => last_at,
        over => last_at + TimeDelta::seconds(1_i64 << over.min(10)).min(LONGEST),
    }
}

/// Somebody whose password was right when it was compared. Has no `Debug`.
pub struct Right {
    pub user_id: Uuid,
    password_hash: String,
}

impl Right {
    /// Whether it still is the person's password, and stays so to the end of the transaction. Whoever sets another one
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
    (email, password): (&Email, String),
    now: DateTime<Utc>,
) -> Result<Right, SignInError> {
    let mut db = pool.acquire().await?;
    let digest = email.digest(&mut db, keyring).await?;
    let known = people::store::find_credentials(&mut db, Operator::signing_in(), &digest).await?;
    // Counted before it is compared: many at once must not all be the first.
    take_attempt(&mut db, &digest, now).await?;
    drop(db);
    let stored = known.as_ref().and_then(|known| known.password_hash.as_deref());
    let is_right = match passwords.is_right(password, stored).await {
        Ok(is_right) => is_right,
        Err(busy) => {
            // Who is told to come again must not be locked out for coming again.
            store::take_back(&mut *pool.acquire().await?, &digest).await?;
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
    store::delete(&mut *pool.acquire().await?, &digest).await?;
    Ok(right)
}

/// Counts an attempt for whatever `key` is the digest of, or refuses it. Of many at once each is judged by those before.
pub(super) async fn take_attempt(db: &mut PgConnection, key: &[u8], now: DateTime<Utc>) -> Result<(), SignInError> {
    loop {
        let seen = store::find(db, key).await?;
        let counting = seen.as_ref().filter(|seen| now - seen.last_at < FORGOTTEN);
        let failures = match counting {
            None => 1,
            Some(seen) => {
                let until = next_attempt(seen.failures, seen.last_at);
                if seen.failures > FREE && until > now {
                    return Err(SignInError::TooMany(until - now));
                }
                seen.failures.min(MOST) + 1
            }
        };
        if store::count(db, key, seen.as_ref(), failures, now).await? {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_fails_waits_longer_each_time_and_a_quarter_of_an_hour_at_most() {
        let last = DateTime::UNIX_EPOCH;
        for (failures, seconds) in [
            (0, 0),
            (1, 0),
            (5, 0),
            (6, 2),
            (7, 4),
            (10, 32),
            (14, 512),
            (15, 900),
            (1_000, 900),
            (i32::MAX, 900),
        ] {
            assert_eq!(
                next_attempt(failures, last) - last,
                TimeDelta::seconds(seconds),
                "{failures}"
            );
        }
    }
}
