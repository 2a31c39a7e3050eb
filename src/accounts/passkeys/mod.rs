//! Passkeys (`WebAuthn` level 3): a key pair in the person's device or password manager, which asks for a finger, a face
//! or a PIN before it signs. One lets its owner in alone: it is two factors at once. What a browser answers is
//! checked by `webauthn_rp`: challenge, origin, user verification, signature, counter.
mod ceremony;
mod site;
pub mod store;

use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

pub use ceremony::{Accepted, Made, Shown, accept, answer_to_make, answer_to_sign_in, ask_to_make, ask_to_sign_in};
pub use site::Site;

use super::Member;
use crate::{audit, clock::DatabaseTime, sealed::SealError};

/// As the library says to browsers, and more than enough to find the finger.
const LIFETIME: TimeDelta = TimeDelta::minutes(5);
/// Of one person: phone, laptop, password manager, and keys in a drawer.
const MAX: usize = 20;

/// One of a person's own, as the settings list it.
#[derive(Debug)]
pub struct Passkey {
    pub passkey_id: Uuid,
    pub name: String,
    pub created_at: DateTime<Utc>,
    pub used_at: Option<DateTime<Utc>>,
}

#[derive(Debug, thiserror::Error)]
pub enum PasskeyError {
    /// Whatever is wrong with it: only the log is told what.
    #[error("this passkey was not accepted")]
    Refused(String),
    #[error("there are {MAX} passkeys already: remove one first")]
    TooMany,
    #[error("this passkey is registered already")]
    Known,
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the passkeys could not be read or written")]
    Database(#[source] sqlx::Error),
}

impl From<sqlx::Error> for PasskeyError {
    fn from(error: sqlx::Error) -> Self {
        match error.as_database_error().and_then(|e| e.constraint()) {
            Some("passkeys_credential_key") => Self::Known,
            _ => Self::Database(error),
        }
    }
}

/// Keeps one that was just made, under a name of its owner's.
pub async fn keep(
    db: &mut PgConnection,
    member: &Member,
    name: &str,
    made: &Made,
    now: DatabaseTime,
) -> Result<(), PasskeyError> {
    if store::list(db, member).await?.len() >= MAX {
        return Err(PasskeyError::TooMany);
    }
    store::insert(db, member, name, made, now).await?;
    record(db, member, "member.passkey_added").await?;
    Ok(())
}

/// False: there is none such.
pub async fn remove(db: &mut PgConnection, member: &Member, passkey_id: Uuid) -> Result<bool, PasskeyError> {
    let is_removed = store::delete(db, member, passkey_id).await?;
    if is_removed {
        record(db, member, "member.passkey_removed").await?;
    }
    Ok(is_removed)
}

async fn record(db: &mut PgConnection, member: &Member, action: &'static str) -> Result<(), sqlx::Error> {
    audit::record(db, &member.own_scope(), audit::Event::of_member(member, action)).await
}
