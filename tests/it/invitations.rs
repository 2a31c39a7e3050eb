//! Invitations: who sends them, what the mail says, and who comes in by its link.
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{
    app::TestApp,
    people::{PASSWORD, Person, leads_to, link},
};

const OWNER: &str = "ada@msp.example";
const GRACE: &str = "grace@contoso.example";

async fn invite(person: &Person, email: &str, role: &str) -> super::app::Answer {
    let fields = [("email", email), ("role", role), ("client_id", "")];
    person
        .submit_to("/settings/members", "/settings/invitations", &fields)
        .await
}

async fn path(app: &TestApp, email: &str) -> String {
    link(&app.mails(email).await[0])
}

#[sqlx::test]
async fn somebody_new_comes_in_with_a_name_and_a_password_and_once(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", OWNER).await;
    let list = owner.get("/settings/members").await.text;
    assert!(list.contains("Nobody is invited at the moment") && list.contains("Ada Lovelace"));
    assert_eq!(
        leads_to(&invite(&owner, " Grace@Contoso.example ", "editor").await),
        "/settings/members?done=invited"
    );
    assert!(owner.get("/settings/members").await.text.contains(GRACE));
    let mails = app.mails(GRACE).await;
    let mail = &mails[0];
    assert_eq!((mails.len(), mail.subject.as_str()), (1, "Invitation to Acme IT"));
    assert!(mail.text.contains("Acme IT") && mail.text.contains("editor"));
    let url = mail.text.split_whitespace().find(|word| word.contains("://")).unwrap();
    assert!(
        url.starts_with(&format!("http://portal.signpost.test:{}/invitations/", app.http.port())),
        "{url}"
    );
    let path = link(mail);
    let grace = app.person();
    let page = grace.get(&path).await;
    assert!(page.text.contains("Join Acme IT") && page.text.contains(GRACE));
    for (fields, message) in [
        (
            &[("name", ""), ("password", PASSWORD)][..],
            "Your name must have 1 to 200",
        ),
        (&[("name", "Grace"), ("password", "short")], "Password"),
        (
            &[("name", "<b>"), ("password", "acme it acme it acme it")],
            "&#60;b&#62;",
        ),
    ] {
        let refused = grace.submit(&path, fields).await;
        assert!(
            refused.status == 422 && refused.text.contains(message),
            "{}",
            refused.text
        );
    }
    assert_eq!(
        grace.post_raw(&path, &[("name", "Eve")]).await.status,
        403,
        "not without its token"
    );
    let fields = [("name", "Grace Hopper"), ("password", PASSWORD)];
    let visitor = grace.cookies();
    assert_eq!(leads_to(&grace.submit(&path, &fields).await), "/");
    assert_ne!(grace.cookies(), visitor);
    assert!(grace.get("/settings").await.text.contains("In Acme IT you are Editor"));
    let again = app.person();
    assert_eq!(again.get(&path).await.status, 404);
    assert_eq!(leads_to(&again.sign_in(GRACE, PASSWORD).await), "/");
    let list = owner.get("/settings/members").await.text;
    assert!(list.contains("Grace Hopper") && list.contains("Nobody is invited"));
    let readable: i64 = sqlx::query_scalar(
        "select count(*) from invitations i full join audit_events a on false full join outbox o on false
          where i::text || a::text || o::text ilike '%contoso.example%' or a::text ilike '%grace%'",
    )
    .fetch_one(&pool)
    .await
    .unwrap();
    assert_eq!(readable, 0);
    app.stop().await;
}

