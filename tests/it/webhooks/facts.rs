//! What happens to domains, as a program is told of it.
use serde_json::{Value, json};
use signpost::{
    certificates::expiry,
    domains::{connection::Expected, told::Teller},
    mail::Mail,
    outbox,
};
use sqlx::PgPool;

use super::receiver::{Received, Receiver};
use crate::app::{Msp, TestApp, eventually};

const LOOPBACK: [(&str, &str); 1] = [("SIGNPOST_OUTBOUND_ALLOW", "127.0.0.0/8")];

async fn listen(msp: &Msp, more: Value) -> Receiver {
    let receiver = Receiver::start().await;
    let mut body = json!({"url": receiver.url(), "events": [
        "domain.status_changed", "domain.first_request", "certificate.issued", "certificate.failed", "certificate.expiring"]});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    let made = msp.post("/webhook-endpoints", body).await;
    assert_eq!(made.status, 201, "{}", made.text);
    receiver
}

/// The data of what came, once there are `count` of this type.
async fn told(receiver: &Receiver, kind: &str, count: usize) -> Vec<Value> {
    let found = || {
        let all = receiver.received();
        let of_kind = all.iter().map(Received::json).filter(|body| body["type"] == kind);
        of_kind.map(|body| body["data"].clone()).collect::<Vec<_>>()
    };
    eventually(|| async { found().len() >= count }).await;
    let found = found();
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

#[sqlx::test]
async fn a_domain_that_is_verified_asked_for_and_suspended_is_told_step_by_step(pool: PgPool) {
    let app = TestApp::start_with(pool.clone(), &LOOPBACK).await;
    let msp = app.msp("Acme IT").await;
    let receiver = listen(&msp, json!({})).await;
    let stranger = listen(&app.msp("Other IT").await, json!({})).await;
    let domain = msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    let changed = told(&receiver, "domain.status_changed", 1).await.remove(0);
    assert_eq!(
        changed,
        json!({"domain_id": domain["id"], "hostname": "contoso.com", "client_id": domain["client_id"],
               "status": "pending_dns", "previous_status": "pending_ownership"})
    );
    let issued = told(&receiver, "certificate.issued", 1).await.remove(0);
    assert_eq!(issued["domain_id"], domain["id"]);
    assert!(issued["not_after"].is_string(), "{issued}");

    for family in ["iPhone", "Mac"] {
        let query = format!("?user-identifier=ada@contoso.com&model-family={family}");
        app.ask("contoso.com", &query).await;
    }
    msp.logged(2).await;
    let first = told(&receiver, "domain.first_request", 1).await.remove(0);
    assert_eq!(
        (&first["hostname"], &first["domain_id"]),
        (&json!("contoso.com"), &domain["id"])
    );
    assert!(first["at"].is_string(), "{first}");

    // While it is suspended nothing is sent; what happened is told after.
    app.suspend(&msp).await;
    let statuses = || async {
        let told = sqlx::query_scalar::<_, String>(
            "select payload ->> 'status' from outbox where kind = 'domain.status_changed' and sent_at is not null order by outbox_id",
        );
        told.fetch_all(&pool).await.unwrap()
    };
    eventually(|| async { statuses().await == ["pending_dns", "suspended"] }).await;
    assert_eq!(told(&receiver, "domain.status_changed", 1).await.len(), 1);
    app.resume(&msp).await;
    let all = told(&receiver, "domain.status_changed", 3).await;
    let mut statuses: Vec<_> = all.iter().map(|data| data["status"].as_str().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["pending_dns", "pending_dns", "suspended"]);
    for received in receiver.received() {
        assert!(!received.body.contains("ada"), "nobody's address: {}", received.body);
    }
    assert!(stranger.received().is_empty());
    app.stop().await;
}

#[sqlx::test]
async fn a_node_that_starts_with_another_issuer_judges_anew_what_the_old_one_certified(pool: PgPool) {
    let app = TestApp::start_with(pool.clone(), &LOOPBACK).await;
    let msp = app.msp("Acme IT").await;
    let receiver = listen(&msp, json!({})).await;
    for hostname in ["contoso.com", "fabrikam.com"] {
        msp.register(hostname).await;
        app.verify(hostname).await;
    }
    told(&receiver, "domain.status_changed", 2).await;
    // Connected, and nobody looks again.
    sqlx::query("update domain_checks set connected_at = now(), due_at = null, epoch = epoch + 1")
        .execute(&pool)
        .await
        .unwrap();
    told(&receiver, "domain.status_changed", 4).await;
    let state_dir = app.stop_for_a_while().await;
    let as_of = |issuer: &str| Teller {
        pool: pool.clone(),
        expected: Expected {
            addresses: vec!["127.0.0.1".parse().unwrap()],
            edge_host: "edge.signpost.test".into(),
            edge_port: 443,
            authority: None,
            validation_method: "http-01",
            account_url: None,
            issuer: issuer.into(),
        },
    };
    let issuer = "select distinct issuer from certificates where domain_id is not null";
    let issuer: String = sqlx::query_scalar(issuer).fetch_one(&pool).await.unwrap();
    let same = as_of(&issuer);
    same.begin().await.unwrap();
    while !same.round(crate::clock::database_now()).await.unwrap().is_empty() {}
    same.begin().await.unwrap();
    assert!(
        same.round(crate::clock::database_now()).await.unwrap().is_empty(),
        "the issuer is the same"
    );
    let other = as_of("https://ca.example/directory");
    other.begin().await.unwrap();
    assert_eq!(other.round(crate::clock::database_now()).await.unwrap().rederived, 2);
    let statuses = sqlx::query_scalar::<_, String>("select status from told_statuses");
    assert_eq!(statuses.fetch_all(&pool).await.unwrap(), ["pending_certificate"; 2]);
    let changes =
        "select count(*) from outbox where kind = 'domain.status_changed' and payload ->> 'previous_status' = 'active'";
    assert_eq!(sqlx::query_scalar::<_, i64>(changes).fetch_one(&pool).await.unwrap(), 2);
    std::fs::remove_dir_all(state_dir).unwrap();
}

#[sqlx::test]
async fn an_endpoint_of_one_client_hears_of_that_client_only(pool: PgPool) {
    let app = TestApp::start_with(pool, &LOOPBACK).await;
    let msp = app.msp("Acme IT").await;
    let fabrikam = msp.post("/clients", json!({"name": "Fabrikam"})).await.json();
    let everything = listen(&msp, json!({})).await;
    let of_client = listen(&msp, json!({"client_id": fabrikam["id"]})).await;
    msp.register("contoso.com").await;
    let server = json!({"vendor": "intune", "parameters": {"tenant_id": crate::app::TENANT}});
    let body = json!({"hostname": "fabrikam.example", "client_id": fabrikam["id"], "server": server});
    assert_eq!(msp.post("/domains", body).await.status, 201);
    app.verify("contoso.com").await;
    app.verify("fabrikam.example").await;
    told(&everything, "certificate.issued", 2).await;
    let own = told(&of_client, "certificate.issued", 1).await;
    assert_eq!(own[0]["hostname"], "fabrikam.example");
    for received in of_client.received() {
        assert_eq!(received.json()["data"]["client_id"], fabrikam["id"]);
    }
    app.stop().await;
}

#[sqlx::test]
async fn a_certificate_that_expires_unrenewed_changes_the_status_and_is_told_by_webhook_and_mail(pool: PgPool) {
    let app = TestApp::start_with(pool.clone(), &LOOPBACK).await;
    let msp = app.msp("Acme IT").await;
    let receiver = listen(&msp, json!({})).await;
    msp.register("contoso.com").await;
    app.verify("contoso.com").await;
    told(&receiver, "domain.status_changed", 1).await;
    // It was connected, and nobody has looked since.
    for statement in [
        "update domain_checks set connected_at = now(), due_at = null, epoch = epoch + 1",
        "update certificates set not_before = now() - interval '88 days', not_after = now() + interval '2 seconds',
                urgent_at = now() - interval '13 days' where hostname = 'contoso.com'",
    ] {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let mut db = pool.acquire().await.unwrap();
    let issuer = sqlx::query_scalar::<_, String>("select issuer from certificates where hostname = 'contoso.com'");
    let issuer = issuer.fetch_one(&mut *db).await.unwrap();
    assert_eq!(
        expiry::warn(&mut db, &issuer, crate::clock::database_now())
            .await
            .unwrap(),
        1
    );
    let expiring = told(&receiver, "certificate.expiring", 1).await.remove(0);
    assert_eq!(expiring["hostname"], "contoso.com");
    let mails: Vec<Mail> = outbox::store::list_mails(&mut db, 10)
        .await
        .unwrap()
        .iter()
        .map(|kept| outbox::open(&app.running.keyring(), kept.outbox_id, &kept.sealed).unwrap())
        .collect();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject, "The certificate of contoso.com is about to expire");
    assert!(mails[0].to.ends_with("@msp.example"));
    assert!(mails[0].text.contains("/domains/contoso.com"), "{}", mails[0].text);
    drop(db);
    let changed = told(&receiver, "domain.status_changed", 3).await;
    let mut statuses: Vec<_> = changed.iter().map(|data| data["status"].as_str().unwrap()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, ["active", "attention", "pending_dns"]);
    app.stop().await;
}
