//! Pages that are shown on the way from one to the next, most of them once: links, secrets, codes, and what comes back.
use fantoccini::key::Key;
use signpost::demo;
use sqlx::PgPool;

use crate::{
    app::TENANT,
    chromium::Scripts,
    people::PASSWORD,
    phone::Phone,
    portal::{EMAIL, Portal},
    visitor::Visitor,
};

const COLLEAGUE: &str = "grace@msp.example";

#[sqlx::test]
async fn links_for_others_are_fit_for_everybody(pool: PgPool) {
    let portal = Portal::start(pool, Scripts::Run).await;
    let password = portal.fill_demo().await;
    portal.open("/sign-in").await;
    portal.fill("email", demo::EMAIL).await;
    portal.fill("password", &password).await;
    portal.press("Sign in").await;
    portal.arrives("/").await;

    portal.open("/domains/woodgrove.example").await;
    portal.press("Make a link").await;
    portal.shows("Copy it now").await;
    portal.look_here("share-made").await;
    let link = portal.find("main code").await.text().await.unwrap();
    let shared = link.strip_prefix(&portal.base).unwrap().to_owned();
    portal.open("/domains/woodgrove.example").await;
    portal.look_here("demo-domain-shared").await;

    portal.open("/settings/members").await;
    portal.fill("email", COLLEAGUE).await;
    portal.press("Send the invitation").await;
    portal.arrives("/settings/members?done=invited").await;
    portal.look_here("members-invited").await;
    let invitation = portal.mailed(COLLEAGUE).await;

    let guest = Visitor::at(&portal.base, Scripts::Run).await;
    guest.look("share", &shared).await;
    guest.look("share-over", "/share/nonsense").await;
    guest.look("invitation", &invitation).await;
    guest.fill("name", "Grace Hopper").await;
    guest.fill("password", "short").await;
    guest.press("Join Demo MSP").await;
    guest.sees(".error").await;
    guest.look_here("invitation-refused").await;
    guest.fill("password", PASSWORD).await;
    guest.press("Join Demo MSP").await;
    guest.arrives("/").await;
    guest.look("invitation-over", &invitation).await;
    // A viewer is told what they may not.
    guest.look("fault-403-role", "/settings/tokens").await;
    guest.browser.close().await;

    portal.open("/settings/members").await;
    portal.follow("Grace Hopper").await;
    portal.shows("Change the role").await;
    portal.look_here("member").await;
    portal.stop().await;
}

#[sqlx::test]
async fn secrets_and_what_is_made_with_them_are_fit_for_everybody(pool: PgPool) {
    let portal = Portal::start(pool, Scripts::Run).await;
    portal.sign_up().await;
    portal.open("/settings/tokens").await;
    portal.fill("name", "Reports").await;
    portal.press("Make the token").await;
    portal.sees("#token").await;
    portal.look_here("token-made").await;
    portal.look("tokens", "/settings/tokens").await;

    portal.open("/settings/webhooks").await;
    portal.fill("url", "https://hooks.msp.test/a-path/that-goes-on").await;
    portal.press("Add the endpoint").await;
    portal.shows("Keep it now").await;
    portal.look_here("webhook-made").await;
    portal.follow("I have kept it").await;
    portal.press("Send a test").await;
    portal.sees(".deliveries").await;
    portal.find(".deliveries summary").await.click().await.unwrap();
    portal.look_here("webhook").await;
    portal.look("webhooks", "/settings/webhooks").await;
    portal.stop().await;
}

#[sqlx::test]
async fn the_second_factor_is_fit_for_everybody_and_enter_changes_nothing_that_was_not_chosen(pool: PgPool) {
    let portal = Portal::start(pool, Scripts::Run).await;
    portal.sign_up().await;
    let page = "/settings/security/second-factor";
    portal.look("second-factor-off", page).await;
    portal.press("Set it up").await;
    portal.sees(".key").await;
    portal.look_here("second-factor-begun").await;
    let phone = Phone::of(&portal.find(".key").await.text().await.unwrap());
    portal.fill("code", &phone.code(0)).await;
    portal.keys(&char::from(Key::Enter).to_string()).await;
    portal.sees(".codes").await;
    portal.look_here("recovery-codes").await;
    portal.look("security", "/settings/security").await;

    portal.look("second-factor-on", page).await;
    portal.fill("code", &phone.code(1)).await;
    portal.keys(&char::from(Key::Enter).to_string()).await;
    portal.tick("do", "renew").await;
    portal.keys(&char::from(Key::Enter).to_string()).await;
    portal.shows("Those before don't work any more.").await;
    assert_eq!(portal.count(".codes code").await, 10);

    portal.sign_out().await;
    portal.fill("email", EMAIL).await;
    portal.fill("password", PASSWORD).await;
    portal.press("Sign in").await;
    portal.sees("[name=code]").await;
    portal.look_here("second-factor").await;
    portal.fill("code", "000000").await;
    portal.press("Sign in").await;
    portal.sees(".error, .complaint").await;
    portal.look_here("second-factor-refused").await;
    portal.stop().await;
}

#[sqlx::test]
async fn forms_with_an_mdm_and_an_import_that_is_tried_are_fit_for_everybody(pool: PgPool) {
    let portal = Portal::start(pool, Scripts::Run).await;
    portal.sign_up().await;
    portal.choose("mdm", "jamf_pro").await;
    portal.sees("[name=p_host]").await;
    portal.look_here("welcome-jamf").await;
    portal.fill("client", "Contoso").await;
    portal.fill("hostname", "contoso").await;
    portal.fill("p_host", "contoso.jamfcloud.com").await;
    portal.press("Go on to the instructions").await;
    portal.sees(".error").await;
    portal.look_here("welcome-refused").await;

    portal.open("/domains/import").await;
    let sheet = format!(
        "hostname,client,vendor,tenant_id\ncontoso.com,Contoso,intune,{TENANT}\nnot a name,Contoso,intune,{TENANT}\n\
         a-name-that-is-rather-long-for-a-phone.fabrikam.example,Fabrikam,nonsense,{TENANT}\n"
    );
    portal.fill("csv", &sheet).await;
    portal.press("Check").await;
    portal.shows("Nothing is registered yet.").await;
    portal.look_here("import-tried").await;
    portal.stop().await;
}
