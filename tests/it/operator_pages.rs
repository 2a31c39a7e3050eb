//! What an operator sees, and who is none.
use serde_json::json;
use signpost::accounts::{
    Operator,
    email::Email,
    operators::{self, Change},
};
use sqlx::PgPool;

use crate::{
    app::{TestApp, eventually},
    binary::Machine,
    people::{Person, leads_to},
};

const EMAIL: &str = "ops@hosting.example";

impl TestApp {
    async fn make_operator(&self, email: &str, is_one: bool) -> Change {
        let email = Email::parse(email).unwrap();
        let mut tx = self.pool.begin().await.unwrap();
        let since = is_one.then(crate::clock::database_now);
        let keyring = self.running.keyring();
        let set = operators::set(&mut tx, Operator::at_the_command_line(), &keyring, &email, since).await;
        tx.commit().await.unwrap();
        set.unwrap()
    }

    async fn operator(&self) -> Person {
        let person = self.owner("Hosting", EMAIL).await;
        assert_eq!(self.make_operator(EMAIL, true).await, Change::Changed);
        person
    }
}

async fn audited(pool: &PgPool, action: &str) -> Vec<(String, serde_json::Value)> {
    sqlx::query_as("select actor_kind, details from audit_events where action = $1 order by audit_event_id")
        .bind(action)
        .fetch_all(pool)
        .await
        .unwrap()
}

#[sqlx::test]
async fn for_who_is_no_operator_there_are_no_such_pages(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let acme = app.msp("Acme IT").await;
    let owner = app.owner("Contoso IT", "ada@msp.example").await;
    let organisation = format!("/operator/organisations/{}", acme.organisation_id);
    let csrf = owner.csrf("/welcome").await;
    let fields = [("csrf", csrf.as_str()), ("act", "suspend"), ("reason", "because")];
    for path in ["/operator", "/operator/unknown-domains", &organisation] {
        let stranger = app.person().get(path).await;
        assert!(leads_to(&stranger).starts_with("/sign-in?next="), "{path}");
        assert_eq!(owner.get(path).await.status, 404, "{path}");
    }
    assert_eq!(owner.post_raw(&organisation, &fields).await.status, 404);
    assert!(!owner.get("/").await.text.contains("href=\"/operator\""));
    let suspended: i64 = sqlx::query_scalar("select count(*) from organisations where suspended_at is not null")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(suspended, 0);
    app.stop().await;
}

#[sqlx::test]
async fn an_operator_is_made_and_unmade_at_the_command_line_and_it_is_written_down(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let person = app.operator().await;
    assert_eq!(app.make_operator(EMAIL, true).await, Change::None);
    let overview = person.get("/operator").await;
    assert_eq!(overview.status, 200);
    assert!(overview.text.contains("href=\"/operator\" aria-current=\"page\""));
    let mut db = pool.acquire().await.unwrap();
    let listed = operators::list(&mut db, Operator::at_the_command_line(), &app.running.keyring()).await;
    let listed: Vec<_> = listed.map_err(|error| error.to_string()).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].person.email.expose(), EMAIL);
    assert_eq!(app.make_operator(EMAIL, false).await, Change::Changed);
    assert_eq!(app.make_operator(EMAIL, false).await, Change::None);
    assert_eq!(person.get("/operator").await.status, 404, "at once");
    for action in ["operator.added", "operator.removed"] {
        assert_eq!(
            audited(&pool, action).await,
            [("operator".to_owned(), json!({}))],
            "{action}"
        );
    }
    let nobody = Email::parse("nobody@msp.example").unwrap();
    let keyring = app.running.keyring();
    let unknown = operators::set(
        &mut db,
        Operator::at_the_command_line(),
        &keyring,
        &nobody,
        Some(crate::clock::database_now()),
    )
    .await;
    assert!(matches!(unknown, Err(operators::OperatorError::NoSuchPerson)));
    app.stop().await;
}

#[sqlx::test]
async fn an_operator_suspends_and_resumes_with_a_reason_that_the_organisation_can_read(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let (operator, acme) = (app.operator().await, app.msp("Acme <b>IT</b>").await);
    acme.register("contoso.com").await;
    app.verify("contoso.com").await;
    let list = operator.get("/operator").await.text;
    assert!(list.contains("Acme &#60;b&#62;IT"), "{list}");
    assert!(!operator.get("/operator?q=hosting").await.text.contains("Acme"));
    assert!(operator.get("/operator?q=ACME").await.text.contains("Acme"));
    assert!(operator.get("/operator?q=%25").await.text.contains("No organisation"));
    assert_eq!(operator.get("/operator?q=%00&before=x").await.status, 200);

    let path = format!("/operator/organisations/{}", acme.organisation_id);
    for reason in ["", "  ", &"x".repeat(201), "a\u{0}b"] {
        let refused = operator.submit(&path, &[("act", "suspend"), ("reason", reason)]).await;
        assert!(
            refused.status == 422 && refused.text.contains("Reason must"),
            "{}",
            refused.text
        );
    }
    let unknown = operator
        .submit(&path, &[("act", "delete"), ("reason", "because")])
        .await;
    assert_eq!(unknown.status, 404);
    assert_eq!(acme.get("/me").await.status, 200);
    for _ in 0..2 {
        let suspended = operator
            .submit(&path, &[("act", "suspend"), ("reason", "Unpaid since May")])
            .await;
        assert_eq!(leads_to(&suspended), format!("{path}?done=suspended"));
    }
    assert!(
        operator
            .get(&format!("{path}?done=suspended"))
            .await
            .text
            .contains("Suspended")
    );
    assert_eq!(acme.get("/me").await.status, 401);
    eventually(|| async { !app.running.serves("contoso.com") }).await;
    let resumed = operator.submit(&path, &[("act", "resume"), ("reason", "Paid")]).await;
    assert_eq!(leads_to(&resumed), format!("{path}?done=resumed"));
    eventually(|| async { app.running.serves("contoso.com") }).await;
    let user_id: uuid::Uuid = sqlx::query_scalar("select user_id from users where operator_since is not null")
        .fetch_one(&pool)
        .await
        .unwrap();
    for (action, reason) in [
        ("organisation.suspended", "Unpaid since May"),
        ("organisation.resumed", "Paid"),
    ] {
        let details = json!({ "reason": reason, "operator_id": user_id.to_string() });
        assert_eq!(audited(&pool, action).await, [("operator".to_owned(), details)], "once");
    }
    for path in [
        "/operator/organisations/x",
        &format!("/operator/organisations/{}", uuid::Uuid::now_v7()),
    ] {
        assert_eq!(operator.get(path).await.status, 404, "{path}");
    }
    app.stop().await;
}