#[sqlx::test]
async fn somebody_with_an_account_signs_in_with_the_very_address_and_presses_once(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owner = app.owner("Acme IT", OWNER).await;
    let other = app.owner("Other IT", "eve@other.example").await;
    let known = app.owner("Contoso IT", GRACE).await;
    invite(&owner, GRACE, "admin").await;
    let path = path(&app, GRACE).await;

    let nobody = app.person();
    let page = nobody.get(&path).await.text;
    let sign_in = format!("/sign-in?next={}", path.replace('/', "%2F"));
    assert!(page.contains(&sign_in) && !page.contains("name=\"password\""), "{page}");
    let pressed = nobody
        .submit_to("/sign-in", &path, &[("name", "Eve"), ("password", PASSWORD)])
        .await;
    assert_eq!(leads_to(&pressed), path, "there is no second account");

    let page = other.get(&path).await.text;
    assert!(page.contains("signed in with another address"));
    let stolen = other.submit_to("/settings", &path, &[]).await;
    assert_eq!(leads_to(&stolen), path);
    assert!(!other.get("/settings").await.text.contains("/settings/switch"));

    let signed_in = nobody
        .submit_to(
            "/sign-in",
            "/sign-in",
            &[("email", GRACE), ("password", PASSWORD), ("next", &path)],
        )
        .await;
    assert_eq!(leads_to(&signed_in), path);
    assert_eq!(leads_to(&nobody.submit(&path, &[]).await), "/");
    assert!(nobody.get("/settings").await.text.contains("In Acme IT you are Admin"));
    assert_eq!(known.get(&path).await.status, 404, "used");
    assert!(
        known.get("/settings/switch").await.text.contains("Acme IT"),
        "one person"
    );
    app.stop().await;
}

#[sqlx::test]
async fn one_that_is_sent_again_taken_back_or_old_shows_nothing(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", OWNER).await;
    let program = app.program_of(&owner).await;
    invite(&owner, GRACE, "viewer").await;
    let id = program.get("/invitations").await.json()["data"][0]["id"].clone();
    let id = id.as_str().unwrap();
    let first = path(&app, GRACE).await;
    let again = format!("/settings/invitations/{id}/resend");
    let sent = owner.submit_to("/settings/members", &again, &[]).await;
    assert_eq!(leads_to(&sent), "/settings/members?done=invited");
    let second = path(&app, GRACE).await;
    assert_ne!(first, second);
    let person = app.person();
    assert_eq!(
        (person.get(&first).await.status, person.get(&second).await.status),
        (404, 200)
    );
    let resent = program
        .send("POST", &format!("/invitations/{id}/resend"), "", &[])
        .await;
    assert_eq!(resent.status, 200, "{}", resent.text);
    assert_eq!(person.get(&second).await.status, 404);
    let third = path(&app, GRACE).await;

    sqlx::query("update invitations set expires_at = now() - interval '1 second'")
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(person.get(&third).await.status, 404, "after seven days");
    assert_eq!(program.get("/invitations").await.json()["data"], json!([]));
    assert_eq!(
        leads_to(&invite(&owner, GRACE, "viewer").await),
        "/settings/members?done=invited"
    );

    let id = program.get("/invitations").await.json()["data"][0]["id"].clone();
    let back = format!("/settings/invitations/{}/delete", id.as_str().unwrap());
    let taken = owner.submit_to("/settings/members", &back, &[]).await;
    assert_eq!(leads_to(&taken), "/settings/members?done=revoked");
    assert_eq!(owner.submit_to("/settings/members", &back, &[]).await.status, 404);
    let page = person.get(&path(&app, GRACE).await).await;
    assert!(page.status == 404 && page.text.contains("This invitation is over"));
    for path in [
        "/invitations/x",
        "/invitations/%00",
        &format!("/invitations/{}", "a".repeat(32)),
    ] {
        assert_eq!(person.get(path).await.status, 404, "{path}");
    }
    let actions: Vec<Value> = program.get("/audit-events").await.json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["action"].clone())
        .collect();
    for action in ["created", "sent_again", "revoked"] {
        assert!(actions.contains(&json!(format!("invitation.{action}"))), "{actions:?}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn whoever_is_in_or_invited_is_not_invited_again_and_what_was_typed_stays(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", OWNER).await;
    let program = app.program_of(&owner).await;
    invite(&owner, GRACE, "viewer").await;
    for (email, role, client, message) in [
        (OWNER, "viewer", "", "belongs to a member already"),
        ("GRACE@contoso.example", "viewer", "", "is invited already"),
        ("no address", "viewer", "", "must be an e-mail address"),
        (
            "x@x.example\r\nBcc: y@y.example",
            "viewer",
            "",
            "must be an e-mail address",
        ),
        ("x@x.example", "", "", "Role must be chosen"),
        ("x@x.example", "root", "", "Role must be chosen"),
        (
            "x@x.example",
            "admin",
            "01890a5d-ac96-774b-bcce-b302099a8057",
            "must be all clients",
        ),
        (
            "x@x.example",
            "viewer",
            "01890a5d-ac96-774b-bcce-b302099a8057",
            "is none of yours",
        ),
        ("x@x.example", "viewer", "contoso", "is none of yours"),
    ] {
        let fields = [("email", email), ("role", role), ("client_id", client)];
        let refused = owner
            .submit_to("/settings/members", "/settings/invitations", &fields)
            .await;
        assert!(
            refused.status == 422 && refused.text.contains(message),
            "{email} {role}: {}",
            refused.text
        );
        let kept = format!("value=\"{email}\"");
        assert!(email.contains('\n') || refused.text.contains(&kept), "{}", refused.text);
    }
    for email in [OWNER, GRACE] {
        let body = json!({"email": email, "role": "viewer"});
        program.post("/invitations", body).await.problem(409, "conflict");
    }
    assert_eq!(app.mails(OWNER).await.len(), 1, "the one of the sign-up");

    sqlx::query(
        "insert into invitations (invitation_id, organisation_id, role, email_sealed, email_digest, token_digest, created_at, expires_at)
         select gen_random_uuid(), organisation_id, role, email_sealed, n::text::bytea, n::text::bytea, created_at, expires_at
           from invitations, generate_series(1, 49) n",
    )
    .execute(&pool)
    .await
    .unwrap();
    let body = json!({"email": "one@more.example", "role": "viewer"});
    let problem = program.post("/invitations", body).await.problem(409, "conflict");
    assert!(problem["detail"].as_str().unwrap().contains("at most 50"), "{problem}");
    sqlx::query("delete from invitations").execute(&pool).await.unwrap();
    sqlx::query(
        "insert into audit_events (audit_event_id, organisation_id, actor_kind, actor_name, action, subject_kind, subject_id, subject_name)
         select gen_random_uuid(), organisation_id, 'signpost', 'x', 'invitation.created', 'invitation', gen_random_uuid(), 'x'
           from organisations, generate_series(1, 100)",
    )
    .execute(&pool)
    .await
    .unwrap();
    let refused = invite(&owner, "one@more.example", "viewer").await;
    assert!(refused.status == 422 && refused.text.contains("at most 100 invitations"));
    assert!(app.mails("one@more.example").await.is_empty());
    app.stop().await;
}

