//! Strangers who guess passwords and codes must not lock the owner of the account out.
use std::collections::BTreeMap;

use sqlx::PgPool;

use super::{
    app::{Answer, TestApp},
    people::{PASSWORD, Person, hold_failures, leads_to, link},
    second_factor::{show_code, turn_on, wait_for_the_next},
};

const EMAIL: &str = "ada@msp.example";
const KNOWN: &str = "signpost-known";

async fn start(pool: &PgPool) -> TestApp {
    // Each person has an address of their own, as a proxy names it.
    TestApp::start_with(pool.clone(), &[("SIGNPOST_TRUSTED_PROXIES", "127.0.0.0/8")]).await
}

async fn sign_out(person: &Person) {
    assert_eq!(
        leads_to(&person.submit("/sign-out", &[]).await),
        "/sign-in?done=signed-out"
    );
}

/// Fails until there is a wait, and keeps it from passing.
async fn guess(pool: &PgPool, person: &Person) {
    for _ in 0..6 {
        assert_eq!(person.sign_in(EMAIL, "not the password").await.status, 422);
    }
    hold_failures(pool).await;
    must_wait(&person.sign_in(EMAIL, "not the password").await);
}

#[track_caller]
fn must_wait(answer: &Answer) {
    assert_eq!(answer.status, 422, "{}", answer.text);
    assert!(
        answer.text.contains("Too many attempts") && answer.text.contains("Forgotten password"),
        "{}",
        answer.text
    );
}

async fn sources(pool: &PgPool) -> Vec<String> {
    let sources = "select distinct split_part(source, ':', 1) from failed_attempts where failures > 0 order by 1";
    sqlx::query_scalar(sources).fetch_all(pool).await.unwrap()
}

