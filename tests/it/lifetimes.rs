//! What lets somebody in: how long each of it lives, how often strangers may try, and what ends with what.
use serde_json::json;
use signpost::accounts::{
    invitations::{self, InvitationError},
    secret_text::SecretText,
};
use sqlx::PgPool;

use super::{
    app::TestApp,
    people::{PASSWORD, leads_to, link},
    second_factor::turn_on,
};

const EMAIL: &str = "ada@msp.example";
const ANOTHER: &str = "a scarf for every swan";

#[sqlx::test]
async fn whatever_lets_somebody_in_ends_when_it_is_said_to(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let program = app.program_of(&owner).await;
    let visitor = app.person();
    let fields = [
        ("organisation", "Late"),
        ("name", "Eve"),
        ("email", "eve@late.example"),
        ("password", PASSWORD),
    ];
    visitor.submit("/sign-up", &fields).await;
    visitor.submit("/password/forgotten", &[("email", EMAIL)]).await;
    owner
        .submit("/settings/security/email", &[("email", "new@msp.example")])
        .await;
    program
        .post("/invitations", json!({"email": "x@msp.example", "role": "viewer"}))
        .await;
    let challenge = visitor.submit_to("/sign-in", "/sign-in/passkey/challenge", &[]).await;
    assert_eq!(challenge.status, 200, "{}", challenge.text);
    let endpoint = json!({"url": "https://hooks.example/", "events": ["certificate.failed"]});
    let made = program.post("/webhook-endpoints", endpoint).await.json();
    let rotate = format!("/webhook-endpoints/{}/rotate-secret", made["id"].as_str().unwrap());
    assert_eq!(program.call("POST", &rotate, None).await.status, 200);
    turn_on(&owner).await;
    app.person().sign_in(EMAIL, PASSWORD).await;
    for (what, seconds) in [
        ("sessions where authenticated_at is not null", 7 * 24 * 3600),
        ("sessions where authenticated_at is null", 15 * 60),
        ("registrations", 24 * 3600),
        ("mail_links", 3600),
        ("email_changes", 24 * 3600),
        ("invitations", 7 * 24 * 3600),
        ("passkey_challenges", 5 * 60),
    ] {
        let lifetimes = sqlx::AssertSqlSafe(format!(
            "select distinct extract(epoch from expires_at - created_at)::bigint from {what}"
        ));
        let lifetimes: Vec<i64> = sqlx::query_scalar(lifetimes).fetch_all(&pool).await.unwrap();
        assert_eq!(lifetimes, [seconds], "{what}");
    }
    let signs: bool = sqlx::query_scalar(
        "select old_secret_until between now() + interval '23 hours 59 minutes' and now() + interval '24 hours'
           from webhook_endpoints",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert!(signs, "the webhook secret before signs for a day");
    app.stop().await;
}

#[sqlx::test]
async fn a_network_that_has_tried_too_often_is_refused_at_every_door(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let guesser = app.person();
    let csrf = guesser.csrf("/sign-in").await;
    let unknown = "a".repeat(32);
    for path in [
        "/sign-in",
        "/sign-up",
        "/sign-in/second-factor",
        "/sign-in/passkey",
        "/sign-in/passkey/challenge",
        "/sign-in/single-sign-on",
        "/password/forgotten",
        &format!("/password/new/{unknown}"),
        &format!("/sign-up/confirm/{unknown}"),
        &format!("/invitations/{unknown}"),
    ] {
        let mut tries = 0;
        // One more is granted each second, so the next door may open once.
        while guesser.post_raw(path, &[("csrf", &csrf), ("email", "x")]).await.status != 429 {
            tries += 1;
            assert!(tries < 100, "{path} is open for ever");
        }
    }
    app.stop().await;
}

#[sqlx::test]
async fn links_for_a_password_end_with_each_other_and_with_a_new_password_or_address(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let visitor = app.person();
    let ask = async || {
        visitor.submit("/password/forgotten", &[("email", EMAIL)]).await;
        let mails = app.mails(EMAIL).await;
        let mail = mails.iter().find(|mail| mail.subject == "Set a new password");
        link(mail.unwrap())
    };
    let changed = [("present_password", PASSWORD), ("new_password", ANOTHER)];
    let sent = ask().await;
    assert_eq!(visitor.get(&sent).await.status, 200);
    let answer = owner.submit("/settings/security/password", &changed).await;
    assert_eq!(leads_to(&answer), "/settings/security?done=password");
    assert_eq!(visitor.get(&sent).await.status, 404, "the password was changed");

    let (first, second) = (ask().await, ask().await);
    let answer = visitor.submit(&second, &[("password", PASSWORD)]).await;
    assert_eq!(leads_to(&answer), "/sign-in?done=password");
    assert_eq!(visitor.get(&first).await.status, 404, "another link was used");

    owner.sign_in(EMAIL, PASSWORD).await;
    let sent = ask().await;
    let new = "new@msp.example";
    owner.submit("/settings/security/email", &[("email", new)]).await;
    let confirm = link(&app.mails(new).await[0]);
    assert_eq!(
        leads_to(&owner.submit(&confirm, &[]).await),
        "/settings/security?done=email"
    );
    assert_eq!(visitor.get(&sent).await.status, 404, "the address was changed");
    app.stop().await;
}

#[sqlx::test]
async fn an_invitation_makes_nobody_a_member_whose_address_is_another(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    app.owner("Other IT", "eve@other.example").await;
    let fields = [("email", "grace@msp.example"), ("role", "owner"), ("client_id", "")];
    owner
        .submit_to("/settings/members", "/settings/invitations", &fields)
        .await;
    let path = link(&app.mails("grace@msp.example").await[0]);
    let secret = SecretText::parse(path.rsplit('/').next().unwrap()).unwrap();
    let eve: uuid::Uuid = sqlx::query_scalar(
        "select user_id from memberships join organisations using (organisation_id) where name = 'Other IT'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    let mut tx = pool.begin().await.unwrap();
    let accepted = invitations::accept(&mut tx, &secret, eve, crate::clock::database_now()).await;
    assert!(matches!(accepted, Err(InvitationError::NotYours)));
    app.stop().await;
}

#[sqlx::test]
async fn mails_are_shown_on_no_server_but_a_demo(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    for person in [&owner, &app.person()] {
        let answer = person.get("/mails").await;
        assert!(answer.status == 404 && !answer.text.contains("/sign-up/confirm/"));
    }
    app.stop().await;
}

#[sqlx::test]
async fn the_key_of_a_second_factor_is_shown_to_nobody_who_finds_a_browser_open(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let page = "/settings/security/second-factor";
    owner.submit(page, &[("do", "begin")]).await;
    assert!(owner.get(page).await.text.contains("class=\"key\""));
    sqlx::query("update sessions set authenticated_at = now() - interval '11 minutes'")
        .execute(&pool)
        .await
        .unwrap();
    let later = owner.get(page).await;
    assert!(later.status == 200 && !later.text.contains("class=\"key\""));
    app.stop().await;
}
