//! Accounts that a stranger opened or got into first, and the owner of the mailbox who takes them back.
use signpost::accounts::secret_text::SecretText;
use sqlx::PgPool;

use super::{
    app::{TestApp, waiting},
    passkeys::{self, Device, with_passkey},
    people::{PASSWORD, Person, leads_to, link},
    second_factor::{show_code, turn_on, wait_for_the_next},
};

const EMAIL: &str = "ada@msp.example";
const OWN: &str = "a scarf for every swan";
const PASSKEYS: &str = "/settings/security/passkeys";

/// The path of a new link to set a password.
async fn forgotten(app: &TestApp) -> String {
    let asked = app.person();
    asked.submit("/password/forgotten", &[("email", EMAIL)]).await;
    let mails = app.mails(EMAIL).await;
    assert_eq!(mails[0].subject, "Set a new password");
    link(&mails[0])
}

async fn reset(person: &Person, path: &str, more: &[(&str, &str)]) {
    let fields = [&[("password", OWN)], more].concat();
    assert_eq!(leads_to(&person.submit(path, &fields).await), "/sign-in?done=password");
}

async fn count(pool: &PgPool, table: &str) -> i64 {
    let statement = match table {
        "passkeys" => "select count(*) from passkeys",
        "sessions" => "select count(*) from sessions",
        "second_factors" => "select count(*) from second_factors",
        "email_changes" => "select count(*) from email_changes",
        other => panic!("which is {other}?"),
    };
    sqlx::query_scalar(statement).fetch_one(pool).await.unwrap()
}