#[sqlx::test]
async fn a_name_that_a_stranger_typed_is_no_link_and_no_header(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owner = app.owner("Prize! https://evil.example/win <a>", OWNER).await;
    // A link is built from the settings, whatever a request says of its host.
    invite(&owner, GRACE, "viewer").await;
    let csrf = owner.csrf("/settings").await;
    let body = format!("csrf={csrf}&email=linus%40four.example&role=viewer&client_id=");
    let forged = owner
        .request("POST", "/settings/invitations")
        .header("x-forwarded-host", "evil.example")
        .header("forwarded", "host=evil.example")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(body);
    assert_eq!(owner.send(forged).await.status, 303);
    for email in [GRACE, "linus@four.example"] {
        let mail = &app.mails(email).await[0];
        assert_eq!(mail.subject, "Invitation to Prize! https: //evil. example/win <a>");
        assert_eq!(mail.text.matches("://").count(), 1, "{}", mail.text);
        assert!(!mail.text.contains("evil.example"), "{}", mail.text);
        let page = app.person().get(&link(mail)).await.text;
        assert!(page.contains("evil.example/win &#60;a&#62;") && !page.contains("href=\"https://evil"));
    }
    app.stop().await;
}

#[sqlx::test]
async fn of_two_that_accept_at_once_one_comes_in(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let owner = app.owner("Acme IT", OWNER).await;
    invite(&owner, GRACE, "viewer").await;
    let path = path(&app, GRACE).await;
    let people = [app.person(), app.person()];
    let fields = [("name", "Grace"), ("password", PASSWORD)];
    let (one, other) = tokio::join!(people[0].submit(&path, &fields), people[1].submit(&path, &fields));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 404]);
    let members: i64 = sqlx::query_scalar("select count(*) from memberships")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(members, 2);
    app.stop().await;
}
