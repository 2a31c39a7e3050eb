//! The two exchanges with a browser: one makes a passkey, one signs in with it. Each is a challenge that we keep and
//! an answer that uses it up, right or wrong.
use sqlx::PgConnection;
use uuid::Uuid;
use webauthn_rp::{
    AuthenticatedCredential, DiscoverableAuthentication16, DiscoverableAuthenticationServerState,
    DiscoverableCredentialRequestOptions, PublicKeyCredentialCreationOptions, Registration, RegistrationServerState,
    bin::{Decode, Encode},
    request::{
        PublicKeyCredentialDescriptor, TimedCeremony,
        auth::AuthenticationVerificationOptions,
        register::{
            CredProtect, Nickname, PublicKeyCredentialUserEntity, RegistrationVerificationOptions, UserHandle16,
            Username,
        },
    },
    response::{
        AuthTransports, CredentialId, SentChallenge,
        register::{CompressedPubKey, DynamicState, StaticState},
    },
};

use super::{LIFETIME, PasskeyError, Site, store};
use crate::{
    accounts::{Member, Operator, people::Person, secret_text::SecretText},
    clock::DatabaseTime,
};

type PublicKey = CompressedPubKey<[u8; 32], [u8; 32], [u8; 48], Vec<u8>>;

/// A passkey that was just made, as it is kept.
pub struct Made {
    pub credential_id: Vec<u8>,
    pub transports: i16,
    pub static_state: Vec<u8>,
    pub dynamic_state: Vec<u8>,
}

/// The passkey that a sign-in used, and its owner.
#[derive(Clone, Copy, Debug)]
pub struct Accepted {
    pub user_id: Uuid,
    pub passkey_id: Uuid,
}

/// A passkey that somebody shows, and what it answers.
pub struct Shown {
    answer: DiscoverableAuthentication16,
    state: Vec<u8>,
}

/// Options for the browser, as JSON. `browser` is the secret that it is known by.
pub async fn ask_to_make(
    db: &mut PgConnection,
    (site, browser): (&Site, &SecretText),
    member: &Member,
    person: &Person,
    now: DatabaseTime,
) -> Result<String, PasskeyError> {
    let handle = handle(member.user_id);
    // One on the same device again would only replace the other.
    let known = store::list_credentials(db, member).await?;
    let known = known.into_iter().filter_map(|(id, transports)| {
        Some(PublicKeyCredentialDescriptor {
            id: CredentialId::<Vec<u8>>::decode(id).ok()?,
            transports: AuthTransports::decode(u8::try_from(transports).ok()?).ok()?,
        })
    });
    // What the device shows beside the key. RFC 8265 takes not every address that mail takes.
    let name = Username::try_from(person.email.expose())
        .or_else(|_| Username::try_from("account"))
        .map_err(refused)?;
    let user = PublicKeyCredentialUserEntity {
        name,
        id: &handle,
        display_name: person.name.as_deref().and_then(|name| Nickname::try_from(name).ok()),
    };
    let mut options = PublicKeyCredentialCreationOptions::passkey(&site.rp_id, user, known.collect());
    // Browsers refuse to make one on a device that can't enforce this, as many can't. That its owner was asked is
    // looked at in every answer, so nothing hangs on it.
    options.extensions.cred_protect = CredProtect::None;
    let (state, options) = options.start_ceremony().map_err(refused)?;
    let challenge = store::Challenge {
        challenge: &bytes(&state.sent_challenge()),
        browser_digest: &browser.digest(),
        user_id: Some(member.user_id),
        state: &state.encode().map_err(refused)?,
    };
    store::insert_challenge(db, Operator::signing_in(), &challenge, (now, now + LIFETIME)).await?;
    serde_json::to_string(&options).map_err(refused)
}

/// The same to sign in, whoever it is.
pub async fn ask_to_sign_in(
    db: &mut PgConnection,
    (site, browser): (&Site, &SecretText),
    now: DatabaseTime,
) -> Result<String, PasskeyError> {
    let options = DiscoverableCredentialRequestOptions::passkey(&site.rp_id);
    let (state, options) = options.start_ceremony().map_err(refused)?;
    let challenge = store::Challenge {
        challenge: &bytes(&state.sent_challenge()),
        browser_digest: &browser.digest(),
        user_id: None,
        state: &state.encode().map_err(refused)?,
    };
    store::insert_challenge(db, Operator::signing_in(), &challenge, (now, now + LIFETIME)).await?;
    serde_json::to_string(&options).map_err(refused)
}

