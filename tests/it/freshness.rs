//! What is committed is served, soon, whatever is lost on the way; and what is served goes on being
//! served without the database.
use std::time::{Duration, Instant};

use serde_json::json;
use sqlx::PgPool;

use crate::{
    app::{Answer, Msp, TestApp, eventually, intune_document, intune_document_of, settings},
    binary::{Machine, soon},
    outage::Outage,
    tls,
    wire::{ask, ask_target},
};

const OTHER_TENANT: &str = "99999999-8888-7777-6666-555555555555";
/// What is promised, and what a busy machine that runs the tests is allowed.
const PROMISED: Duration = Duration::from_millis(250);
const ALLOWED: Duration = Duration::from_secs(2);

async fn serving(pool: PgPool) -> (TestApp, Msp) {
    let app = TestApp::start(pool).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    (app, msp)
}

/// Waits until a device of `contoso.com` gets this. Returns how long that took.
async fn until(app: &TestApp, status: u16, body: &str) -> Duration {
    let began = Instant::now();
    eventually(|| async {
        let reply = ask(app.http, b"contoso.com", "").await;
        (reply.status, reply.body.as_str()) == (status, body)
    })
    .await;
    began.elapsed()
}

async fn defer(msp: &Msp, hostname: &str) -> Answer {
    let changed = msp
        .patch(
            &format!("/domains/{hostname}"),
            json!({"policy": {"default": {"action": "defer"}}}),
        )
        .await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    changed
}

#[sqlx::test]
async fn a_committed_change_is_served_at_once(pool: PgPool) {
    let (app, msp) = serving(pool).await;
    let served = msp.get("/domains/contoso.com").await.json()["policy"].clone();
    let server = format!("/mdm-servers/{}", served["default"]["server_id"].as_str().unwrap());
    let mut took = Vec::new();

    defer(&msp, "contoso.com").await;
    took.push(("policy", until(&app, 404, "").await));
    assert_eq!(
        msp.patch("/domains/contoso.com", json!({"policy": served}))
            .await
            .status,
        200
    );
    took.push(("policy back", until(&app, 200, &intune_document()).await));
    let parameters = json!({"parameters": {"tenant_id": OTHER_TENANT, "cloud": "china"}});
    assert_eq!(msp.patch(&server, parameters).await.status, 200);
    took.push((
        "server",
        until(&app, 200, &intune_document_of(OTHER_TENANT, "cn")).await,
    ));
    app.suspend(&msp).await;
    took.push(("suspend", until(&app, 404, "").await));
    app.resume(&msp).await;
    took.push((
        "resume",
        until(&app, 200, &intune_document_of(OTHER_TENANT, "cn")).await,
    ));
    assert_eq!(msp.delete("/domains/contoso.com").await.status, 204);
    took.push(("delete", until(&app, 404, "").await));

    println!("{PROMISED:?} are promised; taken: {took:?}");
    assert!(took.iter().all(|(_, took)| *took < ALLOWED), "{took:?}");
    app.stop().await;
}

#[sqlx::test]
async fn a_change_whose_notification_is_lost_is_served_too(pool: PgPool) {
    let (app, msp) = serving(pool.clone()).await;
    sqlx::query("drop trigger directory_changes_notify on directory_changes")
        .execute(&pool)
        .await
        .unwrap();
    defer(&msp, "contoso.com").await;
    let took = until(&app, 404, "").await;
    println!("{PROMISED:?} are promised; taken without a notification: {took:?}");
    assert!(took < ALLOWED, "{took:?}");
    app.stop().await;
}

