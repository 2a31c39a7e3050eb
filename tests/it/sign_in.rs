//! Signing in and out, and whoever tries to without being let.
use signpost::{
    accounts::{
        email::Email,
        sign_in::{Attempt, SignInError, with_password},
    },
    passwords::Passwords,
};
use sqlx::PgPool;

use super::{
    app::{TestApp, waiting},
    people::{PASSWORD, hold_failures, leads_to, link},
};

const EMAIL: &str = "ada@msp.example";

#[sqlx::test]
async fn a_session_is_new_at_every_sign_in_and_over_after_signing_out(pool: PgPool) {
    let app = TestApp::start(pool).await;
    app.owner("Acme IT", EMAIL).await;
    let person = app.person();
    // An attacker has put a cookie of its own there.
    let planted = [("signpost-session".to_owned(), "A".repeat(32))];
    person.set_cookies(planted.clone().into());
    let signed_in = person
        .submit(
            "/sign-in?next=%2Fwelcome",
            &[("email", EMAIL), ("password", PASSWORD), ("next", "/welcome")],
        )
        .await;
    assert_eq!(leads_to(&signed_in), "/welcome");
    let cookie = signed_in
        .headers
        .get_all("set-cookie")
        .iter()
        .next()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    assert!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax") && cookie.contains("Path=/"),
        "{cookie}"
    );
    let first = person.cookies();
    assert_ne!(first["signpost-session"], planted[0].1);
    person.sign_in(EMAIL, PASSWORD).await;
    assert_ne!(first, person.cookies());
    let before = app.person();
    before.set_cookies(first);
    assert_eq!(
        leads_to(&before.get("/welcome").await),
        "/sign-in?next=%2Fwelcome",
        "the one before is over"
    );

    let mine = person.cookies();
    assert_eq!(
        leads_to(&person.submit("/sign-out", &[]).await),
        "/sign-in?done=signed-out"
    );
    assert_eq!(person.cookies().keys().collect::<Vec<_>>(), ["signpost-known"]);
    person.set_cookies(mine);
    assert_eq!(leads_to(&person.get("/welcome").await), "/sign-in?next=%2Fwelcome");
    app.stop().await;
}

#[sqlx::test]
async fn over_tls_a_cookie_is_for_this_host_alone(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let client = reqwest::Client::builder()
        .resolve("portal.signpost.test", app.https)
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let url = format!("https://portal.signpost.test:{}/sign-in", app.https.port());
    super::app::eventually(|| async { app.running.shows("portal.signpost.test") }).await;
    let answer = client.get(url).send().await.unwrap();
    let cookie = answer.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-signpost-visitor=") && cookie.contains("Secure") && !cookie.contains("Domain"),
        "{cookie}"
    );
    app.stop().await;
}

#[sqlx::test]
async fn whoever_guesses_learns_nothing_and_waits(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    app.owner("Acme IT", EMAIL).await;
    let guesser = app.person();
    for email in [EMAIL, "nobody@msp.example"] {
        for _ in 0..6 {
            let answer = guesser.sign_in(email, "not the password").await;
            assert!(
                answer.status == 422 && answer.text.contains("belong together"),
                "{email}"
            );
        }
        hold_failures(&pool).await;
        let answer = guesser.sign_in(email, "not the password").await;
        assert!(
            answer.status == 422 && answer.text.contains("Too many attempts"),
            "{email}"
        );
    }
    assert_eq!(
        guesser.sign_in(EMAIL, PASSWORD).await.status,
        422,
        "also who knows it waits now"
    );
    sqlx::query("update failed_attempts set last_at = last_at - interval '2 hours'")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(leads_to(&guesser.sign_in(EMAIL, PASSWORD).await), "/");
    let left: i64 = sqlx::query_scalar("select count(*) from failed_attempts")
        .fetch_one(&pool)
        .await
        .unwrap();
    // Of either address the network's counter and that of all unknown browsers, less the owner's network.
    assert_eq!(left, 3, "the owner's failures are forgotten");
    app.stop().await;
}

#[sqlx::test]
async fn who_is_told_to_come_again_is_not_locked_out_for_it(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    app.owner("Acme IT", EMAIL).await;
    // Nobody hashes: all are told to come again.
    let (keyring, passwords) = (app.running.keyring(), Passwords::with_threads(0));
    let email = Email::parse(EMAIL).unwrap();
    let given = || Attempt {
        email: &email,
        password: PASSWORD.to_owned(),
        browser: None,
        network: Some("127.0.0.0/24"),
    };
    for _ in 0..10 {
        let refused = with_password(&pool, &keyring, &passwords, given()).await;
        assert!(matches!(refused, Err(SignInError::Busy(_))));
    }
    let signed_in = app.person().sign_in(EMAIL, PASSWORD).await;
    assert_eq!(leads_to(&signed_in), "/");
    app.stop().await;
}

