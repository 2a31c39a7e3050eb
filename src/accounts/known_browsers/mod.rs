//! Browsers in which a person has signed in before, recognised by a cookie. A known browser has its own counter of
//! failed attempts and no other privilege: a stolen cookie allows guesses, and nothing more.
pub mod store;

use chrono::TimeDelta;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Operator, secret_text::SecretText};

/// Since the last sign-in.
pub const LIFETIME: TimeDelta = TimeDelta::days(180);
/// Known browsers of one person; the one that was used longest ago is forgotten first.
const MAX_BROWSERS: i64 = 20;

/// The known browser that holds `cookie`, of the person who has this address.
pub async fn find(
    db: &mut PgConnection,
    email_digest: &[u8],
    cookie: Option<&SecretText>,
) -> Result<Option<Uuid>, sqlx::Error> {
    match cookie {
        None => Ok(None),
        Some(cookie) => store::find(db, Operator::signing_in(), email_digest, &cookie.digest()).await,
    }
}

/// The same, of a person.
pub async fn find_of_person(
    db: &mut PgConnection,
    user_id: Uuid,
    cookie: Option<&SecretText>,
) -> Result<Option<Uuid>, sqlx::Error> {
    match cookie {
        None => Ok(None),
        Some(cookie) => store::find_of_person(db, Operator::signing_in(), user_id, &cookie.digest()).await,
    }
}

/// Makes a browser known to a person who has just signed in there. Returns the new value of its cookie: a value that an
/// attacker has stolen or planted no longer works after the next sign-in.
pub async fn remember(
    db: &mut PgConnection,
    user_id: Uuid,
    cookie: Option<&SecretText>,
) -> Result<SecretText, sqlx::Error> {
    let (operator, secret) = (Operator::signing_in(), SecretText::random());
    let digest = secret.digest();
    if let Some(cookie) = cookie {
        store::replace_token(db, operator, &cookie.digest(), &digest).await?;
    }
    store::insert(db, operator, user_id, (&digest, LIFETIME)).await?;
    store::delete_oldest(db, operator, user_id, MAX_BROWSERS).await?;
    Ok(secret)
}

/// Forgets every known browser of a person but the one that holds `cookie`.
pub async fn forget(db: &mut PgConnection, user_id: Uuid, but: Option<&SecretText>) -> Result<(), sqlx::Error> {
    let but = but.map(SecretText::digest);
    store::delete(db, Operator::signing_in(), user_id, but.as_deref()).await
}
