//! An organisation says who it is, and whoever opens a share link sees it.
use signpost::demo;
use sqlx::PgPool;

use crate::{chromium::Scripts, portal::Portal};

const LOGO: &[u8] = include_bytes!("logo.png");

/// Signs in to the demo, gives a name, a contact and a logo, and makes a link. Returns its path.
async fn brand(portal: &Portal) -> String {
    let password = portal.fill_demo().await;
    portal.open("/sign-in").await;
    portal.fill("email", demo::EMAIL).await;
    portal.fill("password", &password).await;
    portal.press("Sign in").await;
    portal.arrives("/").await;
    portal.open("/settings/branding").await;
    portal.fill("display_name", "Acme IT").await;
    portal.fill("contact", "help@acme.example").await;
    let file = portal.app.state_dir.join("logo.png");
    std::fs::write(&file, LOGO).unwrap();
    let input = portal.find("input[name=logo]").await;
    input.send_keys(file.to_str().unwrap()).await.unwrap();
    portal.press("Save").await;
    portal.arrives("/settings/branding?done=saved").await;
    portal.open("/domains/woodgrove.example").await;
    portal.press("Make a link").await;
    portal.sees("section code").await;
    let words = portal.words().await;
    let (_, rest) = words.split_once("/share/").unwrap();
    format!("/share/{}", &rest[..36])
}

/// Whether the browser drew the picture: one that it could not read has no size.
async fn is_drawn(portal: &Portal) -> bool {
    let (_, _, width, height) = portal.find(".sender img").await.rectangle().await.unwrap();
    width > 100.0 && (30.0..50.0).contains(&height)
}

#[sqlx::test]
async fn a_share_link_shows_whose_it_is_on_every_screen(pool: PgPool) {
    let portal = Portal::start(pool, Scripts::Run).await;
    portal.open("/").await;
    let link = brand(&portal).await;
    portal.look("branding", "/settings/branding").await;
    portal.open("/settings/branding").await;
    assert!(is_drawn(&portal).await);
    portal.look("shared", &link).await;
    portal.open(&link).await;
    assert!(is_drawn(&portal).await);
    portal.stop().await;
}

#[sqlx::test]
async fn a_logo_is_uploaded_shown_and_removed_without_scripts(pool: PgPool) {
    let portal = Portal::start(pool, Scripts::Blocked).await;
    let link = brand(&portal).await;
    portal.open(&link).await;
    assert!(is_drawn(&portal).await);
    portal.open("/settings/branding").await;
    portal.press("Remove the logo").await;
    portal.arrives("/settings/branding?done=removed").await;
    portal.open(&link).await;
    assert!(
        !portal
            .browser
            .client
            .source()
            .await
            .unwrap()
            .contains("<img src=\"/share")
    );
    portal.stop().await;
}