#[sqlx::test]
async fn changes_are_served_after_every_connection_was_lost(pool: PgPool) {
    let (app, msp) = serving(pool.clone()).await;
    let terminate = "select count(pg_terminate_backend(pid)) from pg_stat_activity
                      where application_name = 'signpost' and datname = current_database()";
    for _ in 0..3 {
        let connections: i64 = sqlx::query_scalar(terminate).fetch_one(&pool).await.unwrap();
        assert!(connections > 0);
        let patch = "update domains set policy = jsonb_build_object('default', jsonb_build_object('action', 'defer'))";
        let served: String = sqlx::query_scalar("select policy::text from domains")
            .fetch_one(&pool)
            .await
            .unwrap();
        sqlx::query(patch).execute(&pool).await.unwrap();
        until(&app, 404, "").await;
        let back = sqlx::query("update domains set policy = $1::jsonb").bind(served);
        back.execute(&pool).await.unwrap();
        until(&app, 200, &intune_document()).await;
    }
    assert_eq!(msp.get("/me").await.status, 200);
    app.stop().await;
}

#[sqlx::test]
async fn a_transaction_that_began_before_others_and_commits_after_them_is_not_lost(pool: PgPool) {
    let (app, msp) = serving(pool.clone()).await;
    // Of another tenant: one client's domains share the server of a tenant.
    msp.register_intune("fabrikam.com", OTHER_TENANT, "china").await;
    app.verify("fabrikam.com").await;
    let mut early = pool.begin().await.unwrap();
    let defer_it = "update domains set policy = jsonb_build_object('default', jsonb_build_object('action', 'defer')) where hostname = $1";
    sqlx::query(defer_it)
        .bind("contoso.com")
        .execute(&mut *early)
        .await
        .unwrap();
    // Others come and go, and each is seen: the publisher is well past the early one.
    for tenant in [OTHER_TENANT, crate::app::TENANT, OTHER_TENANT] {
        let server = msp.get("/domains/fabrikam.com").await.json()["policy"]["default"]["server_id"].clone();
        let parameters = json!({"parameters": {"tenant_id": tenant, "cloud": "global"}});
        let path = format!("/mdm-servers/{}", server.as_str().unwrap());
        assert_eq!(msp.patch(&path, parameters).await.status, 200);
        let expected = intune_document_of(tenant, "com");
        eventually(|| async { ask(app.http, b"fabrikam.com", "").await.body == expected }).await;
    }
    assert_eq!(ask(app.http, b"contoso.com", "").await.body, intune_document());
    early.commit().await.unwrap();
    until(&app, 404, "").await;
    app.stop().await;
}

#[sqlx::test]
async fn a_row_that_cannot_be_read_keeps_its_last_good_answer_and_stops_no_other(pool: PgPool) {
    let (app, msp) = serving(pool.clone()).await;
    msp.register("fabrikam.com").await;
    app.verify("fabrikam.com").await;
    let served: String = sqlx::query_scalar("select policy::text from domains where hostname = 'contoso.com'")
        .fetch_one(&pool)
        .await
        .unwrap();
    for broken in [
        "{}",
        r#"{"default": {"action": "explode"}}"#,
        r#"{"default": {"action": "serve", "server_id": "00000000-0000-7000-8000-000000000000"}}"#,
    ] {
        let break_it = sqlx::query("update domains set policy = $1::jsonb where hostname = 'contoso.com'").bind(broken);
        break_it.execute(&pool).await.unwrap();
        defer(&msp, "fabrikam.com").await;
        eventually(|| async { ask(app.http, b"fabrikam.com", "").await.status == 404 }).await;
        assert_eq!(
            ask(app.http, b"contoso.com", "").await.body,
            intune_document(),
            "{broken}"
        );
        let mend = sqlx::query("update domains set policy = $1::jsonb where hostname = 'fabrikam.com'")
            .bind(json!({"default": {"action": "reject", "message": "x"}}));
        mend.execute(&pool).await.unwrap();
        eventually(|| async { ask(app.http, b"fabrikam.com", "").await.status == 403 }).await;
    }
    // A server that starts now knows no good answer of it, and serves the others.
    let token = msp.token.clone();
    let state_dir = app.stop_for_a_while().await;
    let app = TestApp::start_in(pool.clone(), state_dir, &[]).await;
    let msp = app.program(msp.organisation_id, &token);
    assert_eq!(ask(app.http, b"fabrikam.com", "").await.status, 403);
    assert_eq!(ask(app.http, b"contoso.com", "").await.status, 404);
    let mend = sqlx::query("update domains set policy = $1::jsonb where hostname = 'contoso.com'").bind(served);
    mend.execute(&pool).await.unwrap();
    until(&app, 200, &intune_document()).await;
    assert_eq!(msp.get("/domains").await.status, 200);
    app.stop().await;
}

