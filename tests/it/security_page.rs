//! What a person changes of the own account, and what it takes.
use sqlx::PgPool;

use super::{
    app::TestApp,
    people::{PASSWORD, Person, leads_to, link},
};

const EMAIL: &str = "ada@msp.example";
const ANOTHER: &str = "a scarf for every swan";

/// As if they had signed in a while ago.
async fn wait_a_while(pool: &PgPool) {
    sqlx::query("update sessions set authenticated_at = authenticated_at - interval '11 minutes'")
        .execute(pool)
        .await
        .unwrap();
}

async fn signed_in(app: &TestApp, email: &str, password: &str) -> Person {
    let person = app.person();
    assert_eq!(leads_to(&person.sign_in(email, password).await), "/");
    person
}

async fn is_in(person: &Person) -> bool {
    person.get("/settings/security").await.status == 200
}

async fn actions(pool: &PgPool) -> Vec<String> {
    let actions = "select action from audit_events where subject_kind = 'member' order by audit_event_id";
    sqlx::query_scalar(actions).fetch_all(pool).await.unwrap()
}

#[sqlx::test]
async fn a_password_is_changed_by_whoever_has_the_present_one_and_ends_other_sessions(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let (owner, other) = (
        app.owner("Acme IT", EMAIL).await,
        signed_in(&app, EMAIL, PASSWORD).await,
    );
    let page = "/settings/security/password";
    for (present, new, complaint) in [
        ("wrong", ANOTHER, "Present password is wrong"),
        (PASSWORD, "short", "New password needs"),
        (PASSWORD, "ada@msp.example", "New password "),
        ("", "", "Present password is wrong"),
    ] {
        let refused = owner
            .submit(page, &[("present_password", present), ("new_password", new)])
            .await;
        assert_eq!(refused.status, 422, "{present} {new}");
        assert!(refused.text.contains(complaint), "{complaint}: {}", refused.text);
    }
    let before = owner.cookies();
    let fields = [("present_password", PASSWORD), ("new_password", ANOTHER)];
    assert_eq!(
        leads_to(&owner.submit(page, &fields).await),
        "/settings/security?done=password"
    );
    assert_ne!(owner.cookies(), before, "the secret is another");
    assert!(is_in(&owner).await && !is_in(&other).await);
    let thief = app.person();
    thief.set_cookies(before);
    assert!(!is_in(&thief).await);
    assert_eq!(thief.sign_in(EMAIL, PASSWORD).await.status, 422);
    signed_in(&app, EMAIL, ANOTHER).await;
    assert_eq!(app.mails(EMAIL).await[0].subject, "Your password has changed");
    assert_eq!(actions(&pool).await, ["member.password_changed"]);
    app.stop().await;
}

#[sqlx::test]
async fn guessing_the_present_password_in_an_open_browser_is_throttled(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let guess = async || {
        let fields = [("present_password", "a guess"), ("new_password", ANOTHER)];
        let refused = owner.submit("/settings/security/password", &fields).await;
        assert_eq!(refused.status, 422);
        refused.text.contains("too often")
    };
    for _ in 0..6 {
        assert!(!guess().await);
    }
    super::people::hold_failures(&pool).await;
    assert!(guess().await);
    app.stop().await;
}

