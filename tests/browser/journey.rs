//! What people do, from page to page, as they do it.
use fantoccini::key::Key;
use sqlx::PgPool;

use crate::{
    chromium::Scripts,
    people::PASSWORD,
    portal::{EMAIL, Portal},
};

async fn signs_up_and_in_and_out(pool: PgPool, scripts: Scripts) {
    let portal = Portal::start(pool, scripts).await;
    let page = "data:text/html,<title>Without</title><script>document.title = 'With'</script>";
    portal.browser.client.goto(page).await.unwrap();
    let title = portal.browser.client.title().await.unwrap();
    assert_eq!(title == "With", scripts == Scripts::Run, "{title}");

    portal.open("/").await;
    portal.follow("Sign up").await;
    portal.arrives("/sign-up").await;
    portal.sign_up().await;
    portal.sign_out().await;
    assert!(portal.words().await.contains("You are signed out."));

    // What was wanted is shown after the sign-in.
    portal.open("/welcome").await;
    portal.arrives("/sign-in?next=%2Fwelcome").await;
    portal.fill("email", EMAIL).await;
    portal.fill("password", PASSWORD).await;
    portal.press("Sign in").await;
    portal.arrives("/welcome").await;
    portal.stop().await;
}

#[sqlx::test]
async fn somebody_new_signs_up_confirms_by_the_mail_and_signs_out_and_in(pool: PgPool) {
    signs_up_and_in_and_out(pool, Scripts::Run).await;
}

#[sqlx::test]
async fn without_scripts_all_of_it_works_as_well(pool: PgPool) {
    signs_up_and_in_and_out(pool, Scripts::Blocked).await;
}

#[sqlx::test]
async fn somebody_with_a_keyboard_only_signs_in_and_out(pool: PgPool) {
    let portal = Portal::start(pool, Scripts::Run).await;
    portal.sign_up().await;
    portal.sign_out().await;
    portal.open("/sign-in").await;
    // The first stop of every page leads past its head.
    portal.tab_to("Skip to the content").await;
    portal.keys(&char::from(Key::Enter).to_string()).await;
    portal.tab_to("email").await;
    portal.keys(EMAIL).await;
    portal.tab_to("password").await;
    portal.keys(PASSWORD).await;
    portal.tab_to("Sign in").await;
    portal.keys(&char::from(Key::Enter).to_string()).await;
    portal.arrives("/").await;
    portal.tab_to("Sign out").await;
    portal.keys(&char::from(Key::Enter).to_string()).await;
    portal.arrives("/sign-in?done=signed-out").await;
    portal.stop().await;
}
