//! A code after the password.
use signpost::accounts::{Operator, email::Email, second_factors};
use sqlx::PgPool;

use super::{
    app::{Answer, TestApp, waiting},
    binary::Machine,
    people::{PASSWORD, Person, csrf_in, hold_failures, leads_to, link},
    phone::Phone,
};

const EMAIL: &str = "ada@msp.example";
const PAGE: &str = "/settings/security/second-factor";

fn recovery_codes(page: &Answer) -> Vec<String> {
    let codes = page.text.split("<li><code>").skip(1);
    codes.map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
}

/// Turns it on; the phone, and the recovery codes.
pub async fn turn_on(person: &Person) -> (Phone, Vec<String>) {
    assert_eq!(leads_to(&person.submit(PAGE, &[("do", "begin")]).await), PAGE);
    let phone = Phone::shown(&person.get(PAGE).await.text);
    let on = person
        .submit(PAGE, &[("do", "confirm"), ("code", &phone.code(0))])
        .await;
    assert_eq!(on.status, 200, "{}", on.text);
    (phone, recovery_codes(&on))
}

/// Forgets which half minute was used last.
pub async fn wait_for_the_next(pool: &PgPool) {
    for statement in [
        "update second_factors set last_step = -1",
        "delete from failed_attempts",
    ] {
        sqlx::query(statement).execute(pool).await.unwrap();
    }
}

pub async fn show_code(person: &Person, code: &str) -> Answer {
    let page = "/sign-in/second-factor";
    person
        .submit_to(page, page, &[("code", code), ("next", "/welcome")])
        .await
}

#[sqlx::test]
async fn with_a_second_factor_the_password_alone_lets_nobody_in(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let elsewhere = app.person();
    elsewhere.sign_in(EMAIL, PASSWORD).await;
    owner.submit(PAGE, &[("do", "begin")]).await;
    assert_eq!(
        leads_to(&app.person().sign_in(EMAIL, PASSWORD).await),
        "/",
        "begun is not on"
    );
    let page = owner.get(PAGE).await.text;
    assert!(page.contains("<svg class=\"qr\"") && page.contains("<path d=\"M"));
    let wrong = owner.submit(PAGE, &[("do", "confirm"), ("code", "000000")]).await;
    assert!(
        wrong.status == 422 && wrong.text.contains("Code is wrong"),
        "{}",
        wrong.text
    );
    let phone = Phone::shown(&owner.get(PAGE).await.text);
    let on = owner
        .submit(PAGE, &[("do", "confirm"), ("code", &phone.code(-1))])
        .await;
    assert!(on.status == 200 && recovery_codes(&on).len() == 10, "{}", on.text);
    assert!(
        !owner.get(PAGE).await.text.contains("class=\"key\""),
        "the key is shown no more"
    );
    assert_eq!(elsewhere.get("/welcome").await.status, 303, "signed out elsewhere");
    assert_eq!(app.mails(EMAIL).await[0].subject, "The second factor is on");

    let person = app.person();
    let sent = person
        .submit(
            "/sign-in",
            &[("email", EMAIL), ("password", PASSWORD), ("next", "/welcome")],
        )
        .await;
    assert_eq!(leads_to(&sent), "/sign-in/second-factor?next=%2Fwelcome");
    let half = person.cookies();
    for path in ["/welcome", "/settings/security"] {
        assert!(
            leads_to(&person.get(path).await).starts_with("/sign-in?next="),
            "{path}"
        );
    }
    assert!(
        person.get("/").await.text.contains("/sign-in"),
        "a stranger's front page"
    );
    assert_eq!(show_code(&person, "").await.status, 422);
    assert_eq!(show_code(&person, "123 456 7").await.status, 422);
    let replayed = show_code(&person, &phone.code(-1)).await;
    assert!(
        replayed.status == 422 && replayed.text.contains("used before"),
        "{}",
        replayed.text
    );
    assert_eq!(leads_to(&show_code(&person, &phone.code(0)).await), "/welcome");
    assert_eq!(person.get("/welcome").await.status, 200);
    let whole = person.cookies();
    assert_ne!(whole, half);
    let thief = app.person();
    thief.set_cookies(half);
    assert_eq!(
        thief.get("/welcome").await.status,
        303,
        "the secret before is worth nothing"
    );
    let readable: i64 =
        sqlx::query_scalar("select count(*) from second_factors where position($1 in secret_sealed) > 0")
            .bind(&phone.0)
            .fetch_one(&pool)
            .await
            .unwrap();
    assert_eq!(readable, 0);
    app.stop().await;
}