#[sqlx::test]
async fn one_network_may_not_try_for_ever(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let guesser = app.person();
    let csrf = guesser.csrf("/sign-in").await;
    let mut refused = None;
    for _ in 0..80 {
        let answer = guesser
            .post_raw(
                "/sign-in",
                &[("csrf", &csrf), ("email", "no address"), ("password", "x")],
            )
            .await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("it is stopped");
    assert!(refused.header("retry-after").is_some() && refused.text.contains("Not so fast"));
    app.stop().await;
}

#[sqlx::test]
async fn a_form_without_its_token_changes_nothing_and_shows_what_was_typed(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let (person, other) = (app.owner("Acme IT", EMAIL).await, app.person());
    let foreign = other.csrf("/sign-in").await;
    let own = person.csrf("/").await;
    let stolen = &[
        ("csrf", foreign.as_str()),
        ("note", "typed <b>words</b>"),
        ("password", PASSWORD),
    ];
    for fields in [
        &[("note", "typed <b>words</b>")][..],
        &[("csrf", ""), ("note", "typed <b>words</b>")],
        stolen,
    ] {
        let answer = person.post_raw("/sign-out", fields).await;
        assert_eq!(answer.status, 403, "{fields:?}");
        assert!(answer.text.contains("typed &#60;b&#62;words"), "{}", answer.text);
        assert!(!answer.text.contains(PASSWORD));
    }
    for origin in [
        "https://evil.example",
        "null",
        "http://portal.signpost.test.evil.example",
    ] {
        let forged = person
            .request("POST", "/sign-out")
            .header("origin", origin)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(format!("csrf={own}"));
        assert_eq!(person.send(forged).await.status, 403, "{origin}");
    }
    for (content_type, body, status) in [
        ("application/json", "{}".to_owned(), 415),
        ("text/plain", format!("csrf={own}"), 415),
        (
            "application/x-www-form-urlencoded",
            format!("csrf={own}&a={}", "x".repeat(70_000)),
            413,
        ),
        ("application/x-www-form-urlencoded", "a=&".repeat(2_100), 413),
    ] {
        let sent = person
            .request("POST", "/sign-out")
            .header("content-type", content_type)
            .body(body);
        assert_eq!(person.send(sent).await.status, status, "{content_type}");
    }
    assert_eq!(person.get("/welcome").await.status, 200, "still signed in");
    app.stop().await;
}

#[sqlx::test]
async fn nobody_is_led_to_another_site(pool: PgPool) {
    let app = TestApp::start(pool).await;
    app.owner("Acme IT", EMAIL).await;
    for next in [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/%0d%0aset-cookie:a=b\r\nx",
    ] {
        let person = app.person();
        let signed_in = person
            .submit("/sign-in", &[("email", EMAIL), ("password", PASSWORD), ("next", next)])
            .await;
        assert_eq!(leads_to(&signed_in), "/", "{next}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_forgotten_password_is_set_anew_by_mail_once_and_ends_every_session(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let person = app.person();
    for email in ["nobody@msp.example", EMAIL] {
        let began = std::time::Instant::now();
        let sent = person.submit("/password/forgotten", &[("email", email)]).await;
        assert_eq!(leads_to(&sent), "/password/sent", "{email}");
        // So that the time does not tell which of them is known.
        assert!(began.elapsed() >= std::time::Duration::from_millis(250), "{email}");
    }
    assert!(app.mails("nobody@msp.example").await.is_empty());
    let path = link(&app.mails(EMAIL).await[0]);
    let another = "a scarf for every swan";
    let refused = person.submit(&path, &[("password", "short")]).await;
    assert_eq!(refused.status, 422);
    assert_eq!(
        leads_to(&person.submit(&path, &[("password", another)]).await),
        "/sign-in?done=password"
    );
    assert_eq!(person.get(&path).await.status, 404, "once");
    assert_eq!(leads_to(&owner.get("/welcome").await), "/sign-in?next=%2Fwelcome");
    assert_eq!(person.sign_in(EMAIL, PASSWORD).await.status, 422);
    assert_eq!(leads_to(&person.sign_in(EMAIL, another).await), "/");
    // What is sealed may hold any byte, so it is looked at as bytes.
    let readable: i64 = sqlx::query_scalar(
        "select count(*) from users, outbox
          where users::text || outbox::text ilike '%msp.example%' or position('msp.example'::bytea in email_sealed) > 0",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(readable, 0);
    app.stop().await;
}

#[sqlx::test]
async fn a_session_ends_without_use_and_with_its_membership_and_is_stopped_by_a_suspension(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let run = async |statement: &'static str| {
        sqlx::query(statement).execute(&pool).await.unwrap();
    };
    run("update organisations set suspended_at = now()").await;
    let stopped = person.get("/welcome").await;
    assert!(stopped.status == 403 && stopped.text.contains("suspended"));
    run("update organisations set suspended_at = null").await;
    run("update sessions set seen_at = now() - interval '11 hours 59 minutes'").await;
    assert_eq!(person.get("/welcome").await.status, 200);
    run("update sessions set seen_at = now() - interval '12 hours 1 minute'").await;
    assert_eq!(person.get("/welcome").await.status, 303);
    run("update sessions set seen_at = now(), expires_at = now()").await;
    assert_eq!(person.get("/welcome").await.status, 303);
    person.sign_in(EMAIL, PASSWORD).await;
    assert_eq!(person.get("/welcome").await.status, 200);
    run("delete from memberships").await;
    assert_eq!(person.get("/welcome").await.status, 303);
    let refused = person.sign_in(EMAIL, PASSWORD).await;
    assert!(refused.status == 422 && refused.text.contains("no member of any organisation"));
    app.stop().await;
}

#[sqlx::test]
async fn of_many_guesses_at_once_each_is_judged_by_those_before(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    app.owner("Acme IT", EMAIL).await;
    let guesser = app.person();
    for _ in 0..6 {
        guesser.sign_in(EMAIL, "not the password").await;
    }
    sqlx::query("update failed_attempts set last_at = last_at - interval '2 hours'")
        .execute(&pool)
        .await
        .unwrap();
    let mut held = pool.begin().await.unwrap();
    sqlx::query("select from failed_attempts for update")
        .execute(&mut *held)
        .await
        .unwrap();
    let guess = || guesser.sign_in(EMAIL, "not the password");
    let all_have_read = async {
        waiting(&pool, 3).await;
        held.rollback().await.unwrap();
    };
    let (one, two, three, ()) = tokio::join!(guess(), guess(), guess(), all_have_read);
    let compared = [one, two, three]
        .iter()
        .filter(|answer| answer.text.contains("belong together"))
        .count();
    assert_eq!(compared, 1, "the others have to wait");
    app.stop().await;
}

#[sqlx::test]
async fn a_password_that_is_replaced_while_it_is_compared_lets_nobody_in(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    app.owner("Acme IT", EMAIL).await;
    let (thief, mut replaced) = (app.person(), pool.begin().await.unwrap());
    for statement in ["update users set password_hash = 'another'", "delete from sessions"] {
        sqlx::query(statement).execute(&mut *replaced).await.unwrap();
    }
    let comes_in_between = async {
        waiting(&pool, 1).await;
        replaced.commit().await.unwrap();
    };
    let (answer, ()) = tokio::join!(thief.sign_in(EMAIL, PASSWORD), comes_in_between);
    assert_eq!(leads_to(&answer), "/sign-in?done=late");
    let left: i64 = sqlx::query_scalar("select count(*) from sessions")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
    app.stop().await;
}

#[sqlx::test]
async fn an_address_that_is_looked_up_in_a_long_transaction_holds_up_no_sign_in(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    app.owner("Acme IT", EMAIL).await;
    let (keyring, email) = (app.running.keyring(), Email::parse(EMAIL).unwrap());
    let mut long = pool.begin().await.unwrap();
    let digest = email.digest(&mut long, &keyring).await.unwrap();
    let mut other = pool.begin().await.unwrap();
    sqlx::query("set local lock_timeout = '1s'")
        .execute(&mut *other)
        .await
        .unwrap();
    assert!(email.digest(&mut other, &keyring).await.unwrap() == digest);
    app.stop().await;
}

#[sqlx::test]
async fn however_many_ask_at_once_an_address_gets_so_many_mails_and_no_more(pool: PgPool) {
    let app = TestApp::start(pool).await;
    app.owner("Acme IT", EMAIL).await;
    let before = app.mails(EMAIL).await.len();
    let person = app.person();
    let forgotten = (0..8).map(|_| person.submit("/password/forgotten", &[("email", EMAIL)]));
    futures_util::future::join_all(forgotten).await;
    assert_eq!(app.mails(EMAIL).await.len() - before, 3);
    let fields = [
        ("organisation", "Spam"),
        ("name", "Eve"),
        ("email", "victim@other.example"),
        ("password", PASSWORD),
    ];
    let signed_up = (0..8).map(|_| person.submit("/sign-up", &fields));
    futures_util::future::join_all(signed_up).await;
    assert_eq!(app.mails("victim@other.example").await.len(), 5);
    app.stop().await;
}
