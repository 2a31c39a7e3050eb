//! What is to be forgotten is looked for in every table afterwards, and what may remain is named here.
use chrono::TimeDelta;
use serde_json::{Value, json};
use signpost::request_log::{
    erasure::{self, gone},
    record::Owner,
};
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::{
    app::{Msp, TENANT, TestApp, eventually},
    binary::Machine,
    partitions::{asked, ship},
    people::leads_to,
};

/// The tables in which something stands, in whatever column.
async fn remains(pool: &PgPool, text: &str) -> Vec<String> {
    let tables: Vec<String> = sqlx::query_scalar(
        "select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where n.nspname = 'public' and c.relkind = 'r' order by 1",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert!(tables.len() > 40, "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let query = format!("select exists(select from {table} x where position(lower($1) in lower(x::text)) > 0)");
        let is_there: bool = sqlx::query_scalar(AssertSqlSafe(query))
            .bind(text)
            .fetch_one(pool)
            .await
            .unwrap();
        found.extend(is_there.then_some(table));
    }
    found
}

async fn number(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// As the jobs do it, until no transaction is left that may not know of an erasure.
async fn erase(app: &TestApp) {
    eventually(|| async {
        erasure::run(&app.pool, crate::clock::database_now()).await.unwrap();
        number(&app.pool, "select count(*) from erasures where completed_at is null").await == 0
    })
    .await;
}

async fn serving(app: &TestApp, name: &str, hostname: &str) -> Msp {
    let msp = app.msp(name).await;
    msp.register(hostname).await;
    app.verify(hostname).await;
    msp
}

fn owner(msp: &Msp, domain: &Value) -> Owner {
    let id = |name: &str| domain[name].as_str().unwrap().parse().unwrap();
    Owner {
        organisation_id: msp.organisation_id,
        client_id: id("client_id"),
        domain_id: id("id"),
    }
}

#[sqlx::test]
async fn one_persons_requests_go_with_what_a_spool_brings_late_and_nobody_elses(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = serving(&app, "Acme IT", "contoso.com").await;
    let other = serving(&app, "Other IT", "fabrikam.com").await;
    for (hostname, user) in [
        ("contoso.com", "Canary-3f@Contoso.com"),
        ("contoso.com", "canary-3f@contoso.com"),
        ("contoso.com", "bob@contoso.com"),
        ("fabrikam.com", "canary-3f@contoso.com"),
    ] {
        app.ask(hostname, &format!("?user-identifier={user}&model-family=Mac"))
            .await;
    }
    let rows = msp.logged(3).await;
    other.logged(1).await;
    let digest = rows[2]["user"].as_str().unwrap().to_owned();
    assert_eq!(remains(&app.pool, &digest).await.len(), 1, "one day's table");

    let body = json!({"user_identifier": " CANARY-3F@contoso.com "});
    let answer = msp.post("/requests/erasures", body).await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    assert_eq!(
        (&answer.json()["completed_at"], &answer.json()["erased_rows"]),
        (&Value::Null, &json!(0))
    );
    let asked_at: chrono::DateTime<chrono::Utc> = answer.json()["requested_at"].as_str().unwrap().parse().unwrap();
    erase(&app).await;
    let listed = msp.get("/requests/erasures").await.json();
    assert_eq!(listed["data"][0]["erased_rows"], 2, "{listed}");
    assert!(listed["data"][0]["completed_at"].is_string());
    assert_eq!(other.get("/requests/erasures").await.json()["data"], json!([]));
    // So that what comes late is known: for 31 days.
    assert_eq!(remains(&app.pool, &digest).await, ["erasures"]);
    assert_eq!(remains(&app.pool, "canary-3f").await, Vec::<String>::new());
    assert_eq!(msp.get("/requests").await.json()["data"].as_array().unwrap().len(), 1);
    other.logged(1).await;
    let summary = msp.get("/requests/summary").await.json();
    assert_eq!(summary["data"][0]["count"], 3, "counts name nobody");

    let domain = msp.get("/domains/contoso.com").await.json();
    let user: Vec<u8> = sqlx::query_scalar("select user_digest from erasures")
        .fetch_one(&app.pool)
        .await
        .unwrap();
    let late = |at| {
        let mut row = asked(at, Some(owner(&msp, &domain)), "contoso.com");
        row.user = Some(user.clone().try_into().unwrap());
        row
    };
    ship(
        &app.pool,
        [
            late(asked_at - TimeDelta::days(3)),
            late(asked_at - TimeDelta::seconds(1)),
        ],
    )
    .await;
    assert_eq!(remains(&app.pool, &digest).await, ["erasures"]);
    assert_eq!(
        msp.get("/requests/summary").await.json()["data"][0]["count"],
        5,
        "and are counted"
    );
    app.ask("contoso.com", "?user-identifier=canary-3f@contoso.com").await;
    assert_eq!(
        msp.logged(2).await[0]["user"],
        digest,
        "whoever asks again is logged again"
    );

    let a_month = crate::clock::now() + TimeDelta::days(32);
    erasure::run(&app.pool, crate::clock::assume(a_month)).await.unwrap();
    assert_eq!(number(&app.pool, "select count(*) from erasures").await, 0);
    let audit = msp.get("/audit-events?action=requests").await.json();
    assert_eq!(audit["data"][0]["action"], "requests.erased");
    assert_eq!(audit["data"].as_array().unwrap().len(), 1);
    app.stop().await;
}

#[sqlx::test]
async fn an_erasure_that_was_cut_off_is_gone_on_with_and_waits_for_who_does_not_know_of_it(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = serving(&app, "Acme IT", "contoso.com").await;
    for _ in 0..5 {
        app.ask("contoso.com", "?user-identifier=ada@contoso.com").await;
    }
    let rows = msp.logged(5).await;
    let digest = rows[0]["user"].as_str().unwrap();
    // Another node ships just then, and has not committed.
    let mut shipping = app.pool.begin().await.unwrap();
    sqlx::query(
        "insert into requests
         select gen_random_uuid(), at, organisation_id, client_id, domain_id, hostname, model_family, user_digest, outcome,
                status, mdm_server_id, user_agent, client_network, tls from requests limit 1",
    )
    .execute(&mut *shipping)
    .await
    .unwrap();
    msp.post("/requests/erasures", json!({"user_identifier": "ada@contoso.com"}))
        .await;
    let person = erasure::store::list_open(&mut app.pool.acquire().await.unwrap())
        .await
        .unwrap();
    let day = (person[0].requested_at - TimeDelta::days(2), person[0].requested_at);
    let mut db = app.pool.acquire().await.unwrap();
    assert_eq!(
        erasure::store::delete_of_person(&mut db, &person[0], day, 2)
            .await
            .unwrap(),
        2
    );
    drop(db);
    for _ in 0..3 {
        erasure::run(&app.pool, crate::clock::database_now()).await.unwrap();
    }
    let open = "select count(*) from erasures where completed_at is null";
    assert_eq!(number(&app.pool, open).await, 1, "somebody may not know");
    shipping.commit().await.unwrap();
    erase(&app).await;
    assert_eq!(remains(&app.pool, digest).await, ["erasures"]);
    app.stop().await;
}

#[sqlx::test]
async fn a_deleted_client_leaves_its_name_in_the_audit_log_and_nothing_else(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let msp = serving(&app, "Acme IT", "contoso.com").await;
    let leaving = json!({"hostname": "leaving.example", "client_name": "Leaving Ltd", "server": {"vendor": "intune", "parameters": {"tenant_id": TENANT}}});
    let leaving = msp.post("/domains", leaving).await.json();
    app.verify("leaving.example").await;
    for hostname in ["contoso.com", "leaving.example", "leaving.example", "leaving.example"] {
        app.ask(hostname, "?user-identifier=ada@contoso.com&model-family=iPad")
            .await;
    }
    msp.logged(4).await;
    let past = owner(&msp, &leaving);
    let ago = |days| {
        asked(
            crate::clock::now() - TimeDelta::days(days),
            Some(past),
            "leaving.example",
        )
    };
    ship(&app.pool, [ago(3), ago(3), ago(200)]).await;

    msp.delete("/domains/leaving.example").await;
    let server = leaving["policy"]["default"]["server_id"].as_str().unwrap();
    assert_eq!(msp.delete(&format!("/mdm-servers/{server}")).await.status, 204);
    gone::run(&app.pool).await.unwrap();
    assert_eq!(
        number(
            &app.pool,
            "select count(*) from requests where hostname = 'leaving.example'"
        )
        .await,
        6
    );
    let client = past.client_id.to_string();
    assert_eq!(msp.delete(&format!("/clients/{client}")).await.status, 204);
    // Somebody began and was killed.
    let mut db = app.pool.acquire().await.unwrap();
    let deleted = gone::store::delete_of_client(&mut db, past.organisation_id, past.client_id, 2).await;
    assert_eq!(deleted.unwrap(), 2);
    drop(db);
    gone::run(&app.pool).await.unwrap();
    let kept = async |text: String| {
        let tables = remains(&app.pool, &text).await;
        assert!(
            tables.iter().all(|table| MAY_KEEP_A_CLIENT.contains(&table.as_str())),
            "{text}: {tables:?}"
        );
    };
    for text in [
        client.clone(),
        "Leaving Ltd".into(),
        "leaving.example".into(),
        past.domain_id.to_string(),
    ] {
        kept(text).await;
    }
    let counted = number(&app.pool, "select sum(count)::bigint from request_totals").await;
    assert_eq!(
        counted, 2,
        "contoso.com's one request, for its client and for the organisation"
    );
    assert_eq!(msp.get("/requests").await.json()["data"].as_array().unwrap().len(), 1);

    // A spool that was away for a week.
    ship(&app.pool, [ago(7), ago(7)]).await;
    gone::run(&app.pool).await.unwrap();
    kept(client).await;
    assert_eq!(number(&app.pool, "select count(*) from requests").await, 1);
    app.stop().await;
}

/// `audit_events`: who deleted what, for as long as the organisation keeps it. `tombstones`: who proved a name and gave it
/// up, for 30 days, against whoever registers it next. `outbox`, `webhook_deliveries`: what the organisation was told
/// of it. `directory_changes`: names to look up again, for an hour. `status_hints`: ids to look at again, for seconds. `idempotency_keys`: sealed, for a day.
const MAY_KEEP_A_CLIENT: [&str; 7] = [
    "audit_events",
    "directory_changes",
    "idempotency_keys",
    "outbox",
    "status_hints",
    "tombstones",
    "webhook_deliveries",
];

#[sqlx::test]
async fn a_deleted_organisation_leaves_a_line_for_operators_and_nothing_else(pool: PgPool) {
    let machine = Machine::new(&pool);
    let created = machine.create_organisation("Leaving IT");
    let other = machine.create_organisation("Staying IT");
    let organisation_id: Uuid = created["organisation_id"].as_str().unwrap().parse().unwrap();
    let serving = machine.serve(&[]);
    let (msp, staying) = (serving.program(&created), serving.program(&other));
    let domain = msp.register("leaving.example").await;
    staying.register("contoso.com").await;
    let past = owner(&msp, &domain);
    let now = crate::clock::now();
    let kept = owner(&staying, &staying.get("/domains/contoso.com").await.json());
    ship(
        &pool,
        (0..50).map(|hours| asked(now - TimeDelta::hours(hours), Some(past), "leaving.example")),
    )
    .await;
    ship(&pool, [asked(now, Some(kept), "contoso.com")]).await;

    let refused = machine
        .run(&["org", "delete", "Leaving IT", "--confirm", "Leaving"])
        .failed();
    assert!(refused.contains("--confirm"), "{refused}");
    assert_eq!(number(&pool, "select count(*) from domains").await, 2);
    let told = machine
        .run(&["org", "delete", "Leaving IT", "--confirm", "Leaving IT"])
        .succeeded();
    assert!(told.contains("Leaving IT is deleted"), "{told}");
    for text in [organisation_id.to_string(), "Leaving IT".into()] {
        assert_eq!(remains(&pool, &text).await, ["audit_events"], "{text}");
    }
    let events = number(&pool, "select count(*) from audit_events where organisation_id is null").await;
    assert_eq!(events, 1, "that it was deleted, and when");
    for text in [past.client_id.to_string(), past.domain_id.to_string()] {
        // Whoever looks at statuses takes its hints first.
        eventually(|| async { remains(&pool, &text).await.is_empty() }).await;
    }
    assert_eq!(
        remains(&pool, "leaving.example").await,
        ["directory_changes"],
        "for an hour"
    );
    ship(&pool, [asked(now, Some(past), "leaving.example")]).await;
    gone::run(&pool).await.unwrap();
    assert_eq!(remains(&pool, &past.client_id.to_string()).await, Vec::<String>::new());
    assert_eq!(number(&pool, "select count(*) from requests").await, 1);
    assert_eq!(number(&pool, "select sum(count)::bigint from request_totals").await, 2);
    serving.terminate();
}

#[sqlx::test]
async fn the_page_erases_and_says_when_it_is_done(pool: PgPool) {
    let app = TestApp::start(pool).await;
    let owner = app.owner("Acme IT", "ada@acme.example").await;
    let viewer = app.colleague(&owner, "vic@acme.example", "viewer", "").await;
    assert_eq!(viewer.get("/settings/privacy").await.status, 403);
    let page = owner.get("/settings/privacy").await;
    assert!(page.text.contains("Nothing yet"), "{}", page.text);
    let refused = owner.submit("/settings/privacy", &[("user_identifier", " ")]).await;
    assert_eq!(refused.status, 422);
    assert!(refused.text.contains("is needed"));
    let done = owner
        .submit("/settings/privacy", &[("user_identifier", "bob@contoso.com")])
        .await;
    assert_eq!(leads_to(&done), "/settings/privacy?done=erasing");
    assert!(owner.get("/settings/privacy").await.text.contains("Under way"));
    erase(&app).await;
    let page = owner.get("/settings/privacy").await.text;
    assert!(!page.contains("Under way") && !page.contains("bob@contoso.com"));
    app.stop().await;
}
