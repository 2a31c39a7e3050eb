//! Passkeys, with an authenticator that the browser itself plays.
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::{
    chromium::Scripts,
    portal::{EMAIL, Portal},
    visitor::Visitor,
};

const PAGE: &str = "/settings/security/passkeys";

/// One that sits in the machine, and whose owner shows a finger whenever it is asked for.
async fn add_authenticator(visitor: &Visitor) -> String {
    visitor.browser.tell("WebAuthn.enable", json!({})).await;
    let options = json!({
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": true, "hasUserVerification": true,
        "isUserVerified": true, "automaticPresenceSimulation": true,
    });
    let added = visitor
        .browser
        .tell("WebAuthn.addVirtualAuthenticator", json!({ "options": options }))
        .await;
    added["authenticatorId"].as_str().unwrap().to_owned()
}

async fn kept(visitor: &Visitor, authenticator: &str) -> Vec<Value> {
    let asked = json!({ "authenticatorId": authenticator });
    let told = visitor.browser.tell("WebAuthn.getCredentials", asked).await;
    told["credentials"].as_array().unwrap().clone()
}

#[sqlx::test]
async fn a_passkey_is_added_signs_in_without_the_password_and_is_removed(pool: PgPool) {
    let portal = Portal::start(pool, Scripts::Run).await;
    let authenticator = add_authenticator(&portal).await;
    portal.sign_up().await;
    portal.open(PAGE).await;
    portal.fill("name", "Red key").await;
    portal.press("Add a passkey").await;
    portal.arrives("/settings/security/passkeys?done=added").await;
    assert!(portal.words().await.contains("Red key"));
    let credentials = kept(&portal, &authenticator).await;
    assert_eq!(
        (
            credentials.len(),
            &credentials[0]["rpId"],
            &credentials[0]["isResidentCredential"]
        ),
        (1, &json!("localhost"), &json!(true))
    );
    portal.look_here("passkeys").await;

    // The same authenticator holds no second one for the same person.
    portal.fill("name", "Red key again").await;
    portal.press("Add a passkey").await;
    portal.shows("The browser made no passkey.").await;

    portal.sign_out().await;
    portal.press("Sign in with a passkey").await;
    portal.arrives("/").await;
    portal.open(PAGE).await;
    assert!(portal.words().await.contains("Used last on"));

    portal.press("Remove Red key").await;
    portal.arrives("/settings/security/passkeys?done=removed").await;
    assert!(!portal.words().await.contains("Red key"));
    portal.sign_out().await;
    portal.press("Sign in with a passkey").await;
    portal.shows("This passkey was not accepted.").await;
    portal.stop().await;
}

#[sqlx::test]
async fn after_a_reset_in_the_owners_browser_the_strangers_passkey_and_session_are_worth_nothing(pool: PgPool) {
    let stranger = Portal::start(pool, Scripts::Run).await;
    add_authenticator(&stranger).await;
    stranger.sign_up().await;
    stranger.open(PAGE).await;
    stranger.fill("name", "Red key").await;
    stranger.press("Add a passkey").await;
    stranger.arrives("/settings/security/passkeys?done=added").await;

    let owner = Visitor::at(&stranger.base, Scripts::Run).await;
    owner.open("/password/forgotten").await;
    owner.fill("email", EMAIL).await;
    owner.press("Send the link").await;
    owner.arrives("/password/sent").await;
    owner.look("password-new-factors", &stranger.mailed(EMAIL).await).await;
    owner.shows("Red key").await;
    owner.fill("password", "a scarf for every swan").await;
    owner.press("Set the password").await;
    owner.arrives("/sign-in?done=password").await;

    stranger.open("/welcome").await;
    stranger.arrives("/sign-in?next=%2Fwelcome").await;
    stranger.press("Sign in with a passkey").await;
    stranger.shows("This passkey was not accepted.").await;
    // Guesses of the stranger do not keep the owner out.
    for _ in 0..6 {
        stranger.open("/sign-in").await;
        stranger.fill("email", EMAIL).await;
        stranger.fill("password", "not the password").await;
        stranger.press("Sign in").await;
        stranger.shows("don't belong together").await;
    }
    owner.fill("email", EMAIL).await;
    owner.fill("password", "a scarf for every swan").await;
    owner.press("Sign in").await;
    owner.arrives("/").await;
    owner.browser.close().await;
    stranger.stop().await;
}

#[sqlx::test]
async fn without_scripts_the_pages_say_that_passkeys_need_them(pool: PgPool) {
    let portal = Portal::start(pool, Scripts::Blocked).await;
    portal.sign_up().await;
    portal.open(PAGE).await;
    portal.shows("Making a passkey needs JavaScript.").await;
    portal.sign_out().await;
    assert!(!portal.words().await.contains("passkey"));
    portal.stop().await;
}
