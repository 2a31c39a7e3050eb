//! Signing up, as people do and as nobody should.
use sqlx::PgPool;

use super::{
    app::TestApp,
    people::{PASSWORD, leads_to, link},
};

const EMAIL: &str = "ada@msp.example";

fn fields<'a>(organisation: &'a str, email: &'a str, password: &'a str) -> [(&'a str, &'a str); 4] {
    [
        ("organisation", organisation),
        ("name", "Ada Lovelace"),
        ("email", email),
        ("password", password),
    ]
}

#[sqlx::test]
async fn somebody_signs_up_confirms_by_the_mail_and_is_in(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let person = app.owner("Acme IT", EMAIL).await;
    let page = person.get("/").await;
    assert_eq!(page.status, 200);
    assert!(page.text.contains("Acme IT"), "{}", page.text);
    let visitor = person.cookies();
    assert_eq!(
        visitor.keys().collect::<Vec<_>>(),
        ["signpost-known", "signpost-session"]
    );
    app.stop().await;
}

#[sqlx::test]
async fn nothing_exists_before_the_address_is_confirmed_and_a_link_works_once(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.person();
    let sent = person.submit("/sign-up", &fields("Acme IT", EMAIL, PASSWORD)).await;
    assert_eq!(leads_to(&sent), "/sign-up/sent");
    let count = "select count(*) from organisations";
    let organisations: i64 = sqlx::query_scalar(count).fetch_one(&pool).await.unwrap();
    assert_eq!(organisations, 0);
    assert_eq!(person.sign_in(EMAIL, PASSWORD).await.status, 422);

    let mail = app.mails(EMAIL).await.remove(0);
    let path = link(&mail);
    // Somebody else's browser, or a program that looks at mails: opening alone changes nothing, and signs nobody in.
    let other = app.person();
    let asked = other.get(&path).await;
    assert_eq!(asked.status, 200);
    let organisations: i64 = sqlx::query_scalar(count).fetch_one(&pool).await.unwrap();
    assert_eq!(organisations, 0);
    assert!(!other.cookies().contains_key("signpost-session"));
    // In the browser that signed up, opening it is enough.
    assert_eq!(leads_to(&person.get(&path).await), "/welcome");
    for visitor in [&person, &other] {
        let again = visitor.get(&path).await;
        assert_eq!(again.status, 404);
        assert!(again.text.contains("This link has expired"));
    }
    assert_eq!(leads_to(&person.sign_in(EMAIL, PASSWORD).await), "/");
    app.stop().await;
}

#[sqlx::test]
async fn a_strangers_password_does_not_count_when_the_owner_confirms_in_another_browser(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let (stranger, owner) = (app.person(), app.person());
    stranger
        .submit("/sign-up", &fields("Evil https://evil.example", EMAIL, PASSWORD))
        .await;
    let mail = app.mails(EMAIL).await.remove(0);
    assert!(
        mail.text.contains("Organisation: Evil https: //evil. example")
            && mail.text.contains("Name: Ada Lovelace")
            && mail.text.contains("If this wasn't you"),
        "{}",
        mail.text
    );
    assert_eq!(mail.text.matches("://").count(), 1, "{}", mail.text);
    let path = link(&mail);
    let page = owner.get(&path).await;
    assert!(page.text.contains(EMAIL) && page.text.contains("Evil") && page.text.contains("name=\"password\""));
    // Nothing is made without a password of the owner's choice.
    for refused in [&[][..], &[("password", "")], &[("password", "short")]] {
        let answer = owner.submit(&path, refused).await;
        assert!(
            answer.status == 422 && answer.text.contains("Password"),
            "{}",
            answer.text
        );
    }
    let organisations: i64 = sqlx::query_scalar("select count(*) from organisations")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(organisations, 0);
    let own = "a scarf for every swan";
    let chosen = [("organisation", "Acme IT"), ("name", "Ada"), ("password", own)];
    assert_eq!(leads_to(&owner.submit(&path, &chosen).await), "/welcome");
    assert!(owner.get("/").await.text.contains("Acme IT"));

    assert_eq!(stranger.get(&path).await.status, 404, "the link is used up");
    assert_eq!(stranger.sign_in(EMAIL, PASSWORD).await.status, 422);
    assert_eq!(leads_to(&app.person().sign_in(EMAIL, own).await), "/");
    app.stop().await;
}

#[sqlx::test]
async fn what_was_typed_at_the_sign_up_stays_unless_it_is_changed(pool: PgPool) {
    let app = TestApp::start(pool).await;
    app.person()
        .submit("/sign-up", &fields("Acme IT", EMAIL, PASSWORD))
        .await;
    let path = link(&app.mails(EMAIL).await[0]);
    let phone = app.person();
    let own = "a scarf for every swan";
    assert_eq!(leads_to(&phone.submit(&path, &[("password", own)]).await), "/welcome");
    assert!(phone.get("/").await.text.contains("Acme IT"));
    assert!(phone.get("/settings/security").await.text.contains("Ada Lovelace"));
    app.stop().await;
}