async fn count_known(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select count(*) from known_browsers")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[sqlx::test]
async fn a_stranger_blocks_neither_a_known_browser_nor_another_network(pool: PgPool) {
    let app = start(&pool).await;
    let owner = app.owner("Acme IT", EMAIL).await.behind("203.0.113.20");
    sign_out(&owner).await;
    // A neighbour of the owner's.
    let stranger = app.person().behind("203.0.113.7");
    guess(&pool, &stranger).await;
    must_wait(&stranger.sign_in(EMAIL, PASSWORD).await);
    must_wait(&app.person().behind("203.0.113.99").sign_in(EMAIL, PASSWORD).await);

    let elsewhere = app.person().behind("198.51.100.1");
    assert_eq!(leads_to(&elsewhere.sign_in(EMAIL, PASSWORD).await), "/");
    assert_eq!(leads_to(&owner.sign_in(EMAIL, PASSWORD).await), "/");
    // The owner's success does not help the stranger.
    must_wait(&stranger.sign_in(EMAIL, "not the password").await);
    app.stop().await;
}

#[sqlx::test]
async fn a_known_browser_waits_for_its_own_failures_only(pool: PgPool) {
    let app = start(&pool).await;
    let owner = app.owner("Acme IT", EMAIL).await.behind("203.0.113.20");
    sign_out(&owner).await;
    guess(&pool, &owner).await;
    assert_eq!(sources(&pool).await, ["browser"]);
    must_wait(&owner.sign_in(EMAIL, PASSWORD).await);
    let other = app.person().behind("203.0.113.21");
    assert_eq!(leads_to(&other.sign_in(EMAIL, PASSWORD).await), "/");
    app.stop().await;
}

#[sqlx::test]
async fn a_browser_is_known_to_those_who_signed_in_there_by_its_newest_cookie(pool: PgPool) {
    let app = start(&pool).await;
    let ada = app.owner("Acme IT", EMAIL).await;
    let eve = app.owner("Globex", "eve@globex.example").await;
    let stolen = ada.cookies()[KNOWN].clone();
    sign_out(&ada).await;
    sign_out(&eve).await;
    // Another person's known browser is an unknown one, and so is a cookie that the server never set.
    for cookie in [eve.cookies()[KNOWN].clone(), "A".repeat(32), "nonsense".to_owned()] {
        let guesser = app.person();
        guesser.set_cookies(BTreeMap::from([(KNOWN.to_owned(), cookie)]));
        guesser.sign_in(EMAIL, "not the password").await;
        assert_eq!(sources(&pool).await, ["network", "unknown"]);
    }
    sqlx::query("delete from failed_attempts").execute(&pool).await.unwrap();
    // Each sign-in gives the browser another cookie.
    assert_eq!(leads_to(&ada.sign_in(EMAIL, PASSWORD).await), "/");
    assert_ne!(ada.cookies()[KNOWN], stolen);
    let thief = app.person();
    thief.set_cookies(BTreeMap::from([(KNOWN.to_owned(), stolen)]));
    thief.sign_in(EMAIL, "not the password").await;
    assert_eq!(sources(&pool).await, ["network", "unknown"]);
    // Two people with one browser are known there both.
    sign_out(&ada).await;
    assert_eq!(leads_to(&ada.sign_in("eve@globex.example", PASSWORD).await), "/");
    sign_out(&ada).await;
    sqlx::query("delete from failed_attempts").execute(&pool).await.unwrap();
    for email in [EMAIL, "eve@globex.example"] {
        ada.sign_in(email, "not the password").await;
    }
    assert_eq!(sources(&pool).await, ["browser"]);
    // A year later it is an unknown one.
    sqlx::query("update known_browsers set expires_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    ada.sign_in(EMAIL, "not the password").await;
    assert_eq!(sources(&pool).await, ["browser", "network", "unknown"]);
    app.stop().await;
}

#[sqlx::test]
async fn guesses_from_many_networks_are_bounded_and_their_wait_does_not_grow(pool: PgPool) {
    let app = start(&pool).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    sign_out(&owner).await;
    let guess_from = async |network: u8, email: &str| {
        let guesser = app.person().behind(&format!("198.51.{network}.1"));
        guesser.sign_in(email, "not the password").await
    };
    let set = async |failures: i32, seconds_ago: i32| {
        let statement = "update failed_attempts set failures = $1, last_at = now() - make_interval(secs => $2)
                          where source = 'unknown'";
        let query = sqlx::query(statement).bind(failures).bind(f64::from(seconds_ago));
        query.execute(&pool).await.unwrap();
    };
    // The answers do not show which address is known.
    for email in [EMAIL, "nobody@msp.example"] {
        assert!(guess_from(0, email).await.text.contains("belong together"));
        for (network, failures) in [(1, 100), (2, 1_000_000)] {
            set(failures, 0).await;
            must_wait(&guess_from(network, email).await);
            set(failures, 31).await;
            assert!(guess_from(network, email).await.text.contains("belong together"));
        }
        set(99, 0).await;
        assert!(guess_from(3, email).await.text.contains("belong together"));
    }
    // Meanwhile the owner's browser does not even see it.
    set(1_000_000, -10).await;
    assert_eq!(leads_to(&owner.sign_in(EMAIL, PASSWORD).await), "/");
    app.stop().await;
}

#[sqlx::test]
async fn a_reset_clears_the_counters_and_makes_its_browser_known(pool: PgPool) {
    let app = start(&pool).await;
    app.owner("Acme IT", EMAIL).await;
    let stranger = app.person().behind("203.0.113.7");
    guess(&pool, &stranger).await;
    let owner = app.person().behind("203.0.113.20");
    must_wait(&owner.sign_in(EMAIL, PASSWORD).await);
    owner.submit("/password/forgotten", &[("email", EMAIL)]).await;
    let path = link(&app.mails(EMAIL).await[0]);
    let own = "a scarf for every swan";
    assert_eq!(
        leads_to(&owner.submit(&path, &[("password", own)]).await),
        "/sign-in?done=password"
    );
    assert!(sources(&pool).await.is_empty());
    // The stranger continues, and still does not block the owner.
    guess(&pool, &stranger).await;
    assert_eq!(leads_to(&owner.sign_in(EMAIL, own).await), "/");
    assert_eq!(app.mails(EMAIL).await[0].subject, "Your password was reset");
    app.stop().await;
}

#[sqlx::test]
async fn strangers_who_ask_for_links_leave_the_owner_one_that_works(pool: PgPool) {
    let app = start(&pool).await;
    app.owner("Acme IT", EMAIL).await;
    let before = app.mails(EMAIL).await.len();
    for network in 0..6 {
        let stranger = app.person().behind(&format!("198.51.{network}.1"));
        stranger.submit("/password/forgotten", &[("email", EMAIL)]).await;
    }
    let mails = app.mails(EMAIL).await;
    assert_eq!(mails.len() - before, 3);
    let oldest = link(&mails[2]);
    let reset = app
        .person()
        .submit(&oldest, &[("password", "a scarf for every swan")])
        .await;
    assert_eq!(leads_to(&reset), "/sign-in?done=password");
    app.stop().await;
}

#[sqlx::test]
async fn a_stranger_who_guesses_codes_does_not_block_the_owners_known_browser(pool: PgPool) {
    let app = start(&pool).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let (phone, _) = turn_on(&owner).await;
    wait_for_the_next(&pool).await;
    sign_out(&owner).await;
    // A stranger who knows the password.
    let stranger = app.person().behind("203.0.113.7");
    assert!(leads_to(&stranger.sign_in(EMAIL, PASSWORD).await).starts_with("/sign-in/second-factor"));
    let wrong = phone.code(1_000);
    for _ in 0..6 {
        show_code(&stranger, &wrong).await;
    }
    hold_failures(&pool).await;
    assert!(show_code(&stranger, &wrong).await.text.contains("too often"));
    assert!(leads_to(&owner.sign_in(EMAIL, PASSWORD).await).starts_with("/sign-in/second-factor"));
    assert_eq!(leads_to(&show_code(&owner, &phone.code(0)).await), "/welcome");
    app.stop().await;
}

#[sqlx::test]
async fn failures_at_the_sign_in_do_not_reach_a_session_that_asks_for_the_password(pool: PgPool) {
    let app = start(&pool).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let second = app.person();
    assert_eq!(leads_to(&second.sign_in(EMAIL, PASSWORD).await), "/");
    guess(&pool, &app.person()).await;
    let page = "/settings/security/password";
    let own = "a scarf for every swan";
    // Nor do those of another session.
    for _ in 0..6 {
        second
            .submit(page, &[("present_password", "wrong"), ("new_password", own)])
            .await;
    }
    hold_failures(&pool).await;
    let fields = [("present_password", PASSWORD), ("new_password", own)];
    assert!(second.submit(page, &fields).await.text.contains("too often"));
    let changed = owner.submit(page, &fields).await;
    assert_eq!(leads_to(&changed), "/settings/security?done=password");
    app.stop().await;
}

#[sqlx::test]
async fn known_browsers_and_mailed_links_have_attempts_left_when_their_network_has_none(pool: PgPool) {
    let app = start(&pool).await;
    let owner = app.owner("Acme IT", EMAIL).await.behind("203.0.113.20");
    sign_out(&owner).await;
    app.person().submit("/password/forgotten", &[("email", EMAIL)]).await;
    let path = link(&app.mails(EMAIL).await[0]);
    let neighbour = app.person().behind("203.0.113.7");
    let csrf = neighbour.csrf("/sign-in").await;
    let mut statuses = Vec::new();
    for _ in 0..80 {
        let fields = [("csrf", csrf.as_str()), ("email", "no address"), ("password", "x")];
        statuses.push(neighbour.post_raw("/sign-in", &fields).await.status);
    }
    assert_eq!(statuses.last(), Some(&429));
    let planted = app.person().behind("203.0.113.21");
    planted.set_cookies(BTreeMap::from([(KNOWN.to_owned(), "A".repeat(32))]));
    assert_eq!(planted.sign_in(EMAIL, PASSWORD).await.status, 429);
    assert_eq!(leads_to(&owner.sign_in(EMAIL, PASSWORD).await), "/");
    let own = "a scarf for every swan";
    let reset = planted.submit(&path, &[("password", own)]).await;
    assert_eq!(leads_to(&reset), "/sign-in?done=password");
    assert_eq!(leads_to(&planted.sign_in(EMAIL, own).await), "/");
    // Theirs are few as well.
    let again = planted.csrf("/sign-in").await;
    let fields = [("csrf", again.as_str()), ("email", "no address"), ("password", "x")];
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(planted.post_raw("/sign-in", &fields).await.status);
    }
    assert!(statuses.contains(&429), "{statuses:?}");
    let metrics = reqwest::get(format!("http://{}/metrics", app.ops)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    let refused = |limit: &str| -> f64 {
        let line = format!("signpost_sign_in_refused_total{{limit=\"{limit}\"}} ");
        let value = metrics.lines().find_map(|metric| metric.strip_prefix(&line));
        value.unwrap_or_else(|| panic!("{line}: {metrics}")).parse().unwrap()
    };
    assert!(refused("network") > 10.0);
    assert_eq!((refused("failures"), refused("mails")), (0.0, 0.0));
    app.stop().await;
}

#[sqlx::test]
async fn browsers_are_forgotten_when_a_person_is_signed_out_there_and_are_few(pool: PgPool) {
    let app = start(&pool).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let others = async |password: &str| {
        let other = app.person();
        assert_eq!(leads_to(&other.sign_in(EMAIL, password).await), "/");
    };
    others(PASSWORD).await;
    assert_eq!(count_known(&pool).await, 2);
    let own = "a scarf for every swan";
    let fields = [("present_password", PASSWORD), ("new_password", own)];
    owner.submit("/settings/security/password", &fields).await;
    assert_eq!(count_known(&pool).await, 1);
    for (end, left) in [("others", 1), ("all", 0)] {
        others(own).await;
        let page = "/settings/security";
        owner
            .submit_to(page, "/settings/security/sessions", &[("end", end)])
            .await;
        assert_eq!(count_known(&pool).await, left, "{end}");
    }
    for _ in 0..22 {
        others(own).await;
    }
    assert_eq!(count_known(&pool).await, 20);
    let readable: i64 =
        sqlx::query_scalar("select count(*) from known_browsers where octet_length(token_digest) <> 32")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(readable, 0, "a digest is stored and no cookie");
    app.stop().await;
}
