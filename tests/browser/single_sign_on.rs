//! From our pages to a provider's and back, under our content security policy and with cookies as a browser sends them.
use signpost::demo;
use sqlx::PgPool;

use crate::{
    chromium::Scripts,
    dns::{TestDns, txt},
    portal::Portal,
    real_provider::RealProvider,
};

const EMAIL: &str = "grace@contoso.example";

/// Looks at the pages on the way, where the judge's own script may run.
async fn sets_it_up_and_signs_in(pool: PgPool, scripts: Scripts) {
    let is_judged = scripts == Scripts::Run;
    let mut dns = TestDns::start(&[]);
    let portal = Portal::start_with(pool, scripts, &[("SIGNPOST_DNS_SERVERS", &dns.address())]).await;
    let password = portal.fill_demo().await;
    portal.open("/sign-in").await;
    portal.fill("email", demo::EMAIL).await;
    portal.fill("password", &password).await;
    portal.press("Sign in").await;
    portal.arrives("/").await;

    portal.open("/settings/single-sign-on").await;
    let redirect_uri = portal.find("#redirect-uri").await.text().await.unwrap();
    let provider = RealProvider::start(&redirect_uri);
    portal.fill("issuer", &provider.issuer).await;
    portal.fill("client_id", "signpost").await;
    portal.fill("client_secret", "mistyped").await;
    portal.fill("mail_domains", "elsewhere.example").await;
    portal.find("option[value=viewer]").await.click().await.unwrap();
    portal.press("Save").await;
    portal.sees(".error").await;
    if is_judged {
        portal.look_here("single-sign-on-settings-refused").await;
    }
    portal.fill("mail_domains", "contoso.example").await;
    portal.fill("client_secret", "a secret: with/odd+characters%").await;
    portal.press("Save").await;
    portal.arrives("/settings/single-sign-on?done=saved").await;
    portal.shows("Not active").await;
    if is_judged {
        portal.look_here("single-sign-on-settings-unproved").await;
    }
    let name = portal
        .find(".records td[data-label=Name] code")
        .await
        .text()
        .await
        .unwrap();
    let value = portal.find(".records td[data-label=\"Value to set\"] code").await;
    dns.change(&[txt(&name, &[&value.text().await.unwrap()])]);
    portal.press("Check now").await;
    portal.arrives("/settings/single-sign-on?done=checked").await;
    portal.shows("The record was found").await;
    if is_judged {
        portal.look_here("single-sign-on-settings").await;
        portal
            .look("single-sign-on-delete", "/settings/single-sign-on/delete")
            .await;
    }
    portal.sign_out().await;

    portal.open("/requests").await;
    portal.follow("Single sign-on").await;
    portal.arrives("/sign-in/single-sign-on?next=%2Frequests").await;
    portal.fill("email", "grace@elsewhere.example").await;
    portal.press("Go on").await;
    portal.sees(".complaint").await;
    portal.fill("email", EMAIL).await;
    portal.press("Go on").await;
    // The provider's pages: the account, and the consent.
    portal.sees("[name=login]").await;
    portal.fill("login", EMAIL).await;
    portal.fill("password", "x").await;
    portal.find("[type=submit]").await.click().await.unwrap();
    portal.sees("[name=prompt][value=consent]").await;
    portal.find("[type=submit]").await.click().await.unwrap();
    portal.arrives("/requests").await;
    assert!(portal.find("header").await.text().await.unwrap().contains("Demo MSP"));
    portal.stop().await;
}

#[sqlx::test]
async fn somebody_signs_in_at_their_own_provider(pool: PgPool) {
    sets_it_up_and_signs_in(pool, Scripts::Run).await;
}

#[sqlx::test]
async fn without_scripts_the_way_to_the_provider_and_back_is_the_same(pool: PgPool) {
    sets_it_up_and_signs_in(pool, Scripts::Blocked).await;
}