#[sqlx::test]
async fn browsers_are_listed_and_signed_out_one_by_one_all_others_or_all(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let stranger = app.owner("Globex", "eve@globex.example").await;
    let phone = app.person();
    let csrf = phone.csrf("/sign-in").await;
    let sent = phone
        .request("POST", "/sign-in")
        .header("content-type", "application/x-www-form-urlencoded")
        .header(
            "user-agent",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) Version/26.0 Mobile/15E148 Safari/604.1",
        )
        .body(format!("csrf={csrf}&email={EMAIL}&password={PASSWORD}"));
    assert_eq!(leads_to(&phone.send(sent).await), "/");
    let page = owner.get("/settings/security").await.text;
    assert!(page.contains("Safari on iPhone") && page.contains("127.0.0.0/24") && page.contains("this one"));
    assert!(page.contains(EMAIL) && page.contains("Ada Lovelace") && !page.contains("Globex"));

    let of = async |name: &str| -> String {
        let id = "select session_id::text from sessions where browser = $1";
        sqlx::query_scalar(id).bind(name).fetch_one(&pool).await.unwrap()
    };
    let phones = of("Safari on iPhone").await;
    let end = async |person: &Person, which: &str| {
        let fields = [("end", which)];
        let sent = person.submit_to("/settings/security", "/settings/security/sessions", &fields);
        let answer = sent.await;
        (answer.status, answer.header("location").unwrap_or_default().to_owned())
    };
    end(&stranger, &phones).await;
    assert!(is_in(&phone).await, "a stranger ends nobody else's");
    assert_eq!(end(&owner, &phones).await.1, "/settings/security?done=session");
    assert!(!is_in(&phone).await && is_in(&owner).await);
    for nonsense in ["", "nonsense", "'; drop table sessions"] {
        assert_eq!(end(&owner, nonsense).await.0, 404);
    }
    let second = signed_in(&app, EMAIL, PASSWORD).await;
    assert_eq!(end(&owner, "others").await.1, "/settings/security?done=sessions");
    assert!(!is_in(&second).await && is_in(&owner).await);
    let third = signed_in(&app, EMAIL, PASSWORD).await;
    assert_eq!(end(&owner, "all").await.1, "/sign-in?done=signed-out-everywhere");
    assert!(!is_in(&third).await && !is_in(&owner).await && is_in(&stranger).await);
    app.stop().await;
}

#[sqlx::test]
async fn a_name_is_changed_and_refused_as_it_was_typed(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let page = "/settings/security/name";
    let refused = owner.submit(page, &[("name", " ")]).await;
    assert_eq!(refused.status, 422);
    let renamed = owner.submit(page, &[("name", "<b>Ada</b> 'משה' 🪿")]).await;
    assert_eq!(leads_to(&renamed), "/settings/security?done=name");
    let shown = owner.get("/settings/security").await.text;
    assert!(shown.contains("&#60;b&#62;Ada") && shown.contains("🪿") && !shown.contains("<b>Ada"));
    app.stop().await;
}

#[sqlx::test]
async fn a_new_address_counts_once_its_owner_opens_the_mail_and_the_old_one_is_told(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let eve = app.owner("Globex", "eve@globex.example").await;
    let (page, new) = ("/settings/security/email", "ada.l@msp.example");
    for (email, complaint) in [
        ("nonsense", "must be an e-mail address"),
        (EMAIL, "is your address already"),
    ] {
        let refused = owner.submit(page, &[("email", email)]).await;
        assert!(
            refused.status == 422 && refused.text.contains(complaint),
            "{}",
            refused.text
        );
    }
    // Of one who has an account nobody learns so here.
    for email in ["eve@globex.example", new] {
        assert_eq!(
            leads_to(&owner.submit(page, &[("email", email)]).await),
            "/settings/security?done=email-sent"
        );
    }
    let to_eve = app.mails("eve@globex.example").await;
    assert_eq!(to_eve[0].subject, "This address has an account already");
    let told = app.mails(EMAIL).await;
    assert!(told[0].subject == "Your address is about to change" && told[0].text.contains(new));
    let path = link(&app.mails(new).await[0]);

    assert_eq!(eve.get(&path).await.status, 404, "somebody else's link");
    let anonymous = app.person();
    assert!(leads_to(&anonymous.get(&path).await).starts_with("/sign-in?next="));
    assert_eq!(anonymous.sign_in(new, PASSWORD).await.status, 422, "not yet");
    let asked = owner.get(&path).await;
    assert!(
        asked.status == 200 && asked.text.contains(new),
        "opening it alone changes nothing"
    );
    assert_eq!(
        leads_to(&owner.submit(&path, &[]).await),
        "/settings/security?done=email"
    );
    assert_eq!(owner.get(&path).await.status, 404, "once");
    assert_eq!(app.mails(EMAIL).await[0].subject, "Your address has changed");
    assert_eq!(anonymous.sign_in(EMAIL, PASSWORD).await.status, 422);
    signed_in(&app, new, PASSWORD).await;
    assert_eq!(
        actions(&pool).await,
        [
            "member.email_change_begun",
            "member.email_change_begun",
            "member.email_changed"
        ]
    );
    let sealed: Vec<Vec<u8>> = sqlx::query_scalar("select email_sealed from users")
        .fetch_all(&pool)
        .await
        .unwrap();
    let is_readable = |sealed: &Vec<u8>| sealed.windows(4).any(|bytes| bytes == b"@msp");
    assert!(!sealed.iter().any(is_readable));
    app.stop().await;
}