/// What a browser made. Belongs in no transaction: the challenge is used up whatever comes of it.
pub async fn answer_to_make(
    db: &mut PgConnection,
    (site, browser): (&Site, &SecretText),
    member: &Member,
    answer: &str,
    now: DatabaseTime,
) -> Result<Made, PasskeyError> {
    let answer = Registration::from_json_relaxed(answer.as_bytes()).map_err(refused)?;
    let challenge = bytes(&answer.challenge_relaxed().map_err(refused)?);
    let whose = (&*browser.digest(), Some(member.user_id));
    let state = store::take_challenge(db, Operator::signing_in(), &challenge, whose, now).await?;
    let state = state.ok_or_else(|| refused("the challenge is not open"))?;
    let state = RegistrationServerState::<16>::decode(&state).map_err(refused)?;
    let options = RegistrationVerificationOptions::<&str, &str> {
        allowed_origins: &[&site.origin],
        ..RegistrationVerificationOptions::default()
    };
    let made = state.verify(&site.rp_id, &answer, &options).map_err(refused)?;
    Ok(Made {
        credential_id: made.id().as_ref().to_vec(),
        transports: made.transports().encode().map(i16::from).map_err(refused)?,
        static_state: made.static_state().encode().map_err(refused)?,
        dynamic_state: made.dynamic_state().encode().map_err(refused)?.to_vec(),
    })
}

/// What a browser that wants in shows. Belongs in no transaction: the challenge is used up whatever comes of it.
pub async fn answer_to_sign_in(
    db: &mut PgConnection,
    browser: &SecretText,
    answer: &str,
    now: DatabaseTime,
) -> Result<Shown, PasskeyError> {
    let answer = DiscoverableAuthentication16::from_json_relaxed(answer.as_bytes()).map_err(refused)?;
    let challenge = bytes(&answer.challenge_relaxed().map_err(refused)?);
    let whose = (&*browser.digest(), None);
    let state = store::take_challenge(db, Operator::signing_in(), &challenge, whose, now).await?;
    let state = state.ok_or_else(|| refused("the challenge is not open"))?;
    Ok(Shown { answer, state })
}

/// Whose passkey it is, if all of it is right. The row is locked to the end of the transaction: of two answers with
/// one counter, which only a copied key gives, one is refused.
pub async fn accept(
    db: &mut PgConnection,
    site: &Site,
    shown: &Shown,
    now: DatabaseTime,
) -> Result<Accepted, PasskeyError> {
    let (operator, id) = (Operator::signing_in(), shown.answer.raw_id());
    let handle = shown.answer.response().user_handle();
    let user_id = Uuid::from_slice(handle.as_ref()).map_err(refused)?;
    let found = store::lock(db, operator, user_id, id.as_ref()).await?;
    let found = found.ok_or_else(|| refused("it is not registered"))?;
    let dynamic_state = <[u8; 7]>::try_from(&*found.dynamic_state).map_err(refused)?;
    let mut credential = AuthenticatedCredential::new(
        id,
        handle,
        StaticState::<PublicKey>::decode(&found.static_state).map_err(refused)?,
        DynamicState::decode(dynamic_state).map_err(refused)?,
    )
    .map_err(refused)?;
    let options = AuthenticationVerificationOptions::<&str, &str> {
        allowed_origins: &[&site.origin],
        ..AuthenticationVerificationOptions::default()
    };
    let state = DiscoverableAuthenticationServerState::decode(&shown.state).map_err(refused)?;
    state
        .verify(&site.rp_id, &shown.answer, &mut credential, &options)
        .map_err(refused)?;
    let dynamic_state = credential.dynamic_state().encode().map_err(refused)?;
    store::update_used(db, operator, found.passkey_id, &dynamic_state, now).await?;
    Ok(Accepted {
        user_id,
        passkey_id: found.passkey_id,
    })
}

/// What a passkey knows its owner by: no secret, and nothing about the person.
fn handle(user_id: Uuid) -> UserHandle16 {
    let Ok(handle) = UserHandle16::decode(user_id.into_bytes());
    handle
}

fn bytes(challenge: &SentChallenge) -> Vec<u8> {
    let Ok(number) = challenge.encode();
    number.to_be_bytes().to_vec()
}

fn refused(error: impl std::fmt::Display) -> PasskeyError {
    PasskeyError::Refused(error.to_string())
}