#[sqlx::test]
async fn a_reset_ends_everything_that_a_stranger_opened_and_enrolled(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let stranger = app.owner("Acme IT", EMAIL).await;
    let mut device = with_passkey(&app, &stranger).await;
    stranger
        .submit("/settings/security/email", &[("email", "eve@evil.example")])
        .await;
    let taken_away = link(&app.mails("eve@evil.example").await[0]);
    stranger
        .submit("/settings/security/second-factor", &[("do", "begin")])
        .await;

    let (owner, path) = (app.person(), forgotten(&app).await);
    let page = owner.get(&path).await.text;
    for shown in [
        "Laptop",
        "Never used",
        "signed in on",
        "127.0.0.0/24",
        "Passkeys to keep",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    reset(&owner, &path, &[]).await;
    passkeys::refused(&passkeys::sign_in(&app.person(), &mut device).await);
    assert_eq!(leads_to(&stranger.get("/welcome").await), "/sign-in?next=%2Fwelcome");
    assert_eq!(stranger.sign_in(EMAIL, PASSWORD).await.status, 422);
    for table in ["passkeys", "sessions", "second_factors", "email_changes"] {
        assert_eq!(count(&pool, table).await, 0, "{table}");
    }
    assert_eq!(leads_to(&owner.sign_in(EMAIL, OWN).await), "/");
    assert_eq!(owner.get(&taken_away).await.status, 404, "the address stays");
    let mail = &app.mails(EMAIL).await[0];
    assert!(
        mail.subject == "Your password was reset" && mail.text.contains("1 passkey was removed"),
        "{}",
        mail.text
    );
    app.stop().await;
}

#[sqlx::test]
async fn passkeys_that_the_owner_keeps_go_on_working_and_no_others(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let eve = app.owner("Globex", "eve@globex.example").await;
    let (mut kept, mut other) = (with_passkey(&app, &owner).await, with_passkey(&app, &owner).await);
    let mut eves = with_passkey(&app, &eve).await;
    let ids: Vec<uuid::Uuid> = sqlx::query_scalar("select passkey_id from passkeys order by passkey_id")
        .fetch_all(&pool)
        .await
        .unwrap();
    let (path, browser) = (forgotten(&app).await, app.person());
    // What was chosen is not lost with a password that is refused, and other people's keys are not to be had.
    let (first, eves_id) = (ids[0].to_string(), ids[2].to_string());
    let refused = browser.submit(&path, &[("password", "short"), ("keep", &first)]).await;
    assert!(refused.status == 422 && refused.text.contains(&format!("value=\"{first}\" checked")));
    let keep = [("keep", first.as_str()), ("keep", &eves_id), ("keep", "nonsense")];
    reset(&browser, &path, &keep).await;
    assert_eq!(leads_to(&passkeys::sign_in(&app.person(), &mut kept).await), "/welcome");
    passkeys::refused(&passkeys::sign_in(&app.person(), &mut other).await);
    assert_eq!(leads_to(&passkeys::sign_in(&app.person(), &mut eves).await), "/welcome");
    app.stop().await;
}

#[sqlx::test]
async fn a_second_factor_that_the_owner_cannot_use_is_removed_after_a_delay(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let stranger = app.owner("Acme IT", EMAIL).await;
    let (phone, codes) = turn_on(&stranger).await;
    wait_for_the_next(&pool).await;
    let (owner, path) = (app.person(), forgotten(&app).await);
    let page = owner.get(&path).await.text;
    assert!(
        page.contains("I can't use it") && page.contains("10 recovery codes"),
        "{page}"
    );
    reset(&owner, &path, &[("second_factor", "remove")]).await;
    let mails = app.mails(EMAIL).await;
    assert!(
        mails[0].text.contains("The second factor will be removed on"),
        "{}",
        mails[0].text
    );

    // A mailbox alone does not turn it off immediately, nor sooner by asking again.
    let removal_at = async || -> chrono::DateTime<chrono::Utc> {
        sqlx::query_scalar("select removal_at from second_factors")
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    let first = removal_at().await;
    let days = (first - crate::clock::now()).num_hours();
    assert!((71..=72).contains(&days), "{days}");
    assert_eq!(
        leads_to(&owner.sign_in(EMAIL, OWN).await),
        "/sign-in/second-factor?next=%2F"
    );
    assert!(
        owner
            .get("/sign-in/second-factor")
            .await
            .text
            .contains("will be removed on")
    );
    reset(&owner, &forgotten(&app).await, &[("second_factor", "remove")]).await;
    assert_eq!(removal_at().await, first);
    // The stranger has the codes and no password, and can't stop it.
    assert_eq!(stranger.sign_in(EMAIL, PASSWORD).await.status, 422);

    sqlx::query("update second_factors set removal_at = now()")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(leads_to(&owner.sign_in(EMAIL, OWN).await), "/");
    assert_eq!(count(&pool, "second_factors").await, 0);
    assert!(owner.get("/settings/security").await.text.contains(">Off<"));
    let actions: Vec<String> = sqlx::query_scalar(
        "select action from audit_events where action like 'member.second_factor_rem%' order by audit_event_id",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    assert_eq!(
        actions,
        [
            "member.second_factor_removal_scheduled",
            "member.second_factor_removal_scheduled",
            "member.second_factor_removed"
        ]
    );
    // A new factor has codes of its own.
    let (_, others) = turn_on(&owner).await;
    assert!(!others.contains(&codes[0]));
    drop(phone);
    app.stop().await;
}

#[sqlx::test]
async fn using_the_second_factor_cancels_its_removal(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let (phone, _) = turn_on(&owner).await;
    wait_for_the_next(&pool).await;
    // An attacker reads the mailbox.
    reset(&app.person(), &forgotten(&app).await, &[("second_factor", "remove")]).await;
    // The owner is signed out, resets as well, and has the phone.
    let path = forgotten(&app).await;
    assert!(owner.get(&path).await.text.contains("It will be removed on"));
    reset(&owner, &path, &[]).await;
    assert!(leads_to(&owner.sign_in(EMAIL, OWN).await).starts_with("/sign-in/second-factor"));
    assert_eq!(leads_to(&show_code(&owner, &phone.code(0)).await), "/welcome");
    let pending: i64 = sqlx::query_scalar("select count(*) from second_factors where removal_at is not null")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(pending, 0);
    assert_eq!(count(&pool, "second_factors").await, 1);
    app.stop().await;
}

#[sqlx::test]
async fn a_change_that_is_under_way_when_the_owner_resets_is_refused(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let stranger = app.owner("Acme IT", EMAIL).await;
    let mut enrolled = with_passkey(&app, &stranger).await;
    let mut device = Device::new(&app);
    let (options, csrf) = passkeys::challenge(&stranger, PASSKEYS, PASSKEYS).await;
    let credential = device.create(&options);
    let (csrf_of_password, session) = (
        stranger.csrf("/settings/security/password").await,
        stranger.cookies()["signpost-session"].clone(),
    );
    let session = SecretText::parse(&session).unwrap().digest();
    let path = forgotten(&app).await;

    // What the reset does, held open between its statements.
    let mut resetting = pool.begin().await.unwrap();
    for statement in [
        "select from users for update",
        "delete from passkeys",
        "delete from sessions",
    ] {
        sqlx::query(statement).execute(&mut *resetting).await.unwrap();
    }
    let fields = [
        ("csrf", csrf_of_password.as_str()),
        ("present_password", PASSWORD),
        ("new_password", OWN),
    ];
    let signs_in = app.person();
    let comes_in_between = async {
        waiting(&pool, 3).await;
        resetting.commit().await.unwrap();
    };
    let (added, changed, signed_in, ()) = tokio::join!(
        passkeys::add(&stranger, "Mine", &credential, &csrf),
        stranger.post_raw("/settings/security/password", &fields),
        passkeys::sign_in(&signs_in, &mut enrolled),
        comes_in_between
    );
    assert_eq!((added.status, changed.status), (401, 401), "{}", added.text);
    assert!(signed_in.status == 422 || leads_to(&signed_in) == "/sign-in?done=late");
    assert_eq!((count(&pool, "passkeys").await, count(&pool, "sessions").await), (0, 0));
    let left: i64 = sqlx::query_scalar("select count(*) from sessions where token_digest = $1")
        .bind(session)
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
    reset(&app.person(), &path, &[]).await;
    app.stop().await;
}
