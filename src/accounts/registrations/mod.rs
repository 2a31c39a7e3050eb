//! Signing up: nothing exists for anybody before the address is confirmed. Whoever signs up with an address that has an
//! account learns of it by mail, and nobody else does.
//!
//! Anybody can sign up with anybody's address. So the password that was typed counts only if the link is opened in the
//! same browser; elsewhere, the person who opens the link chooses it. Mails to one mailbox, one mail domain and from
//! one network are bounded; the page says the same whether a mail was sent or not.
pub mod store;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{
    Operator,
    email::Email,
    members::MemberError,
    organisations::{self, OrganisationError},
    people,
    secret_text::SecretText,
    unproved_accounts,
};
use crate::{clock::DatabaseTime, sealed::Keyring};

/// To find the mail and open it.
const LIFETIME: TimeDelta = TimeDelta::hours(24);
/// Unconfirmed sign-ups of one mailbox in [`LIFETIME`], tags of its address included. When it gets no more mails, it holds
/// so many links that work, and each link lets its reader change what was typed.
const MAX_OF_ONE_MAILBOX: i64 = 5;
/// Unconfirmed sign-ups from one network for addresses of one mail domain in [`LIFETIME`].
const MAX_OF_ONE_DOMAIN_FROM_ONE_NETWORK: i64 = 20;
/// Unconfirmed sign-ups from one network in [`LIFETIME`].
const MAX_FROM_ONE_NETWORK: i64 = 200;
/// Unconfirmed sign-ups for addresses of one mail domain, from all networks, in [`DOMAIN_PERIOD`]: short, as strangers
/// can use it up for everybody at a large mail provider.
const MAX_OF_ONE_DOMAIN: i64 = 100;
const DOMAIN_PERIOD: TimeDelta = TimeDelta::hours(1);

/// What somebody signs up with. Has no `Debug`.
pub struct NewRegistration {
    pub organisation: String,
    pub name: String,
    pub email: Email,
    pub password_hash: String,
}

/// The browser that signs up.
pub struct SignUpBrowser<'a> {
    pub secret: &'a SecretText,
    pub network: Option<&'a str>,
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
    #[error(transparent)]
    Member(#[from] MemberError),
    #[error("the registrations could not be read or written")]
    Database(#[from] sqlx::Error),
}

/// Takes a registration in.
pub async fn begin(
    db: &mut PgConnection,
    keyring: &Keyring,
    new: &NewRegistration,
    browser: SignUpBrowser<'_>,
    now: DatabaseTime,
) -> Result<Answer, RegistrationError> {
    let digests = new.email.digests(db, keyring).await?;
    let is_known = people::store::find_credentials(db, Operator::signing_in(), &digests.address).await?;
    let is_unproved = !unproved_accounts::organisations(db, &digests.address).await?.is_empty();
    // Concurrent sign-ups are counted one after the other.
    store::lock(db, &digests.domain, browser.network).await?;
    let since = store::Since {
        domain: now.get() - DOMAIN_PERIOD,
        others: now.get() - LIFETIME,
    };
    if is_over_quota(&store::count(db, &digests, browser.network, &since).await?) {
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
        browser_digest: browser.secret.digest(),
        email_digest: digests.address,
        sealed: keyring.seal(&context(registration_id), &sealed),
        created_at: now.get(),
        expires_at: now.get() + LIFETIME,
    };
    // Of a known address as well: it is counted like the others, and its secret is told to nobody.
    let counted_by = store::CountedBy {
        mailbox_digest: &digests.mailbox,
        domain_digest: &digests.domain,
        network: browser.network,
    };
    store::insert(db, &registration, &counted_by).await?;
    Ok(match is_known {
        Some(_) if !is_unproved => Answer::Known,
        _ => Answer::Confirm(secret),
    })
}

fn is_over_quota(counts: &store::Counts) -> bool {
    counts.of_mailbox >= MAX_OF_ONE_MAILBOX
        || counts.of_domain_from_network >= MAX_OF_ONE_DOMAIN_FROM_ONE_NETWORK
        || counts.from_network >= MAX_FROM_ONE_NETWORK
        || counts.of_domain >= MAX_OF_ONE_DOMAIN
}

/// A registration whose link was opened. Has no `Debug`.
pub struct Opened {
    pub organisation: String,
    pub name: String,
    pub email: Email,
    /// Whether it was opened in the browser that signed up.
    pub is_same_browser: bool,
}

/// What the link that holds `secret` confirms. `browser` is the secret of the browser that opens it.
pub async fn open(
    db: &mut PgConnection,
    keyring: &Keyring,
    (secret, browser): (&SecretText, &SecretText),
    now: DatabaseTime,
) -> Result<Opened, RegistrationError> {
    let found = store::find(db, &secret.digest(), now).await?;
    let found = found.ok_or(RegistrationError::NotFound)?;
    let kept = unseal(keyring, &found)?;
    Ok(Opened {
        organisation: kept.organisation,
        name: kept.name,
        email: Email::opened(kept.email.into_bytes()).ok_or(RegistrationError::NotFound)?,
        is_same_browser: browser.digest() == found.browser_digest,
    })
}

/// How a registration is confirmed. Has no `Debug`.
pub enum Confirmation<'a> {
    /// In the browser with this secret, which must be the one that signed up: all that was typed there counts.
    SameBrowser(&'a SecretText),
    /// In another browser: what is chosen there counts, the password above all.
    Elsewhere {
        organisation: &'a str,
        name: &'a str,
        password_hash: &'a str,
    },
}

/// Makes the organisation and its owner. An account with this address that only a provider has vouched for is replaced.
pub async fn confirm(
    db: &mut PgConnection,
    keyring: &Keyring,
    secret: &SecretText,
    confirmation: Confirmation<'_>,
    now: DatabaseTime,
) -> Result<Confirmed, RegistrationError> {
    let taken = store::take(db, &secret.digest(), now).await?;
    let registration = taken.ok_or(RegistrationError::NotFound)?;
    let kept = unseal(keyring, &registration)?;
    let (organisation, name, password_hash) = match confirmation {
        Confirmation::SameBrowser(browser) if browser.digest() != registration.browser_digest => {
            return Err(RegistrationError::NotFound);
        }
        Confirmation::SameBrowser(_) => (&*kept.organisation, &*kept.name, &*kept.password_hash),
        Confirmation::Elsewhere {
            organisation,
            name,
            password_hash,
        } => (organisation, name, password_hash),
    };
    let email = Email::opened(kept.email.into_bytes()).ok_or(RegistrationError::NotFound)?;
    let digest = email.digest(db, keyring).await?;
    unproved_accounts::replace(db, &digest).await?;
    let founded = organisations::found(
        db,
        keyring,
        organisations::Founding {
            organisation,
            name: Some(name),
            email: &email,
            password_hash: Some(password_hash),
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

fn unseal(keyring: &Keyring, registration: &store::Registration) -> Result<Kept, RegistrationError> {
    let opened = keyring.open(&context(registration.registration_id), &registration.sealed);
    opened
        .ok()
        .and_then(|kept| serde_json::from_slice(&kept).ok())
        .ok_or(RegistrationError::NotFound)
}

/// What a sealed registration is bound to.
#[must_use]
pub fn context(registration_id: Uuid) -> String {
    format!("registrations:{registration_id}")
}