#[sqlx::test]
async fn a_code_works_once_and_not_long_before_or_after_its_time(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let (phone, _) = turn_on(&owner).await;
    let person = app.person();
    person.sign_in(EMAIL, PASSWORD).await;
    wait_for_the_next(&pool).await;
    for later in [-3, 3] {
        assert_eq!(show_code(&person, &phone.code(later)).await.status, 422, "{later}");
    }
    // Two browsers with the same code at the same moment.
    let other = app.person();
    other.sign_in(EMAIL, PASSWORD).await;
    let code = phone.code(0);
    let (one, two) = tokio::join!(show_code(&person, &code), show_code(&other, &code));
    let mut statuses = [one.status, two.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 422]);
    app.stop().await;
}

#[sqlx::test]
async fn whoever_guesses_codes_waits_and_the_right_one_waits_too(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let (phone, _) = turn_on(&app.owner("Acme IT", EMAIL).await).await;
    sqlx::query("update second_factors set last_step = -1")
        .execute(&pool)
        .await
        .unwrap();
    let person = app.person();
    person.sign_in(EMAIL, PASSWORD).await;
    let wrong = phone.code(1_000);
    for _ in 0..6 {
        assert!(!show_code(&person, &wrong).await.text.contains("too often"));
    }
    hold_failures(&pool).await;
    assert!(show_code(&person, &wrong).await.text.contains("too often"));
    assert_eq!(show_code(&person, &phone.code(0)).await.status, 422);
    // Signing in anew with the password buys no more attempts.
    let again = app.person();
    again.sign_in(EMAIL, PASSWORD).await;
    assert!(show_code(&again, &wrong).await.text.contains("too often"));
    sqlx::query("update failed_attempts set last_at = last_at - interval '2 hours'")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(leads_to(&show_code(&person, &phone.code(0)).await), "/welcome");
    app.stop().await;
}

#[sqlx::test]
async fn a_recovery_code_lets_in_once_and_others_are_made_with_a_code(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let (phone, codes) = turn_on(&owner).await;
    let in_with = async |code: &str| {
        let person = app.person();
        person.sign_in(EMAIL, PASSWORD).await;
        show_code(&person, code).await.status
    };
    assert_eq!(in_with(&codes[0].to_lowercase()).await, 303);
    assert_eq!(app.mails(EMAIL).await[0].subject, "A recovery code was used");
    assert_eq!(in_with(&codes[0]).await, 422, "once");
    assert!(
        owner
            .get("/settings/security")
            .await
            .text
            .contains("9 recovery codes are left")
    );
    let kept: Vec<Vec<u8>> = sqlx::query_scalar("select code_digest from recovery_codes")
        .fetch_all(&pool)
        .await
        .unwrap();
    assert!(kept.iter().all(|digest| digest.len() == 32));

    let refused = owner.submit(PAGE, &[("do", "renew"), ("code", "000000")]).await;
    assert_eq!(refused.status, 422);
    wait_for_the_next(&pool).await;
    let renewed = owner.submit(PAGE, &[("do", "renew"), ("code", &phone.code(0))]).await;
    let others = recovery_codes(&renewed);
    assert!(renewed.status == 200 && others.len() == 10 && !others.contains(&codes[1]));
    assert_eq!(in_with(&codes[1]).await, 422, "those before are over");
    assert_eq!(in_with(&others[9]).await, 303);
    app.stop().await;
}