#[sqlx::test]
async fn an_operator_does_not_shut_themselves_out(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let operator = app.operator().await;
    let id: uuid::Uuid = sqlx::query_scalar("select organisation_id from organisations")
        .fetch_one(&pool)
        .await
        .unwrap();
    let path = format!("/operator/organisations/{id}");
    let page = operator.get(&path).await;
    assert!(page.text.contains("your own organisation") && !page.text.contains("value=\"suspend\""));
    let csrf = operator.csrf("/operator").await;
    let fields = [("csrf", csrf.as_str()), ("act", "suspend"), ("reason", "because")];
    assert_eq!(operator.post_raw(&path, &fields).await.status, 403);
    assert_eq!(operator.get("/operator").await.status, 200);
    app.stop().await;
}

#[sqlx::test]
async fn an_operator_sees_what_waits_and_which_names_nobody_has_registered(pool: PgPool) {
    let app = TestApp::start(pool.clone()).await;
    let operator = app.operator().await;
    assert!(
        operator
            .get("/operator/unknown-domains")
            .await
            .text
            .contains("<p>None.")
    );
    for _ in 0..3 {
        app.ask(
            "fabrikam.example",
            "?model-family=Mac&user-identifier=ada%40fabrikam.example",
        )
        .await;
    }
    app.ask("fabrikam.example", "?model-family=iPad").await;
    app.ask("woodgrove.example", "?model-family=iPhone").await;
    let page = || async { operator.get("/operator/unknown-domains").await.text };
    eventually(|| async {
        page()
            .await
            .contains("class=\"num\">4</td><td role=\"cell\" data-label=\"Model families\">Mac, iPad</td>")
    })
    .await;
    eventually(|| async { page().await.contains("woodgrove.example") }).await;
    let page = page().await;
    assert!(
        page.find("fabrikam.example").unwrap() < page.find("woodgrove.example").unwrap(),
        "the most wanted first"
    );
    assert!(!page.contains("ada@"));

    // The mail of the sign-up waits, for there is no mail server here.
    let page = operator.get("/operator").await.text;
    assert!(
        page.contains("Mails to be sent</th><td role=\"cell\" data-label=\"Waiting\" class=\"num\">1</td>"),
        "{page}"
    );
    assert!(page.contains("less than a minute") && page.contains("A node last brought requests"));
    assert!(page.contains("no limit known"), "the internal CA has none");
    sqlx::query("update outbox set created_at = now() - interval '3 hours'")
        .execute(&pool)
        .await
        .unwrap();
    let page = operator.get("/operator").await.text;
    assert!(page.contains("<span class=\"status wait\">3 hours</span>"));
    app.stop().await;
}

#[sqlx::test]
async fn the_program_at_the_command_line_adds_lists_and_removes_operators(pool: PgPool) {
    let machine = Machine::new(&pool);
    let app = TestApp::start_in(pool.clone(), machine.state_dir(), &[]).await;
    let person = app.owner("Hosting", EMAIL).await;
    let run = |arguments: &[&str]| machine.run(&[&["operator"], arguments].concat());
    assert_eq!(run(&["list"]).succeeded(), "");
    for (arguments, line) in [
        (
            ["add", "nobody@hosting.example"],
            "nobody has an account with this address",
        ),
        (
            ["remove", "nobody@hosting.example"],
            "nobody has an account with this address",
        ),
        (["add", "nonsense"], "`nonsense` must be an e-mail address"),
    ] {
        let said = run(&arguments).failed();
        assert!(said.starts_with("signpost: ") && said.contains(line), "{said}");
    }
    assert_eq!(person.get("/operator").await.status, 404);
    let said = |arguments: &[&str]| run(arguments).succeeded();
    assert_eq!(
        said(&["add", "Ops@Hosting.example"]),
        format!("{EMAIL} is an operator: see /operator in the console.\n")
    );
    assert_eq!(said(&["add", EMAIL]), format!("{EMAIL} is an operator already.\n"));
    assert_eq!(person.get("/operator").await.status, 200, "at once");
    let today = crate::clock::now().format("%Y-%m-%d");
    assert_eq!(said(&["list"]), format!("{today}  {EMAIL}\n"));
    assert_eq!(said(&["remove", EMAIL]), format!("{EMAIL} is an operator no more.\n"));
    assert_eq!(said(&["remove", EMAIL]), format!("{EMAIL} is no operator.\n"));
    assert_eq!(person.get("/operator").await.status, 404, "at once");
    assert_eq!(said(&["list"]), "");
    app.stop().await;
}