#[sqlx::test]
async fn a_row_that_cannot_be_read_is_a_warning_that_names_the_domain(pool: PgPool) {
    let machine = Machine::new(&pool);
    let created = machine.create_organisation("Acme IT");
    let serving = machine.serve(&[]);
    serving.program(&created).register("contoso.com").await;
    machine.run(&["domain", "verify", "contoso.com"]).succeeded();
    eventually(|| async { ask(serving.http, b"contoso.com", "").await.status == 200 }).await;
    sqlx::query("update domains set policy = '{}'")
        .execute(&pool)
        .await
        .unwrap();
    let is_warning = |line: &str| line.contains(r#""level":"WARN""#) && line.contains("contoso.com");
    assert!(
        soon(|| serving.output.find(is_warning).is_some()),
        "{:#?}",
        serving.output.lines()
    );
    assert_eq!(ask(serving.http, b"contoso.com", "").await.body, intune_document());
    assert!(serving.terminate().0.success());
}

#[sqlx::test]
async fn a_server_that_starts_without_its_database_answers_from_its_snapshot_and_catches_up(pool: PgPool) {
    let outage = Outage::of(&pool);
    let state_dir = std::env::temp_dir().join(format!("signpost-it-{}", uuid::Uuid::now_v7()));
    let mut settings = settings(&pool, &state_dir, &[]);
    settings.database = Some(vec![outage.options()]);
    let app = TestApp::start_as(pool.clone(), state_dir.clone(), &settings).await;
    let msp = app.msp("Acme IT").await;
    let token = msp.token.clone();
    for hostname in ["contoso.com", "fabrikam.com", "deleted.example"] {
        msp.register(hostname).await;
        app.verify(hostname).await;
    }
    // Also what changed after the snapshot was begun is in it.
    defer(&msp, "fabrikam.com").await;
    assert_eq!(msp.delete("/domains/deleted.example").await.status, 204);
    eventually(|| async {
        ask(app.http, b"fabrikam.com", "").await.status == 404 && !app.running.serves("deleted.example")
    })
    .await;
    let roots = tls::roots_of(&state_dir);
    eventually(|| async {
        tls::handshake(app.https, "portal.signpost.test", tls::trusting(&roots, tls::BOTH))
            .await
            .is_ok()
    })
    .await;
    app.stop_for_a_while().await;

    outage.begin();
    let app = TestApp::start_as(pool.clone(), state_dir, &settings).await;
    let msp = app.program(msp.organisation_id, &token);
    assert_eq!(ask(app.http, b"contoso.com", "").await.body, intune_document());
    assert_eq!(ask(app.http, b"fabrikam.com", "").await.status, 404);
    assert!(!app.running.serves("deleted.example"));
    let over_tls = tls::ask_h1(app.https, &roots, "contoso.com", "contoso.com", "").await;
    assert_eq!((over_tls.status, over_tls.body), (200, intune_document()));
    assert!(
        tls::handshake(app.https, "portal.signpost.test", tls::trusting(&roots, tls::BOTH))
            .await
            .is_ok()
    );
    assert_eq!(ask_target(app.ops, "localhost", b"/readyz").await.status, 200);
    assert_eq!(ask_target(app.ops, "localhost", b"/healthz").await.status, 200);
    let answer = msp.get("/domains").await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (503, Some("application/problem+json"))
    );
    assert_eq!(answer.json()["code"], "unavailable");
    assert!(!answer.text.contains("PGSQL"), "{}", answer.text);
    assert_eq!(msp.get("/vendors").await.status, 503);

    outage.end();
    eventually(|| async { msp.get("/domains").await.status == 200 }).await;
    msp.register("new.example").await;
    app.verify("new.example").await;
    defer(&msp, "contoso.com").await;
    until(&app, 404, "").await;
    app.stop().await;
}