#[sqlx::test]
async fn turning_it_off_needs_a_code_and_a_password_set_by_mail_does_not_turn_it_off(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let (phone, codes) = turn_on(&owner).await;
    let person = app.person();
    person.submit("/password/forgotten", &[("email", EMAIL)]).await;
    let mail = app.mails(EMAIL).await;
    let mail = mail.iter().find(|mail| mail.subject == "Set a new password").unwrap();
    let another = "a scarf for every swan";
    person.submit(&link(mail), &[("password", another)]).await;
    assert!(leads_to(&person.sign_in(EMAIL, another).await).starts_with("/sign-in/second-factor"));
    assert_eq!(show_code(&person, &codes[0]).await.status, 303);

    for code in ["", "000000", &codes[0]] {
        let refused = person.submit(PAGE, &[("do", "off"), ("code", code)]).await;
        assert_eq!(refused.status, 422, "{code}");
    }
    wait_for_the_next(&pool).await;
    let off = person.submit(PAGE, &[("do", "off"), ("code", &phone.code(0))]).await;
    assert_eq!(leads_to(&off), "/settings/security?done=second-factor-off");
    assert_eq!(leads_to(&app.person().sign_in(EMAIL, another).await), "/");
    let left: i64 = sqlx::query_scalar("select count(*) from recovery_codes")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
    let actions: Vec<String> =
        sqlx::query_scalar("select action from audit_events where subject_kind = 'member' order by audit_event_id")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(
        actions,
        [
            "member.second_factor_turned_on",
            "member.sessions_ended",
            "member.password_reset",
            "member.recovery_code_used",
            "member.second_factor_turned_off"
        ]
    );
    app.stop().await;
}

#[sqlx::test]
async fn the_page_for_the_code_is_for_whoever_has_shown_the_password_just_now(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    let (phone, _) = turn_on(&owner).await;
    let page = "/sign-in/second-factor?next=%2F%2Fevil.example";
    assert_eq!(leads_to(&app.person().get(page).await), "/sign-in");
    assert_eq!(leads_to(&owner.get(page).await), "/");
    let person = app.person();
    person.sign_in(EMAIL, PASSWORD).await;
    let form = person.get(page).await;
    assert!(form.status == 200 && !form.text.contains("evil"));
    let csrf = csrf_in(&form.text);
    sqlx::query("update sessions set expires_at = now() where authenticated_at is null")
        .execute(&pool)
        .await
        .unwrap();
    wait_for_the_next(&pool).await;
    let late = person
        .post_raw("/sign-in/second-factor", &[("csrf", &csrf), ("code", &phone.code(0))])
        .await;
    assert_eq!(leads_to(&late), "/sign-in?done=late");
    assert!(
        !owner
            .get("/settings/security")
            .await
            .text
            .contains("name=\"end\" value=\"\"")
    );
    let begun = owner.submit(PAGE, &[("do", "begin")]).await;
    assert_eq!(leads_to(&begun), PAGE, "one that is on stays as it is");
    let changed: i64 = sqlx::query_scalar("select count(*) from second_factors where confirmed_at is null")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(changed, 0);
    app.stop().await;
}

#[sqlx::test]
async fn an_operator_lets_in_again_who_has_lost_phone_and_codes(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    turn_on(&owner).await;
    let reset = async |email: &str| {
        let mut tx = pool.begin().await.unwrap();
        let (operator, email) = (Operator::at_the_command_line(), Email::parse(email).unwrap());
        let done = second_factors::reset(&mut tx, operator, &app.running.keyring(), &email).await;
        tx.commit().await.unwrap();
        done.unwrap()
    };
    assert!(!reset("nobody@msp.example").await);
    assert!(reset(EMAIL).await);
    assert!(!reset(EMAIL).await, "it is off");
    assert_eq!(owner.get("/welcome").await.status, 303, "signed out");
    assert_eq!(leads_to(&owner.sign_in(EMAIL, PASSWORD).await), "/");
    let by: Vec<String> =
        sqlx::query_scalar("select actor_kind from audit_events where action = 'member.second_factor_reset'")
            .fetch_all(&pool)
            .await
            .unwrap();
    assert_eq!(by, ["operator"]);
    app.stop().await;
}

