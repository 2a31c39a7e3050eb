//! Somebody who was sent to the provider: what we must see again when they come back, once, with the same browser.
pub mod store;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Door, SingleSignOnError};
use crate::{
    accounts::{Operator, secret_text::SecretText},
    clock::DatabaseTime,
    input::hexadecimal,
    sealed::Keyring,
};

/// To sign in there, with a second factor and whatever else the provider asks for.
const LIFETIME: TimeDelta = TimeDelta::minutes(10);

/// What goes along to the provider. Has no `Debug`.
pub struct Begun {
    pub state: SecretText,
    pub nonce: String,
    /// Of PKCE (RFC 7636): only its digest goes along.
    pub verifier: String,
}

/// What is known of somebody who comes back. Has no `Debug`.
pub struct Taken {
    pub provider_id: Uuid,
    pub nonce: String,
    pub verifier: String,
    /// The mail domain by which they came.
    pub hostname: String,
    /// A path of ours.
    pub next: String,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    nonce: String,
    verifier: String,
    hostname: String,
    next: String,
}

pub async fn begin(
    db: &mut PgConnection,
    keyring: &Keyring,
    (door, hostname): (&Door, &str),
    (browser, next): (&SecretText, &str),
    now: DatabaseTime,
) -> Result<Begun, SingleSignOnError> {
    let text = || SecretText::random().expose().to_owned();
    let kept = Kept {
        nonce: text(),
        // 43 to 128 characters.
        verifier: format!("{}{}", text(), text()),
        hostname: hostname.to_owned(),
        next: next.to_owned(),
    };
    let state = SecretText::random();
    let digest = state.digest();
    let sealed = serde_json::to_vec(&kept).unwrap_or_default();
    let attempt = store::Attempt {
        sealed: &keyring.seal(&context(&hexadecimal(&digest)), &sealed),
        state_digest: &digest,
        browser_digest: &browser.digest(),
        identity_provider_id: door.provider_id,
    };
    store::insert(db, Operator::signing_in(), &attempt, (now, now + LIFETIME)).await?;
    Ok(Begun {
        state,
        nonce: kept.nonce,
        verifier: kept.verifier,
    })
}

/// This once. `None`: there is none such, it took too long, or another browser began it.
pub async fn take(
    db: &mut PgConnection,
    keyring: &Keyring,
    (state, browser): (&str, &SecretText),
    now: DatabaseTime,
) -> Result<Option<Taken>, SingleSignOnError> {
    let Some(state) = SecretText::parse(state) else {
        return Ok(None);
    };
    let digest = state.digest();
    let taken = store::take(db, Operator::signing_in(), &digest, &browser.digest(), now).await?;
    let Some(taken) = taken else { return Ok(None) };
    let opened = keyring.open(&context(&hexadecimal(&digest)), &taken.sealed)?;
    let kept: Option<Kept> = serde_json::from_slice(&opened).ok();
    Ok(kept.map(|kept| Taken {
        provider_id: taken.identity_provider_id,
        nonce: kept.nonce,
        verifier: kept.verifier,
        hostname: kept.hostname,
        next: kept.next,
    }))
}

/// What a sealed attempt is bound to; `state`: the digest, in hexadecimal.
#[must_use]
pub fn context(state: &str) -> String {
    format!("single_sign_on_attempts:{state}")
}