#[sqlx::test]
async fn one_stranger_sends_few_mails_to_one_mailbox_and_one_domain(pool: PgPool) {
    // Strangers of several networks, as a proxy names them.
    let app = TestApp::start_with(pool.clone(), &[("SIGNPOST_TRUSTED_PROXIES", "127.0.0.0/8")]).await;
    let sign_up = async |network: u8, email: &str| {
        let person = app.person().behind(&format!("203.0.{network}.7"));
        let sent = person.submit("/sign-up", &fields("Spam", email, PASSWORD)).await;
        assert_eq!(leads_to(&sent), "/sign-up/sent", "the answer is the same for all");
    };
    let mails = async || -> i64 {
        sqlx::query_scalar("select count(*) from outbox")
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    // Tags of one address, from a network each.
    for number in 0..9 {
        sign_up(number, &format!("victim+{number}@one.example")).await;
    }
    assert_eq!(mails().await, 5);
    // The victim has links that work, and what the stranger typed can be changed.
    let first = app.mails("victim+0@one.example").await;
    let chosen = [("organisation", "Mine"), ("password", "a scarf for every swan")];
    assert_eq!(
        leads_to(&app.person().submit(&link(&first[0]), &chosen).await),
        "/welcome"
    );

    // Addresses of one domain, from one network.
    for number in 0..25 {
        sign_up(20, &format!("person-{number}@two.example")).await;
    }
    assert_eq!(mails().await, 5 + 20);
    // Neither another domain nor another network has to suffer for it.
    sign_up(20, "grace@three.example").await;
    sign_up(21, "grace@two.example").await;
    assert_eq!(mails().await, 5 + 20 + 2);
    // A confirmed sign-up no longer counts.
    let path = link(&app.mails("person-3@two.example").await[0]);
    let confirmed = app
        .person()
        .submit(&path, &[("password", "a scarf for every swan")])
        .await;
    assert_eq!(leads_to(&confirmed), "/welcome");
    sign_up(20, "late@two.example").await;
    assert_eq!(app.mails("late@two.example").await.len(), 1);
    app.stop().await;
}

#[sqlx::test]
async fn whoever_signs_up_twice_is_told_by_mail_only(pool: PgPool) {
    let app = TestApp::start(pool).await;
    app.owner("Acme IT", EMAIL).await;
    let stranger = app.person();
    let sent = stranger.submit("/sign-up", &fields("Evil", EMAIL, PASSWORD)).await;
    assert_eq!(leads_to(&sent), "/sign-up/sent");
    let mails = app.mails(EMAIL).await;
    assert_eq!(mails.len(), 2);
    assert!(mails[0].text.contains("The address has an account already") && !mails[0].text.contains("/confirm/"));
    for _ in 0..9 {
        stranger.submit("/sign-up", &fields("Evil", EMAIL, PASSWORD)).await;
    }
    // The owner's own, and five in a day.
    assert_eq!(app.mails(EMAIL).await.len(), 6, "a mailbox is not filled by strangers");
    app.stop().await;
}

#[sqlx::test]
async fn a_form_that_is_refused_comes_back_as_it_was_typed(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let person = app.person();
    let long = "x".repeat(10_000);
    for (organisation, email, password, error) in [
        ("", EMAIL, PASSWORD, "Organisation must"),
        (
            "<script>alert(1)</script>",
            "nobody",
            PASSWORD,
            "E-mail address must be",
        ),
        (
            "O'Neil & \u{202e}Söhne 🪧",
            EMAIL,
            "short",
            "Password needs at least 15",
        ),
        ("nul\0l", EMAIL, PASSWORD, "Organisation must"),
        (long.as_str(), EMAIL, PASSWORD, "Organisation must"),
        ("Acme IT", EMAIL, "ada@msp.example", "Password is made of"),
    ] {
        let answer = person.submit("/sign-up", &fields(organisation, email, password)).await;
        assert_eq!(answer.status, 422, "{organisation:.30}");
        assert!(answer.text.contains(error), "{error}: {}", answer.text);
        assert!(!answer.text.contains("<script>alert"));
        let shown = organisation
            .replace('&', "&#38;")
            .replace('<', "&#60;")
            .replace('>', "&#62;")
            .replace('\'', "&#39;");
        assert!(answer.text.contains(&shown), "{organisation:.30} is lost");
        assert!(!answer.text.contains(PASSWORD), "a password is not sent back");
    }
    app.stop().await;
}

#[sqlx::test]
async fn an_operator_may_close_the_door(pool: PgPool) {
    let app = TestApp::start_with(pool, &[("SIGNPOST_REGISTRATION", "invite")]).await;
    let person = app.person();
    let page = person.get("/sign-up").await;
    assert!(page.text.contains("by invitation only") && !page.text.contains("name=\"csrf\""));
    let csrf = person.csrf("/sign-in").await;
    let fields: Vec<_> = fields("Acme IT", EMAIL, PASSWORD)
        .into_iter()
        .chain([("csrf", csrf.as_str())])
        .collect();
    assert_eq!(person.post_raw("/sign-up", &fields).await.status, 403);
    assert!(app.mails(EMAIL).await.is_empty());
    app.stop().await;
}

#[sqlx::test]
async fn links_lead_to_the_portal_that_is_set_whatever_host_was_asked(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let person = app.person();
    let csrf = person.csrf("/sign-up").await;
    let forged = person
        .request("POST", "/sign-up")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-forwarded-host", "evil.example")
        .header("forwarded", "host=evil.example")
        .body(format!(
            "csrf={csrf}&organisation=Acme&name=Ada&email={EMAIL}&password={}",
            PASSWORD.replace(' ', "+")
        ));
    assert_eq!(leads_to(&person.send(forged).await), "/sign-up/sent");
    let mail = app.mails(EMAIL).await.remove(0);
    let portal = format!("http://portal.signpost.test:{}/", app.http.port());
    let links: Vec<_> = mail
        .text
        .split_whitespace()
        .filter(|word| word.contains("://"))
        .collect();
    assert!(
        !links.is_empty() && links.iter().all(|link| link.starts_with(&portal)),
        "{links:?}"
    );
    app.stop().await;
}