#[sqlx::test]
async fn the_program_at_the_command_line_lets_in_again_who_lost_the_phone(pool: PgPool) {
    let machine = Machine::new(&pool);
    let app = TestApp::start_in(pool.clone(), machine.state_dir(), &[]).await;
    let person = app.owner("Acme IT", EMAIL).await;
    app.owner("Other IT", "eve@other.example").await;
    turn_on(&person).await;
    let reset = |email| machine.run(&["person", "reset-second-factor", email]);
    for (email, line) in [
        ("nobody@msp.example", "nobody with a second factor has this address"),
        ("eve@other.example", "nobody with a second factor has this address"),
        ("nonsense", "`nonsense` is no e-mail address"),
    ] {
        assert_eq!(reset(email).failed().trim_end(), format!("signpost: {line}"));
    }
    assert_eq!(
        leads_to(&app.person().sign_in(EMAIL, PASSWORD).await),
        "/sign-in/second-factor?next=%2F"
    );
    let said = reset("Ada@MSP.example").succeeded();
    assert!(
        said.contains("The second factor is off") && !said.contains('@'),
        "{said}"
    );
    assert_eq!(
        leads_to(&person.get("/settings").await),
        "/sign-in?next=%2Fsettings",
        "signed out everywhere"
    );
    assert_eq!(leads_to(&app.person().sign_in(EMAIL, PASSWORD).await), "/");
    reset(EMAIL).failed();
    app.stop().await;
}

#[sqlx::test]
async fn whoever_is_signed_out_everywhere_between_password_and_code_starts_again(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let (phone, _) = turn_on(&app.owner("Acme IT", EMAIL).await).await;
    wait_for_the_next(&pool).await;
    let thief = app.person();
    thief.sign_in(EMAIL, PASSWORD).await;
    let mut replaced = pool.begin().await.unwrap();
    for statement in ["update users set password_hash = 'another'", "delete from sessions"] {
        sqlx::query(statement).execute(&mut *replaced).await.unwrap();
    }
    let comes_in_between = async {
        waiting(&pool, 1).await;
        replaced.commit().await.unwrap();
    };
    let code = phone.code(0);
    let (answer, ()) = tokio::join!(show_code(&thief, &code), comes_in_between);
    assert_eq!(leads_to(&answer), "/sign-in?done=late");
    let left: i64 = sqlx::query_scalar("select count(*) from sessions")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(left, 0);
    app.stop().await;
}

#[sqlx::test]
async fn whoever_signs_in_while_it_is_turned_on_is_asked_for_it_as_well(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", EMAIL).await;
    owner.submit(PAGE, &[("do", "begin")]).await;
    let mut turned_on = pool.begin().await.unwrap();
    for statement in [
        "select from users for update",
        "update second_factors set confirmed_at = now()",
    ] {
        sqlx::query(statement).execute(&mut *turned_on).await.unwrap();
    }
    let comes_in_between = async {
        waiting(&pool, 1).await;
        turned_on.commit().await.unwrap();
    };
    let other = app.person();
    let (answer, ()) = tokio::join!(other.sign_in(EMAIL, PASSWORD), comes_in_between);
    assert_eq!(leads_to(&answer), "/sign-in/second-factor?next=%2F");
    // The other way round: a sign-in that is not over yet is waited for, and then seen.
    sqlx::query("update second_factors set confirmed_at = null")
        .execute(&pool)
        .await
        .unwrap();
    let phone = Phone::shown(&owner.get(PAGE).await.text);
    let mut signing_in = pool.begin().await.unwrap();
    sqlx::query("select from users for share")
        .execute(&mut *signing_in)
        .await
        .unwrap();
    let is_over = async {
        waiting(&pool, 1).await;
        signing_in.commit().await.unwrap();
    };
    let code = phone.code(0);
    let fields = [("do", "confirm"), ("code", code.as_str())];
    let (on, ()) = tokio::join!(owner.submit(PAGE, &fields), is_over);
    assert_eq!(on.status, 200, "{}", on.text);
    // And a code that is shown while everything is about to end is not over before it.
    wait_for_the_next(&pool).await;
    other.sign_in(EMAIL, PASSWORD).await;
    let mut ending = pool.begin().await.unwrap();
    sqlx::query("select from users for update")
        .execute(&mut *ending)
        .await
        .unwrap();
    let is_over = async {
        waiting(&pool, 1).await;
        ending.commit().await.unwrap();
    };
    let code = phone.code(0);
    let (shown, ()) = tokio::join!(show_code(&other, &code), is_over);
    assert_eq!(leads_to(&shown), "/welcome");
    app.stop().await;
}