#[sqlx::test]
async fn an_address_that_somebody_else_took_meanwhile_and_an_old_link_change_nothing(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let (page, new) = ("/settings/security/email", "new@msp.example");
    owner.submit(page, &[("email", new)]).await;
    let path = link(&app.mails(new).await[0]);
    let csrf = owner.csrf(&path).await;
    app.owner("Quick", new).await;
    assert_eq!(owner.post_raw(&path, &[("csrf", &csrf)]).await.status, 404);
    sqlx::query("update email_changes set expires_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(owner.get(&path).await.status, 404);
    for at in 0..4 {
        let email = format!("{at}@msp.example");
        assert_eq!(owner.submit(page, &[("email", &email)]).await.status, 303);
    }
    let refused = owner.submit(page, &[("email", "9@msp.example")]).await;
    assert!(refused.status == 422 && refused.text.contains("too often"));
    assert!(app.mails("9@msp.example").await.is_empty());
    app.stop().await;
}

#[sqlx::test]
async fn a_while_after_signing_in_the_password_is_asked_for_again(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let page = "/settings/security/email";
    assert!(!owner.get(page).await.text.contains("present_password"));
    wait_a_while(&pool).await;
    assert!(owner.get(page).await.text.contains("present_password"));
    let fields = [("email", "new@msp.example")];
    let refused = owner.submit(page, &fields).await;
    assert!(
        refused.status == 422 && refused.text.contains("new@msp.example"),
        "kept"
    );
    let begun = owner
        .submit("/settings/security/second-factor", &[("do", "begin")])
        .await;
    assert_eq!(begun.status, 422);
    assert!(app.mails("new@msp.example").await.is_empty());
    let fields = [("email", "new@msp.example"), ("present_password", PASSWORD)];
    assert_eq!(owner.submit(page, &fields).await.status, 303);
    assert!(!owner.get(page).await.text.contains("present_password"), "recent again");

    // Whoever has no password signs in again.
    wait_a_while(&pool).await;
    sqlx::query("update users set password_hash = null")
        .execute(&pool)
        .await
        .unwrap();
    let stale = owner.get(page).await;
    assert!(stale.status == 403 && stale.text.contains("Sign in once more"));
    assert!(
        owner
            .get("/settings/security/password")
            .await
            .text
            .contains("You have no password")
    );
    app.stop().await;
}

#[sqlx::test]
async fn forms_of_ones_own_security_need_their_token_and_a_session(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let nobody = app.person();
    for page in ["name", "email", "password", "sessions", "second-factor"] {
        let path = format!("/settings/security/{page}");
        assert_eq!(owner.post_raw(&path, &[("name", "x")]).await.status, 403, "{page}");
        assert_eq!(nobody.post_raw(&path, &[("name", "x")]).await.status, 401, "{page}");
        let forged = owner
            .post_raw(&path, &[("csrf", &"A".repeat(43)), ("end", "all")])
            .await;
        assert_eq!(forged.status, 403, "{page}");
    }
    assert!(is_in(&owner).await);
    app.stop().await;
}