#[sqlx::test]
async fn a_server_that_loses_its_database_goes_on_answering_and_stops_well(pool: PgPool) {
    let outage = Outage::of(&pool);
    let state_dir = std::env::temp_dir().join(format!("signpost-it-{}", uuid::Uuid::now_v7()));
    let mut settings = settings(&pool, &state_dir, &[]);
    settings.database = Some(vec![outage.options()]);
    let app = TestApp::start_as(pool.clone(), state_dir, &settings).await;
    let msp = app.msp("Acme IT").await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    outage.begin();
    assert_eq!(msp.get("/domains").await.status, 503);
    assert_eq!(ask(app.http, b"contoso.com", "").await.body, intune_document());
    assert_eq!(ask_target(app.ops, "localhost", b"/readyz").await.status, 200);
    let metrics = ask_target(app.ops, "localhost", b"/metrics").await;
    assert!(
        metrics.body.contains("signpost_directory_entries 1"),
        "{}",
        metrics.body
    );
    let began = Instant::now();
    app.stop().await;
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}

#[sqlx::test]
async fn a_node_that_was_cut_off_while_another_pruned_drops_what_was_deleted(pool: PgPool) {
    let outage = Outage::of(&pool);
    let (app, msp) = serving(pool.clone()).await;
    let directory = std::env::temp_dir().join(format!("signpost-it-{}", uuid::Uuid::now_v7()));
    let keys = app.state_dir.join("secret.key");
    let keys = [("SIGNPOST_SECRET_KEY_FILE", keys.to_str().unwrap())];
    let mut cut_off = settings(&pool, &directory, &keys);
    cut_off.database = Some(vec![outage.options()]);
    let node = TestApp::start_as(pool.clone(), directory, &cut_off).await;
    for deleted_by in [
        // A node of the version before, whose clock was hours ahead, knew of no record.
        "delete from directory_changes",
        "delete from directory_changes where at < now()",
    ] {
        until(&node, 200, &intune_document()).await;
        outage.begin();
        assert_eq!(msp.delete("/domains/contoso.com").await.status, 204);
        until(&app, 404, "").await;
        sqlx::query(deleted_by).execute(&pool).await.unwrap();
        assert_eq!(ask(node.http, b"contoso.com", "").await.status, 200, "it is cut off");
        outage.end();
        until(&node, 404, "").await;
        msp.register("contoso.com").await;
        app.verify("contoso.com").await;
    }
    node.stop().await;
    app.stop().await;
}

#[sqlx::test]
async fn the_highest_deleted_change_is_recorded_and_a_running_transaction_keeps_its_changes(pool: PgPool) {
    let change = async |hostname: &str| {
        sqlx::query_scalar::<_, i64>(
            "insert into directory_changes (hostname, at) values ($1, now() - interval '2 hours') returning xid::text::bigint",
        )
        .bind(hostname)
        .fetch_one(&pool)
        .await
        .unwrap()
    };
    let deleted_up_to = async || {
        sqlx::query_scalar::<_, i64>("select deleted_up_to::text::bigint from directory_change_prunes")
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    let prune = async || {
        let mut tx = pool.begin().await.unwrap();
        let deleted = signpost::publisher::store::prune_changes(&mut tx).await.unwrap();
        tx.commit().await.unwrap();
        deleted
    };
    assert_eq!(deleted_up_to().await, 0);
    change("a.example.com").await;
    let second = change("b.example.com").await;
    let mut long = pool.begin().await.unwrap();
    sqlx::query("select pg_current_xact_id()")
        .execute(&mut *long)
        .await
        .unwrap();
    let third = change("c.example.com").await;
    assert_eq!(prune().await, 2, "what a running transaction may hide stays");
    assert_eq!(deleted_up_to().await, second);
    long.rollback().await.unwrap();
    assert_eq!(prune().await, 1);
    assert_eq!(deleted_up_to().await, third);
    assert_eq!(prune().await, 0);
    assert_eq!(
        deleted_up_to().await,
        third,
        "a prune that deletes nothing changes nothing"
    );
}
